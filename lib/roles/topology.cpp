// SPDX-License-Identifier: Apache-2.0
// Answers to the questions of topology.hpp. Pure; an unknown name gives an empty answer, since validate has refused it.
#include "roles/topology.hpp"

#include <algorithm>

#include "weft/model/underlay.hpp"

namespace weft::roles {

std::string network_path(const std::string& tenant, const std::string& network) {
    return tenant + "/networks/" + network;
}
std::string router_path(const std::string& tenant, const std::string& router) { return tenant + "/routers/" + router; }
std::string router_port_path(const std::string& tenant, const std::string& router, const std::string& network) {
    return router_path(tenant, router) + "/networks/" + network;
}
std::string gateway_port_path(const std::string& tenant, const std::string& router) {
    return router_path(tenant, router) + "/gateway";
}
std::string dhcp_path(const std::string& tenant, const std::string& network) {
    return network_path(tenant, network) + "/dhcp";
}
std::string dhcp6_path(const std::string& tenant, const std::string& network) {
    return network_path(tenant, network) + "/dhcp6";
}
std::string port_path(const std::string& tenant, const std::string& port) { return tenant + "/ports/" + port; }
std::string node_path(const std::string& node, const std::string& object) { return "nodes/" + node + "/" + object; }

bool has_role(const node& n, const std::string& role) { return n.roles.count(role) != 0; }
bool is_switch(const node& n) { return has_role(n, "network") || has_role(n, "compute"); }

const std::pair<const std::string, nic>* find_nic(const node& n, const std::string& network) {
    const std::pair<const std::string, nic>* found = nullptr;
    for (const auto& entry : n.nics)
        if (entry.second.network == network && (!found || (!found->second.address && entry.second.address)))
            found = &entry;
    return found;
}

std::optional<ip_address> node_address(const node& n, const std::string& network) {
    const auto* found = find_nic(n, network);
    return found ? found->second.address : std::nullopt;
}

std::optional<ip_address> node_address6(const node& n, const std::string& network) {
    const auto* found = find_nic(n, network);
    if (!found) return {};
    if (found->second.address && found->second.address->is_v6()) return found->second.address;
    return found->second.address6;
}

std::vector<ip_prefix> subnets_of(const underlay_network& n) {
    std::vector<ip_prefix> out{n.cidr};
    if (n.cidr6) out.push_back(*n.cidr6);
    return out;
}

std::vector<ip_prefix> addresses_of(const nic& from, const underlay_network& n) {
    std::vector<ip_prefix> out;
    if (from.address) out.push_back({*from.address, n.cidr.length});
    if (from.address6 && n.cidr6) out.push_back({*from.address6, n.cidr6->length});
    return out;
}

bool is_external(const std::string& network) { return network != management_network && network != tunnel_network; }

const std::pair<const std::string, nic>* uplink_nic(const node& n, const std::string& network) {
    for (const auto& entry : n.nics)
        if (entry.second.network == network && !entry.second.address) return &entry;
    return find_nic(n, network);
}

std::string router_node(const fabric& f, const std::string& external) {
    for (const auto& [name, n] : f.nodes)
        if (has_role(n, "network") && (external.empty() || find_nic(n, external))) return name;
    return {};
}

std::string dhcp_node(const fabric& f, const tenant& t, const std::string& network) {
    if (!t.networks.at(network).dhcp) return {};
    const auto* router = router_of(t, network);
    return router_node(f, router ? router->second.external : "");
}

std::string announcing_node(const fabric& f, const tenant& t, const std::string& network) {
    const auto& n = t.networks.at(network);
    if (!n.cidr6 || n.ipv6 == "static") return {};
    const auto* router = router_of(t, network);
    return router ? router_node(f, router->second.external) : dhcp_node(f, t, network);
}

bool needs_dhcp_address6(const fabric& f, const tenant& t, const std::string& network) {
    return !router_of(t, network) && !announcing_node(f, t, network).empty();
}

bool routes_ipv6(const fabric& f, const tenant& t, const router& r) {
    const auto external = f.networks.find(r.external);
    return external != f.networks.end() && external->second.cidr6 && std::any_of(r.networks.begin(), r.networks.end(), [&](const auto& name) {
               const auto n = t.networks.find(name);
               return n != t.networks.end() && n->second.cidr6;
           });
}

std::map<std::string, ip_address> tunnel_endpoints(const fabric& f) {
    std::map<std::string, ip_address> endpoints;
    for (const auto& [name, n] : f.nodes)
        if (is_switch(n) || is_cloudstack(n))
            if (const auto address = tunnels_over_ipv6(f) ? node_address6(n, tunnel_network) : node_address(n, tunnel_network))
                endpoints[name] = *address;
    return endpoints;
}

std::set<std::string> hosted_networks(const fabric& f, const std::string& node) {
    std::set<std::string> hosted;
    for (const auto& [tenant_name, t] : f.tenants) {
        for (const auto& [name, port] : t.ports)
            if (port.node == node) hosted.insert(tenant_name + "/" + port.network);
        for (const auto& [name, r] : t.routers)
            if (router_node(f, r.external) == node)
                for (const auto& network : r.networks) hosted.insert(tenant_name + "/" + network);
        for (const auto& [name, n] : t.networks)
            if (dhcp_node(f, t, name) == node) hosted.insert(tenant_name + "/" + name);
    }
    return hosted;
}

const std::pair<const std::string, router>* router_of(const tenant& t, const std::string& network) {
    for (const auto& entry : t.routers)
        if (std::find(entry.second.networks.begin(), entry.second.networks.end(), network) !=
            entry.second.networks.end())
            return &entry;
    return nullptr;
}

std::set<ip_address> taken_addresses(const fabric& f, const std::string& network) {
    std::set<ip_address> taken;
    if (const auto n = f.networks.find(network); n != f.networks.end() && n->second.gateway)
        taken.insert(*n->second.gateway);
    if (const auto n = f.networks.find(network); n != f.networks.end() && n->second.gateway6) taken.insert(*n->second.gateway6);
    for (const auto& [name, n] : f.nodes)
        for (const auto& [nic_name, entry] : n.nics)
            if (entry.network == network) {
                if (entry.address) taken.insert(*entry.address);
                if (entry.address6) taken.insert(*entry.address6);
            }
    for (const auto& [name, host] : f.lab.hosts)
        if (host.network == network) {
            taken.insert(host.address);
            if (host.address6) taken.insert(*host.address6);
        }
    return taken;
}

ip_address first_host(const ip_prefix& cidr) { return advance(cidr.network().address, 1); }

ip_address last_host(const ip_prefix& cidr) {
    const int host_bits = cidr.max_length() - cidr.length;
    // Nobody counts through more than 2^62 addresses; the cut keeps the sum inside int64.
    const std::int64_t size = std::int64_t{1} << std::min(host_bits, 62);
    return advance(cidr.network().address, size - (cidr.is_v6() ? 1 : 2));
}

bool is_host_address(const ip_prefix& cidr, const ip_address& address) {
    if (!cidr.contains(address) || address == cidr.network().address) return false;
    if (cidr.is_v6()) return true;
    return address != advance(cidr.network().address, (std::int64_t{1} << (32 - cidr.length)) - 1);
}

ip_prefix host_prefix(const ip_address& address) {
    return {address, static_cast<std::uint8_t>(address.is_v6() ? 128 : 32)};
}

ip_address eui64(const ip_prefix& subnet, const mac_address& mac) {
    auto bytes = subnet.network().address.to_v6().to_bytes();
    const auto& m = mac.bytes;
    const std::array<std::uint8_t, 8> host{static_cast<std::uint8_t>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
    std::copy(host.begin(), host.end(), bytes.begin() + 8);
    return boost::asio::ip::address_v6(bytes);
}

ip_address link_local6(const mac_address& mac) {
    return eui64({boost::asio::ip::address_v6({0xfe, 0x80}), 64}, mac);
}

ip_address metadata_address() { return boost::asio::ip::address_v4(0xa9fea9feU); }
ip_prefix link_local_prefix() { return {boost::asio::ip::address_v4(0xa9fe0000U), 16}; }

std::vector<std::string> find_ports(const fabric& f, const std::string& name) {
    std::vector<std::string> found;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [port_name, port] : t.ports) {
            const auto full = tenant_name + "/" + port_name;
            if (full == name) return {full};
            if (port_name == name) found.push_back(full);
        }
    return found;
}

port_ref resolve_port(const fabric& f, const std::string& full_name) {
    const auto slash = full_name.find('/');
    if (slash == std::string::npos) return {};
    const auto t = f.tenants.find(full_name.substr(0, slash));
    if (t == f.tenants.end()) return {};
    const auto p = t->second.ports.find(full_name.substr(slash + 1));
    if (p == t->second.ports.end()) return {};
    return {&t->first, &t->second, &p->second};
}

}  // namespace weft::roles
