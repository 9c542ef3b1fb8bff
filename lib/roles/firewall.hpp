// SPDX-License-Identifier: Apache-2.0
// What the two parts of the firewall share: its tables in br-int (numbers of Neutron's driver, DATAPLANE 7.1) and a
// port's rules as flows. Pure. May include: core, model.
#pragma once

#include "roles/compile.hpp"
#include "roles/groups.hpp"

namespace weft::roles::firewall {

inline constexpr std::uint8_t nd_source = 24, begin = 60;
inline constexpr std::uint8_t egress = 71, egress_rules = ovs::sender_rules_table, egress_accepted = 73, flood = 74;
inline constexpr std::uint8_t ingress = 81, ingress_rules = ovs::receiver_rules_table, ingress_accepted = 83;
inline constexpr std::uint8_t deliver = 92, forward = 94;  // 94: to ports that are not filtered, and to the tunnels

inline constexpr std::uint16_t plain_rule = 70, group_rule = 60;  // priorities

// A port in registers: reg5 is the first 32 bits of its UUID, which outlive the switch's port numbers.
struct protected_port {
    const tenant& t;
    const tenant_port& port;
    std::string path, network;  // of the objects
    std::string device;  // its name in br-int
    std::uint32_t id = 0;
    std::uint16_t vlan = 0;
};

std::string reg5(std::uint32_t id);  // as matches
std::string reg6(std::uint16_t vlan);

// Parts of conjunctions by cookie, table and match, as one match may be part of several. The members of a group are the same to all
// ports of a network, so these ports share that part.
class conjunctions {
public:
    void add_rules(compilation&, const protected_port&, direction);  // a port's plain rules, and its parts
    void finish(compilation&) const;

private:
    std::uint32_t of_group(compilation&, const protected_port&, direction, const std::string& group, bool v6);

    std::map<std::string, std::uint32_t> ids_;  // by object; 0 = the group has no members
    std::set<std::uint32_t> used_;
    std::map<std::tuple<std::uint64_t, std::uint8_t, std::string>, std::set<std::string>> parts_;
};

}  // namespace weft::roles::firewall
