// SPDX-License-Identifier: Apache-2.0
// ICMP of both families as bytes and words: echo requests to send, and what a router's error says. Pure. May include: core.
#pragma once

#include <linux/icmp.h>
#include <netinet/icmp6.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft::probe {

// `size` bytes behind the header. The checksum of ICMPv6 needs the addresses, and is left to the kernel, which writes it itself.
std::vector<std::uint8_t> echo_request(bool v6, std::uint16_t id, std::uint16_t sequence, std::uint16_t size);

// "host unreachable", "packet too big, MTU 1400".
std::string error_text(const icmphdr&);
std::string error_text(const icmp6_hdr&);

}  // namespace weft::probe
