// SPDX-License-Identifier: Apache-2.0
// Open vSwitch rows and OpenFlow flows as values. Column names are those of ovs-vswitchd.conf.db(5).
// Of the maps (other_config, external_ids, options) only the keys named here are ever written or removed by weft; other
// keys on the same row belong to others and stay. May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <map>
#include <optional>
#include <set>
#include <vector>

namespace weft::ovs {

using string_map = std::map<std::string, std::string>;

inline constexpr std::uint16_t dead_vlan = 4095;  // of a port that belongs to no network

struct interface_row {
    std::string name;
    std::string type;                       // "" (system), internal, patch, gre, vxlan, geneve, tap, …
    string_map options;                     // remote_ip, local_ip, key, peer, …
    string_map external_ids;                // iface-id, attached-mac, …
    std::optional<mac_address> mac;         // internal ports only
    std::optional<std::uint32_t> mtu_request;
    std::optional<std::uint32_t> ofport_request;
    // Seen only.
    std::optional<std::int64_t> ofport;     // -1: vswitchd could not open the device; unset: not yet tried
    std::string error;                      // vswitchd's own words
    friend bool operator==(const interface_row&, const interface_row&) = default;
};

struct port_row {
    std::string name;
    std::optional<std::uint16_t> tag;       // 0 to 4095; 4095 is the dead VLAN
    std::set<std::uint16_t> trunks;
    std::string vlan_mode;                  // "" unset, access, trunk, native-tagged, native-untagged
    string_map other_config;
    string_map external_ids;
    std::vector<interface_row> interfaces;  // one; several make an OVS bond
    friend bool operator==(const port_row&, const port_row&) = default;
};

struct bridge_row {
    std::string name;
    std::string datapath_type;              // "system" or "netdev"
    std::string fail_mode;                  // "secure", "standalone" or "" (unset, which acts as standalone)
    std::set<std::string> protocols;        // OpenFlow13, …
    string_map other_config;                // hwaddr, disable-in-band, …
    string_map external_ids;
    std::vector<port_row> ports;            // sorted by name; the local port (same name as the bridge) is implied
    std::set<std::string> controllers;      // seen only: the targets, which somebody else set
    std::optional<std::uint32_t> mtu_request;  // of the local port; without it vswitchd lowers its MTU to the lowest of the bridge's ports
    friend bool operator==(const bridge_row&, const bridge_row&) = default;
};

// One flow. Match and actions are in ovs-ofctl(8) syntax; ports may be named ("in_port=patch-int"). Comparison is made on
// the canonical text that the flow codec (weft/ovs/flows.hpp) gives for both sides.
struct flow {
    std::uint64_t cookie = 0;
    std::uint8_t table = 0;
    std::uint16_t priority = 32768;
    std::uint16_t idle_timeout = 0, hard_timeout = 0;  // seconds, 0 = never
    std::string match;                      // "" matches everything
    std::string actions;                    // "drop" for none
    friend auto operator<=>(const flow&, const flow&) = default;
};

// Upper 32 bits of every cookie of ours: "weft". The switch's learned flows carry learned_cookie. A flow that serves one tenant
// port alone carries the port's register value (port_register), so that one port's flows can be told from all others:
//   ovs-ofctl dump-flows br-int cookie=0x77656674XXXXXXXX/-1
inline constexpr std::uint64_t cookie_prefix = 0x7765667400000000;
inline constexpr std::uint64_t cookie_mask = 0xffffffff00000000;
inline constexpr std::uint64_t flow_cookie = cookie_prefix | 1;
inline constexpr std::uint64_t learned_cookie = cookie_prefix | 0x6c6e;  // "ln"
constexpr std::uint64_t port_cookie(std::uint32_t port_register) { return cookie_prefix | port_register; }
// Whether the flow serves one port alone.
constexpr bool is_port_cookie(std::uint64_t cookie) {
    return (cookie & cookie_mask) == cookie_prefix && cookie != flow_cookie && cookie != learned_cookie && cookie != cookie_prefix;
}

// How br-int is asked whether its rules still allow a connection that it tracks: a packet of the connection goes in at these tables, with
// the conntrack zone in reg6 and `asking` in reg7. It is never delivered; where no rule accepts it, the connection is cut.
inline constexpr std::uint8_t ask_sender_table = 70, ask_receiver_table = 80;
inline constexpr std::uint8_t sender_rules_table = 72, receiver_rules_table = 82;  // where the rules are
inline constexpr std::uint32_t asking = 0xffffffff;

// The external_ids that mark a row as ours.
inline constexpr const char* mark_fabric = "weft-fabric";
inline constexpr const char* mark_object = "weft-object";
// The other_config key of a port that somebody else plugged and weft bound: its row is its owner's.
inline constexpr const char* mark_bound = "weft-bound";

}  // namespace weft::ovs
