// SPDX-License-Identifier: Apache-2.0
// Answers to the questions of groups.hpp. Pure; cannot fail on a valid fabric.
#include "roles/groups.hpp"

#include <algorithm>
#include <charconv>

#include "roles/topology.hpp"

namespace weft::roles {
namespace {

bool joined(const tenant& t, const tenant_port& a, const tenant_port& b) {
    if (a.network == b.network) return true;
    const auto* r = router_of(t, a.network);
    return r && r == router_of(t, b.network);
}

std::optional<unsigned> number(const std::string& text, unsigned highest) {
    unsigned n = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (text.empty() || problem != std::errc{} || end != text.data() + text.size() || n > highest) return {};
    return n;
}

bool matches(const tenant& t, const tenant_port& port, const security_rule& rule, const first_packet& p) {
    const bool v6 = p.remote.is_v6();
    if (!speaks(t, rule, v6)) return false;
    const auto wanted = protocol_number(p.protocol == "icmp" && v6 ? "icmpv6" : p.protocol);
    if (!rule.protocol.empty() && protocol_number(rule.protocol) != wanted) return false;
    const std::uint8_t echo = v6 ? 128 : 8;
    if (rule.type && *rule.type != echo) return false;
    if (rule.code && *rule.code != 0) return false;
    if (const auto range = parse_ports(rule.ports); range && (p.port < range->first || range->last < p.port)) return false;
    if (rule.remote.empty()) return true;
    if (!t.security_groups.count(rule.remote)) return parse_prefix(rule.remote).value().contains(p.remote);
    const auto members = members_of(t, rule.remote, port, v6);
    return std::any_of(members.begin(), members.end(), [&](const ip_prefix& m) { return m.contains(p.remote); });
}

}  // namespace

std::vector<std::string> groups_of(const tenant& t, const tenant_port& port) {
    if (!port.security_groups.empty()) return port.security_groups;
    return t.security_groups.count(default_group) ? std::vector<std::string>{default_group} : std::vector<std::string>{};
}

std::optional<std::vector<security_rule>> rules_of(const tenant& t, const tenant_port& port, direction d) {
    if (!port.port_security) return {};
    const auto names = groups_of(t, port);
    if (names.empty() && d == direction::egress) return {};
    std::vector<security_rule> all;
    for (const auto& name : names) {
        const auto& group = t.security_groups.at(name);
        if (d == direction::egress && !group.egress) return {};
        const auto& rules = d == direction::egress ? *group.egress : group.ingress;
        all.insert(all.end(), rules.begin(), rules.end());
    }
    return all;
}

std::vector<identity> identities_of(const tenant_port& port) {
    std::vector<identity> all;
    const auto mac = port.mac.value_or(mac_address{});
    if (port.address) all.push_back({mac, host_prefix(*port.address)});
    if (port.address6) all.push_back({mac, host_prefix(*port.address6)});
    all.push_back({mac, host_prefix(link_local6(mac))});
    for (const auto& pair : port.allowed_addresses) {
        const identity allowed{pair.mac.value_or(mac), pair.address.network()};
        if (std::find(all.begin(), all.end(), allowed) == all.end()) all.push_back(allowed);
    }
    return all;
}

std::vector<ip_prefix> members_of(const tenant& t, const std::string& group, const tenant_port& port, bool v6) {
    std::set<ip_prefix> all;
    for (const auto& [name, member] : t.ports) {
        const auto groups = groups_of(t, member);
        if (std::find(groups.begin(), groups.end(), group) == groups.end() || !joined(t, member, port)) continue;
        for (const auto& own : identities_of(member))
            // A link-local address means another host on another network.
            if (own.address.is_v6() == v6 && (member.network == port.network || !own.address.address.is_v6() ||
                                              !own.address.address.to_v6().is_link_local()))
                all.insert(own.address);
    }
    return {all.begin(), all.end()};
}

bool speaks(const tenant& t, const security_rule& rule, bool v6) {
    if (!rule.family.empty() && (rule.family == "ipv6") != v6) return false;
    if (const auto protocol = protocol_number(rule.protocol); protocol == 1 || protocol == 58)
        if ((protocol == 58) != v6) return false;
    if (!rule.remote.empty() && !t.security_groups.count(rule.remote))
        if (const auto prefix = parse_prefix(rule.remote); prefix && prefix->is_v6() != v6) return false;
    return true;
}

std::optional<port_range> parse_ports(const std::string& text) {
    const auto dash = text.find('-');
    const auto first = number(text.substr(0, dash), 0xffff);
    const auto last = dash == std::string::npos ? first : number(text.substr(dash + 1), 0xffff);
    if (!first || !last || *first == 0 || *last < *first) return {};
    return port_range{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::optional<std::uint8_t> protocol_number(const std::string& name) {
    static const std::map<std::string, std::uint8_t> names = {{"icmp", 1}, {"icmpv6", 58}, {"tcp", 6}, {"udp", 17}, {"sctp", 132}};
    if (const auto found = names.find(name); found != names.end()) return found->second;
    // 0 is IPv6's hop-by-hop header, which no flow can tell from "any".
    const auto n = number(name, 255);
    return n && *n > 0 ? std::optional(static_cast<std::uint8_t>(*n)) : std::nullopt;
}

bool passes(const tenant& t, const tenant_port& port, direction d, const first_packet& p) {
    const auto rules = rules_of(t, port, d);
    return !rules || std::any_of(rules->begin(), rules->end(), [&](const auto& rule) { return matches(t, port, rule, p); });
}

}  // namespace weft::roles
