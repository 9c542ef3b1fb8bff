// SPDX-License-Identifier: Apache-2.0
// validate(), security groups: that each rule says something a packet can be held against, that ports name groups of
// their tenant, and bounds on both, so that no tenant can fill a node's flow tables. Pure.
#include "roles/groups.hpp"
#include "roles/validate.hpp"

namespace weft::roles {
namespace {

void check_rule(const std::string& path, const tenant& t, const security_rule& rule, findings& out) {
    const auto number = protocol_number(rule.protocol);
    const bool known = rule.protocol.empty() || number;
    if (!known)
        out.error(rule.place, path + ".protocol", rule.protocol, "is an unknown protocol",
                  "icmp, icmpv6, tcp, udp, sctp or 1-255");
    if (!rule.ports.empty() && !parse_ports(rule.ports))
        out.error(rule.place, path + ".ports", rule.ports, "is not a port or a range of ports", "1-65535, FIRST-LAST");
    else if (!rule.ports.empty() && known && number != 6 && number != 17 && number != 132)
        out.error(rule.place, path + ".ports", rule.ports, "needs a protocol with ports", "protocol tcp, udp or sctp");
    const bool icmp = number == 1 || number == 58;
    if (rule.type && known && !icmp)
        out.error(rule.place, path + ".type", std::to_string(*rule.type), "needs ICMP", "protocol icmp or icmpv6");
    if (rule.code && !rule.type)
        out.error(rule.place, path + ".code", std::to_string(*rule.code), "needs a type", "type: 0-255");
    const bool group = t.security_groups.count(rule.remote) != 0;
    const auto remote = parse_prefix(rule.remote);
    if (!rule.remote.empty() && !group && !remote) {
        out.error(rule.place, path + ".remote", rule.remote, "is neither a CIDR nor a security group",
                  keys_of(t.security_groups));
        return;
    }
    // Flows mask host bits away, so a rule that has some would say another thing than it reads.
    if (!rule.remote.empty() && !group && remote->network() != *remote)
        out.error(rule.place, path + ".remote", rule.remote, "is misaligned", remote->network().to_string());
    if (known && !speaks(t, rule, false) && !speaks(t, rule, true))
        out.error(rule.place, path, rule.family.empty() ? rule.remote : rule.family,
                  "matches no packet: its protocol, family and remote are of two families", "one family");
}

void check_rules(const std::string& list, const tenant& t, const std::vector<security_rule>& rules, findings& out) {
    for (std::size_t i = 0; i < rules.size(); ++i) check_rule(list + "[" + std::to_string(i) + "]", t, rules[i], out);
}

std::size_t rules_of_port(const tenant& t, const tenant_port& p) {
    std::size_t all = 0;
    for (const auto& name : groups_of(t, p))
        if (const auto group = t.security_groups.find(name); group != t.security_groups.end())
            all += group->second.ingress.size() + (group->second.egress ? group->second.egress->size() : 0);
    return all;
}

void check_port(const std::string& path, const tenant& t, const tenant_port& p, findings& out) {
    for (const auto& group : p.security_groups)
        if (!t.security_groups.count(group))
            out.error(p.place, path + ".security-groups", group, "is an unknown security group",
                      keys_of(t.security_groups));
    if (!p.port_security && !p.security_groups.empty())
        out.error(p.place, path + ".security-groups", p.security_groups.front(),
                  "would not be enforced: the port has port-security: false", "no groups, or port-security: true");
    if (p.allowed_addresses.size() > most_allowed_addresses)
        out.error(p.place, path + ".allowed-addresses", std::to_string(p.allowed_addresses.size()), "are too many",
                  "at most " + std::to_string(most_allowed_addresses));
    if (const auto rules = rules_of_port(t, p); rules > most_rules_of_port)
        out.error(p.place, path + ".security-groups", std::to_string(rules) + " rules", "are too many for one port",
                  "at most " + std::to_string(most_rules_of_port) + " in all its groups together");
    for (std::size_t i = 0; i < p.allowed_addresses.size(); ++i) {
        const auto& pair = p.allowed_addresses[i];
        const auto at = path + ".allowed-addresses[" + std::to_string(i) + "]";
        if (pair.mac && (pair.mac->is_multicast() || pair.mac->is_zero()))
            out.error(pair.place, at + ".mac", pair.mac->to_string(), "is not a unicast MAC address",
                      "like 02:00:00:00:00:01");
        if (pair.address.network() != pair.address)
            out.error(pair.place, at + ".address", pair.address.to_string(), "is misaligned",
                      pair.address.network().to_string());
    }
}

}  // namespace

void validate_groups(const std::string& tenant_name, const tenant& t, findings& out) {
    for (const auto& [name, group] : t.security_groups) {
        const auto path = "tenants." + tenant_name + ".security-groups." + name;
        const auto rules = group.ingress.size() + (group.egress ? group.egress->size() : 0);
        if (rules > most_rules)
            out.error(group.place, path, std::to_string(rules) + " rules", "are too many",
                      "at most " + std::to_string(most_rules));
        check_rules(path + ".ingress", t, group.ingress, out);
        if (group.egress) check_rules(path + ".egress", t, *group.egress, out);
    }
    for (const auto& [name, p] : t.ports) check_port("tenants." + tenant_name + ".ports." + name, t, p, out);
}

// The port that brings a node over its bound is the one that is told.
void validate_node_bounds(const fabric& f, findings& out) {
    struct sum {
        std::size_t pairs = 0, rules = 0;
    };
    std::map<std::string, sum> nodes;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, port] : t.ports) {
            const auto& p = port;  // a lambda takes no structured binding in every compiler
            auto& all = nodes[p.node];
            const auto path = "tenants." + tenant_name + ".ports." + name;
            const auto bound = [&](std::size_t& n, std::size_t more, std::size_t most, const char* key, const char* what) {
                if (n <= most && n + more > most)
                    out.error(p.place, path + key, std::to_string(n + more) + what,
                              "are too many for the node " + p.node, "at most " + std::to_string(most) + " of all its ports together");
                n += more;
            };
            bound(all.pairs, p.allowed_addresses.size(), most_allowed_addresses_of_node, ".allowed-addresses", " allowed addresses");
            bound(all.rules, rules_of_port(t, p), most_rules_of_node, ".security-groups", " rules");
        }
}

}  // namespace weft::roles
