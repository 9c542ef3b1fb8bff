// SPDX-License-Identifier: Apache-2.0
// A host_state as text, one object per line, for golden files that a reviewer can read. Test code only; pure.
#pragma once

#include <fmt/format.h>

#include <sstream>
#include <string>

#include "weft/model/host_state.hpp"

namespace weft::test {

inline std::string dump(const ovs::string_map& map) {
    std::string out;
    for (const auto& [key, value] : map) out += fmt::format(" {}={}", key, value);
    return out;
}

inline std::string dump(const nft::expression& e) {
    std::string out = e.name + "(";
    const char* separator = "";
    for (const auto& [key, value] : e.numbers) out += fmt::format("{}{}:{}", separator, key, value), separator = " ";
    for (const auto& [key, value] : e.data) {
        out += fmt::format("{}{}:", separator, key), separator = " ";
        for (const auto byte : value) out += fmt::format("{:02x}", byte);
    }
    for (const auto& [key, value] : e.text) out += fmt::format("{}{}:{}", separator, key, value), separator = " ";
    return out + ")";
}

inline std::string dump(const link& l) {
    std::string out = "  link " + l.name;
    if (const auto* veth = std::get_if<veth_options>(&l.options)) {
        out += fmt::format(" veth peer={}@\"{}\"", veth->peer, veth->peer_namespace);
        if (veth->peer_mac) out += " peer_mac=" + veth->peer_mac->to_string();
        if (veth->peer_mtu) out += fmt::format(" peer_mtu={}", *veth->peer_mtu);
    }
    if (std::holds_alternative<bridge_options>(l.options)) out += " bridge";
    if (const auto* tun = std::get_if<tun_options>(&l.options)) {
        out += tun->tap ? " tap" : " tun";
        if (tun->owner) out += fmt::format(" owner={}", *tun->owner);
    }
    if (const auto* wireguard = std::get_if<wireguard_options>(&l.options)) {
        out += fmt::format(" wireguard key={} file={} port={}", wireguard->public_key, wireguard->key_file, wireguard->port.value_or(0));
        for (const auto& peer : wireguard->peers) {
            out += fmt::format(" peer={} keepalive={} endpoint={}", peer.public_key, peer.keepalive, peer.endpoint);
            for (const auto& allowed : peer.allowed) out += " allowed=" + allowed.to_string();
        }
    }
    if (!l.master.empty()) out += " master=" + l.master;
    if (l.mac) out += " mac=" + l.mac->to_string();
    if (l.mtu) out += fmt::format(" mtu={}", *l.mtu);
    if (l.group) out += fmt::format(" group=0x{:x}", *l.group);
    if (!l.alias.empty()) out += " alias=" + l.alias;
    if (l.up) out += " up";
    if (l.promiscuous) out += *l.promiscuous ? " promisc" : " -promisc";
    for (const auto& [feature, on] : l.features) out += fmt::format(" {}={}", feature, on ? "on" : "off");
    return out + "\n";
}

inline std::string dump(const namespace_state& n) {
    std::string out = "namespace \"" + n.name + "\"\n";
    for (const auto& l : n.links) out += dump(l);
    for (const auto& a : n.addresses)
        out += fmt::format("  address {} dev {} proto {}\n", a.address.to_string(), a.device, a.protocol);
    for (const auto& r : n.routes) {
        out += "  route " + r.destination.to_string();
        for (const auto& hop : r.nexthops)
            out += fmt::format(" via {} dev {}", hop.gateway ? hop.gateway->to_string() : "-", hop.device);
        out += "\n";
    }
    for (const auto& [key, value] : n.sysctls) out += fmt::format("  sysctl {} = {}\n", key, value);
    for (const auto& t : n.tables) {
        out += fmt::format("  table {} {}\n", static_cast<int>(t.family), t.name);
        for (const auto& c : t.chains) {
            out += fmt::format("    chain {} type {} hook {} priority {} policy {}", c.name, c.type, c.hook, c.priority,
                               c.policy);
            for (const auto& device : c.devices) out += " dev " + device;
            out += "\n";
            for (const auto& r : c.rules) {
                out += "      # " + r.comment + "\n     ";
                for (const auto& e : r.expressions) out += " " + dump(e);
                out += "\n";
            }
        }
    }
    return out;
}

inline std::string dump(const ovs::bridge_row& b) {
    std::string out =
        fmt::format("bridge {} datapath={} fail_mode={} protocols=", b.name, b.datapath_type, b.fail_mode);
    for (const auto& p : b.protocols) out += p + ",";
    if (b.mtu_request) out += fmt::format(" mtu_request={}", *b.mtu_request);
    out += "\n  other_config" + dump(b.other_config) + "\n  external_ids" + dump(b.external_ids) + "\n";
    for (const auto& p : b.ports) {
        out += "  port " + p.name + (p.tag ? fmt::format(" tag={}", *p.tag) : "") + "\n    other_config" +
               dump(p.other_config) + "\n    external_ids" + dump(p.external_ids) + "\n";
        for (const auto& i : p.interfaces)
            out += fmt::format("    interface {} type=\"{}\" options{} external_ids{}\n", i.name, i.type,
                               dump(i.options), dump(i.external_ids));
    }
    return out;
}

inline std::string dump(const host_state& s) {
    std::string out = fmt::format("fabric {} node {}\n", s.fabric, s.node);
    for (const auto& n : s.namespaces) out += dump(n);
    for (const auto& b : s.bridges) out += dump(b);
    for (const auto& [bridge, flows] : s.flows) {
        out += "flows " + bridge + "\n";
        for (const auto& f : flows)
            out += fmt::format("  cookie=0x{:x} table={} priority={} {} actions={}\n", f.cookie, f.table, f.priority,
                               f.match, f.actions);
    }
    for (const auto& v : s.services) {
        out += fmt::format("service {} kind {} in {}{}\n", v.name, v.kind, v.space.empty() ? "-" : v.space,
                           v.listens_in.empty() ? "" : " listens in " + v.listens_in);
        for (const auto& a : v.argv) out += "  arg " + a + "\n";
        for (const auto& [name, file] : v.files) {
            out += fmt::format("  file {}{}\n", name, file.reloadable ? " (reloadable)" : "");
            std::istringstream lines(file.text);
            for (std::string line; std::getline(lines, line);) out += "    " + line + "\n";
        }
    }
    for (const auto& c : s.checks) out += "check " + c.to_string() + "\n";
    for (const auto& p : s.pending) out += "pending " + p + "\n";
    // An empty map leaves a blank behind its word's end; golden files have none.
    return out;
}

}  // namespace weft::test
