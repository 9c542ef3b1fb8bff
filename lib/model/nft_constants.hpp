// SPDX-License-Identifier: Apache-2.0
// The numbers of nftables that the rule builder needs, written out because the model may not include C headers.
// tests/unit/nft_constants_test.cpp compares each of them with libnftnl and the kernel's headers at compile time.
// Nothing here can fail. May include: std.
#pragma once

#include <cstdint>

namespace weft::nft::constants {

// Attribute numbers of libnftnl, <libnftnl/expr.h>.
inline constexpr std::uint16_t payload_dreg = 1, payload_base = 2, payload_offset = 3, payload_len = 4;
inline constexpr std::uint16_t meta_key = 1, meta_dreg = 2, meta_sreg = 3;
inline constexpr std::uint16_t cmp_sreg = 1, cmp_op = 2, cmp_data = 3;
inline constexpr std::uint16_t immediate_dreg = 1, immediate_data = 2, immediate_verdict = 3;
inline constexpr std::uint16_t bitwise_sreg = 1, bitwise_dreg = 2, bitwise_len = 3, bitwise_mask = 4, bitwise_xor = 5,
                               bitwise_op = 6;
inline constexpr std::uint16_t nat_type = 1, nat_family = 2, nat_reg_addr_min = 3, nat_reg_addr_max = 4, nat_flags = 7;
inline constexpr std::uint16_t ct_dreg = 1, ct_key = 2;

// enum nft_registers and enum nft_verdicts, <linux/netfilter/nf_tables.h>; NF_DROP and NF_ACCEPT, <linux/netfilter.h>.
inline constexpr std::uint32_t reg_verdict = 0, reg_1 = 1;
inline constexpr std::uint32_t verdict_drop = 0, verdict_accept = 1;

// enum nft_cmp_ops, enum nft_bitwise_ops, enum nft_payload_bases, <linux/netfilter/nf_tables.h>.
inline constexpr std::uint32_t cmp_eq = 0, cmp_neq = 1;
inline constexpr std::uint32_t bitwise_mask_xor = 0;
inline constexpr std::uint32_t network_header = 1, transport_header = 2;

// enum nft_meta_keys, enum nft_ct_keys, enum nft_nat_types, <linux/netfilter/nf_tables.h>.
inline constexpr std::uint32_t meta_mark = 3, meta_iifname = 6, meta_oifname = 7, meta_nfproto = 15, meta_l4proto = 16;
inline constexpr std::uint32_t ct_state = 0, ct_status = 2;
inline constexpr std::uint32_t nat_snat = 0, nat_dnat = 1;

// NF_NAT_RANGE_MAP_IPS, <linux/netfilter/nf_nat.h>. IPS_DST_NAT, <linux/netfilter/nf_conntrack_common.h>.
// IFNAMSIZ, <net/if.h>. NFPROTO_IPV4 and NFPROTO_IPV6, <linux/netfilter.h>.
inline constexpr std::uint32_t nat_range_map_ips = 1;
inline constexpr std::uint32_t ips_dst_nat = 1U << 5;
inline constexpr std::uint32_t ifnamsiz = 16;
inline constexpr std::uint8_t nfproto_ipv4 = 2, nfproto_ipv6 = 10;

// Offsets in the headers: RFC 791 section 3.1, RFC 8200 section 3, and RFC 9293 and RFC 768 (the same in both).
inline constexpr std::uint32_t ipv4_source_offset = 12, ipv4_destination_offset = 16;
inline constexpr std::uint32_t ipv6_source_offset = 8, ipv6_destination_offset = 24;
inline constexpr std::uint32_t destination_port_offset = 2;

}  // namespace weft::nft::constants
