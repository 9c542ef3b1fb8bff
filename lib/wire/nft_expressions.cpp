// SPDX-License-Identifier: Apache-2.0
// The table of nftables expressions and the two walks over it. See the header for what is left out and what fails.
#include "wire/nft_expressions.hpp"

#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>

#include <cstring>
#include <span>
#include <string_view>

namespace weft::wire {
namespace {

// `reg` is a u32 that names a register. Widths are those of libnftnl's setters, which copy blindly.
enum class kind { u8, u16, u32, u64, reg, data, text };

struct attribute {
    std::uint16_t number;
    wire::kind kind;
};

struct expression_layout {
    std::string_view name;
    std::vector<attribute> attributes;  // sorted by number, as the lists of nft::expression are
};

// NFT_DATA_VALUE_MAXLEN of the kernel; libnftnl 1.2.4 does not check the length that it copies.
constexpr std::size_t data_limit = NFT_DATA_VALUE_MAXLEN;
constexpr std::size_t text_limit = 255;

const std::vector<expression_layout>& layouts() {
    static const std::vector<expression_layout> all = {
        {"bitwise",
         {{NFTNL_EXPR_BITWISE_SREG, kind::reg},
          {NFTNL_EXPR_BITWISE_DREG, kind::reg},
          {NFTNL_EXPR_BITWISE_LEN, kind::u32},
          {NFTNL_EXPR_BITWISE_MASK, kind::data},
          {NFTNL_EXPR_BITWISE_XOR, kind::data},
          {NFTNL_EXPR_BITWISE_OP, kind::u32},
          {NFTNL_EXPR_BITWISE_DATA, kind::data}}},
        {"byteorder",
         {{NFTNL_EXPR_BYTEORDER_DREG, kind::reg},
          {NFTNL_EXPR_BYTEORDER_SREG, kind::reg},
          {NFTNL_EXPR_BYTEORDER_OP, kind::u32},
          {NFTNL_EXPR_BYTEORDER_LEN, kind::u32},
          {NFTNL_EXPR_BYTEORDER_SIZE, kind::u32}}},
        {"cmp",
         {{NFTNL_EXPR_CMP_SREG, kind::reg}, {NFTNL_EXPR_CMP_OP, kind::u32}, {NFTNL_EXPR_CMP_DATA, kind::data}}},
        {"connlimit", {{NFTNL_EXPR_CONNLIMIT_COUNT, kind::u32}, {NFTNL_EXPR_CONNLIMIT_FLAGS, kind::u32}}},
        {"counter", {}},
        {"ct",
         {{NFTNL_EXPR_CT_DREG, kind::reg},
          {NFTNL_EXPR_CT_KEY, kind::u32},
          {NFTNL_EXPR_CT_DIR, kind::u8},
          {NFTNL_EXPR_CT_SREG, kind::reg}}},
        {"dup", {{NFTNL_EXPR_DUP_SREG_ADDR, kind::reg}, {NFTNL_EXPR_DUP_SREG_DEV, kind::reg}}},
        {"exthdr",
         {{NFTNL_EXPR_EXTHDR_DREG, kind::reg},
          {NFTNL_EXPR_EXTHDR_TYPE, kind::u8},
          {NFTNL_EXPR_EXTHDR_OFFSET, kind::u32},
          {NFTNL_EXPR_EXTHDR_LEN, kind::u32},
          {NFTNL_EXPR_EXTHDR_FLAGS, kind::u32},
          {NFTNL_EXPR_EXTHDR_OP, kind::u32},
          {NFTNL_EXPR_EXTHDR_SREG, kind::reg}}},
        {"fib",
         {{NFTNL_EXPR_FIB_DREG, kind::reg}, {NFTNL_EXPR_FIB_RESULT, kind::u32}, {NFTNL_EXPR_FIB_FLAGS, kind::u32}}},
        {"immediate",
         {{NFTNL_EXPR_IMM_DREG, kind::reg},
          {NFTNL_EXPR_IMM_DATA, kind::data},
          {NFTNL_EXPR_IMM_VERDICT, kind::u32},
          {NFTNL_EXPR_IMM_CHAIN, kind::text}}},
        {"limit",
         {{NFTNL_EXPR_LIMIT_RATE, kind::u64},
          {NFTNL_EXPR_LIMIT_UNIT, kind::u64},
          {NFTNL_EXPR_LIMIT_BURST, kind::u32},
          {NFTNL_EXPR_LIMIT_TYPE, kind::u32},
          {NFTNL_EXPR_LIMIT_FLAGS, kind::u32}}},
        {"log",
         {{NFTNL_EXPR_LOG_PREFIX, kind::text},
          {NFTNL_EXPR_LOG_GROUP, kind::u16},
          {NFTNL_EXPR_LOG_SNAPLEN, kind::u32},
          {NFTNL_EXPR_LOG_QTHRESHOLD, kind::u16},
          {NFTNL_EXPR_LOG_LEVEL, kind::u32},
          {NFTNL_EXPR_LOG_FLAGS, kind::u32}}},
        {"lookup",
         {{NFTNL_EXPR_LOOKUP_SREG, kind::reg},
          {NFTNL_EXPR_LOOKUP_DREG, kind::reg},
          {NFTNL_EXPR_LOOKUP_SET, kind::text},
          {NFTNL_EXPR_LOOKUP_FLAGS, kind::u32}}},
        {"masq",
         {{NFTNL_EXPR_MASQ_FLAGS, kind::u32},
          {NFTNL_EXPR_MASQ_REG_PROTO_MIN, kind::reg},
          {NFTNL_EXPR_MASQ_REG_PROTO_MAX, kind::reg}}},
        {"meta",
         {{NFTNL_EXPR_META_KEY, kind::u32}, {NFTNL_EXPR_META_DREG, kind::reg}, {NFTNL_EXPR_META_SREG, kind::reg}}},
        {"nat",
         {{NFTNL_EXPR_NAT_TYPE, kind::u32},
          {NFTNL_EXPR_NAT_FAMILY, kind::u32},
          {NFTNL_EXPR_NAT_REG_ADDR_MIN, kind::reg},
          {NFTNL_EXPR_NAT_REG_ADDR_MAX, kind::reg},
          {NFTNL_EXPR_NAT_REG_PROTO_MIN, kind::reg},
          {NFTNL_EXPR_NAT_REG_PROTO_MAX, kind::reg},
          {NFTNL_EXPR_NAT_FLAGS, kind::u32}}},
        {"notrack", {}},
        {"objref",
         {{NFTNL_EXPR_OBJREF_IMM_TYPE, kind::u32},
          {NFTNL_EXPR_OBJREF_IMM_NAME, kind::text},
          {NFTNL_EXPR_OBJREF_SET_SREG, kind::reg},
          {NFTNL_EXPR_OBJREF_SET_NAME, kind::text}}},
        {"payload",
         {{NFTNL_EXPR_PAYLOAD_DREG, kind::reg},
          {NFTNL_EXPR_PAYLOAD_BASE, kind::u32},
          {NFTNL_EXPR_PAYLOAD_OFFSET, kind::u32},
          {NFTNL_EXPR_PAYLOAD_LEN, kind::u32},
          {NFTNL_EXPR_PAYLOAD_SREG, kind::reg},
          {NFTNL_EXPR_PAYLOAD_CSUM_TYPE, kind::u32},
          {NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, kind::u32},
          {NFTNL_EXPR_PAYLOAD_FLAGS, kind::u32}}},
        {"quota", {{NFTNL_EXPR_QUOTA_BYTES, kind::u64}, {NFTNL_EXPR_QUOTA_FLAGS, kind::u32}}},
        {"range",
         {{NFTNL_EXPR_RANGE_SREG, kind::reg},
          {NFTNL_EXPR_RANGE_OP, kind::u32},
          {NFTNL_EXPR_RANGE_FROM_DATA, kind::data},
          {NFTNL_EXPR_RANGE_TO_DATA, kind::data}}},
        {"redir",
         {{NFTNL_EXPR_REDIR_REG_PROTO_MIN, kind::reg},
          {NFTNL_EXPR_REDIR_REG_PROTO_MAX, kind::reg},
          {NFTNL_EXPR_REDIR_FLAGS, kind::u32}}},
        {"reject", {{NFTNL_EXPR_REJECT_TYPE, kind::u32}, {NFTNL_EXPR_REJECT_CODE, kind::u8}}},
        {"rt", {{NFTNL_EXPR_RT_KEY, kind::u32}, {NFTNL_EXPR_RT_DREG, kind::reg}}},
    };
    return all;
}

const expression_layout* find_layout(std::string_view name) {
    for (const auto& layout : layouts())
        if (layout.name == name) return &layout;
    return nullptr;
}

const attribute* find_attribute(const expression_layout& layout, std::uint16_t number) {
    for (const auto& a : layout.attributes)
        if (a.number == number) return &a;
    return nullptr;
}

// The kernel dumps a 16-byte register by its old number whenever the alias begins one; so do we.
std::uint32_t normal_register(std::uint32_t reg) {
    if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15 && (reg - NFT_REG32_00) % 4 == 0)
        return NFT_REG_1 + (reg - NFT_REG32_00) / 4;
    return reg;
}

error refuse(errc code, const nft::expression& e, std::string detail) {
    return {code, "encode nftables expression", e.name, std::move(detail), 0};
}

void set_number(nftnl_expr* out, const attribute& a, std::uint64_t value) {
    switch (a.kind) {
        case kind::u8: nftnl_expr_set_u8(out, a.number, static_cast<std::uint8_t>(value)); break;
        case kind::u16: nftnl_expr_set_u16(out, a.number, static_cast<std::uint16_t>(value)); break;
        case kind::u64: nftnl_expr_set_u64(out, a.number, value); break;
        case kind::reg: nftnl_expr_set_u32(out, a.number, normal_register(static_cast<std::uint32_t>(value))); break;
        default: nftnl_expr_set_u32(out, a.number, static_cast<std::uint32_t>(value)); break;
    }
}

bool is_number(kind k) {
    return k != kind::data && k != kind::text;
}

}  // namespace

result<nftnl_expr*> encode_nft_expression(const nft::expression& e) {
    const expression_layout* layout = find_layout(e.name);
    nftnl_expr* out = layout != nullptr ? nftnl_expr_alloc(e.name.c_str()) : nullptr;
    if (out == nullptr) return refuse(errc::unsupported, e, "no such expression is known");
    const auto give_up = [&](errc code, std::string detail) {
        nftnl_expr_free(out);
        return refuse(code, e, std::move(detail));
    };
    for (const auto& [number, value] : e.numbers) {
        const attribute* a = find_attribute(*layout, number);
        if (a == nullptr || !is_number(a->kind))
            return give_up(errc::unsupported, "no numeric attribute " + std::to_string(number));
        set_number(out, *a, value);
    }
    for (const auto& [number, value] : e.data) {
        const attribute* a = find_attribute(*layout, number);
        if (a == nullptr || a->kind != kind::data)
            return give_up(errc::unsupported, "no data attribute " + std::to_string(number));
        if (value.empty() || value.size() > data_limit)
            return give_up(errc::invalid_input, "data of " + std::to_string(value.size()) + " bytes; 1 to " +
                                                    std::to_string(data_limit) + " are allowed");
        nftnl_expr_set(out, number, value.data(), static_cast<std::uint32_t>(value.size()));
    }
    for (const auto& [number, value] : e.text) {
        const attribute* a = find_attribute(*layout, number);
        if (a == nullptr || a->kind != kind::text)
            return give_up(errc::unsupported, "no text attribute " + std::to_string(number));
        if (value.size() > text_limit || value.find('\0') != std::string::npos)
            return give_up(errc::invalid_input, "text longer than " + std::to_string(text_limit) + " bytes or with a zero");
        nftnl_expr_set_str(out, number, value.c_str());
    }
    return out;
}

nft::expression decode_nft_expression(const nftnl_expr* in) {
    nft::expression out;
    out.name = nftnl_expr_get_str(in, NFTNL_EXPR_NAME);
    const expression_layout* layout = find_layout(out.name);
    if (layout == nullptr) return out;
    for (const auto& a : layout->attributes) {
        if (!nftnl_expr_is_set(in, a.number)) continue;
        switch (a.kind) {
            case kind::u8: out.numbers.emplace_back(a.number, nftnl_expr_get_u8(in, a.number)); break;
            case kind::u16: out.numbers.emplace_back(a.number, nftnl_expr_get_u16(in, a.number)); break;
            case kind::u32: out.numbers.emplace_back(a.number, nftnl_expr_get_u32(in, a.number)); break;
            case kind::u64: out.numbers.emplace_back(a.number, nftnl_expr_get_u64(in, a.number)); break;
            case kind::reg: out.numbers.emplace_back(a.number, normal_register(nftnl_expr_get_u32(in, a.number))); break;
            case kind::text:
                if (const char* text = nftnl_expr_get_str(in, a.number)) out.text.emplace_back(a.number, text);
                break;
            case kind::data: {
                std::uint32_t length = 0;
                const auto* raw = static_cast<const std::uint8_t*>(nftnl_expr_get(in, a.number, &length));
                if (raw != nullptr) out.data.emplace_back(a.number, nft::bytes(raw, raw + length));
                break;
            }
        }
    }
    return out;
}

}  // namespace weft::wire
