// SPDX-License-Identifier: Apache-2.0
// validate(), tenants: networks, routers and ports, with what they share across tenants (tunnel ids,
// the external network's addresses). Pure.
#include <algorithm>

#include "roles/validate.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

// A DHCP option holds 255 bytes: 63 servers, or 28 routes, of which one is the default route told again.
constexpr std::size_t most_name_servers = 16, most_routes = 24;

struct shared {
    std::map<std::uint32_t, std::string> ids;
    std::map<std::string, address_book> external;
    std::map<mac_address, std::string> macs;
};

// What DHCP tells is of no use without it.
void check_dhcp(const fabric& f, const std::string& path, const tenant& t, const std::string& name, findings& out) {
    const auto& n = t.networks.at(name);
    if (n.dhcp_address) {
        check_host(out, n.place, path + ".dhcp-address", n.cidr, *n.dhcp_address);
        if (!n.dhcp)
            out.error(n.place, path + ".dhcp-address", n.dhcp_address->to_string(), "needs DHCP", "no dhcp: false");
    }
    // Whatever dnsmasq refuses would be found out on the node only, where it serves other tenants too.
    for (const auto& server : n.dns)
        if ((server.is_v6() && (!n.cidr6 || n.ipv6 == "static")) || server.is_unspecified() || server.is_multicast())
            out.error(n.place, path + ".dns", server.to_string(), "is no server that the VMs can be told of",
                      n.cidr6 && n.ipv6 != "static" ? "a unicast address" : "a unicast IPv4 address");
    if (n.dns.size() > most_name_servers)
        out.error(n.place, path + ".dns", std::to_string(n.dns.size()), "are too many for one DHCP option",
                  "at most " + std::to_string(most_name_servers));
    if (n.routes.size() > most_routes)
        out.error(n.place, path + ".routes", std::to_string(n.routes.size()), "are too many for one DHCP option",
                  "at most " + std::to_string(most_routes));
    for (std::size_t i = 0; i < n.routes.size(); ++i) {
        const auto& r = n.routes[i];
        const auto at = path + ".routes[" + std::to_string(i) + "]";
        if (r.to.is_v6())
            out.error(r.place, at + ".to", r.to.to_string(), "is IPv6, which DHCP for IPv4 cannot tell",
                      "an IPv4 subnet");
        check_host(out, r.place, at + ".via", n.cidr, r.via);
    }
    if (!n.dhcp && !n.dns.empty())
        out.warning(n.place, path + ".dns", n.dns.front().to_string(), "is told by DHCP, which is off");
    if (!n.dhcp && !n.routes.empty())
        out.warning(n.place, path + ".routes", n.routes.front().to.to_string(), "is told by DHCP, which is off");
    if (n.dhcp && dhcp_node(f, t, name).empty() && !out.broken("nodes"))
        out.warning(n.place, path, name, "has no DHCP: no node could serve it",
                    "a node with role network, or dhcp: false");
}

void check_networks(const fabric& f, const std::string& tenant_name, const tenant& t, shared& all, findings& out) {
    for (const auto& [name, n] : t.networks) {
        const auto path = "tenants." + tenant_name + ".networks." + name;
        if (!check_cidr(out, n.place, path, n.cidr)) continue;
        if (n.cidr.is_v6()) {
            out.error(n.place, path + ".cidr", n.cidr.to_string(), "is IPv6, which tenant networks have beside IPv4",
                      "an IPv4 subnet, and this one as cidr6");
            continue;
        }
        if (n.gateway) check_host(out, n.place, path + ".gateway", n.cidr, *n.gateway);
        if (n.id) {
            const auto highest = highest_network_id(f.overlay.type);
            if (*n.id < 1 || *n.id > highest)
                out.error(n.place, path + ".id", std::to_string(*n.id), "is out of range",
                          "1-" + std::to_string(highest));
            if (const auto [other, is_new] = all.ids.emplace(*n.id, path); !is_new)
                out.error(n.place, path + ".id", std::to_string(*n.id),
                          "is a duplicate id: " + other->second + " has it", "an id of its own");
        }
        check_dhcp(f, path, t, name, out);
        const auto mtu = network_mtu(f, tenant_name, name);
        if (mtu < smallest_ipv4_mtu)
            out.error(n.place, path + ".mtu", std::to_string(mtu), "is too small for IPv4",
                      "576 or more; raise networks.vm-config.mtu");
        if (const auto underlay = f.networks.find(tunnel_network); underlay != f.networks.end()) {
            const auto need = mtu + overlay_overhead(f.overlay, tunnels_over_ipv6(f));
            if (need > underlay->second.mtu && n.mtu)
                out.error(
                    n.place, path + ".mtu", std::to_string(mtu),
                    "does not fit: with the overlay it needs an MTU of " + std::to_string(need) + " on vm-config",
                    "at most " + std::to_string(underlay->second.mtu - std::min(underlay->second.mtu, need - mtu)));
        }
    }
}

void check_routers(const fabric& f, const std::string& tenant_name, const tenant& t, shared& all, findings& out) {
    std::map<std::string, std::string> served;  // network → router
    for (const auto& [name, r] : t.routers) {
        const auto path = "tenants." + tenant_name + ".routers." + name;
        const auto external = f.networks.find(r.external);
        const bool unknown = !r.external.empty() && external == f.networks.end();
        if (unknown) {
            if (!out.broken("networks." + r.external))
                out.error(r.place, path + ".external", r.external, "is an unknown network", keys_of(f.networks));
        } else if (!r.external.empty()) {
            if (!is_external(r.external))
                out.error(r.place, path + ".external", r.external, "is not an external network",
                          "another one than management and vm-config");
            if (r.address) {
                check_host(out, r.place, path + ".address", external->second.cidr, *r.address);
                if (const auto book = all.external.find(r.external); book != all.external.end())
                    book->second.claim(*r.address, r.place, path + ".address");
            } else if (!external->second.floating && !out.broken("networks." + r.external + ".floating")) {
                out.error(r.place, path + ".address", "",
                          "is open, and networks." + r.external + " has no floating range",
                          "an address, or a floating range");
            }
            if (external->second.cidr.is_v6())
                out.error(r.place, path + ".external", r.external, "is IPv6: routers are for IPv4 yet",
                          "an IPv4 network");
        }
        if (!unknown && router_node(f, r.external).empty() && !out.broken("nodes"))
            out.error(r.place, path + ".external", r.external, "has no node that could hold the router",
                      "a node with role network and a NIC on it");
        for (const auto& network : r.networks) {
            const auto n = t.networks.find(network);
            if (n == t.networks.end()) {
                out.error(r.place, path + ".networks", network, "is an unknown network of the router's tenant",
                          keys_of(t.networks));
                continue;
            }
            if (const auto [other, is_new] = served.emplace(network, name); !is_new)
                out.error(r.place, path + ".networks", network, "is on router " + other->second + " already",
                          "one router per network");
            for (const auto& second : r.networks) {
                const auto m = t.networks.find(second);
                if (second < network && m != t.networks.end() && overlap(m->second.cidr, n->second.cidr))
                    out.error(r.place, path + ".networks", network, "overlaps " + second + " on the same router",
                              "subnets apart");
            }
            for (const auto& [underlay_name, underlay] : f.networks)
                if (overlap(underlay.cidr, n->second.cidr))
                    out.error(n->second.place, "tenants." + tenant_name + ".networks." + network + ".cidr",
                              n->second.cidr.to_string(), "overlaps networks." + underlay_name,
                              "a subnet apart from " + underlay.cidr.to_string());
        }
    }
}

void check_ports(const fabric& f, const std::string& tenant_name, const tenant& t, shared& all, findings& out) {
    std::map<std::string, address_book> books;
    for (const auto& [name, n] : t.networks) {
        auto& book = books.emplace(name, out).first->second;
        book.claim(n.gateway ? *n.gateway : first_host(n.cidr), n.place,
                   "tenants." + tenant_name + ".networks." + name + ".gateway");
        if (n.dhcp_address)
            book.claim(*n.dhcp_address, n.place, "tenants." + tenant_name + ".networks." + name + ".dhcp-address");
    }
    for (const auto& [name, p] : t.ports) {
        const auto path = "tenants." + tenant_name + ".ports." + name;
        const auto on = f.nodes.find(p.node);
        if (on == f.nodes.end() && !out.broken("nodes." + p.node))
            out.error(p.place, path + ".node", p.node, "is an unknown node", keys_of(f.nodes));
        if (on != f.nodes.end() && !has_role(on->second, "compute") && !is_cloudstack(on->second) && !out.broken("nodes." + p.node + ".roles"))
            out.error(p.place, path + ".node", p.node, "is not a compute node", "a node with role compute, or a hypervisor with profile cloudstack");
        if (p.mac) {
            if (p.mac->is_multicast() || p.mac->is_zero())
                out.error(p.place, path + ".mac", p.mac->to_string(), "is not a unicast MAC address",
                          "like 02:00:00:00:00:01");
            if (const auto [other, is_new] = all.macs.emplace(*p.mac, path); !is_new)
                out.error(p.place, path + ".mac", p.mac->to_string(),
                          "is a duplicate MAC: " + other->second + " has it", "a MAC of its own");
        }
        validate_attach(path, p, out);
        const auto n = t.networks.find(p.network);
        if (n == t.networks.end()) {
            out.error(p.place, path + ".network", p.network, "is an unknown network of the port's tenant",
                      keys_of(t.networks));
            continue;
        }
        if (p.address) {
            check_host(out, p.place, path + ".address", n->second.cidr, *p.address);
            books.at(p.network).claim(*p.address, p.place, path + ".address");
        }
        if (!p.floating_auto && !p.floating) continue;
        const auto text = p.floating ? p.floating->to_string() : "auto";
        const auto* r = router_of(t, p.network);
        if (!r || r->second.external.empty()) {
            if (out.broken("tenants." + tenant_name + ".routers")) continue;
            out.error(p.place, path + ".floating", text, "needs a router with an external network on " + p.network,
                      "a router");
            continue;
        }
        const auto external = f.networks.find(r->second.external);
        if (external == f.networks.end()) continue;  // told at the router
        const auto& range = external->second.floating;
        if (!range && !out.broken("networks." + r->second.external + ".floating"))
            out.error(p.place, path + ".floating", text, "needs a floating range on networks." + r->second.external,
                      "a floating range");
        else if (range && p.floating &&
                 (p.floating->is_v6() != range->first.is_v6() || *p.floating < range->first ||
                  range->last < *p.floating))
            out.error(p.place, path + ".floating", text, "is outside the floating range",
                      range->first.to_string() + "-" + range->last.to_string());
        if (p.floating && all.external.count(r->second.external))
            all.external.at(r->second.external).claim(*p.floating, p.place, path + ".floating");
    }
}

}  // namespace

void validate_tenants(const fabric& f, findings& out) {
    shared all;
    for (const auto& [name, n] : f.networks) {
        auto& book = all.external.emplace(name, out).first->second;
        if (n.gateway) book.claim(*n.gateway, n.place, "networks." + name + ".gateway");
    }
    // Nodes and lab hosts first: where a tenant's address meets theirs, the tenant's is the wrong one.
    for (const auto& [node_name, n] : f.nodes)
        for (const auto& [nic_name, nic] : n.nics)
            if (const auto book = all.external.find(nic.network); book != all.external.end() && nic.address)
                book->second.claim(*nic.address, nic.place, "nodes." + node_name + ".nics." + nic_name + ".address");
    for (const auto& [name, host] : f.lab.hosts)
        if (const auto book = all.external.find(host.network); book != all.external.end())
            book->second.claim(host.address, host.place, "lab.hosts." + name + ".address");
    for (const auto& [name, t] : f.tenants) {
        if (f.nodes.count(name) || f.lab.hosts.count(name))
            out.error(t.place, "tenants." + name, name, "is also the name of a node or a lab host",
                      "a name of its own");
        check_networks(f, name, t, all, out);
        check_routers(f, name, t, all, out);
        validate_routers(f, name, t, out);
        validate_groups(name, t, out);
        check_ports(f, name, t, all, out);
    }
    validate_tenants6(f, out);
    validate_node_bounds(f, out);
}

}  // namespace weft::roles
