// SPDX-License-Identifier: Apache-2.0
// Building and reading of netlink messages and their attributes, without any socket. May include: core, libmnl, std.
// A builder cannot fail; readers check every length and give nothing (nullopt, zero) for an attribute of the wrong size.
#pragma once

#include "weft/core/address.hpp"

// Open vSwitch's headers wrap this one and define nla_bitfield32 once more unless told that the system has it.
#ifndef HAVE_NLA_BITFIELD32
#define HAVE_NLA_BITFIELD32 1
#endif
#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft::wire {

using byte_span = std::span<const std::uint8_t>;

class message {
public:
    message(std::uint16_t type, std::uint16_t flags);

    // Appends a fixed header (ifinfomsg, rtmsg, …), padded to four bytes.
    template <class T>
    message& header(const T& value) {
        append(&value, sizeof value);
        return *this;
    }
    message& put(std::uint16_t type, const void* data, std::size_t size);
    message& flag(std::uint16_t type) { return put(type, nullptr, 0); }
    message& u8(std::uint16_t type, std::uint8_t v) { return put(type, &v, sizeof v); }
    message& u16(std::uint16_t type, std::uint16_t v) { return put(type, &v, sizeof v); }
    message& u32(std::uint16_t type, std::uint32_t v) { return put(type, &v, sizeof v); }
    message& be16(std::uint16_t type, std::uint16_t v);
    message& be32(std::uint16_t type, std::uint32_t v);
    message& text(std::uint16_t type, std::string_view v);  // with its terminating zero
    message& ip(std::uint16_t type, const ip_address&);     // 4 or 16 bytes
    message& mac(std::uint16_t type, const mac_address&);

    std::size_t begin(std::uint16_t type);  // a nest; the result goes to end()
    void end(std::size_t nest);

    // Bytes without netlink header or nest header, for rtnexthop and the peer's ifinfomsg.
    std::size_t append(const void* data, std::size_t size);
    std::uint8_t* at(std::size_t offset) { return bytes_.data() + offset; }
    std::size_t size() const { return bytes_.size(); }

    std::uint16_t type() const;
    // The finished message: its length and sequence number are written here.
    const std::vector<std::uint8_t>& finish(std::uint32_t sequence);

private:
    std::vector<std::uint8_t> bytes_;
};

// One attribute as read; empty when absent.
class attribute {
public:
    attribute() = default;
    explicit attribute(byte_span payload) : payload_(payload), present_(true) {}
    explicit operator bool() const { return present_; }
    byte_span payload() const { return payload_; }
    std::optional<std::uint8_t> u8() const { return number<std::uint8_t>(); }
    std::optional<std::uint16_t> u16() const { return number<std::uint16_t>(); }
    std::optional<std::uint32_t> u32() const { return number<std::uint32_t>(); }
    std::optional<std::uint16_t> be16() const;
    std::optional<std::uint32_t> be32() const;
    std::string text() const;                 // up to the first zero
    std::optional<ip_address> ip() const;     // by its size
    std::optional<mac_address> mac() const;   // six bytes only

private:
    template <class T>
    std::optional<T> number() const {
        if (!present_ || payload_.size() < sizeof(T)) return std::nullopt;
        T v;
        std::memcpy(&v, payload_.data(), sizeof v);
        return v;
    }
    byte_span payload_;
    bool present_ = false;
};

// The attributes of a message or nest, by number; the last of equal numbers wins, numbers above the table are left out.
class attributes {
public:
    explicit attributes(byte_span bytes);
    const attribute& operator[](std::size_t type) const { return type < table_.size() ? table_[type] : table_[0]; }
    attributes nested(std::size_t type) const { return attributes((*this)[type].payload()); }

private:
    std::array<attribute, 80> table_;  // number 0 stays empty: it is "unspecified" in every rtnetlink table
};

// The attributes whose numbers are none of these, as they are, each padded to four bytes: message::append takes them again.
std::vector<std::uint8_t> other_attributes(byte_span, std::initializer_list<std::uint16_t> known);

// What follows the netlink header and a fixed header of type T; nullopt when the message is too short for it.
template <class T>
std::optional<std::pair<T, byte_span>> split(const nlmsghdr* header) {
    constexpr std::size_t padded = (sizeof(T) + 3) & ~std::size_t{3};
    if (header->nlmsg_len < NLMSG_HDRLEN + sizeof(T)) return std::nullopt;
    const auto* begin = reinterpret_cast<const std::uint8_t*>(header) + NLMSG_HDRLEN;
    const std::size_t size = header->nlmsg_len - NLMSG_HDRLEN;
    std::pair<T, byte_span> out;
    std::memcpy(&out.first, begin, sizeof(T));
    out.second = size > padded ? byte_span(begin + padded, size - padded) : byte_span();
    return out;
}

// Names to interface numbers (0: unknown) and back ("" : unknown), within one namespace.
using index_of = std::function<std::uint32_t(const std::string&)>;
using name_of = std::function<std::string(std::uint32_t)>;

}  // namespace weft::wire
