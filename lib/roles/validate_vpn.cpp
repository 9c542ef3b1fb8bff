// SPDX-License-Identifier: Apache-2.0
// validate(), the VPN: gateways, their pools and peers, and the clients of a lab. What can be said without a look at key files, which are
// on the gateway's host alone. Pure.
#include "roles/validate.hpp"
#include "roles/vpn.hpp"
#include "weft/core/endpoint.hpp"
#include "weft/core/secret.hpp"

#include <algorithm>

namespace weft::roles {
namespace {

void check_key_file(findings& out, source_place place, const std::string& path, const std::string& file) {
    const bool plain = std::all_of(file.begin(), file.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
    if (!file.starts_with('/') || file.ends_with('/') || !plain || file.size() > 4000)
        out.error(place, path, file, "is not the path of a key file", "an absolute path without blanks");
}

void check_pool(const fabric& f, const std::string& path, const vpn_gateway& v, findings& out) {
    const auto at = path + ".pool";
    const auto text = v.pool.to_string();
    if (out.broken(at)) return;
    if (v.pool.is_v6()) {
        out.error(v.place, at, text, "is not IPv4", "an IPv4 subnet");
        return;
    }
    if (v.pool.network() != v.pool || v.pool.length < 8 || v.pool.length > 30) {
        out.error(v.place, at, text, v.pool.network() != v.pool ? "has host bits" : "has no fitting length", v.pool.network() != v.pool ? v.pool.network().to_string() : "/8 to /30");
        return;
    }
    const auto apart = [&](const ip_prefix& other, const std::string& whose) {
        if (overlap(v.pool, other)) out.error(v.place, at, text, "overlaps " + whose + " (" + other.to_string() + ")", "a subnet apart");
    };
    for (const auto& [name, n] : f.networks) apart(n.cidr, "networks." + name);
    if (f.lab.internet) apart(*f.lab.internet, "lab.router.internet");
    apart(link_local_prefix(), "link-local addresses");
    for (const auto& [tenant_name, t] : f.tenants) {
        for (const auto& [name, n] : t.networks) apart(n.cidr, "tenants." + tenant_name + ".networks." + name);
        for (const auto& [name, r] : t.routers)
            for (const auto& route : r.routes)
                if (route.to.length != 0) apart(route.to, "a route of tenants." + tenant_name + ".routers." + name);
    }
    for (const auto& way : vpn_gateways(f))
        if (way.gateway != &v && way.gateway < &v) apart(way.gateway->pool, "nodes." + way.node + ".vpn.pool");
}

void check_peers(const std::string& path, const vpn_gateway& v, findings& out) {
    address_book addresses(out);
    if (!v.pool.is_v6()) addresses.claim(first_host(v.pool), v.place, path + ".pool");
    std::map<std::string, std::string> keys;
    for (const auto& [name, p] : v.peers) {
        const auto at = path + ".peers." + name;
        if (p.public_key.empty() == p.public_key_file.empty() && !out.broken(at))
            out.error(p.place, at, name, "needs a key", "public-key or public-key-file, one of the two");
        // The value is not told: somebody may have put the private key there.
        if (!p.public_key.empty() && !public_key_from_base64(p.public_key))
            out.error(p.place, at + ".public-key", "", "is no public key", "base64 of 32 bytes, 44 characters");
        if (!p.public_key_file.empty()) check_key_file(out, p.place, at + ".public-key-file", p.public_key_file);
        if (!p.preshared_key_file.empty()) check_key_file(out, p.place, at + ".preshared-key-file", p.preshared_key_file);
        const auto& key = p.public_key.empty() ? p.public_key_file : p.public_key;
        if (const auto [holder, fresh] = keys.emplace(key, name); !fresh && !key.empty())
            out.error(p.place, at + (p.public_key.empty() ? ".public-key-file" : ".public-key"), key, "is also the key of peer " + holder->second, "each peer once");
        if (!out.broken(at + ".address") && !out.broken(path + ".pool")) {
            check_host(out, p.place, at + ".address", v.pool, p.address);
            addresses.claim(p.address, p.place, at + ".address");
        }
        if (!p.endpoint.empty() && !parse_endpoint(p.endpoint)) out.error(p.place, at + ".endpoint", p.endpoint, "is no endpoint", "ADDRESS:PORT, or [ADDRESS]:PORT");
    }
}

// A client's packet to a fixed address finds its tenant by the address alone.
void check_fixed(const fabric& f, const vpn_way& way, const std::string& path, findings& out) {
    const auto all = vpn_fixed_networks(f, way);
    for (std::size_t i = 0; i < all.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (overlap(all[i].cidr, all[j].cidr))
                out.error(way.gateway->place, path + ".fixed", "true", "cannot tell " + all[j].path + " from " + all[i].path + ", which overlap", "false, or subnets apart");
}

}  // namespace

void validate_vpn(const fabric& f, findings& out) {
    const auto ways = vpn_gateways(f);
    for (const auto& [name, n] : f.nodes) {
        if (!n.vpn) continue;
        const auto& v = *n.vpn;
        const auto path = "nodes." + name + ".vpn";
        if (n.roles != std::set<std::string>{"vpn-gateway"} && !out.broken("nodes." + name + ".roles"))
            out.error(v.place, path, name, "is on a node that is not a VPN gateway alone: it forwards between its clients and the LAN", "roles: [vpn-gateway]");
        check_key_file(out, v.place, path + ".key-file", v.key_file);
        if (!v.endpoint.empty() && !parse_endpoint(v.endpoint)) out.error(v.place, path + ".endpoint", v.endpoint, "is no endpoint", "ADDRESS:PORT, or [ADDRESS]:PORT");
        check_pool(f, path, v, out);
        check_peers(path, v, out);
        const auto way = std::find_if(ways.begin(), ways.end(), [&v](const vpn_way& w) { return w.gateway == &v; });
        if (way == ways.end() && !out.broken("nodes." + name + ".nics"))
            out.error(v.place, path, name, "has no address on an external network, where its clients want to go", "a NIC with an address there");
        if (way != ways.end()) check_fixed(f, *way, path, out);
    }
    std::map<std::string, std::string> clients;
    for (const auto& [name, host] : f.lab.hosts) {
        if (host.vpn.empty()) continue;
        const auto path = "lab.hosts." + name + ".vpn";
        const auto client = vpn_client_of(f, host);
        if (!client) out.error(host.place, path, host.vpn, "is an unknown peer", "a peer of a node's vpn block");
        else if (host.network != "internet") out.error(host.place, path, host.vpn, "is for hosts of the Internet", "network: internet");
        else if (f.lab.router_lan != client->way.network) out.error(host.place, path, host.vpn, "finds no way to " + client->way.node, "lab.router.lan: " + client->way.network);
        if (const auto [other, fresh] = clients.emplace(host.vpn, name); !fresh) out.error(host.place, path, host.vpn, "is " + other->second + " already", "each peer once");
    }
}

}  // namespace weft::roles
