// SPDX-License-Identifier: Apache-2.0
// validate(), IPv6 of tenants: subnets beside those of IPv4, how VMs get their addresses, the routers that lead them out, and what
// the ports say. Pure.
#include <algorithm>

#include "roles/validate.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

class tenants6 {
public:
    tenants6(const fabric& f, findings& out) : f_(f), out_(out) {
        for (const auto& [name, n] : f.networks) outside_.emplace(name, out);
        const auto claim = [&](const std::string& network, const std::optional<ip_address>& address, source_place place, const std::string& path) {
            if (const auto book = outside_.find(network); address && book != outside_.end()) book->second.claim(*address, place, path);
        };
        for (const auto& [name, n] : f.networks) claim(name, n.gateway6, n.place, "networks." + name + ".gateway6");
        for (const auto& [node_name, n] : f.nodes)
            for (const auto& [nic_name, nic] : n.nics)
                claim(nic.network, nic.address6, nic.place, "nodes." + node_name + ".nics." + nic_name + ".address6");
        for (const auto& [name, host] : f.lab.hosts) claim(host.network, host.address6, host.place, "lab.hosts." + name + ".address6");
    }

    void run(const std::string& tenant_name, const tenant& t) {
        const auto path = "tenants." + tenant_name;
        std::set<std::string> sound;
        for (const auto& [name, n] : t.networks)
            if (check_network(t, name, n, path + ".networks." + name, tenant_name)) sound.insert(name);
        for (const auto& [name, r] : t.routers) check_router(t, r, path + ".routers." + name, tenant_name, sound);
        check_ports(t, path, sound);
    }

private:
    // Whether the network has an IPv6 subnet that VMs can live in.
    bool check_network(const tenant& t, const std::string& name, const tenant_network& n, const std::string& path, const std::string& tenant_name) {
        if (!n.cidr6) {
            if (n.gateway6) out_.error(n.place, path + ".gateway6", n.gateway6->to_string(), "needs an IPv6 subnet", "cidr6 beside it");
            if (n.dhcp_address6) out_.error(n.place, path + ".dhcp-address6", n.dhcp_address6->to_string(), "needs an IPv6 subnet", "cidr6 beside it");
            return false;
        }
        const auto text = n.cidr6->to_string();
        if (!is_subnet6(*n.cidr6)) {
            out_.error(n.place, path + ".cidr6", text, "is not an IPv6 subnet for VMs", "a global or unique local subnet, like 2001:db8:1::/64 or fd00:1::/64");
            return false;
        }
        // Told first, or a /127 would be given the room that other subnets may have.
        const bool fits = n.ipv6 != "slaac" || n.cidr6->length == 64;
        if (!fits)
            out_.error(n.place, path + ".cidr6", text,
                       n.cidr6->length > 64 ? "is longer than 64, and SLAAC needs 64 bits for the host" : "is shorter than 64, and hosts do SLAAC in a /64 alone",
                       "a /64, or ipv6: stateful or static");
        if (!fits && n.cidr6->length > 126) return false;
        if (!check_cidr(out_, n.place, path, *n.cidr6, ".cidr6")) return false;
        if (is_grizzly(f_.overlay))
            out_.error(n.place, path + ".cidr6", text, "is IPv6, which tenants of profile grizzly do not have", "no cidr6, or profile: default");
        if (n.ipv6 == "stateful" && n.cidr6->length < 64)
            out_.error(n.place, path + ".cidr6", text, "is too large for DHCPv6", "/64 to /126, or ipv6: static");
        if (const auto mtu = network_mtu(f_, tenant_name, name); mtu < smallest_ipv6_mtu)
            out_.error(n.place, path + ".cidr6", text, "needs an MTU of 1280, and the network has " + std::to_string(mtu),
                       "an mtu of 1280 or more");
        if (n.gateway6) check_host(out_, n.place, path + ".gateway6", *n.cidr6, *n.gateway6);
        const auto* router = router_of(t, name);
        if (n.ipv6 != "static" && !router && announcing_node(f_, t, name).empty() && !out_.broken("nodes"))
            out_.error(n.place, path + ".ipv6", n.ipv6, "has nobody to announce the subnet", "a router, dhcp: true on a fabric with a network node, or ipv6: static");
        if (n.dhcp_address6) {
            check_host(out_, n.place, path + ".dhcp-address6", *n.cidr6, *n.dhcp_address6);
            if (router || n.ipv6 == "static")
                out_.error(n.place, path + ".dhcp-address6", n.dhcp_address6->to_string(),
                           router ? "is nobody's: the router announces the subnet" : "is nobody's: nothing is announced", "no dhcp-address6");
        }
        return n.ipv6 != "slaac" || n.cidr6->length == 64;
    }

    void check_router(const tenant& t, const router& r, const std::string& path, const std::string& tenant_name,
                      const std::set<std::string>& sound) {
        const auto external = f_.networks.find(r.external);
        const bool leads_out = external != f_.networks.end() && external->second.cidr6;
        if (r.address6) {
            if (!leads_out)
                out_.error(r.place, path + ".address6", r.address6->to_string(), "needs an IPv6 subnet of the external network",
                           r.external.empty() ? "no address6" : "networks." + r.external + ".cidr6");
            else {
                check_host(out_, r.place, path + ".address6", *external->second.cidr6, *r.address6);
                outside_.at(r.external).claim(*r.address6, r.place, path + ".address6");
            }
        } else if (routes_ipv6(f_, t, r) && !external->second.floating6 && !out_.broken("networks." + r.external + ".floating6")) {
            out_.error(r.place, path + ".address6", "", "is open, and networks." + r.external + " has no floating6 range",
                       "an address of " + external->second.cidr6->to_string() + ", or a floating6 range");
        }
        for (const auto& network : r.networks) {
            if (!sound.contains(network)) continue;
            const auto& n = t.networks.at(network);
            const auto at = "tenants." + tenant_name + ".networks." + network;
            for (const auto& [underlay_name, underlay] : f_.networks)
                for (const auto& subnet : subnets_of(underlay))
                    if (overlap(subnet, *n.cidr6))
                        out_.error(n.place, at + ".cidr6", n.cidr6->to_string(), "overlaps networks." + underlay_name, "a subnet apart from " + subnet.to_string());
            // Addresses are routed as they are, so that outside no two networks can have the same; inside, one router's cannot.
            const auto scope = leads_out ? "networks." + r.external : path;
            for (const auto& [other_path, cidr] : routed_[scope])
                if (overlap(cidr, *n.cidr6))
                    out_.error(n.place, at + ".cidr6", n.cidr6->to_string(), "overlaps " + other_path + ", and both are routed without translation",
                               "a subnet apart from " + cidr.to_string());
            routed_[scope].emplace_back(at, *n.cidr6);
        }
    }

    void check_ports(const tenant& t, const std::string& tenant_path, const std::set<std::string>& sound) {
        std::map<std::string, address_book> books;
        for (const auto& name : sound) {
            const auto& n = t.networks.at(name);
            auto& book = books.emplace(name, out_).first->second;
            book.claim(n.gateway6.value_or(first_host(*n.cidr6)), n.place, tenant_path + ".networks." + name + ".gateway6");
            if (n.dhcp_address6) book.claim(*n.dhcp_address6, n.place, tenant_path + ".networks." + name + ".dhcp-address6");
        }
        for (const auto& [name, p] : t.ports) {
            const auto path = tenant_path + ".ports." + name;
            const auto n = t.networks.find(p.network);
            if (n == t.networks.end()) continue;  // told at the port
            const bool has_subnet = sound.contains(p.network);
            if (p.address6 && !n->second.cidr6)
                out_.error(p.place, path + ".address6", p.address6->to_string(), "needs an IPv6 subnet of network " + p.network, "cidr6 there");
            if (p.address6 && has_subnet) {
                check_host(out_, p.place, path + ".address6", *n->second.cidr6, *p.address6);
                books.at(p.network).claim(*p.address6, p.place, path + ".address6");
                const auto own = n->second.ipv6 == "slaac" && p.mac ? std::optional(eui64(*n->second.cidr6, *p.mac)) : std::nullopt;
                if (n->second.ipv6 == "slaac" && own != p.address6)
                    out_.error(p.place, path + ".address6", p.address6->to_string(), "is not what the VM makes of its MAC, as SLAAC does",
                               own ? own->to_string() : "no address6, or ipv6: stateful");
            }
            if ((p.floating6 || p.floating6_auto) && (has_subnet || !n->second.cidr6)) check_floating(t, p, path, has_subnet);
        }
    }

    void check_floating(const tenant& t, const tenant_port& p, const std::string& path, bool has_subnet) {
        const auto text = p.floating6 ? p.floating6->to_string() : "auto";
        const auto* r = router_of(t, p.network);
        const auto external = r ? f_.networks.find(r->second.external) : f_.networks.end();
        if (!has_subnet || external == f_.networks.end() || !external->second.cidr6) {
            if (!out_.broken("tenants"))
                out_.error(p.place, path + ".floating6", text, "needs IPv6 on " + p.network + ", and a router to an external network with IPv6",
                           "cidr6 of both, and a router");
            return;
        }
        const auto& range = external->second.floating6;
        if (!range) {
            if (!out_.broken("networks." + r->second.external + ".floating6"))
                out_.error(p.place, path + ".floating6", text, "needs a floating6 range on networks." + r->second.external, "a floating6 range");
            return;
        }
        if (!p.floating6) return;
        if (!p.floating6->is_v6() || *p.floating6 < range->first || range->last < *p.floating6)
            out_.error(p.place, path + ".floating6", text, "is outside the floating6 range", range->first.to_string() + "-" + range->last.to_string());
        outside_.at(r->second.external).claim(*p.floating6, p.place, path + ".floating6");
    }

    const fabric& f_;
    findings& out_;
    std::map<std::string, address_book> outside_;  // by underlay network
    std::map<std::string, std::vector<std::pair<std::string, ip_prefix>>> routed_;  // by where they must differ
};

}  // namespace

void validate_tenants6(const fabric& f, findings& out) {
    tenants6 all(f, out);
    for (const auto& [name, t] : f.tenants) all.run(name, t);
}

}  // namespace weft::roles
