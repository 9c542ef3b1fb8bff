// SPDX-License-Identifier: Apache-2.0
// A probe that must not fail because of a change: what the file's `checks` say for one node, with the place that it is sent
// from. May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <cstdint>
#include <string>

namespace weft {

struct host_check {
    std::string kind;        // "ping", "arp", "tcp"
    ip_address target;
    std::uint16_t port = 0;  // tcp
    std::string space;       // the namespace that it is sent from; "" = the host's own
    std::string device;      // arp: on whose segment it asks
    bool full_mtu = false;   // ping: with DF, and as large as the way's MTU
    std::uint32_t mtu = 0;   // full_mtu: bytes of the whole IP packet; 0 = the MTU of the device that the route leaves by
    std::string to_string() const;  // "ping 10.0.0.1 (1500 bytes, DF) from qrouter-…"
    friend bool operator==(const host_check&, const host_check&) = default;
};

}  // namespace weft
