// SPDX-License-Identifier: Apache-2.0
// The reachability matrix that the roles imply (DATAPLANE section 12), then the file's own rows, with targets'
// addresses resolved. A VM's row follows the security groups of both ends too. Blocked rows matter as much as reachable ones: they are the tenants' isolation. Pure; cannot fail
// on a valid fabric, and leaves out rows that a probe could not tell apart.
#include <algorithm>

#include "roles/expectations.hpp"
#include "roles/groups.hpp"
#include "roles/topology.hpp"
#include "roles/vpn.hpp"
#include "weft/roles/roles.hpp"

namespace weft::roles {
namespace {

struct vm {
    std::string full, tenant_name, network, router;  // router "" when the network has none
    ip_address fixed;
    std::optional<ip_address> floating;
    const weft::tenant* tenant = nullptr;
    const tenant_port* port = nullptr;
};

class matrix {
public:
    explicit matrix(const fabric& f) : f_(f) {
        for (const auto& [tenant_name, t] : f.tenants)
            for (const auto& [name, port] : t.ports) {
                if (!port.address) continue;
                const auto* r = router_of(t, port.network);
                vms_.push_back({tenant_name + "/" + name, tenant_name, port.network, r ? r->first : "", *port.address,
                                port.floating, &t, &port});
            }
        for (const auto& [name, n] : f.networks)
            if (is_external(name)) externals_.push_back(name);
    }

    std::vector<expectation> build() {
        for (const auto& [name, n] : f_.nodes) from_node(name, n);
        for (const auto& v : vms_) from_vm(v);
        for (const auto& [name, host] : f_.lab.hosts)
            if (host.vpn.empty()) from_lab(name, host);
        for (auto& row : ipv6_expectations(f_)) rows_.push_back(std::move(row));
        for (auto& row : tenant_ipv6_expectations(f_)) rows_.push_back(std::move(row));
        for (auto& row : vpn_expectations(f_)) rows_.push_back(std::move(row));
        for (const auto& row : f_.expectations) from_file(row);
        return std::move(rows_);
    }

private:
    void row(const std::string& from, const std::string& to, const std::string& via, bool reachable,
             const ip_address& address, std::string why, std::optional<ip_address> planted = {}) {
        rows_.push_back(matrix_row(from, to, via, reachable, address, std::move(why), planted));
    }

    // Calls `use` with every host outside that stands on an external network.
    template <class Use>
    void lan_hosts(Use use) const {
        for (const auto& [name, host] : f_.lab.hosts)
            if (std::find(externals_.begin(), externals_.end(), host.network) != externals_.end()) use(name, host);
    }
    template <class Use>
    void internet_hosts(Use use) const {
        for (const auto& [name, host] : f_.lab.hosts)
            if (host.network == "internet") use(name, host);
    }

    // Whether the groups let an echo request from `remote` in, or one to `remote` out.
    static bool lets_in(const vm& v, const ip_address& remote) {
        return passes(*v.tenant, *v.port, direction::ingress, {"icmp", 0, remote});
    }
    static bool lets_out(const vm& v, const ip_address& remote) {
        return passes(*v.tenant, *v.port, direction::egress, {"icmp", 0, remote});
    }
    // A row that the wires allow: reachable unless a group of either end says no.
    void filtered(const vm* from, const std::string& from_name, const vm* to, const std::string& to_name,
                  const std::string& via, const ip_address& address, const ip_address& source, std::string why) {
        const bool out = !from || lets_out(*from, address), in = !to || lets_in(*to, source);
        row(from_name, to_name, via, out && in, address,
            !out ? "no egress rule of the sender's groups" : !in ? "no ingress rule of the receiver's groups" : std::move(why));
    }
    static const router& router_of_vm(const vm& v) { return v.tenant->routers.at(v.router); }
    // What a VM's packets bear as source once its router has let them out: its floating address, else the router's.
    ip_address outside_address(const vm& v) const { return v.floating ? *v.floating : router_of_vm(v).address.value_or(v.fixed); }
    // Whether what is outside can answer the VM: without source NAT nobody there knows a way to its fixed address.
    static bool answered(const vm& v) { return v.floating || router_of_vm(v).snat; }
    static constexpr const char* unanswered = "no source NAT, and nobody outside has a route back";
    // A row from a VM to what is outside its router.
    void outwards(const vm& v, const std::string& to, const std::string& via, const ip_address& address, std::string why) {
        if (answered(v))
            filtered(&v, v.full, nullptr, to, via, address, v.fixed, std::move(why));
        else
            row(v.full, to, via, false, address, unanswered);
    }

    // The external network on which a node has an address and thus a leg.
    std::optional<std::string> leg(const node& n) const {
        for (const auto& external : externals_)
            if (node_address(n, external)) return external;
        return {};
    }
    // Whether the lab's router takes packets of this external network to its Internet.
    bool has_internet(const std::string& external) const {
        const auto n = f_.networks.find(external);
        return f_.lab.internet && f_.lab.router_lan == external && n != f_.networks.end() && n->second.gateway;
    }

    void from_node(const std::string& name, const node& n) {
        for (const auto& [peer, other] : f_.nodes) {
            if (peer == name) continue;
            if (const auto management = node_address(other, management_network)) {
                const bool joined = node_address(n, management_network).has_value();
                row(name, peer, management_network, joined, *management,
                    joined ? "every node joins management" : "no leg and no route on management");
            }
            if (const auto endpoint = node_address(other, tunnel_network)) {
                const bool joined = node_address(n, tunnel_network).has_value();
                row(name, peer, tunnel_network, joined, *endpoint,
                    joined ? "tunnel endpoints reach each other" : "no leg and no route on vm-config");
            }
        }
        const auto external = leg(n);
        for (const auto& peer_network : externals_)
            for (const auto& [peer, other] : f_.nodes)
                if (const auto address = node_address(other, peer_network); address && peer != name)
                    row(name, peer, peer_network, external == peer_network, *address,
                        external == peer_network ? "both have a leg on the LAN" : "no leg and no route on the LAN");
        lan_hosts([&](const std::string& host_name, const lab_host& host) {
            row(name, host_name, host.network, external == host.network, host.address,
                external == host.network ? "a leg on the LAN" : "no leg and no route on the LAN");
        });
        internet_hosts([&](const std::string& host_name, const lab_host& host) {
            const bool reach = external && has_internet(*external);
            row(name, host_name, external.value_or("external"), reach, host.address,
                reach ? "the LAN's router leads to the Internet" : "no default route");
        });
        for (const auto& v : vms_) {
            if (const auto* gateway = stands_for_clients(name, v); gateway != nullptr)
                filtered(nullptr, name, &v, v.full, "fixed", v.fixed, gateway->address, "its clients reach it behind the gateway's address");
            else
                row(name, v.full, "fixed", false, v.fixed, "hosts have no route into tenants, not even to their own VMs");
            if (!v.floating) continue;
            const bool reach = external && *external == external_of(v);
            if (reach)
                filtered(nullptr, name, &v, v.full, "floating", *v.floating, *node_address(n, *external),
                         "by the LAN, br-ex and the router's NAT");
            else
                row(name, v.full, "floating", false, *v.floating, "no leg on the LAN, so no way to floating addresses");
        }
    }

    // The gateway of this name, where routers cannot tell it from its clients and let these in to the VM's fixed address.
    const vpn_way* stands_for_clients(const std::string& name, const vm& v) const {
        const auto at = std::find_if(gateways_.begin(), gateways_.end(), [&](const vpn_way& w) { return w.node == name; });
        return at != gateways_.end() && !at->by_route() && at->gateway->fixed && external_of(v) == at->network ? &*at : nullptr;
    }

    std::string external_of(const vm& v) const {
        if (v.router.empty()) return {};
        return f_.tenants.at(v.tenant_name).routers.at(v.router).external;
    }

    // Whether two VMs' fixed addresses are in reach of each other.
    static bool joined(const vm& a, const vm& b) {
        return a.tenant_name == b.tenant_name && (a.network == b.network || (!a.router.empty() && a.router == b.router));
    }
    // Whether a packet from `source` to this address would meet somebody within its reach: then a row about somebody else
    // of the same address would prove nothing.
    bool has_own(const vm& source, const ip_address& address) const {
        const auto& t = f_.tenants.at(source.tenant_name);
        for (const auto& [name, network] : t.networks) {
            const auto* r = router_of(t, name);
            const bool near = name == source.network || (r && r->first == source.router);
            if (near && network.gateway && *network.gateway == address) return true;
        }
        return std::any_of(vms_.begin(), vms_.end(),
                           [&](const vm& v) { return joined(source, v) && v.fixed == address; });
    }

    void from_vm(const vm& v) {
        for (const auto& other : vms_) {
            const bool self = &other == &v;
            if (!self && joined(v, other))
                filtered(&v, v.full, &other, other.full, "fixed", other.fixed, v.fixed,
                         other.network == v.network ? "the same network" : "another network of the same router");
            else if (!self && !has_own(v, other.fixed))
                row(v.full, other.full, "fixed", false, other.fixed, "another router or tenant");
            if (!other.floating || external_of(v).empty() || external_of(v) != external_of(other)) continue;
            const bool same_router = v.tenant_name == other.tenant_name && v.router == other.router;
            if (!same_router && !answered(v))
                row(v.full, other.full, "floating", false, *other.floating, unanswered);
            else
                filtered(&v, v.full, &other, other.full, "floating", *other.floating, outside_address(v),
                         self ? "its own floating address, by hairpin" : "floating addresses are public on the LAN");
        }
        const auto external = external_of(v);
        if (external.empty()) return;
        lan_hosts([&](const std::string& name, const lab_host& host) {
            if (host.network == external)
                outwards(v, name, external, host.address, "by the router's source NAT");
        });
        internet_hosts([&](const std::string& name, const lab_host& host) {
            const bool reach = has_internet(external);
            if (reach)
                outwards(v, name, external, host.address, "by the router and the LAN's gateway");
            else
                row(v.full, name, external, false, host.address, "the LAN has no gateway");
        });
        for (const auto& [name, n] : f_.nodes) {
            if (const auto address = node_address(n, external))
                outwards(v, name, external, *address, "a host of the LAN as any other");
            for (const char* inside : {management_network, tunnel_network})
                if (const auto address = node_address(n, inside))
                    row(v.full, name, inside, false, *address, "VMs must not reach the hosts that carry them");
        }
    }

    void from_lab(const std::string& name, const lab_host& host) {
        const bool lan = host.network != "internet";
        for (const auto& [node_name, n] : f_.nodes) {
            for (const char* inside : {management_network, tunnel_network})
                if (const auto address = node_address(n, inside)) {
                    row(name, node_name, inside, false, *address, "nothing outside reaches inside");
                    if (lan) planted(name, host, node_name, inside, *address);
                }
            for (const auto& external : externals_)
                if (const auto address = node_address(n, external); address && (!lan || host.network == external))
                    row(name, node_name, external, lan, *address,
                        lan ? "the same LAN" : "the LAN's router forwards nothing inwards");
        }
        for (const auto& v : vms_) {
            row(name, v.full, "fixed", false, v.fixed, "fixed addresses stay inside");
            const bool same = lan && host.network == external_of(v);
            if (same) {
                // The neighbour that knows the way: the router itself.
                const auto& router = router_of_vm(v);
                const bool in = !router.snat && lets_in(v, host.address);
                row(name, v.full, "fixed", in, v.fixed,
                    router.snat ? "a static route through the router opens nothing"
                    : in        ? "without source NAT the router's networks are routed"
                                : "no ingress rule of the receiver's groups",
                    router.address);
            }
            if (v.floating)
                same ? filtered(nullptr, name, &v, v.full, "floating", *v.floating, host.address, "the router answers for it")
                     : row(name, v.full, "floating", false, *v.floating, "the LAN's router forwards nothing inwards");
        }
        for (const auto& [other_name, other] : f_.lab.hosts) {
            if (other_name == name) continue;
            if (lan && other.network == "internet")
                row(name, other_name, host.network, has_internet(host.network), other.address, "the LAN's gateway");
            else if (lan && other.network == host.network)
                row(name, other_name, host.network, true, other.address, "the same LAN");
            else if (!lan && other.network != "internet")
                row(name, other_name, other.network, false, other.address, "the LAN's router forwards nothing inwards");
        }
    }

    // A hostile static route at a LAN host, through every node that has a leg on the same LAN.
    void planted(const std::string& from, const lab_host& host, const std::string& to, const char* inside,
                 const ip_address& target) {
        for (const auto& [name, n] : f_.nodes)
            if (const auto gateway = node_address(n, host.network))
                row(from, to, inside, false, target, "a static route through " + name + " opens nothing", *gateway);
    }

    // Full names, the target's address, and the file's word over a derived row that says the opposite.
    void from_file(expectation e) {
        if (const auto found = find_ports(f_, e.from);
            found.size() == 1 && !f_.nodes.count(e.from) && !f_.lab.hosts.count(e.from))
            e.from = found.front();
        const bool host = f_.nodes.count(e.to) || f_.lab.hosts.count(e.to);
        if (const auto found = find_ports(f_, e.to); found.size() == 1 && !host) e.to = found.front();
        if (host)
            resolve_host(e);
        else
            resolve_vm(e);
        if (e.why.empty()) e.why = "a row of the fabric file";
        const auto same = [&](const expectation& r) {
            return r.from == e.from && r.to == e.to && r.via == e.via && r.protocol == e.protocol && r.port == e.port &&
                   !r.planted_gateway;
        };
        rows_.erase(std::remove_if(rows_.begin(), rows_.end(), same), rows_.end());
        rows_.push_back(std::move(e));
    }

    void resolve_host(expectation& e) const {
        const via_words via(e.via);
        if (const auto host = f_.lab.hosts.find(e.to); host != f_.lab.hosts.end()) {
            e.address = via.ipv6 ? host->second.address6 : host->second.address;
            if (e.via.empty()) e.via = host->second.network;
            return;
        }
        const auto& target = f_.nodes.at(e.to);
        if (!e.via.empty()) {
            e.address = via.ipv6 ? node_address6(target, via.way) : node_address(target, via.way);
            return;
        }
        // Without a word, the first network that both have; else the target's first address, for rows that expect
        // blocked.
        const auto source = f_.nodes.find(e.from);
        for (const auto& [network_name, network] : f_.networks)
            if (const auto address = node_address(target, network_name))
                if (!e.address || (source != f_.nodes.end() && node_address(source->second, network_name) &&
                                   !node_address(source->second, e.via))) {
                    e.address = address;
                    e.via = network_name;
                }
    }

    void resolve_vm(expectation& e) const {
        const auto target = resolve_port(f_, e.to);
        if (!target.port) return;
        if (e.via.empty()) {
            const auto source = resolve_port(f_, e.from);
            e.via = source.tenant == target.tenant || !target.port->floating ? "fixed" : "floating";
        }
        const via_words via(e.via);
        if (via.way == "fixed") e.address = via.ipv6 ? target.port->address6 : target.port->address;
        else e.address = via.ipv6 ? target.port->floating6 : target.port->floating;
    }

    const fabric& f_;
    const std::vector<vpn_way> gateways_ = vpn_gateways(f_);
    std::vector<vm> vms_;
    std::vector<std::string> externals_;
    std::vector<expectation> rows_;
};

}  // namespace

expectation matrix_row(const std::string& from, const std::string& to, const std::string& via, bool reachable, const ip_address& address,
                       std::string why, std::optional<ip_address> planted) {
    expectation e;
    e.from = from;
    e.to = to;
    e.via = via;
    e.reachable = reachable;
    e.address = address;
    e.planted_gateway = planted;
    e.why = std::move(why);
    return e;
}

via_words::via_words(const std::string& via) : way(via) {
    constexpr std::string_view family = "/ipv6";
    if (!via.ends_with(family)) return;
    way.resize(via.size() - family.size());
    ipv6 = true;
}

std::vector<expectation> expectations(const fabric& f) { return matrix(f).build(); }

}  // namespace weft::roles
