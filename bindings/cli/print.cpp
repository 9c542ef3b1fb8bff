// SPDX-License-Identifier: Apache-2.0
// A host_state as indented text for people; `--json` is the exact form. Pure. May include: weft headers and fmt.
#include <fmt/format.h>

#include "common.hpp"

namespace weft::cli {

namespace {

std::string hops(const route& r) {
    std::string out;
    if (r.nexthop_id) out += fmt::format(" nexthop {}", r.nexthop_id);
    for (const nexthop& hop : r.nexthops) {
        if (hop.gateway) out += " via " + hop.gateway->to_string();
        if (!hop.device.empty()) out += " dev " + hop.device;
    }
    return out;
}

std::string tunnel(const ovs::interface_row& i) {
    std::string out;
    for (const char* key : {"peer", "local_ip", "remote_ip", "key"})
        if (const auto option = i.options.find(key); option != i.options.end())
            out += fmt::format(" {} {}", key, option->second);
    return out;
}

const char* family_name(nft::family f) {
    switch (f) {
        case nft::family::inet:
            return "inet";
        case nft::family::ipv4:
            return "ip";
        case nft::family::arp:
            return "arp";
        case nft::family::netdev:
            return "netdev";
        case nft::family::bridge:
            return "bridge";
        case nft::family::ipv6:
            return "ip6";
    }
    return "unknown";
}

void describe_namespace(std::string& out, const namespace_state& ns) {
    out += ns.name.empty() ? "host\n" : "namespace " + ns.name + '\n';
    for (const link& l : ns.links) {
        out +=
            fmt::format("  link {} {}{}{}{}{}", l.name, kind_name(l.options).empty() ? "device" : kind_name(l.options),
                        l.up ? " up" : " down", l.mtu ? fmt::format(" mtu {}", *l.mtu) : "",
                        l.master.empty() ? "" : " master " + l.master, l.mac ? " mac " + l.mac->to_string() : "");
        if (const auto* veth = std::get_if<veth_options>(&l.options); veth && !veth->peer.empty())
            out += fmt::format(" peer {}{}", veth->peer,
                               veth->peer_namespace.empty() ? "" : " in " + veth->peer_namespace);
        if (const auto* tap = std::get_if<tun_options>(&l.options); tap && tap->owner)
            out += fmt::format(" owner {}", *tap->owner);
        const auto* wireguard = std::get_if<wireguard_options>(&l.options);
        if (wireguard && wireguard->port) out += fmt::format(" port {}", *wireguard->port);
        if (wireguard) out += fmt::format(" public key {} peers {}", wireguard->public_key.empty() ? "none" : wireguard->public_key, wireguard->peers.size());
        out += l.alias.empty() ? "\n" : fmt::format("  ({})\n", l.alias);
        if (wireguard)
            for (const wireguard_peer& peer : wireguard->peers) {
                out += "    peer " + peer.public_key + " allowed";
                for (const ip_prefix& allowed : peer.allowed) out += " " + allowed.to_string();
                if (!peer.endpoint.empty()) out += " endpoint " + peer.endpoint;
                if (peer.keepalive) out += fmt::format(" keepalive {} s", peer.keepalive);
                out += peer.preshared.empty() ? "\n" : " with a preshared key\n";
            }
    }
    for (const address_entry& a : ns.addresses)
        out += fmt::format("  address {} dev {}\n", a.address.to_string(), a.device);
    for (const nexthop_object& n : ns.nexthops)
        out += fmt::format("  nexthop {}{}\n", n.id, n.hop.gateway ? " via " + n.hop.gateway->to_string() : "");
    for (const route& r : ns.routes)
        out += fmt::format("  route {}{}{}{}\n", r.destination.to_string(), hops(r),
                           r.metric ? fmt::format(" metric {}", r.metric) : "",
                           r.table == 254 ? "" : fmt::format(" table {}", r.table));
    for (const rule& r : ns.rules)
        out += fmt::format("  rule {}:{}{} table {}\n", r.priority, r.from ? " from " + r.from->to_string() : "",
                           r.to ? " to " + r.to->to_string() : "", r.table);
    for (const neighbour& n : ns.neighbours)
        out += fmt::format("  neighbour {} dev {}{}\n", n.address.to_string(), n.device,
                           n.mac ? " mac " + n.mac->to_string() : "");
    for (const auto& [key, value] : ns.sysctls) out += fmt::format("  sysctl {} = {}\n", key, value);
    for (const nft::table& t : ns.tables) {
        std::size_t rules = 0;
        for (const nft::chain& c : t.chains) rules += c.rules.size();
        out += fmt::format("  nft table {} {}: {} chains, {} rules\n", family_name(t.family), t.name, t.chains.size(),
                           rules);
        for (const nft::chain& c : t.chains)
            for (const nft::rule& r : c.rules)
                if (!r.comment.empty()) out += fmt::format("    {}: {}\n", c.name, r.comment);
    }
}

void describe_bridge(std::string& out, const ovs::bridge_row& b) {
    out += fmt::format("bridge {}{}{}{}\n", b.name, b.datapath_type.empty() ? "" : " datapath " + b.datapath_type,
                       b.fail_mode.empty() ? "" : " fail-mode " + b.fail_mode, b.mtu_request ? fmt::format(" mtu {}", *b.mtu_request) : "");
    for (const ovs::port_row& p : b.ports) {
        out += fmt::format("  port {}{}", p.name, p.tag ? fmt::format(" tag {}", *p.tag) : "");
        for (const ovs::interface_row& i : p.interfaces) {
            out += (i.type.empty() ? "" : " " + i.type) + tunnel(i);
            if (i.ofport && *i.ofport < 0) out += " (not open)";
            if (!i.error.empty()) out += " error: " + i.error;
        }
        out += '\n';
    }
}

}  // namespace

std::string describe(const host_state& state) {
    std::string out;
    if (!state.fabric.empty()) out += fmt::format("fabric {} node {}\n", state.fabric, state.node);
    for (const namespace_state& ns : state.namespaces) describe_namespace(out, ns);
    for (const ovs::bridge_row& b : state.bridges) describe_bridge(out, b);
    for (const auto& [bridge, flows] : state.flows) {
        out += fmt::format("flows of {}\n", bridge);
        for (const ovs::flow& f : flows)
            out += fmt::format("  table={},priority={}{}{} actions={}\n", f.table, f.priority,
                               f.match.empty() ? "" : ",", f.match, f.actions);
    }
    for (const service& s : state.services)
        out += fmt::format("service {} ({}) in {}{}\n", s.name, s.kind, s.space.empty() ? "host" : s.space,
                           s.listens_in.empty() ? "" : ", listens in " + s.listens_in);
    for (const host_check& c : state.checks) out += fmt::format("check {}\n", c.to_string());
    for (const std::string& name : state.pending) out += fmt::format("pending {}\n", name);
    for (const quarantined_port& p : state.quarantined) out += fmt::format("quarantined {}: {}\n", p.port, p.reason);
    if (out.empty()) out = "nothing of weft's is here\n";
    return out;
}

}  // namespace weft::cli
