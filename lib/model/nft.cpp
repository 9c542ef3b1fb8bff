// SPDX-License-Identifier: Apache-2.0
// The rule builder: each sentence becomes the expressions that the kernel would dump for it, so that a wanted rule equals
// the one read back. All matches go through register 1, as nft(8) does. saddr and daddr first match the protocol family by
// `meta nfproto`: needed in `inet` tables, harmless in `ip` and `ip6` ones, and never true in `netdev` and `bridge` tables,
// where addresses must not be matched by this builder. Pure; a name that is too long is cut, and the kernel's dump shows it.
#include "weft/model/nft.hpp"

#include "model/nft_constants.hpp"

#include <cstring>

namespace weft::nft {
namespace {

namespace k = constants;

// Registers hold 32-bit values such as marks in the byte order of the machine.
bytes native(std::uint32_t value) {
    bytes out(sizeof value);
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

expression meta_load(std::uint32_t key) {
    return {"meta", {{k::meta_key, key}, {k::meta_dreg, k::reg_1}}, {}, {}};
}

expression ct_load(std::uint32_t key) {
    return {"ct", {{k::ct_dreg, k::reg_1}, {k::ct_key, key}}, {}, {}};
}

expression payload_load(std::uint32_t base, std::uint32_t offset, std::uint32_t length) {
    return {"payload",
            {{k::payload_dreg, k::reg_1}, {k::payload_base, base}, {k::payload_offset, offset}, {k::payload_len, length}},
            {},
            {}};
}

expression compare(bytes value, bool equal) {
    return {"cmp",
            {{k::cmp_sreg, k::reg_1}, {k::cmp_op, equal ? k::cmp_eq : k::cmp_neq}},
            {{k::cmp_data, std::move(value)}},
            {}};
}

expression mask_register(bytes mask) {
    const std::uint64_t length = mask.size();
    bytes zeros(mask.size(), 0);
    return {"bitwise",
            {{k::bitwise_sreg, k::reg_1},
             {k::bitwise_dreg, k::reg_1},
             {k::bitwise_len, length},
             {k::bitwise_op, k::bitwise_mask_xor}},
            {{k::bitwise_mask, std::move(mask)}, {k::bitwise_xor, std::move(zeros)}},
            {}};
}

expression load_value(bytes value) {
    return {"immediate", {{k::immediate_dreg, k::reg_1}}, {{k::immediate_data, std::move(value)}}, {}};
}

expression verdict(std::uint32_t code) {
    return {"immediate", {{k::immediate_dreg, k::reg_verdict}, {k::immediate_verdict, code}}, {}, {}};
}

bytes address_bytes(const ip_address& address) {
    if (address.is_v6()) {
        const auto raw = address.to_v6().to_bytes();
        return {raw.begin(), raw.end()};
    }
    const auto raw = address.to_v4().to_bytes();
    return {raw.begin(), raw.end()};
}

bytes prefix_mask(const ip_prefix& prefix) {
    bytes mask(prefix.max_length() / 8, 0);
    for (unsigned bit = 0; bit < prefix.length && bit < prefix.max_length(); ++bit)
        mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | (0x80U >> (bit % 8)));
    return mask;
}

// A whole interface name is compared with its terminating zeros, which is what makes "eth1" differ from "eth10".
bytes padded_name(const std::string& name) {
    bytes out(name.begin(), name.end());
    out.resize(k::ifnamsiz, 0);
    out.back() = 0;
    return out;
}

void match_address(std::vector<expression>& out, const ip_prefix& prefix, std::uint32_t offset, bool equal) {
    const bool whole = prefix.length >= prefix.max_length();
    out.push_back(payload_load(k::network_header, offset, prefix.max_length() / 8U));
    if (!whole) out.push_back(mask_register(prefix_mask(prefix)));
    out.push_back(compare(address_bytes(whole ? prefix.address : prefix.network().address), equal));
}

void translate(std::vector<expression>& out, std::uint32_t type, const ip_address& to) {
    out.push_back(load_value(address_bytes(to)));
    out.push_back({"nat",
                   {{k::nat_type, type},
                    {k::nat_family, to.is_v6() ? k::nfproto_ipv6 : k::nfproto_ipv4},
                    {k::nat_reg_addr_min, k::reg_1},
                    {k::nat_reg_addr_max, k::reg_1},
                    {k::nat_flags, k::nat_range_map_ips}},
                   {},
                   {}});
}

}  // namespace

rule_builder& rule_builder::iifname(const std::string& name, bool equal) {
    rule_.expressions.push_back(meta_load(k::meta_iifname));
    rule_.expressions.push_back(compare(padded_name(name), equal));
    return *this;
}

rule_builder& rule_builder::oifname(const std::string& name, bool equal) {
    rule_.expressions.push_back(meta_load(k::meta_oifname));
    rule_.expressions.push_back(compare(padded_name(name), equal));
    return *this;
}

rule_builder& rule_builder::iifname_prefix(const std::string& prefix, bool equal) {
    // The kernel refuses a compare of no bytes. Every name begins with nothing, so an empty prefix that must match adds no
    // condition; one that must not match compares the protocol family with NFPROTO_UNSPEC (0), which no packet has.
    std::string stem = prefix;
    if (!stem.empty() && stem.back() == '*') stem.pop_back();
    if (stem.empty()) {
        if (equal) return *this;
        rule_.expressions.push_back(meta_load(k::meta_nfproto));
        rule_.expressions.push_back(compare({0}, true));
        return *this;
    }
    rule_.expressions.push_back(meta_load(k::meta_iifname));
    rule_.expressions.push_back(compare(bytes(stem.begin(), stem.end()), equal));
    return *this;
}

rule_builder& rule_builder::nfproto(bool v6) {
    rule_.expressions.push_back(meta_load(k::meta_nfproto));
    rule_.expressions.push_back(compare({v6 ? k::nfproto_ipv6 : k::nfproto_ipv4}, true));
    return *this;
}

rule_builder& rule_builder::saddr(const ip_prefix& prefix, bool equal) {
    if (family_ == family::inet) nfproto(prefix.is_v6());
    match_address(rule_.expressions, prefix, prefix.is_v6() ? k::ipv6_source_offset : k::ipv4_source_offset, equal);
    return *this;
}

rule_builder& rule_builder::daddr(const ip_prefix& prefix, bool equal) {
    if (family_ == family::inet) nfproto(prefix.is_v6());
    match_address(rule_.expressions, prefix, prefix.is_v6() ? k::ipv6_destination_offset : k::ipv4_destination_offset,
                  equal);
    return *this;
}

rule_builder& rule_builder::l4proto(std::uint8_t protocol) {
    rule_.expressions.push_back(meta_load(k::meta_l4proto));
    rule_.expressions.push_back(compare({protocol}, true));
    return *this;
}

rule_builder& rule_builder::dport(std::uint16_t port) {
    rule_.expressions.push_back(payload_load(k::transport_header, k::destination_port_offset, 2));
    rule_.expressions.push_back(
        compare({static_cast<std::uint8_t>(port >> 8), static_cast<std::uint8_t>(port & 0xff)}, true));
    return *this;
}

rule_builder& rule_builder::ct_state(std::uint32_t mask) {
    rule_.expressions.push_back(ct_load(k::ct_state));
    rule_.expressions.push_back(mask_register(native(mask)));
    rule_.expressions.push_back(compare(native(0), false));
    return *this;
}

rule_builder& rule_builder::ct_status_dnat(bool set) {
    rule_.expressions.push_back(ct_load(k::ct_status));
    rule_.expressions.push_back(mask_register(native(k::ips_dst_nat)));
    rule_.expressions.push_back(compare(native(0), !set));
    return *this;
}

rule_builder& rule_builder::mark(std::uint32_t value, std::uint32_t mask) {
    rule_.expressions.push_back(meta_load(k::meta_mark));
    if (mask != 0xffffffffU) rule_.expressions.push_back(mask_register(native(mask)));
    rule_.expressions.push_back(compare(native(value), true));
    return *this;
}

rule_builder& rule_builder::set_mark(std::uint32_t value) {
    rule_.expressions.push_back(load_value(native(value)));
    rule_.expressions.push_back({"meta", {{k::meta_key, k::meta_mark}, {k::meta_sreg, k::reg_1}}, {}, {}});
    return *this;
}

rule_builder& rule_builder::counter() {
    rule_.expressions.push_back({"counter", {}, {}, {}});
    return *this;
}

rule_builder& rule_builder::snat(const ip_address& to) {
    translate(rule_.expressions, k::nat_snat, to);
    return *this;
}

rule_builder& rule_builder::dnat(const ip_address& to) {
    translate(rule_.expressions, k::nat_dnat, to);
    return *this;
}

rule_builder& rule_builder::masquerade() {
    rule_.expressions.push_back({"masq", {}, {}, {}});
    return *this;
}

rule rule_builder::accept(std::string comment) {
    rule_.expressions.push_back(verdict(k::verdict_accept));
    return done(std::move(comment));
}

rule rule_builder::drop(std::string comment) {
    rule_.expressions.push_back(verdict(k::verdict_drop));
    return done(std::move(comment));
}

rule rule_builder::done(std::string comment) {
    rule_.comment = std::move(comment);
    return std::move(rule_);
}

}  // namespace weft::nft
