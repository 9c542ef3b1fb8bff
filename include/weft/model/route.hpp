// SPDX-License-Identifier: Apache-2.0
// Addresses, routes, nexthop objects, policy rules and neighbours as values, for one namespace. Terms of ip(8).
// `protocol` is the mark: weft's own number is weft_protocol in routes, rules, neighbours and (where the kernel has
// IFA_PROTO, 5.18) addresses. May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <optional>
#include <vector>

namespace weft {

// Our routing protocol number; unassigned in Linux's include/uapi/linux/rtnetlink.h and iproute2's rt_protos.
inline constexpr std::uint8_t weft_protocol = 87;
// Our link group (IFLA_GROUP): "weft" as a number, unlikely to be anybody's choice by hand.
inline constexpr std::uint32_t weft_link_group = 0x77656674;

struct address_entry {
    std::string device;
    ip_prefix address;
    std::uint8_t scope = 0;             // 0 global, 253 link, 254 host
    std::optional<ip_address> broadcast;
    std::uint8_t protocol = 0;          // IFA_PROTO
    std::uint32_t flags = 0;            // IFA_F_*, those that somebody chooses; only IFA_F_NODAD and NOPREFIXROUTE are set by us
    std::optional<ip_address> peer;     // the other end, where it is not the address itself
    std::string label;                  // IPv4, where it is not the device's name
    std::uint32_t metric = 0;           // of the connected route; 0: the kernel's
    bool passing = false;               // seen only: it has a lifetime, or the kernel made it (link-local, from advertisements)
    friend bool operator==(const address_entry&, const address_entry&) = default;
};

struct nexthop {
    std::optional<ip_address> gateway;
    std::string device;
    std::uint8_t weight = 0;  // hops: 0 means 1
    bool onlink = false;
    std::vector<std::uint8_t> rest;     // attributes that the model does not know, as the kernel gave them
    friend bool operator==(const nexthop&, const nexthop&) = default;
};

struct route {
    ip_prefix destination;              // 0.0.0.0/0 or ::/0 is the default route
    std::uint32_t table = 254;          // RT_TABLE_MAIN
    std::uint32_t metric = 0;           // 0: the family's default
    std::uint8_t scope = 0;             // RT_SCOPE_UNIVERSE; 253 link
    std::uint8_t type = 1;              // RTN_UNICAST; 6 blackhole, 7 unreachable, 8 prohibit
    std::uint8_t protocol = weft_protocol;
    std::optional<ip_address> preferred_source;
    std::uint32_t nexthop_id = 0;       // a nexthop object; then `nexthops` is empty
    std::vector<nexthop> nexthops;      // one, or several for multipath
    std::optional<std::uint32_t> mtu;
    std::uint8_t tos = 0;
    std::vector<std::uint8_t> rest;     // attributes that the model does not know, as the kernel gave them
    bool passing = false;               // seen only: it has a lifetime
    friend bool operator==(const route&, const route&) = default;
};

struct nexthop_object {
    std::uint32_t id = 0;
    nexthop hop;                            // where `group` is empty
    std::vector<std::uint32_t> group;       // ids: equal-cost members
    bool v6 = false;
    std::uint8_t protocol = weft_protocol;
    friend bool operator==(const nexthop_object&, const nexthop_object&) = default;
};

struct rule {
    bool v6 = false;
    std::uint32_t priority = 0;
    std::optional<ip_prefix> from, to;
    std::string input_device, output_device;
    std::optional<std::uint32_t> fwmark, fwmask;
    std::uint32_t table = 254;
    std::uint8_t action = 1;            // FR_ACT_TO_TBL
    std::optional<std::int32_t> suppress_prefix_length;
    bool invert = false;
    std::uint8_t tos = 0;
    std::vector<std::uint8_t> rest;     // attributes that the model does not know, as the kernel gave them
    std::uint8_t protocol = weft_protocol;
    friend bool operator==(const rule&, const rule&) = default;
};

struct neighbour {
    std::string device;
    ip_address address;
    std::optional<mac_address> mac;
    std::uint16_t state = 0x80;         // NUD_PERMANENT
    std::uint8_t flags = 0;             // NTF_PROXY 8, NTF_SELF 2 (a bridge's FDB)
    bool fdb = false;                   // family AF_BRIDGE: `mac` is the key, `address` the remote VTEP
    std::uint8_t protocol = weft_protocol;
    friend bool operator==(const neighbour&, const neighbour&) = default;
};

}  // namespace weft
