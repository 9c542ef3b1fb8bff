// SPDX-License-Identifier: Apache-2.0
// A port's security rules as flows: one per rule and per power-of-two piece of its port range; rules with a remote group
// as conjunctions, so that n members and m rules cost n + m flows instead of n · m, and the n once for all ports of a network. Pure.
#include <fmt/format.h>

#include <algorithm>

#include "roles/firewall.hpp"

namespace weft::roles::firewall {
namespace {

// A range of ports as masked values: each piece is as large as its first port's alignment and the rest allow.
std::vector<std::string> port_pieces(const port_range& range) {
    std::vector<std::string> pieces;
    for (std::uint32_t first = range.first; first <= range.last;) {
        std::uint32_t size = 1;
        while (size < 0x10000 && first % (size * 2) == 0 && first + size * 2 - 1 <= range.last) size *= 2;
        pieces.push_back(size == 1 ? std::to_string(first) : fmt::format("0x{:x}/0x{:x}", first, 0x10000 - size));
        first += size;
    }
    return pieces;
}

std::string protocol_match(const security_rule& rule, bool v6) {
    const std::string ip = v6 ? "ipv6" : "ip";
    const auto number = protocol_number(rule.protocol);
    if (!number) return ip;
    std::string match;
    switch (*number) {
        case 1: case 58: match = v6 ? "icmp6" : "icmp"; break;
        case 6: match = v6 ? "tcp6" : "tcp"; break;
        case 17: match = v6 ? "udp6" : "udp"; break;
        case 132: match = v6 ? "sctp6" : "sctp"; break;
        default: return fmt::format("{},nw_proto={}", ip, *number);
    }
    if (rule.type) match += fmt::format(",icmp_type={}", *rule.type);
    if (rule.code) match += fmt::format(",icmp_code={}", *rule.code);
    return match;
}

// All of a rule but its remote. Of a packet in fragments a switch shows neither ports nor type, which then reads as 0, and of the later ones of
// IPv6 no protocol; conntrack, which has put the packet together, tells that with each.
std::vector<std::string> matches_of(const security_rule& rule, bool v6) {
    const auto protocol = protocol_match(rule, v6);
    if (rule.type) return {protocol + ",nw_frag=no"};
    const auto range = parse_ports(rule.ports);
    std::vector<std::string> all;
    if (!range) {
        all.push_back(protocol);
        if (const auto number = protocol_number(rule.protocol); number && v6)
            all.push_back(fmt::format("ct_state=+trk-inv,ipv6,nw_frag=later,ct_nw_proto={}", *number));
        return all;
    }
    for (const auto& piece : port_pieces(*range)) all.push_back(protocol + ",tp_dst=" + piece);
    return all;
}

std::string remote_match(const ip_prefix& remote, direction d) {
    return fmt::format("{}_{}={}", remote.is_v6() ? "ipv6" : "nw", d == direction::ingress ? "src" : "dst",
                       remote.network().to_string());
}

}  // namespace

std::string reg5(std::uint32_t id) { return fmt::format("reg5=0x{:x}", id); }

std::string reg6(std::uint16_t vlan) { return fmt::format("reg6=0x{:x}", vlan); }

// The number of the conjunction "from this group, by one of the rules", with its first part: the members.
std::uint32_t conjunctions::of_group(compilation& c, const protected_port& p, direction d, const std::string& group, bool v6) {
    const std::string ip = v6 ? "ipv6" : "ip";
    const auto object = fmt::format("{}/{}/{}/{}", p.network, d == direction::ingress ? "ingress" : "egress", group, ip);
    const auto [entry, is_new] = ids_.emplace(object, 0);
    if (!is_new) return entry->second;
    const auto members = members_of(p.t, group, p.port, v6);
    if (members.empty()) return 0;
    // Two groups of one number would let in each other's members.
    auto id = port_register(c.f.name, object);
    while (id == 0 || !used_.insert(id).second) ++id;
    const auto table = d == direction::ingress ? ingress_rules : egress_rules;
    for (const auto& member : members)
        parts_[{ovs::flow_cookie, table, fmt::format("{},{},{}", reg6(p.vlan), ip, remote_match(member, d))}].insert(fmt::format("conjunction({},1/2)", id));
    c.add_flow("br-int", table, group_rule, fmt::format("conj_id={},{}", id, ip),
               fmt::format("resubmit(,{})", d == direction::ingress ? ingress_accepted : egress_accepted));
    return entry->second = id;
}

void conjunctions::add_rules(compilation& c, const protected_port& p, direction d) {
    const auto table = d == direction::ingress ? ingress_rules : egress_rules;
    const auto accept = fmt::format("resubmit(,{})", d == direction::ingress ? ingress_accepted : egress_accepted);
    const auto rules = rules_of(p.t, p.port, d);
    // Two groups may say the same, and two flows of one match are one flow.
    std::set<std::string> plain;
    if (!rules) plain = {"ip", "ipv6"};
    for (const auto& rule : rules.value_or(std::vector<security_rule>{}))
        for (const bool v6 : {false, true}) {
            if (!speaks(p.t, rule, v6)) continue;
            const bool group = p.t.security_groups.count(rule.remote) != 0;
            const auto id = group ? of_group(c, p, d, rule.remote, v6) : 0;
            for (const auto& match : matches_of(rule, v6)) {
                if (!group)
                    plain.insert(rule.remote.empty() ? match : match + "," + remote_match(parse_prefix(rule.remote).value(), d));
                else if (id != 0)
                    parts_[{ovs::port_cookie(p.id), table, reg5(p.id) + "," + match}].insert(fmt::format("conjunction({},2/2)", id));
            }
        }
    for (const auto& match : plain) c.add_flow("br-int", table, plain_rule, reg5(p.id) + "," + match, accept, ovs::port_cookie(p.id));
}

void conjunctions::finish(compilation& c) const {
    for (const auto& [at, parts] : parts_) {
        std::string actions;
        for (const auto& part : parts) actions += (actions.empty() ? "" : ",") + part;
        c.add_flow("br-int", std::get<1>(at), group_rule, std::get<2>(at), actions, std::get<0>(at));
    }
}

}  // namespace weft::roles::firewall
