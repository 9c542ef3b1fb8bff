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

// Where packets to the endpoint would go: to one host, and the same one from everywhere.
void check_endpoint(findings& out, const vpn_gateway& v, bool pool_is_sound, source_place place, const std::string& path, const std::string& text) {
    if (text.empty()) return;
    const auto endpoint = parse_endpoint(text);
    if (!endpoint) return out.error(place, path, text, "is no endpoint", "ADDRESS:PORT, or [ADDRESS]:PORT");
    const auto& a = endpoint->address;
    const bool one_host = is_unicast(host_prefix(a)) && !(a.is_v6() && (a.to_v6().is_link_local() || a.to_v6().is_v4_mapped()));
    if (!one_host) out.error(place, path, text, "is no address of a host that others reach", "a global or private unicast address");
    else if (pool_is_sound && v.pool.contains(a)) out.error(place, path, text, "is in the pool, which is reached through the tunnel only", "an address outside " + v.pool.to_string());
}

// Whether it can be: hosts of a pool that cannot are not to be asked about.
bool check_pool(const fabric& f, const std::string& path, const vpn_gateway& v, findings& out) {
    const auto at = path + ".pool";
    const auto text = v.pool.to_string();
    if (out.broken(at)) return false;
    const auto refused = [&](const char* problem, std::string allowed) {
        out.error(v.place, at, text, problem, std::move(allowed));
        return false;
    };
    if (v.pool.is_v6()) return refused("is not IPv4", "an IPv4 subnet");
    if (v.pool.length < 8 || v.pool.length > 30) return refused("has no fitting length", "/8 to /30");
    if (v.pool.network() != v.pool) return refused("has host bits", v.pool.network().to_string());
    if (!is_unicast(v.pool)) return refused("is not a unicast subnet", "like 10.8.0.0/24");
    const auto apart = [&](const ip_prefix& other, const std::string& whose) {
        if (overlap(v.pool, other)) out.error(v.place, at, text, "overlaps " + whose + " (" + other.to_string() + ")", "a subnet apart");
    };
    const auto outside = [&](const ip_address& other, const std::string& whose) {
        if (v.pool.contains(other)) out.error(v.place, at, text, "has in it " + whose + " (" + other.to_string() + ")", "a subnet apart");
    };
    for (const auto& [name, n] : f.networks) apart(n.cidr, "networks." + name);
    if (f.lab.internet) apart(*f.lab.internet, "lab.router.internet");
    apart(link_local_prefix(), "link-local addresses");
    for (const auto& [tenant_name, t] : f.tenants) {
        const auto tenant = "tenants." + tenant_name;
        for (const auto& [name, n] : t.networks) {
            const auto whose = tenant + ".networks." + name;
            apart(n.cidr, whose);
            for (const auto& route : n.routes) apart(route.to, "a route of " + whose);
            for (const auto& server : n.dns) outside(server, "a name server of " + whose);
        }
        for (const auto& [name, r] : t.routers) {
            const auto whose = tenant + ".routers." + name;
            for (const auto& route : r.routes) apart(route.to, "a route of " + whose);
            if (r.metadata) outside(r.metadata->address, "the metadata of " + whose);
        }
        // A VM that may speak as somebody else must not speak as a client.
        for (const auto& [name, p] : t.ports)
            for (const auto& pair : p.allowed_addresses) apart(pair.address, "an allowed address of " + tenant + ".ports." + name);
    }
    // Of two, the second one in name order is told of.
    for (const auto& way : vpn_gateways(f)) {
        if (way.gateway == &v) break;
        apart(way.gateway->pool, "nodes." + way.node + ".vpn.pool");
    }
    return true;
}

void check_peers(const std::string& path, const vpn_gateway& v, bool pool_is_sound, findings& out) {
    address_book addresses(out);
    if (pool_is_sound) addresses.claim(first_host(v.pool), v.place, path + ".pool");
    std::map<std::string, std::string> keys;
    // A key that is to stay secret must not be told as a public one.
    std::map<std::string, std::string> secrets = {{v.key_file, "the gateway's private key"}};
    for (const auto& [name, p] : v.peers)
        if (!p.preshared_key_file.empty()) secrets.emplace(p.preshared_key_file, "the preshared key of peer " + name);
    for (const auto& [name, p] : v.peers) {
        const auto at = path + ".peers." + name;
        if (p.public_key.empty() == p.public_key_file.empty() && !out.broken(at))
            out.error(p.place, at, name, "needs a key", "public-key or public-key-file, one of the two");
        // The value is not told: somebody may have put the private key there.
        const auto inlined = public_key_from_base64(p.public_key);
        if (!p.public_key.empty() && (!inlined || *inlined == public_key{}))
            out.error(p.place, at + ".public-key", "", "is no public key", "base64 of 32 bytes, 44 characters, not all of them zero");
        if (!p.public_key_file.empty()) check_key_file(out, p.place, at + ".public-key-file", p.public_key_file);
        if (!p.preshared_key_file.empty()) check_key_file(out, p.place, at + ".preshared-key-file", p.preshared_key_file);
        if (const auto secret = secrets.find(p.public_key_file); secret != secrets.end() && !p.public_key_file.empty())
            out.error(p.place, at + ".public-key-file", p.public_key_file, "is the file of " + secret->second, "a file with the peer's public key");
        if (p.preshared_key_file == v.key_file && !v.key_file.empty())
            out.error(p.place, at + ".preshared-key-file", p.preshared_key_file, "is the file of the gateway's private key", "a file of its own");
        const auto& key = p.public_key.empty() ? p.public_key_file : p.public_key;
        if (const auto [holder, fresh] = keys.emplace(key, name); !fresh && !key.empty())
            out.error(p.place, at + (p.public_key.empty() ? ".public-key-file" : ".public-key"), key, "is also the key of peer " + holder->second, "each peer once");
        if (!out.broken(at + ".address") && pool_is_sound) {
            check_host(out, p.place, at + ".address", v.pool, p.address);
            addresses.claim(p.address, p.place, at + ".address");
        }
        check_endpoint(out, v, pool_is_sound, p.place, at + ".endpoint", p.endpoint);
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
        const bool pool_is_sound = check_pool(f, path, v, out);
        check_endpoint(out, v, pool_is_sound, v.place, path + ".endpoint", v.endpoint);
        check_peers(path, v, pool_is_sound, out);
        if (const auto nic = n.nics.find(vpn_device); nic != n.nics.end())
            out.error(nic->second.place, "nodes." + name + ".nics." + vpn_device, vpn_device, "is the name of the VPN's own device", "a NIC of another name");
        // What comes to a tunnel's port from others than tunnel endpoints is dropped.
        const auto& tunnels = f.overlay.type;
        if ((tunnels == "vxlan" && v.port == vxlan_port) || (tunnels == "geneve" && v.port == geneve_port))
            out.error(v.place, path + ".port", std::to_string(v.port), "is the port of the fabric's tunnels", "another port, like 51820");
        const auto way = std::find_if(ways.begin(), ways.end(), [&v](const vpn_way& w) { return w.gateway == &v; });
        if (way == ways.end() && !out.broken("nodes." + name + ".nics"))
            out.error(v.place, path, name, "has no address on an external network, where its clients want to go", "a NIC with an address there");
        if (way == ways.end()) continue;
        check_fixed(f, *way, path, out);
        if (!f.lab.internet || way->network != f.lab.router_lan) continue;
        for (auto other = ways.begin(); other != way; ++other)
            if (other->network == way->network && other->gateway->port == v.port)
                out.error(v.place, path + ".port", std::to_string(v.port), "is also that of nodes." + other->node + ".vpn, behind the same router of the lab", "a port of its own");
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
