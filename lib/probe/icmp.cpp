// SPDX-License-Identifier: Apache-2.0
// Implements icmp.hpp. Constants are of linux/icmp.h, netinet/icmp6.h, and for the codes of "unreachable" RFC 792 and RFC 1812.
#include "probe/icmp.hpp"

#include "probe/socket.hpp"

#include <fmt/format.h>

#include <netinet/in.h>

#include <cstring>
#include <map>

namespace weft::probe {

std::vector<std::uint8_t> echo_request(bool v6, std::uint16_t id, std::uint16_t sequence, std::uint16_t size) {
    // Both headers are of 8 bytes.
    std::vector<std::uint8_t> packet(sizeof(icmphdr) + size, 0x77);
    if (v6) {
        icmp6_hdr header{};
        static_assert(sizeof header == sizeof(icmphdr));
        header.icmp6_type = ICMP6_ECHO_REQUEST;
        header.icmp6_id = htons(id);
        header.icmp6_seq = htons(sequence);
        std::memcpy(packet.data(), &header, sizeof header);
        return packet;
    }
    icmphdr header{};
    header.type = ICMP_ECHO;
    header.un.echo.id = htons(id);
    header.un.echo.sequence = htons(sequence);
    std::memcpy(packet.data(), &header, sizeof header);
    header.checksum = internet_checksum(packet.data(), packet.size());
    std::memcpy(packet.data(), &header, sizeof header);
    return packet;
}

std::string error_text(const icmphdr& header) {
    static const std::map<int, const char*> unreachable{{0, "network unreachable"}, {1, "host unreachable"}, {2, "protocol unreachable"},
        {3, "port unreachable"}, {4, "fragmentation needed"}, {9, "network prohibited"}, {10, "host prohibited"}, {13, "administratively prohibited"}};
    if (header.type == ICMP_DEST_UNREACH) {
        const auto found = unreachable.find(header.code);
        const std::string text = found == unreachable.end() ? fmt::format("unreachable, code {}", header.code) : found->second;
        return header.code == ICMP_FRAG_NEEDED ? fmt::format("{}, MTU {}", text, ntohs(header.un.frag.mtu)) : text;
    }
    return header.type == ICMP_TIME_EXCEEDED ? "time exceeded" : fmt::format("ICMP type {}", header.type);
}

std::string error_text(const icmp6_hdr& header) {
    switch (header.icmp6_type) {
        case ICMP6_PACKET_TOO_BIG: return fmt::format("packet too big, MTU {}", ntohl(header.icmp6_mtu));
        case ICMP6_TIME_EXCEEDED: return "time exceeded";
        case ICMP6_DST_UNREACH: return fmt::format("unreachable, code {}", header.icmp6_code);
        default: return fmt::format("ICMPv6 type {}, code {}", header.icmp6_type, header.icmp6_code);
    }
}

}  // namespace weft::probe
