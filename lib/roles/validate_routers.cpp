// SPDX-License-Identifier: Apache-2.0
// validate(), what a router does beside joining its networks: extra routes, source NAT, metadata. Networks and
// addresses of routers are in validate_tenants.cpp. Pure.
#include <algorithm>

#include "roles/validate.hpp"

namespace weft::roles {
namespace {

struct router_view {
    const fabric& f;
    const tenant& t;
    const std::string& name;
    const router& r;
    std::string path;
    const underlay_network* external = nullptr;
};

// The subnets that the router has a leg in.
std::vector<std::pair<std::string, ip_prefix>> legs(const router_view& v) {
    std::vector<std::pair<std::string, ip_prefix>> all;
    for (const auto& name : v.r.networks)
        if (const auto n = v.t.networks.find(name); n != v.t.networks.end()) {
            all.emplace_back(name, n->second.cidr);
            if (n->second.cidr6) all.emplace_back(name, *n->second.cidr6);
        }
    if (v.external)
        for (const auto& subnet : subnets_of(*v.external)) all.emplace_back("networks." + v.r.external, subnet);
    return all;
}

std::string list_of(const std::vector<std::pair<std::string, ip_prefix>>& legs) {
    std::string text;
    for (const auto& [name, cidr] : legs) text += (text.empty() ? "" : ", ") + cidr.to_string();
    return text.empty() ? "a network of the router" : "a host of " + text;
}

void check_destination(const router_view& v, const static_route& route, const std::string& at, findings& out) {
    const auto text = route.to.to_string();
    if (route.to.network() != route.to) {
        out.error(route.place, at + ".to", text, "is misaligned: it has host bits", route.to.network().to_string());
        return;
    }
    if (route.to.length == 0) {
        if (v.external && (route.to.is_v6() ? v.external->gateway6 : v.external->gateway))
            out.error(route.place, at + ".to", text,
                      "is the default route, which leads to networks." + v.r.external + "'s gateway",
                      "a smaller prefix");
        return;
    }
    if (route.to.address.is_multicast() || route.to.address.is_loopback() || overlap(route.to, link_local_prefix()) ||
        (route.to.is_v6() && route.to.address.to_v6().is_link_local())) {
        out.error(route.place, at + ".to", text, "is not routed", "a unicast prefix");
        return;
    }
    // A larger prefix is a fair way to all else; one within a network of the router would cut it off.
    for (const auto& [name, cidr] : legs(v))
        if (cidr.length != 0 && cidr.length <= route.to.length && cidr.contains(route.to.address))
            out.error(route.place, at + ".to", text, "is in " + name + ", which the router is joined to",
                      "a prefix elsewhere");
}

void check_next_hop(const router_view& v, const static_route& route, const std::string& at, findings& out) {
    const auto text = route.via.to_string();
    const auto all = legs(v);
    if (route.via.is_v6() != route.to.is_v6()) {
        out.error(route.place, at + ".via", text, "is of another family than " + route.to.to_string(), route.to.is_v6() ? "an IPv6 address" : "an IPv4 address");
        return;
    }
    const auto leg = std::find_if(all.begin(), all.end(), [&](const auto& l) { return l.second.contains(route.via); });
    if (leg == all.end()) {
        // An unknown network is told by itself, and may be the one.
        const bool known = std::all_of(v.r.networks.begin(), v.r.networks.end(), [&](const auto& n) { return v.t.networks.contains(n); });
        if (known && (v.r.external.empty() || v.external))
            out.error(route.place, at + ".via", text, "is on none of the router's networks", list_of(all));
        return;
    }
    check_host(out, route.place, at + ".via", leg->second, route.via);
    const auto n = v.t.networks.find(leg->first);
    const bool gateway = n != v.t.networks.end() &&
                         (route.via.is_v6() ? n->second.cidr6 && route.via == n->second.gateway6.value_or(first_host(*n->second.cidr6))
                                            : route.via == n->second.gateway.value_or(first_host(n->second.cidr)));
    if (gateway || v.r.address == route.via || v.r.address6 == route.via)
        out.error(route.place, at + ".via", text, "is the router itself", "another host of " + leg->second.to_string());
}

void check_routes(const router_view& v, findings& out) {
    for (std::size_t i = 0; i < v.r.routes.size(); ++i) {
        const auto& route = v.r.routes[i];
        const auto at = v.path + ".routes[" + std::to_string(i) + "]";
        if (out.broken(at)) continue;
        check_destination(v, route, at, out);
        check_next_hop(v, route, at, out);
        for (std::size_t j = 0; j < i; ++j)
            if (v.r.routes[j].to == route.to && v.r.routes[j].via == route.via) {
                out.error(
                    route.place, at + ".via", route.via.to_string(),
                    "is a next hop to " + route.to.to_string() + " already: routes[" + std::to_string(j) + "] has it",
                    "each next hop once");
                break;
            }
    }
}

// Whether the router's node has a leg where the endpoint is, or a gateway that might lead there.
bool node_reaches(const fabric& f, const node& n, const ip_address& endpoint) {
    return endpoint.is_loopback() || std::any_of(n.nics.begin(), n.nics.end(), [&](const auto& entry) {
               const auto network = f.networks.find(entry.second.network);
               return network != f.networks.end() && entry.second.address &&
                      (network->second.cidr.contains(endpoint) || network->second.gateway);
           });
}

void check_metadata(const router_view& v, findings& out) {
    const auto& endpoint = v.r.metadata->address;
    const auto path = v.path + ".metadata", at = path + ".address", text = endpoint.to_string();
    for (const auto& [name, cidr] : legs(v))
        if (cidr.contains(metadata_address())) {
            out.error(v.r.place, path, "", "cannot be: " + name + " holds " + metadata_address().to_string(),
                      "networks apart from it");
            return;
        }
    if (out.broken(path)) return;
    if (endpoint.is_unspecified() || endpoint.is_multicast() ||
        (!endpoint.is_v6() && link_local_prefix().contains(endpoint))) {
        out.error(v.r.place, at, text, "is no address of a server", "what the router's node reaches");
        return;
    }
    for (const auto& [name, n] : v.t.networks)
        if (n.cidr.length != 0 && n.cidr.contains(endpoint) && router_of(v.t, name)) {
            out.error(v.r.place, at, text, "is in tenant network " + name + ", which no node reaches",
                      "what the router's node reaches");
            return;
        }
    const auto on = v.f.nodes.find(router_node(v.f, v.r.external));
    if (on != v.f.nodes.end() && !node_reaches(v.f, on->second, endpoint) && !out.broken("nodes") &&
        !out.broken("networks"))
        out.error(v.r.place, at, text, "is nothing that node " + on->first + ", which holds the router, has a way to",
                  "a host of one of its networks");
}

}  // namespace

void validate_routers(const fabric& f, const std::string& tenant_name, const tenant& t, findings& out) {
    for (const auto& [name, r] : t.routers) {
        router_view v{f, t, name, r, "tenants." + tenant_name + ".routers." + name};
        if (const auto external = f.networks.find(r.external); external != f.networks.end())
            v.external = &external->second;
        check_routes(v, out);
        if (r.metadata) check_metadata(v, out);
        if (!r.snat && r.external.empty())
            out.warning(r.place, v.path + ".snat", "false", "says nothing: the router has no external network");
    }
}

}  // namespace weft::roles
