// SPDX-License-Identifier: Apache-2.0
// The VPN gateway (DATAPLANE section 10): its WireGuard link, the forwarding between clients and the external network and nothing else, and
// the source address that those see who have no way back to the pool. Pure. Errors: invalid_input (two keys that are one).
#include <algorithm>

#include "roles/compile.hpp"
#include "roles/vpn.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/model/nft.hpp"

namespace weft::roles {

std::vector<vpn_way> vpn_gateways(const fabric& f) {
    std::vector<vpn_way> all;
    for (const auto& [name, n] : f.nodes) {
        if (!n.vpn) continue;
        for (const auto& [nic_name, nic] : n.nics)
            if (is_external(nic.network) && nic.address && f.networks.count(nic.network)) {
                all.push_back({name, nic_name, nic.network, *nic.address, &*n.vpn});
                break;
            }
    }
    return all;
}

std::optional<vpn_client> vpn_client_of(const fabric& f, const lab_host& host) {
    if (host.vpn.empty()) return std::nullopt;
    for (const auto& way : vpn_gateways(f))
        if (const auto peer = way.gateway->peers.find(host.vpn); peer != way.gateway->peers.end()) return vpn_client{way, &peer->second};
    return std::nullopt;
}

std::vector<vpn_fixed> vpn_fixed_networks(const fabric& f, const vpn_way& way) {
    std::vector<vpn_fixed> all;
    if (!way.gateway->fixed) return all;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, r] : t.routers) {
            if (r.external != way.network) continue;
            for (const auto& network : r.networks)
                if (const auto n = t.networks.find(network); n != t.networks.end())
                    all.push_back({n->second.cidr, r.address, network_path(tenant_name, network)});
        }
    return all;
}

std::vector<ip_prefix> vpn_client_prefixes(const fabric& f, const std::string& node) {
    std::vector<ip_prefix> all;
    for (const auto& way : vpn_gateways(f)) {
        if (way.node != node) continue;
        all.push_back(f.networks.at(way.network).cidr);
        for (const auto& fixed : vpn_fixed_networks(f, way)) all.push_back(fixed.cidr);
    }
    return all;
}

std::uint32_t vpn_mtu(const fabric& f, const std::string& node) {
    constexpr std::uint32_t overhead = 80;  // IPv6 40, UDP 8, WireGuard 32
    for (const auto& way : vpn_gateways(f))
        if (way.node == node) return f.networks.at(way.network).mtu - overhead;
    return 0;
}

namespace {

// Without a host's facts, as `weft compile` has none, the key is told by the name of its file.
std::string key_in(const std::map<std::string, std::string>& known, const std::string& file) {
    const auto at = known.find(file);
    return at == known.end() ? "of " + file : at->second;
}

// The longest prefixes that together are the range.
std::vector<ip_prefix> prefixes_of(const address_range& range) {
    std::vector<ip_prefix> all;
    for (auto at = range.first; at <= range.last;) {
        ip_prefix best{at, 32};
        while (best.length > 0) {
            const ip_prefix wider{at, static_cast<std::uint8_t>(best.length - 1)};
            if (wider.network().address != at || range.last < advance(at, (std::int64_t{1} << (32 - wider.length)) - 1)) break;
            best = wider;
        }
        all.push_back(best);
        const auto next = advance(at, std::int64_t{1} << (32 - best.length));
        if (next <= at) break;  // the end of all addresses
        at = next;
    }
    return all;
}

result<wireguard_options> device_of(const compilation& c, const vpn_gateway& v) {
    wireguard_options o;
    o.key_file = v.key_file;
    o.public_key = key_in(c.facts.public_keys, v.key_file);
    o.port = v.port;
    o.userspace = !c.facts.kernel_wireguard;
    const auto same = [&](const std::string& peer, const std::string& as) {
        const auto path = "nodes." + c.name + ".vpn.peers." + peer;
        return error{errc::invalid_input, "compile", with_place(c.f, path), "the public key of peer " + peer + " is also that of " + as + "; nothing was changed", 0};
    };
    std::map<std::string, std::string> holders = {{o.public_key, "the gateway itself"}};
    for (const auto& [name, peer] : v.peers) {
        wireguard_peer p;
        p.public_key = peer.public_key.empty() ? key_in(c.facts.public_keys, peer.public_key_file) : peer.public_key;
        if (const auto [holder, fresh] = holders.emplace(p.public_key, "peer " + name); !fresh) return same(name, holder->second);
        p.endpoint = peer.endpoint;
        p.allowed = {host_prefix(peer.address)};
        p.keepalive = peer.keepalive;
        p.preshared_file = peer.preshared_key_file;
        if (!p.preshared_file.empty()) p.preshared = key_in(c.facts.preshared_keys, p.preshared_file);
        o.peers.push_back(std::move(p));
    }
    std::sort(o.peers.begin(), o.peers.end(), [](const auto& a, const auto& b) { return a.public_key < b.public_key; });
    return o;
}

// Clients to the external network, and answers back. The chain drops all else, so that no client meets another, management or VM-config.
void forward_clients(const fabric& f, const vpn_way& way, const std::string& lan, nft::chain& forward) {
    constexpr std::uint32_t established = 2, related = 4;
    const auto to = [&](const ip_prefix& where, const std::string& what) {
        forward.rules.push_back(nft::rule_builder().iifname(vpn_device).oifname(lan).saddr(way.gateway->pool).daddr(where).accept("clients to " + what));
    };
    to(f.networks.at(way.network).cidr, way.network);
    for (const auto& fixed : vpn_fixed_networks(f, way)) to(fixed.cidr, fixed.path);
    forward.rules.push_back(
        nft::rule_builder().iifname(lan).oifname(vpn_device).daddr(way.gateway->pool).ct_state(established | related).accept("answers to clients"));
}

nft::table translation(const fabric& f, const vpn_way& way, const std::string& lan) {
    const auto rule = [&] { return nft::rule_builder(nft::family::ipv4).oifname(lan); };
    nft::chain postrouting{"postrouting", "nat", 4, 100, 1, {}, {}};
    const auto& pool = way.gateway->pool;
    const auto& network = f.networks.at(way.network);
    if (way.by_route()) {
        // The routers know the way back, and their VMs see who comes; hosts of the LAN know none, and see the gateway.
        if (network.floating)
            for (const auto& part : prefixes_of(*network.floating))
                postrouting.rules.push_back(rule().saddr(pool).daddr(part).accept("routers have a route back"));
        postrouting.rules.push_back(rule().saddr(pool).daddr(network.cidr).masquerade().done("hosts of the LAN have none"));
    } else {
        postrouting.rules.push_back(rule().saddr(pool).masquerade().done("clients behind the gateway's address"));
    }
    return {nft::family::ipv4, "weft", {std::move(postrouting)}};
}

}  // namespace

result<void> compile_vpn(compilation& c) {
    const auto ways = vpn_gateways(c.f);
    const auto way = std::find_if(ways.begin(), ways.end(), [&](const vpn_way& w) { return w.node == c.name; });
    if (way == ways.end()) return {};
    const auto* nic = c.nic_on(way->network);
    auto options = device_of(c, *way->gateway);
    if (!options) return options.error();
    auto& root = c.space("");
    link device;
    device.name = vpn_device;
    device.options = std::move(*options);
    device.mtu = vpn_mtu(c.f, c.name);
    device.group = weft_link_group;
    device.alias = c.alias(node_path(c.name, "vpn"));
    device.up = true;
    root.links.push_back(std::move(device));
    c.disable_ipv6(vpn_device);
    address_entry address;
    address.device = vpn_device;
    address.address = {first_host(way->gateway->pool), way->gateway->pool.length};
    address.protocol = weft_protocol;
    root.addresses.push_back(std::move(address));
    for (const auto& fixed : vpn_fixed_networks(c.f, *way)) {
        route to;
        to.destination = fixed.cidr;
        to.nexthops = {nexthop{*fixed.router, nic->holder, 0, false, {}}};
        root.routes.push_back(std::move(to));
    }
    root.sysctls["net/ipv4/ip_forward"] = "1";
    for (auto& table : root.tables)
        for (auto& chain : table.chains)
            if (table.family == nft::family::inet && chain.name == "forward") forward_clients(c.f, *way, nic->holder, chain);
    root.tables.push_back(translation(c.f, *way, nic->holder));
    return {};
}

}  // namespace weft::roles
