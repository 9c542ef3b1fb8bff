// SPDX-License-Identifier: Apache-2.0
// What security groups mean: which rules hold for a port, whom a remote group names, what a port may send from, and
// whether a packet passes. The firewall is compiled from these answers and the matrix is derived from them, so that the
// two cannot disagree. Pure; the fabric must be valid and complete. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"

namespace weft::roles {

inline constexpr std::size_t most_allowed_addresses = 16, most_rules = 256;  // per port, per group
// Of all groups of a port together, and of all ports of a node together: no tenant fills a node's flow tables.
inline constexpr std::size_t most_rules_of_port = 1024, most_allowed_addresses_of_node = 4096, most_rules_of_node = 65536;
inline constexpr const char* default_group = "default";

enum class direction { ingress, egress };

// The names of a port's groups: its own, else the tenant's `default` if there is one.
std::vector<std::string> groups_of(const tenant&, const tenant_port&);
// All rules of a direction, of all the port's groups. Unset: everything passes.
std::optional<std::vector<security_rule>> rules_of(const tenant&, const tenant_port&, direction);

// What a port may send from, and is reached at: its own address and IPv6 link-local, then the allowed ones.
struct identity {
    mac_address mac;
    ip_prefix address;
    friend auto operator<=>(const identity&, const identity&) = default;
};
std::vector<identity> identities_of(const tenant_port&);
// Addresses of a group's members as `port` sees them: those that reach it without translation.
std::vector<ip_prefix> members_of(const tenant&, const std::string& group, const tenant_port& port, bool v6);

// The families that a rule speaks of.
bool speaks(const tenant&, const security_rule&, bool v6);
struct port_range {
    std::uint16_t first = 0, last = 0xffff;
};
std::optional<port_range> parse_ports(const std::string&);  // "22", "8000-8080"; nothing for other text
// The protocol's number; nothing for "" and for what is no protocol.
std::optional<std::uint8_t> protocol_number(const std::string&);

// The first packet of a connection: an echo request, or one to a TCP or UDP port.
struct first_packet {
    std::string protocol;  // icmp, tcp, udp
    std::uint16_t port = 0;
    ip_address remote;     // the other end, as the port sees it
};
bool passes(const tenant&, const tenant_port&, direction, const first_packet&);

}  // namespace weft::roles
