// SPDX-License-Identifier: Apache-2.0
// Raw frames for the tests of anti-spoofing: builders with every field open to forgery and correct checksums, a sender and a
// collector on a device of a member. May include: core, netlink. Errors of the sockets fail the test case.
#pragma once

#include "weft/core/address.hpp"
#include "weft/netlink/namespaces.hpp"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace weft::test {

using bytes = std::vector<std::uint8_t>;

inline void put16(bytes& b, unsigned v) { b.push_back(static_cast<std::uint8_t>(v >> 8)), b.push_back(static_cast<std::uint8_t>(v)); }
inline void put(bytes& b, const bytes& more) { b.insert(b.end(), more.begin(), more.end()); }
inline void put(bytes& b, const mac_address& m) { b.insert(b.end(), m.bytes.begin(), m.bytes.end()); }
inline void put(bytes& b, const ip_address& a) {
    if (a.is_v4()) for (const auto x : a.to_v4().to_bytes()) b.push_back(x);
    else for (const auto x : a.to_v6().to_bytes()) b.push_back(x);
}
inline mac_address mac(const std::string& text) { return parse_mac(text).value(); }
inline ip_address ip(const std::string& text) { return parse_ip(text).value(); }
inline const mac_address everybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

inline std::uint16_t checksum(const bytes& b) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < b.size(); ++i) sum += static_cast<std::uint32_t>(b[i]) << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

inline bytes ethernet(const mac_address& to, const mac_address& from, unsigned type, const bytes& payload) {
    bytes b;
    put(b, to), put(b, from), put16(b, type), put(b, payload);
    return b;
}

// An IP packet of either family around `payload`, whose own checksum at `at` is filled in over the pseudo header.
inline bytes packet(const ip_address& from, const ip_address& to, std::uint8_t protocol, bytes payload, std::size_t at, std::uint8_t hops = 255) {
    bytes pseudo;
    if (from.is_v6() || protocol == 17 || protocol == 6) {
        put(pseudo, from), put(pseudo, to);
        put16(pseudo, static_cast<unsigned>(payload.size())), put16(pseudo, protocol);
    }
    put(pseudo, payload);
    const auto sum = checksum(pseudo);
    payload[at] = static_cast<std::uint8_t>(sum >> 8), payload[at + 1] = static_cast<std::uint8_t>(sum);
    bytes b;
    if (from.is_v6()) {
        b = {0x60, 0, 0, 0};
        put16(b, static_cast<unsigned>(payload.size()));
        b.push_back(protocol), b.push_back(hops);
        put(b, from), put(b, to);
    } else {
        b = {0x45, 0};
        put16(b, static_cast<unsigned>(20 + payload.size()));
        put(b, bytes{0, 0, 0x40, 0, hops, protocol, 0, 0});
        put(b, from), put(b, to);
        const auto header = checksum(b);
        b[10] = static_cast<std::uint8_t>(header >> 8), b[11] = static_cast<std::uint8_t>(header);
    }
    put(b, payload);
    return b;
}

inline bytes udp(const ip_address& from, const ip_address& to, unsigned source, unsigned target, const bytes& text) {
    bytes b;
    put16(b, source), put16(b, target), put16(b, static_cast<unsigned>(8 + text.size())), put16(b, 0);
    put(b, text);
    return packet(from, to, 17, b, 6);
}

// The first packet of a TCP connection, with text as its data.
inline bytes tcp(const ip_address& from, const ip_address& to, unsigned source, unsigned target, const bytes& text) {
    bytes b;
    put16(b, source), put16(b, target);
    put(b, bytes{0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0}), put(b, text);
    return packet(from, to, 6, b, 16);
}

inline bytes icmp6(const ip_address& from, const ip_address& to, std::uint8_t type, const bytes& body) {
    bytes b = {type, 0, 0, 0};
    put(b, body);
    return packet(from, to, 58, b, 2);
}

// An IPv6 packet with one more header before its payload; `rest` is the header but for its first two bytes.
inline bytes behind(bytes whole, std::uint8_t type, bytes rest) {
    bytes header = {whole[6], static_cast<std::uint8_t>(type == 44 ? 0 : (rest.size() + 2) / 8 - 1)};
    put(header, rest);
    whole[6] = type;
    const auto size = static_cast<unsigned>((whole[4] << 8 | whole[5]) + header.size());
    whole[4] = static_cast<std::uint8_t>(size >> 8), whole[5] = static_cast<std::uint8_t>(size);
    whole.insert(whole.begin() + 40, header.begin(), header.end());
    return whole;
}

// A packet of either family as two fragments, the first with the ports or the type; smaller first ones are refused by the
// userspace switch.
inline std::pair<bytes, bytes> in_pieces(const bytes& whole, unsigned id) {
    constexpr std::size_t cut = 1280;
    const bool v6 = whole[0] >> 4 == 6;
    const std::size_t header = v6 ? 40 : 20;
    const auto piece = [&](std::size_t from, std::size_t to, bool more) {
        bytes b(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(header));
        put(b, bytes(whole.begin() + static_cast<std::ptrdiff_t>(header + from), whole.begin() + static_cast<std::ptrdiff_t>(header + to)));
        if (v6) {
            const auto size = to - from;
            b[4] = static_cast<std::uint8_t>(size >> 8), b[5] = static_cast<std::uint8_t>(size);
            return behind(b, 44, {static_cast<std::uint8_t>(from >> 8), static_cast<std::uint8_t>(from | (more ? 1 : 0)), 0, 0, 0x77,
                                  static_cast<std::uint8_t>(id)});
        }
        b[2] = static_cast<std::uint8_t>(b.size() >> 8), b[3] = static_cast<std::uint8_t>(b.size());
        b[4] = 0x77, b[5] = static_cast<std::uint8_t>(id);
        b[6] = more ? 0x20 : 0, b[7] = static_cast<std::uint8_t>(from / 8);
        b[10] = b[11] = 0;
        const auto sum = checksum(bytes(b.begin(), b.begin() + 20));
        b[10] = static_cast<std::uint8_t>(sum >> 8), b[11] = static_cast<std::uint8_t>(sum);
        return b;
    };
    return {piece(0, cut, true), piece(cut, whole.size() - header, false)};
}

// An ARP request or answer; `tag` is a padding that tells frames apart.
inline bytes arp(unsigned operation, const mac_address& sender, const ip_address& address, const ip_address& target, const bytes& tag) {
    bytes b = {0, 1, 8, 0, 6, 4};
    put16(b, operation), put(b, sender), put(b, address), put(b, mac_address{}), put(b, target), put(b, tag);
    return b;
}

// A neighbour solicitation's or advertisement's body: flags, target, and the option (1 source, 2 target) unless `own` is unset.
inline bytes neighbour_body(bool advertisement, const ip_address& target, const std::optional<mac_address>& own, const bytes& tag) {
    bytes b = {static_cast<std::uint8_t>(advertisement ? 0x20 : 0), 0, 0, 0};
    put(b, target);
    if (own) b.push_back(advertisement ? 2 : 1), b.push_back(1), put(b, *own);
    // A nonce option (RFC 3971) bears the tag.
    b.push_back(14), b.push_back(1), put(b, tag);
    return b;
}

// A packet socket on a device of a member, open until the end of the test case.
class wire {
public:
    wire(const netlink::namespace_handle& at, const std::string& device) {
        REQUIRE(netlink::run_in(at, [&]() -> result<void> {
                    fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0003));
                    sockaddr_ll to{};
                    to.sll_family = AF_PACKET;
                    to.sll_protocol = htons(0x0003);
                    to.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
                    if (fd_ < 0 || to.sll_ifindex == 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0)
                        return errno_error(errno, "open packet socket", device);
                    return {};
                }).has_value());
    }
    ~wire() { ::close(fd_); }
    wire(const wire&) = delete;
    wire& operator=(const wire&) = delete;

    void send(bytes frame) const {
        frame.resize(std::max<std::size_t>(frame.size(), 60));
        REQUIRE(::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
    }
    // For other threads than the test's own.
    bool try_send(bytes frame) const {
        frame.resize(std::max<std::size_t>(frame.size(), 60));
        return ::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
    }
    // All frames that came in, until one satisfies `last` and 150 ms more, or until the time is over.
    template <class Last>
    std::vector<bytes> collect(Last last, std::chrono::milliseconds patience = std::chrono::milliseconds(3000)) const {
        using clock = std::chrono::steady_clock;
        auto end = clock::now() + patience;
        std::vector<bytes> all;
        for (bool seen = false; all.size() < 10000;) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - clock::now()).count();
            pollfd wait{fd_, POLLIN, 0};
            if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0) break;
            std::uint8_t buffer[2048];
            sockaddr_ll from{};
            socklen_t size = sizeof from;
            const auto n = ::recvfrom(fd_, buffer, sizeof buffer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
            if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
            all.emplace_back(buffer, buffer + n);
            if (!seen && last(all.back())) seen = true, end = std::min(end, clock::now() + std::chrono::milliseconds(150));
        }
        return all;
    }

private:
    int fd_ = -1;
};

}  // namespace weft::test
