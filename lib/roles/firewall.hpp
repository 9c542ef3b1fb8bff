// SPDX-License-Identifier: Apache-2.0
// What the two parts of the firewall share: its tables in br-int (numbers of Neutron's driver, DATAPLANE 7.1) and a
// port's rules as flows. Pure. May include: core, model.
#pragma once

#include "roles/compile.hpp"
#include "roles/groups.hpp"

namespace weft::roles::firewall {

inline constexpr std::uint8_t nd_source = 24, begin = 60;
inline constexpr std::uint8_t egress = 71, egress_rules = 72, egress_accepted = 73, flood = 74;
inline constexpr std::uint8_t ingress = 81, ingress_rules = 82, ingress_accepted = 83;
inline constexpr std::uint8_t deliver = 92, forward = 94;  // 94: to ports that are not filtered, and to the tunnels

inline constexpr std::uint16_t plain_rule = 70, group_rule = 60;  // priorities

// A port in registers: reg5 is the first 32 bits of its UUID, which outlive the switch's port numbers.
struct protected_port {
    const tenant& t;
    const tenant_port& port;
    std::string path;    // of the object
    std::string device;  // its name in br-int
    std::uint32_t id = 0;
    std::uint16_t vlan = 0;
};

std::string reg5(std::uint32_t id);  // as a match
void add_rules(compilation&, const protected_port&, direction);

}  // namespace weft::roles::firewall
