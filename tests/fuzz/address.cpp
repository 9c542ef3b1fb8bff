// SPDX-License-Identifier: Apache-2.0
// Fuzzes the parsers of IP addresses, prefixes and MAC addresses: what parses is printed as text that parses to the same value.
#include "weft/core/address.hpp"

#include "fuzz.hpp"

using namespace weft;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = fuzz::text_of(data, size);
    if (const auto ip = parse_ip(text)) {
        const auto again = parse_ip(ip->to_string());
        must(again && *again == *ip, "a printed address parses to the same address");
    }
    if (const auto prefix = parse_prefix(text)) {
        const auto again = parse_prefix(prefix->to_string());
        must(again && *again == *prefix, "a printed prefix parses to the same prefix");
        must(prefix->length <= prefix->max_length(), "a prefix is no longer than its address");
        must(prefix->contains(prefix->address) && prefix->contains(prefix->network().address), "a prefix contains its own address");
    }
    if (const auto mac = parse_mac(text)) {
        const auto again = parse_mac(mac->to_string());
        must(again && *again == *mac, "a printed MAC address parses to the same address");
    }
    return 0;
}
