// SPDX-License-Identifier: Apache-2.0
// Where a UDP program is found, as a value: parse, print, compare. May include: core.
#pragma once

#include "weft/core/address.hpp"

namespace weft {

struct udp_endpoint {
    ip_address address;
    std::uint16_t port = 0;

    std::string to_string() const;  // "192.0.2.1:51820", "[2001:db8::1]:51820"
    friend bool operator==(const udp_endpoint&, const udp_endpoint&) = default;
};

// "ADDRESS:PORT" or, of IPv6, "[ADDRESS]:PORT"; names are none, and port 0 is none. Errors: invalid_input.
result<udp_endpoint> parse_endpoint(std::string_view text);

}  // namespace weft
