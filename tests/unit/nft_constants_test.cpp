// SPDX-License-Identifier: Apache-2.0
// Compares the numbers that the model writes out (it may not include C headers) with libnftnl and the kernel's headers.
// A wrong number does not compile.
#include "model/nft_constants.hpp"
#include "weft/model/nft.hpp"

#include <libnftnl/expr.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#include <catch2/catch.hpp>

namespace k = weft::nft::constants;
using weft::nft::family;

static_assert(k::payload_dreg == NFTNL_EXPR_PAYLOAD_DREG && k::payload_base == NFTNL_EXPR_PAYLOAD_BASE);
static_assert(k::payload_offset == NFTNL_EXPR_PAYLOAD_OFFSET && k::payload_len == NFTNL_EXPR_PAYLOAD_LEN);
static_assert(k::meta_key == NFTNL_EXPR_META_KEY && k::meta_dreg == NFTNL_EXPR_META_DREG);
static_assert(k::meta_sreg == NFTNL_EXPR_META_SREG);
static_assert(k::cmp_sreg == NFTNL_EXPR_CMP_SREG && k::cmp_op == NFTNL_EXPR_CMP_OP && k::cmp_data == NFTNL_EXPR_CMP_DATA);
static_assert(k::immediate_dreg == NFTNL_EXPR_IMM_DREG && k::immediate_data == NFTNL_EXPR_IMM_DATA);
static_assert(k::immediate_verdict == NFTNL_EXPR_IMM_VERDICT);
static_assert(k::bitwise_sreg == NFTNL_EXPR_BITWISE_SREG && k::bitwise_dreg == NFTNL_EXPR_BITWISE_DREG);
static_assert(k::bitwise_len == NFTNL_EXPR_BITWISE_LEN && k::bitwise_mask == NFTNL_EXPR_BITWISE_MASK);
static_assert(k::bitwise_xor == NFTNL_EXPR_BITWISE_XOR && k::bitwise_op == NFTNL_EXPR_BITWISE_OP);
static_assert(k::nat_type == NFTNL_EXPR_NAT_TYPE && k::nat_family == NFTNL_EXPR_NAT_FAMILY);
static_assert(k::nat_reg_addr_min == NFTNL_EXPR_NAT_REG_ADDR_MIN && k::nat_reg_addr_max == NFTNL_EXPR_NAT_REG_ADDR_MAX);
static_assert(k::nat_flags == NFTNL_EXPR_NAT_FLAGS);
static_assert(k::ct_dreg == NFTNL_EXPR_CT_DREG && k::ct_key == NFTNL_EXPR_CT_KEY);

static_assert(k::reg_verdict == NFT_REG_VERDICT && k::reg_1 == NFT_REG_1);
static_assert(k::verdict_drop == NF_DROP && k::verdict_accept == NF_ACCEPT);
static_assert(k::cmp_eq == NFT_CMP_EQ && k::cmp_neq == NFT_CMP_NEQ && k::bitwise_mask_xor == NFT_BITWISE_BOOL);
static_assert(k::network_header == NFT_PAYLOAD_NETWORK_HEADER && k::transport_header == NFT_PAYLOAD_TRANSPORT_HEADER);
static_assert(k::meta_mark == NFT_META_MARK && k::meta_iifname == NFT_META_IIFNAME && k::meta_oifname == NFT_META_OIFNAME);
static_assert(k::meta_nfproto == NFT_META_NFPROTO && k::meta_l4proto == NFT_META_L4PROTO);
static_assert(k::ct_state == NFT_CT_STATE && k::ct_status == NFT_CT_STATUS);
static_assert(k::nat_snat == NFT_NAT_SNAT && k::nat_dnat == NFT_NAT_DNAT && k::nat_range_map_ips == NF_NAT_RANGE_MAP_IPS);
static_assert(k::ips_dst_nat == IPS_DST_NAT && k::ifnamsiz == IFNAMSIZ);
static_assert(k::nfproto_ipv4 == NFPROTO_IPV4 && k::nfproto_ipv6 == NFPROTO_IPV6);
static_assert(int(family::inet) == NFPROTO_INET && int(family::ipv4) == NFPROTO_IPV4 && int(family::arp) == NFPROTO_ARP);
static_assert(int(family::netdev) == NFPROTO_NETDEV && int(family::bridge) == NFPROTO_BRIDGE);
static_assert(int(family::ipv6) == NFPROTO_IPV6);

TEST_CASE("The model's nftables numbers are those of the headers", "[nft]") {
    SUCCEED("compared at compile time");
}
