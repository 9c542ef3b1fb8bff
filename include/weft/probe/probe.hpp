// SPDX-License-Identifier: Apache-2.0
// Active checks from a given namespace: ICMP echo with DF at a size, TCP connect, UDP echo and ARP. Results are values: an
// unanswered probe is an answer, not an error; errors are what kept a probe from being tried at all (no such namespace, no
// permission). Probes of one run go out side by side. Both families; ARP is IPv4's. May include: core, netlink.
#pragma once

#include "weft/core/address.hpp"
#include "weft/netlink/namespaces.hpp"

#include <chrono>
#include <span>

namespace weft::probe {

enum class kind { icmp, tcp, udp };

struct request {
    const netlink::namespace_handle* from = nullptr;  // must outlive the run
    probe::kind kind = probe::kind::icmp;
    ip_address target;
    std::uint16_t port = 0;               // tcp, udp
    std::uint16_t size = 56;              // payload bytes of an ICMP echo; the IP packet is 28 bytes longer, of IPv6 48
    bool dont_fragment = false;           // DF, and the path MTU that the kernel remembers is not believed
    std::uint32_t mark = 0;               // SO_MARK, for policy routing of the probe alone
    std::chrono::milliseconds patience{3000};  // a probe ends at the first reply, or after this
    std::chrono::milliseconds interval{150};   // between two sends (TCP: 200 ms at least, then the kernel's own repeats)
};

struct answer {
    bool replied = false;
    bool refused = false;                 // TCP reset or UDP port unreachable: packets passed, nobody took them
    bool no_route = false;                // the source's kernel had no route, so that nothing left
    unsigned sent = 0;                    // how many packets the source's kernel took
    std::chrono::microseconds round_trip{0};
    std::string detail;                   // "0.21 ms", or the last error seen
};

// Something that takes TCP connections, or echoes UDP, during the run. A port that is taken already counts as listening.
struct listener {
    const netlink::namespace_handle* at = nullptr;
    probe::kind kind = probe::kind::tcp;
    std::uint16_t port = 0;
    friend bool operator==(const listener&, const listener&) = default;
};

// All requests side by side; one answer for each, in order. Errors: permission_denied, system_error.
result<std::vector<answer>> run(std::span<const request> requests, std::span<const listener> listeners = {});

// One request alone. Equivalent to: ping -M do -s SIZE TARGET; nc -z TARGET PORT.
result<answer> icmp(const netlink::namespace_handle& from, const ip_address& target, std::uint16_t size = 56,
                    bool dont_fragment = false, std::chrono::milliseconds patience = std::chrono::seconds(3));
result<answer> tcp(const netlink::namespace_handle& from, const ip_address& target, std::uint16_t port,
                   std::chrono::milliseconds patience = std::chrono::seconds(3));

// The MTU of the device that a packet to the target leaves by: what the link carries, whatever smaller path MTU the kernel remembers.
// Errors: not_found (no route), unsupported (IPv6).
result<std::uint32_t> way_mtu(const netlink::namespace_handle& from, const ip_address& target);

// Who has that address on the device's segment; a duplicate address shows as several MACs. Equivalent to: arping -I DEVICE ADDRESS.
struct arp_answer {
    std::vector<mac_address> macs;        // each that answered, sorted
    unsigned sent = 0;
};
struct arp_request {
    const netlink::namespace_handle* from = nullptr;  // must outlive the run
    std::string device;
    ip_address target;
    std::chrono::milliseconds patience{600};
    bool first_only = false;              // ends at the first answer, as who only asks whether anybody is there needs no second
};
// All side by side; one answer for each, in order. Errors: not_found (no such device), permission_denied, unsupported (IPv6).
result<std::vector<arp_answer>> arp(std::span<const arp_request> requests);
result<arp_answer> arp(const netlink::namespace_handle& from, const std::string& device, const ip_address& target,
                       std::chrono::milliseconds patience = std::chrono::milliseconds(600));

}  // namespace weft::probe
