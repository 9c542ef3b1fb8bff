// SPDX-License-Identifier: Apache-2.0
// The matrix rows of VMs' IPv6 addresses: subnets are routed as they are, so that whoever has IPv6 on the external network reaches
// what the security groups allow, where the LAN's router knows the way. Their `via` is "fixed/ipv6" or "floating/ipv6". Pure; cannot
// fail on a valid fabric.
#include <algorithm>

#include "roles/expectations.hpp"
#include "roles/groups.hpp"
#include "roles/topology.hpp"

namespace weft::roles {
namespace {

struct vm6 {
    std::string full, tenant_name;
    const weft::tenant* tenant = nullptr;
    const tenant_port* port = nullptr;
    const std::pair<const std::string, router>* leader = nullptr;  // null without a router
    std::string external;  // where its router has an IPv6 address; "" = it stays inside
    ip_address fixed;
    std::optional<ip_address> floating;
};

class rows_of_vms {
public:
    explicit rows_of_vms(const fabric& f) : f_(f) {
        for (const auto& [tenant_name, t] : f.tenants)
            for (const auto& [name, port] : t.ports) {
                if (!port.address6) continue;
                const auto* r = router_of(t, port.network);
                const bool out = r && r->second.address6;
                vms_.push_back({tenant_name + "/" + name, tenant_name, &t, &port, r, out ? r->second.external : "", *port.address6,
                                out ? port.floating6 : std::nullopt});
            }
    }

    std::vector<expectation> build() {
        for (const auto& v : vms_) {
            for (const auto& [name, n] : f_.nodes) {
                const auto own = v.external.empty() ? std::nullopt : node_address6(n, v.external);
                towards(name, v, own);
                if (own) outwards(v, name, *own);
                for (const char* inside : {management_network, tunnel_network})
                    if (const auto address = node_address6(n, inside))
                        row(v.full, name, std::string(inside) + "/ipv6", false, *address, "VMs must not reach the hosts that carry them");
            }
            for (const auto& [name, host] : f_.lab.hosts) {
                if (!host.vpn.empty()) continue;
                const bool near = host.address6 && host.network == v.external;
                const bool far = host.address6 && host.network == "internet";
                towards(name, v, near ? host.address6 : std::nullopt, far ? "the LAN's router forwards nothing inwards" : nullptr);
                if (far && !v.external.empty() && routed(v.external))
                    outwards(v, name, *host.address6);
                else if (far)
                    row(v.full, name, (v.external.empty() ? f_.lab.router_lan : v.external) + "/ipv6", false, *host.address6, "no way out over IPv6");
                if (near) outwards(v, name, *host.address6);
                if (near && !routed(v.external))
                    filtered(nullptr, name, &v, v.full, "fixed/ipv6", v.fixed, *host.address6, "its router takes what a static route leads to it",
                             v.leader->second.address6);
            }
            for (const auto& other : vms_) between(v, other);
        }
        return std::move(rows_);
    }

private:
    void row(const std::string& from, const std::string& to, const std::string& via, bool reachable, const ip_address& address, std::string why,
             std::optional<ip_address> planted = {}) {
        rows_.push_back(matrix_row(from, to, via, reachable, address, std::move(why), planted));
    }

    void filtered(const vm6* from, const std::string& from_name, const vm6* to, const std::string& to_name, const std::string& via,
                  const ip_address& address, const ip_address& source, std::string why, std::optional<ip_address> planted = {}) {
        const bool out = !from || passes(*from->tenant, *from->port, direction::egress, {"icmp", 0, address});
        const bool in = !to || passes(*to->tenant, *to->port, direction::ingress, {"icmp", 0, source});
        row(from_name, to_name, via, out && in, address,
            !out  ? "no egress rule of the sender's groups"
            : !in ? "no ingress rule of the receiver's groups"
                  : std::move(why),
            planted);
    }

    // Whether the router of this LAN leads to the tenants' subnets, which the lab's does.
    bool routed(const std::string& external) const {
        const auto n = f_.networks.find(external);
        return n != f_.networks.end() && f_.lab.router_lan == external && n->second.gateway6;
    }
    // Whether what is outside finds the way back to the VM.
    bool answered(const vm6& v) const { return v.floating || routed(v.external); }
    static constexpr const char* unanswered = "nobody on the LAN routes to the VM's subnet";

    // From a node or a lab host, whose address on the VM's external network is `own`.
    void towards(const std::string& name, const vm6& v, const std::optional<ip_address>& own, const char* far = nullptr) {
        if (own && routed(v.external))
            filtered(nullptr, name, &v, v.full, "fixed/ipv6", v.fixed, *own, "by the LAN's router and the VM's, without translation");
        else
            row(name, v.full, "fixed/ipv6", false, v.fixed, far ? far : own ? unanswered : "no way to the VM's subnet");
        if (!v.floating) return;
        if (own)
            filtered(nullptr, name, &v, v.full, "floating/ipv6", *v.floating, *own, "the router answers for it");
        else
            row(name, v.full, "floating/ipv6", false, *v.floating, far ? far : "no IPv6 on the LAN");
    }

    void outwards(const vm6& v, const std::string& to, const ip_address& address) {
        const auto via = v.external + "/ipv6";
        if (answered(v))
            filtered(&v, v.full, nullptr, to, via, address, v.fixed, "by its router, without translation");
        else
            row(v.full, to, via, false, address, unanswered);
    }

    static bool joined(const vm6& a, const vm6& b) {
        return a.tenant == b.tenant && (a.port->network == b.port->network || (a.leader && a.leader == b.leader));
    }
    // Whether a packet from `v` to this address would meet somebody of its own there: unrouted subnets may be the same.
    bool has_own(const vm6& v, const ip_address& address) const {
        for (const auto& [name, network] : v.tenant->networks) {
            const auto* r = router_of(*v.tenant, name);
            if ((name == v.port->network || (r && r == v.leader)) && network.gateway6 == address) return true;
        }
        return std::any_of(vms_.begin(), vms_.end(), [&](const vm6& other) { return joined(v, other) && other.fixed == address; });
    }

    void between(const vm6& v, const vm6& other) {
        const bool self = &v == &other, near = joined(v, other);
        const bool outside = !v.external.empty() && v.external == other.external;
        if (!self && near)
            filtered(&v, v.full, &other, other.full, "fixed/ipv6", other.fixed, v.fixed,
                     v.port->network == other.port->network ? "the same network" : "another network of the same router");
        else if (!self && outside && routed(v.external))
            filtered(&v, v.full, &other, other.full, "fixed/ipv6", other.fixed, v.floating.value_or(v.fixed), "routed by the LAN's router");
        else if (!self && !has_own(v, other.fixed))
            row(v.full, other.full, "fixed/ipv6", false, other.fixed, "another router or tenant");
        if (!other.floating || !outside) return;
        if (!near && !answered(v))
            row(v.full, other.full, "floating/ipv6", false, *other.floating, unanswered);
        else
            filtered(&v, v.full, &other, other.full, "floating/ipv6", *other.floating,
                     v.floating ? *v.floating : near ? *v.leader->second.address6 : v.fixed,
                     self ? "its own floating address, by hairpin" : "floating addresses are public on the LAN");
    }

    const fabric& f_;
    std::vector<vm6> vms_;
    std::vector<expectation> rows_;
};

}  // namespace

std::vector<expectation> tenant_ipv6_expectations(const fabric& f) { return rows_of_vms(f).build(); }

}  // namespace weft::roles
