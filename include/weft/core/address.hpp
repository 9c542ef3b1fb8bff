// SPDX-License-Identifier: Apache-2.0
// IP addresses, prefixes and MAC addresses as values: parse, print, compare. IPv4 and IPv6 alike.
// May include: std, the address headers of Boost.Asio.
#pragma once

#include "weft/core/error.hpp"

#include <boost/asio/ip/address.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace weft {

using ip_address = boost::asio::ip::address;

// Strict: dotted quad or RFC 4291 text; no zone, no surrounding blanks.
result<ip_address> parse_ip(std::string_view text);

// An address with a prefix length: an interface address (10.0.0.1/24) or a network (10.0.0.0/24).
struct ip_prefix {
    ip_address address;
    std::uint8_t length = 0;

    bool is_v6() const { return address.is_v6(); }
    std::uint8_t max_length() const { return is_v6() ? 128 : 32; }
    ip_prefix network() const;               // host bits cleared
    bool contains(const ip_address&) const;  // false for the other family
    bool overlaps(const ip_prefix&) const;
    std::string to_string() const;  // "10.0.0.0/24"

    friend bool operator==(const ip_prefix&, const ip_prefix&) = default;
    friend auto operator<=>(const ip_prefix& a, const ip_prefix& b) {
        if (a.address < b.address) return std::strong_ordering::less;
        if (b.address < a.address) return std::strong_ordering::greater;
        return a.length <=> b.length;
    }
};

// "ADDRESS/LENGTH"; a bare address gets the full length. Host bits are kept.
result<ip_prefix> parse_prefix(std::string_view text);

// The n-th address after `base` (n may be negative). Wraps silently at the ends of the family.
ip_address advance(const ip_address& base, std::int64_t n);
// a - b within one family, saturated to int64.
std::int64_t distance(const ip_address& a, const ip_address& b);

struct mac_address {
    std::array<std::uint8_t, 6> bytes{};

    bool is_zero() const { return *this == mac_address{}; }
    bool is_multicast() const { return (bytes[0] & 1) != 0; }
    std::string to_string() const;  // "02:00:00:00:00:01"
    friend auto operator<=>(const mac_address&, const mac_address&) = default;
};

result<mac_address> parse_mac(std::string_view text);

}  // namespace weft
