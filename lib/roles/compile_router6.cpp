// SPDX-License-Identifier: Apache-2.0
// IPv6 of tenant routers, in the namespaces that compile_router makes: networks are routed as they are, by the router's own
// address outside; a floating address, where the file asks for one, is translated as those of IPv4 are. Pure.
#include "roles/compile.hpp"
#include "weft/model/nft.hpp"

namespace weft::roles {
namespace {

struct router6 {
    const weft::tenant& tenant;
    const weft::router& router;
    std::string outside;
    std::vector<std::pair<std::string, ip_prefix>> networks;  // those with IPv6
    std::vector<std::pair<std::string, const tenant_port*>> floating;
};

void add_translation(const router6& r, nft::table& table) {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv6); };
    nft::chain mark{"mark", "filter", 0, -150, 1, {}, {}};
    nft::chain prerouting{"prerouting", "nat", 0, -100, 1, {}, {}};
    nft::chain output{"output", "nat", 3, -100, 1, {}, {}};
    nft::chain postrouting{"postrouting", "nat", 4, 100, 1, {}, {}};
    mark.rules.push_back(rule().iifname(r.outside).set_mark(from_outside_mark).done("came in from outside"));
    postrouting.rules.push_back(rule().oifname(r.outside, false).ct_status_dnat(false).accept("within the tenant"));
    for (const auto& [name, port] : r.floating) {
        for (auto* chain : {&prerouting, &output})
            chain->rules.push_back(rule().daddr(host_prefix(*port->floating6)).dnat(*port->address6).done("to " + name));
        postrouting.rules.push_back(rule().saddr(host_prefix(*port->address6)).snat(*port->floating6).done("from " + name));
    }
    // Hairpin, as of IPv4: the answer must come back through here.
    postrouting.rules.push_back(rule().mark(from_outside_mark, mark_mask).accept("from outside: source kept"));
    postrouting.rules.push_back(rule().ct_status_dnat(true).snat(*r.router.address6).done("hairpin"));
    for (auto* chain : {&mark, &output, &postrouting, &prerouting}) table.chains.push_back(std::move(*chain));
}

nft::table router_table(const router6& r) {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv6); };
    nft::table table{nft::family::ipv6, "weft", {}};
    nft::chain forward{"forward", "filter", 2, 0, 1, {}, {}};
    constexpr std::uint32_t state_new = 8;
    // IPv6 has no rp_filter: nobody outside speaks as one of the tenant's own, whom a security group's remote would believe.
    for (const auto& [name, cidr] : r.networks) forward.rules.push_back(rule().iifname(r.outside).saddr(cidr).drop("network " + name + " is inside"));
    forward.rules.push_back(
        rule().iifname(r.outside).oifname(r.outside).ct_state(state_new).ct_status_dnat(false).drop("not from outside to outside"));
    table.chains = {std::move(forward)};
    if (!r.floating.empty()) add_translation(r, table);
    return table;
}

}  // namespace

void compile_router6(compilation& c, const std::string& tenant_name, const std::string& router_name, const std::string& space,
                     const std::string& outside, const std::map<std::string, std::string>& inside) {
    const auto& t = c.f.tenants.at(tenant_name);
    router6 r{t, t.routers.at(router_name), outside, {}, {}};
    for (const auto& [name, device] : inside) {
        const auto& n = t.networks.at(name);
        if (!n.cidr6) continue;
        r.networks.emplace_back(name, *n.cidr6);
        c.ipv6_of_port(space, device, object_mac(c.f.name, router_port_path(tenant_name, router_name, name)), {{*n.gateway6, n.cidr6->length}});
        announce_ipv6(c, tenant_name, name, space, device);
    }
    if (r.networks.empty()) return;
    auto& in = c.space(space);
    in.sysctls["net/ipv6/conf/all/forwarding"] = "1";
    if (!r.router.address6) return;
    for (const auto& [name, port] : t.ports)
        if (port.floating6 && t.networks.at(port.network).cidr6 && inside.contains(port.network)) r.floating.emplace_back(tenant_name + "/" + name, &port);
    const auto& external = c.f.networks.at(r.router.external);
    std::vector<ip_prefix> addresses{{*r.router.address6, external.cidr6->length}};
    for (const auto& [name, port] : r.floating) addresses.push_back(host_prefix(*port->floating6));
    c.ipv6_of_port(space, outside, object_mac(c.f.name, gateway_port_path(tenant_name, router_name)), addresses);
    if (external.gateway6) {
        route way;
        way.destination = {boost::asio::ip::address_v6(), 0};
        way.nexthops = {nexthop{*external.gateway6, outside, 0, false}};
        in.routes.push_back(std::move(way));
    }
    in.tables.push_back(router_table(r));
}

}  // namespace weft::roles
