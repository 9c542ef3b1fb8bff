// SPDX-License-Identifier: Apache-2.0
// Attributes and numbers of linux/netfilter/nfnetlink_conntrack.h. May include: core, libmnl by rtnl_message, std.
// Nothing here fails; an entry without both tuples reads as none.
#include "wire/ct_message.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace weft::wire {
namespace {

constexpr std::uint16_t type_of(int message) {
    return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

nfgenmsg header_of(std::uint8_t family) {
    nfgenmsg h{};
    h.nfgen_family = family;
    h.version = NFNETLINK_V0;
    return h;
}

std::optional<ct_tuple> tuple_in(const attributes& a) {
    const auto ip = a.nested(CTA_TUPLE_IP), proto = a.nested(CTA_TUPLE_PROTO);
    const auto source = ip[CTA_IP_V4_SRC] ? ip[CTA_IP_V4_SRC].ip() : ip[CTA_IP_V6_SRC].ip();
    const auto destination = ip[CTA_IP_V4_DST] ? ip[CTA_IP_V4_DST].ip() : ip[CTA_IP_V6_DST].ip();
    if (!source || !destination) return std::nullopt;
    return ct_tuple{*source, *destination, proto[CTA_PROTO_NUM].u8().value_or(0),
                    proto[CTA_PROTO_SRC_PORT].be16().value_or(0), proto[CTA_PROTO_DST_PORT].be16().value_or(0)};
}

}  // namespace

message ct_dump(std::uint8_t family) {
    message m(type_of(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
    m.header(header_of(family));
    return m;
}

message ct_delete(const ct_entry& e) {
    message m(type_of(IPCTNL_MSG_CT_DELETE), NLM_F_ACK);
    m.header(header_of(e.family));
    m.put(CTA_TUPLE_ORIG | NLA_F_NESTED, e.key.data(), e.key.size());
    if (e.zone != 0) m.be16(CTA_ZONE, e.zone);
    if (e.id) m.u32(CTA_ID, *e.id);
    return m;
}

std::optional<ct_entry> decode_ct(const nlmsghdr* header) {
    if (header->nlmsg_type != type_of(IPCTNL_MSG_CT_NEW)) return std::nullopt;
    const auto parts = split<nfgenmsg>(header);
    if (!parts) return std::nullopt;
    const attributes a(parts->second);
    const auto original = tuple_in(a.nested(CTA_TUPLE_ORIG)), reply = tuple_in(a.nested(CTA_TUPLE_REPLY));
    if (!original || !reply) return std::nullopt;
    const auto key = a[CTA_TUPLE_ORIG].payload();
    return ct_entry{
        *original,      *reply, a[CTA_ZONE].be16().value_or(0), parts->first.nfgen_family, {key.begin(), key.end()},
        a[CTA_ID].u32()};
}

}  // namespace weft::wire
