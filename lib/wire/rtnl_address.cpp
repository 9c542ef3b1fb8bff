// SPDX-License-Identifier: Apache-2.0
// Interface addresses, policy rules and neighbours (with a bridge's or VXLAN's FDB) as rtnetlink messages. Constants are of
// linux/if_addr.h, fib_rules.h and neighbour.h. May include: core, model. Unknown attributes are left unread.
#include "wire/rtnl_route.hpp"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

namespace weft::wire {
namespace {

std::uint8_t family_of(bool v6) { return v6 ? AF_INET6 : AF_INET; }

std::uint16_t write_flags(write w) {
    if (w == write::add) return NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    return w == write::change ? NLM_F_ACK | NLM_F_REPLACE : NLM_F_ACK;
}

ip_address any(bool v6) {
    return v6 ? ip_address(boost::asio::ip::address_v6()) : ip_address(boost::asio::ip::address_v4());
}

}  // namespace

std::vector<std::string> names_in(const address_entry& e) { return {e.device}; }

message encode(const address_entry& e, write w, const index_of& index) {
    message m(w == write::remove ? RTM_DELADDR : RTM_NEWADDR, write_flags(w));
    ifaddrmsg h{};
    h.ifa_family = family_of(e.address.is_v6());
    h.ifa_prefixlen = e.address.length;
    h.ifa_scope = e.scope;
    h.ifa_index = index(e.device);
    m.header(h).ip(IFA_LOCAL, e.address.address).ip(IFA_ADDRESS, e.peer.value_or(e.address.address));
    if (w == write::remove) return m;
    if (e.broadcast) m.ip(IFA_BROADCAST, *e.broadcast);
    if (e.flags != 0) m.u32(IFA_FLAGS, e.flags);
    if (e.protocol != 0) m.u8(IFA_PROTO, e.protocol);
    if (!e.label.empty()) m.text(IFA_LABEL, e.label);
    if (e.metric != 0) m.u32(IFA_RT_PRIORITY, e.metric);
    return m;
}

message address_dump() {
    message m(RTM_GETADDR, NLM_F_DUMP);
    m.header(ifaddrmsg{});
    return m;
}

std::optional<address_entry> decode_address(const nlmsghdr* header, const name_of& name) {
    const auto parts = split<ifaddrmsg>(header);
    if (!parts) return std::nullopt;
    const auto& [h, rest] = *parts;
    const attributes a(rest);
    // IFA_LOCAL is the own address; with IPv6 it is only told for point-to-point links.
    auto ip = a[IFA_LOCAL].ip();
    if (!ip) ip = a[IFA_ADDRESS].ip();
    if (!ip) return std::nullopt;
    address_entry e;
    e.device = name(h.ifa_index);
    e.address = {*ip, h.ifa_prefixlen};
    e.scope = h.ifa_scope;
    e.broadcast = a[IFA_BROADCAST].ip();
    e.protocol = a[IFA_PROTO].u8().value_or(0);
    const auto flags = a[IFA_FLAGS].u32().value_or(h.ifa_flags);
    e.flags = flags & (IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN);
    if (const auto other = a[IFA_ADDRESS].ip(); other && *other != *ip) e.peer = other;
    if (const auto label = a[IFA_LABEL].text(); label != e.device) e.label = label;
    e.metric = a[IFA_RT_PRIORITY].u32().value_or(0);
    e.passing = (flags & IFA_F_PERMANENT) == 0 || (e.protocol >= IFAPROT_KERNEL_LO && e.protocol <= IFAPROT_KERNEL_LL);
    return e;
}

std::vector<std::string> names_in(const rule&) { return {}; }  // rules keep device names, not numbers

message encode(const rule& r, write w, const index_of&) {
    message m(w == write::remove ? RTM_DELRULE : RTM_NEWRULE, write_flags(w));
    fib_rule_hdr h{};
    h.family = family_of(r.v6);
    h.action = r.action;
    h.table = r.table < 256 ? static_cast<std::uint8_t>(r.table) : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
    if (r.from) h.src_len = r.from->length;
    if (r.to) h.dst_len = r.to->length;
    if (r.invert) h.flags |= FIB_RULE_INVERT;
    h.tos = r.tos;
    m.header(h).u32(FRA_PRIORITY, r.priority).u8(FRA_PROTOCOL, r.protocol);
    if (r.action == FR_ACT_TO_TBL) m.u32(FRA_TABLE, r.table);
    if (r.from && r.from->length != 0) m.ip(FRA_SRC, r.from->address);
    if (r.to && r.to->length != 0) m.ip(FRA_DST, r.to->address);
    if (!r.input_device.empty()) m.text(FRA_IIFNAME, r.input_device);
    if (!r.output_device.empty()) m.text(FRA_OIFNAME, r.output_device);
    if (r.fwmark) m.u32(FRA_FWMARK, *r.fwmark);
    if (r.fwmask) m.u32(FRA_FWMASK, *r.fwmask);
    if (r.suppress_prefix_length) m.u32(FRA_SUPPRESS_PREFIXLEN, static_cast<std::uint32_t>(*r.suppress_prefix_length));
    m.append(r.rest.data(), r.rest.size());
    return m;
}

message rule_dump(std::uint8_t family) {
    message m(RTM_GETRULE, NLM_F_DUMP);
    fib_rule_hdr h{};
    h.family = family;
    m.header(h);
    return m;
}

std::optional<rule> decode_rule(const nlmsghdr* header) {
    const auto parts = split<fib_rule_hdr>(header);
    if (!parts) return std::nullopt;
    const auto& [h, rest] = *parts;
    if (h.family != AF_INET && h.family != AF_INET6) return std::nullopt;
    const attributes a(rest);
    rule r;
    r.v6 = h.family == AF_INET6;
    r.priority = a[FRA_PRIORITY].u32().value_or(0);
    if (const auto ip = a[FRA_SRC].ip()) r.from = ip_prefix{*ip, h.src_len};
    if (const auto ip = a[FRA_DST].ip()) r.to = ip_prefix{*ip, h.dst_len};
    r.input_device = a[FRA_IIFNAME].text();
    r.output_device = a[FRA_OIFNAME].text();
    r.fwmark = a[FRA_FWMARK].u32();
    r.fwmask = a[FRA_FWMASK].u32();
    // A full mask is what the kernel adds to a mark without one.
    if (r.fwmask == 0xffffffffu) r.fwmask.reset();
    r.table = a[FRA_TABLE].u32().value_or(h.table);
    r.action = h.action;
    // -1 is the kernel's "not set".
    if (const auto v = a[FRA_SUPPRESS_PREFIXLEN].u32(); v && *v != 0xffffffffu)
        r.suppress_prefix_length = static_cast<std::int32_t>(*v);
    r.invert = (h.flags & FIB_RULE_INVERT) != 0;
    r.tos = h.tos;
    r.rest = other_attributes(rest, {FRA_PRIORITY, FRA_SRC, FRA_DST, FRA_IIFNAME, FRA_OIFNAME, FRA_FWMARK, FRA_FWMASK, FRA_TABLE,
                                     FRA_SUPPRESS_PREFIXLEN, FRA_PROTOCOL, FRA_PAD});
    r.protocol = a[FRA_PROTOCOL].u8().value_or(0);
    return r;
}

std::vector<std::string> names_in(const neighbour& n) { return {n.device}; }

message encode(const neighbour& n, write w, const index_of& index) {
    const bool flood = n.fdb && (!n.mac || n.mac->is_zero());
    std::uint16_t flags = write_flags(w);
    // The all-zero entry of a VXLAN is a list of remotes: each is appended.
    if (flood && w == write::add) flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND;
    if (w == write::change) flags |= NLM_F_CREATE;
    message m(w == write::remove ? RTM_DELNEIGH : RTM_NEWNEIGH, flags);
    ndmsg h{};
    h.ndm_family = n.fdb ? static_cast<std::uint8_t>(AF_BRIDGE) : family_of(n.address.is_v6());
    h.ndm_ifindex = static_cast<int>(index(n.device));
    h.ndm_state = n.state;
    h.ndm_flags = n.flags;
    m.header(h);
    if (!n.fdb || !n.address.is_unspecified()) m.ip(NDA_DST, n.address);
    if (n.mac || n.fdb) m.mac(NDA_LLADDR, n.mac.value_or(mac_address{}));
    if (n.protocol != 0 && !n.fdb && w != write::remove) m.u8(NDA_PROTOCOL, n.protocol);  // an FDB has no such field
    return m;
}

message neighbour_dump(std::uint8_t family, bool proxies) {
    message m(RTM_GETNEIGH, NLM_F_DUMP);
    ndmsg h{};
    h.ndm_family = family;
    h.ndm_flags = proxies ? NTF_PROXY : 0;
    m.header(h);
    return m;
}

std::optional<neighbour> decode_neighbour(const nlmsghdr* header, const name_of& name) {
    const auto parts = split<ndmsg>(header);
    if (!parts) return std::nullopt;
    const auto& [h, rest] = *parts;
    const attributes a(rest);
    neighbour n;
    n.fdb = h.ndm_family == AF_BRIDGE;
    const bool proxy = (h.ndm_flags & NTF_PROXY) != 0;
    if (n.fdb ? (h.ndm_state & (NUD_PERMANENT | NUD_NOARP)) == 0 : !proxy && (h.ndm_state & NUD_PERMANENT) == 0)
        return std::nullopt;
    n.device = h.ndm_ifindex != 0 ? name(static_cast<std::uint32_t>(h.ndm_ifindex)) : "";
    n.address = a[NDA_DST].ip().value_or(any(h.ndm_family == AF_INET6));
    n.mac = a[NDA_LLADDR].mac();
    // Multicast MACs in a FDB are the device's own filter list, not entries anybody made.
    if (n.fdb && n.mac && n.mac->is_multicast()) return std::nullopt;
    n.state = proxy ? static_cast<std::uint16_t>(NUD_PERMANENT) : h.ndm_state;  // proxies have none in the kernel
    n.flags = h.ndm_flags & (NTF_PROXY | NTF_SELF | NTF_MASTER);
    n.protocol = a[NDA_PROTOCOL].u8().value_or(0);
    return n;
}

}  // namespace weft::wire
