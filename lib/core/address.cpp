// SPDX-License-Identifier: Apache-2.0
// Parsing and arithmetic of addresses. Pure; every parser refuses what it does not fully understand.
#include "weft/core/address.hpp"

#include <charconv>
#include <cstdio>
#include <limits>

namespace weft {
namespace {

error bad(std::string_view text, std::string_view allowed) {
    return {errc::invalid_input, "parse", "\"" + std::string(text) + "\"", "expected " + std::string(allowed), 0};
}

std::array<std::uint8_t, 16> wide(const ip_address& a) {
    std::array<std::uint8_t, 16> out{};
    if (a.is_v6()) {
        const auto b = a.to_v6().to_bytes();
        std::copy(b.begin(), b.end(), out.begin());
    } else {
        const auto b = a.to_v4().to_bytes();
        std::copy(b.begin(), b.end(), out.begin() + 12);
    }
    return out;
}

ip_address narrow(const std::array<std::uint8_t, 16>& w, bool v6) {
    if (v6) return boost::asio::ip::address_v6(w);
    return boost::asio::ip::address_v4({w[12], w[13], w[14], w[15]});
}

}  // namespace

result<ip_address> parse_ip(std::string_view text) {
    boost::system::error_code ec;
    const auto address = boost::asio::ip::make_address(std::string(text), ec);
    if (ec || text.empty() || text.find('%') != std::string_view::npos) return bad(text, "an IPv4 or IPv6 address");
    return address;
}

ip_prefix ip_prefix::network() const {
    auto w = wide(address);
    const int offset = is_v6() ? 0 : 96;
    for (int bit = offset + length; bit < 128; ++bit) w[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
    return {narrow(w, is_v6()), length};
}

bool ip_prefix::contains(const ip_address& other) const {
    return other.is_v6() == is_v6() && ip_prefix{other, length}.network().address == network().address;
}

bool ip_prefix::overlaps(const ip_prefix& other) const {
    return length <= other.length ? contains(other.address) : other.contains(address);
}

std::string ip_prefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

result<ip_prefix> parse_prefix(std::string_view text) {
    const auto slash = text.find('/');
    auto address = parse_ip(text.substr(0, slash));
    if (!address) return bad(text, "ADDRESS/LENGTH");
    ip_prefix prefix{*address, 0};
    prefix.length = prefix.max_length();
    if (slash == std::string_view::npos) return prefix;
    const auto digits = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (ec != std::errc{} || end != digits.data() + digits.size() || length > prefix.max_length()) {
        return bad(text, "a prefix length of 0 to " + std::to_string(prefix.max_length()));
    }
    prefix.length = static_cast<std::uint8_t>(length);
    return prefix;
}

ip_address advance(const ip_address& base, std::int64_t n) {
    auto w = wide(base);
    std::int64_t carry = n;
    for (int i = 15; i >= 0 && carry != 0; --i) {
        const std::int64_t sum = w[i] + (carry & 0xff);
        w[i] = static_cast<std::uint8_t>(sum & 0xff);
        carry = (carry >> 8) + (sum >> 8);
    }
    return narrow(w, base.is_v6());
}

std::int64_t distance(const ip_address& a, const ip_address& b) {
    const auto x = wide(a);
    const auto y = wide(b);
    __extension__ using wide_int = __int128;
    wide_int difference = 0;
    for (int i = 0; i < 16; ++i) difference = difference * 256 + (int(x[i]) - int(y[i]));
    if (difference > std::numeric_limits<std::int64_t>::max()) return std::numeric_limits<std::int64_t>::max();
    if (difference < std::numeric_limits<std::int64_t>::min()) return std::numeric_limits<std::int64_t>::min();
    return static_cast<std::int64_t>(difference);
}

std::string mac_address::to_string() const {
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                  bytes[5]);
    return text;
}

result<mac_address> parse_mac(std::string_view text) {
    mac_address mac;
    if (text.size() != 17) return bad(text, "a MAC address like 02:00:00:00:00:01");
    for (int i = 0; i < 6; ++i) {
        const char* at = text.data() + 3 * i;
        const auto [end, ec] = std::from_chars(at, at + 2, mac.bytes[i], 16);
        if (ec != std::errc{} || end != at + 2 || (i < 5 && at[2] != ':')) {
            return bad(text, "a MAC address like 02:00:00:00:00:01");
        }
    }
    return mac;
}

}  // namespace weft
