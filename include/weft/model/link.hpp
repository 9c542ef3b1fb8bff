// SPDX-License-Identifier: Apache-2.0
// Network links (devices) as values, one options struct per kind. Names follow ip-link(8).
// An unset optional means "leave to the kernel" when wanted, and "not reported" when seen.
// May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace weft {

// A link that weft does not create: a NIC, or any kind it does not know. `kind` is the kernel's word, may be empty.
struct physical_options { std::string kind; friend bool operator==(const physical_options&, const physical_options&) = default; };
struct bridge_options {
    std::optional<bool> stp; std::optional<std::uint32_t> forward_delay; // centiseconds (USER_HZ), as the kernel takes it
    std::optional<std::uint32_t> ageing_time; std::optional<bool> vlan_filtering; std::optional<bool> mcast_snooping;
    friend bool operator==(const bridge_options&, const bridge_options&) = default;
};
// The peer is made in the same message; peer_namespace is a named namespace ("" = that of the link).
struct veth_options {
    std::string peer; std::string peer_namespace; std::optional<mac_address> peer_mac; std::optional<std::uint32_t> peer_mtu;
    friend bool operator==(const veth_options&, const veth_options&) = default;
};
struct vxlan_options {
    std::uint32_t id = 0; std::optional<ip_address> local; std::optional<ip_address> remote; std::optional<std::uint16_t> port;
    std::optional<std::uint8_t> ttl; std::optional<bool> learning; std::string device;
    friend bool operator==(const vxlan_options&, const vxlan_options&) = default;
};
struct gretap_options {
    std::optional<ip_address> local; std::optional<ip_address> remote; std::optional<std::uint32_t> key; std::optional<std::uint8_t> ttl;
    friend bool operator==(const gretap_options&, const gretap_options&) = default;
};
struct geneve_options {
    std::uint32_t id = 0; std::optional<ip_address> remote; std::optional<std::uint16_t> port; std::optional<std::uint8_t> ttl;
    friend bool operator==(const geneve_options&, const geneve_options&) = default;
};
struct vlan_options { std::uint16_t id = 0; std::string device; friend bool operator==(const vlan_options&, const vlan_options&) = default; };
struct dummy_options { friend bool operator==(const dummy_options&, const dummy_options&) = default; };
// mode: balance-rr 0, active-backup 1, balance-xor 2, broadcast 3, 802.3ad 4, balance-tlb 5, balance-alb 6 (linux/if_bonding.h)
struct bond_options { std::optional<std::uint8_t> mode; std::optional<std::uint32_t> miimon; friend bool operator==(const bond_options&, const bond_options&) = default; };
// mode: private 1, vepa 2, bridge 4, passthru 8 (linux/if_link.h)
struct macvlan_options { std::string device; std::uint32_t mode = 4; friend bool operator==(const macvlan_options&, const macvlan_options&) = default; };
struct vrf_options { std::uint32_t table = 0; friend bool operator==(const vrf_options&, const vrf_options&) = default; };
struct ifb_options { friend bool operator==(const ifb_options&, const ifb_options&) = default; };
// Keys are public ones in base64; a secret one is named by its file, and a preshared one known by its fingerprint beside.
struct wireguard_peer {
    std::string public_key;
    std::string endpoint;                // "203.0.113.1:51820", "[2001:db8::1]:51820"; "" = wherever the peer speaks from
    std::vector<ip_prefix> allowed;      // sorted
    std::uint16_t keepalive = 0;         // seconds; 0 = off
    std::string preshared, preshared_file;  // the key's fingerprint, and where it stands
    friend bool operator==(const wireguard_peer&, const wireguard_peer&) = default;
};
struct wireguard_options {
    std::string public_key, key_file;
    std::optional<std::uint16_t> port;   // UDP
    std::vector<wireguard_peer> peers;   // by public key
    bool userspace = false;              // wireguard-go serves it, as the kernel has no WireGuard
    friend bool operator==(const wireguard_options&, const wireguard_options&) = default;
};
// Made through /dev/net/tun, persistent. Who may open it: the owner and whoever has CAP_NET_ADMIN; without an owner and a group, anybody.
// Whether frames have a vnet header is not here: each program that opens the device chooses that anew.
struct tun_options {
    bool tap = true; std::optional<std::uint32_t> owner; std::optional<std::uint32_t> group; bool multi_queue = false;
    friend bool operator==(const tun_options&, const tun_options&) = default;
};

using link_options = std::variant<physical_options, bridge_options, veth_options, vxlan_options, gretap_options, geneve_options,
                                  vlan_options, dummy_options, bond_options, macvlan_options, vrf_options, ifb_options,
                                  wireguard_options, tun_options>;

// The kernel's word for the kind: "bridge", "veth", …; a physical_options gives its own text.
std::string kind_name(const link_options&);

struct link {
    std::string name;  // 1 to 15 bytes
    link_options options;
    std::optional<mac_address> mac;
    std::optional<std::uint32_t> mtu;    // bytes
    std::optional<std::uint32_t> group;  // IFLA_GROUP: the mark
    std::string master;                  // a link of the same namespace; "" = none
    std::string alias;                   // "weft:<fabric>/<object>"
    bool up = false;                     // IFF_UP, the administrative state
    std::optional<bool> promiscuous;
    // Offload features that must be on or off, by ethtool's string-set names ("tx-checksum-ip-generic").
    std::map<std::string, bool> features;

    // Seen only; not compared.
    std::uint32_t index = 0;
    bool carrier = false;
    std::int32_t peer_namespace_id = -1;  // IFLA_LINK_NETNSID
    std::uint32_t link_index = 0;         // IFLA_LINK

    friend bool operator==(const link&, const link&) = default;
};

// Whether `name` can be an interface name: 1 to 15 bytes, no '/', ':', '%', blank or control byte, not "." or "..".
result<void> check_link_name(std::string_view name);

}  // namespace weft
