// SPDX-License-Identifier: Apache-2.0
// Routes and nexthop objects as rtnetlink messages. Constants are of linux/rtnetlink.h and linux/nexthop.h.
// May include: core, model. Unknown attributes are left unread.
#include "wire/rtnl_route.hpp"

#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <algorithm>

namespace weft::wire {
namespace {

// IP6_RT_PRIO_USER of the kernel's include/net/ip6_route.h: what a metric of 0 becomes in IPv6. A route of the model says 0.
constexpr std::uint32_t v6_default_metric = 1024;

std::uint8_t family_of(bool v6) { return v6 ? AF_INET6 : AF_INET; }

std::uint16_t write_flags(write w, bool create_on_change) {
    if (w == write::add) return NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    if (w == write::change) return static_cast<std::uint16_t>(NLM_F_ACK | NLM_F_REPLACE | (create_on_change ? NLM_F_CREATE : 0));
    return NLM_F_ACK;
}

// A gateway of the route's own family is RTA_GATEWAY, an IPv6 one for an IPv4 route RTA_VIA.
void put_gateway(message& m, const ip_address& gateway, bool v6_route) {
    if (gateway.is_v6() == v6_route) {
        m.ip(RTA_GATEWAY, gateway);
        return;
    }
    std::vector<std::uint8_t> via(2);
    const std::uint16_t family = family_of(gateway.is_v6());
    std::memcpy(via.data(), &family, 2);
    if (gateway.is_v6()) {
        const auto b = gateway.to_v6().to_bytes();
        via.insert(via.end(), b.begin(), b.end());
    } else {
        const auto b = gateway.to_v4().to_bytes();
        via.insert(via.end(), b.begin(), b.end());
    }
    m.put(RTA_VIA, via.data(), via.size());
}

std::optional<ip_address> gateway_in(const attributes& a) {
    if (auto ip = a[RTA_GATEWAY].ip()) return ip;
    const auto via = a[RTA_VIA].payload();
    if (via.size() > 2) return attribute(via.subspan(2)).ip();
    return std::nullopt;
}

void put_multipath(message& m, const route& r, const index_of& index) {
    const auto nest = m.begin(RTA_MULTIPATH);
    for (const auto& hop : r.nexthops) {
        rtnexthop nh{};
        nh.rtnh_flags = hop.onlink ? RTNH_F_ONLINK : 0;
        nh.rtnh_hops = hop.weight > 1 ? static_cast<std::uint8_t>(hop.weight - 1) : 0;
        nh.rtnh_ifindex = hop.device.empty() ? 0 : static_cast<int>(index(hop.device));
        const auto start = m.append(&nh, sizeof nh);
        if (hop.gateway) put_gateway(m, *hop.gateway, r.destination.is_v6());
        m.append(hop.rest.data(), hop.rest.size());
        const auto length = static_cast<std::uint16_t>(m.size() - start);
        std::memcpy(m.at(start), &length, sizeof length);  // rtnh_len is the first field
    }
    m.end(nest);
}

std::vector<nexthop> multipath_in(byte_span bytes, const name_of& name) {
    std::vector<nexthop> hops;
    while (bytes.size() >= sizeof(rtnexthop)) {
        rtnexthop nh;
        std::memcpy(&nh, bytes.data(), sizeof nh);
        if (nh.rtnh_len < sizeof nh || nh.rtnh_len > bytes.size()) break;
        nexthop hop;
        const auto inside = bytes.subspan(sizeof nh, nh.rtnh_len - sizeof nh);
        hop.gateway = gateway_in(attributes(inside));
        hop.rest = other_attributes(inside, {RTA_GATEWAY, RTA_VIA});
        hop.device = nh.rtnh_ifindex != 0 ? name(static_cast<std::uint32_t>(nh.rtnh_ifindex)) : "";
        hop.weight = nh.rtnh_hops == 0 ? 0 : static_cast<std::uint8_t>(std::min(255, nh.rtnh_hops + 1));
        hop.onlink = (nh.rtnh_flags & RTNH_F_ONLINK) != 0;
        hops.push_back(std::move(hop));
        bytes = bytes.subspan(std::min<std::size_t>((nh.rtnh_len + 3u) & ~3u, bytes.size()));
    }
    return hops;
}

// The default of these two is not told apart from their absence by whoever makes a route.
std::vector<std::uint8_t> rest_of(const attributes& a, byte_span bytes) {
    const bool plain_metrics = other_attributes(a[RTA_METRICS].payload(), {RTAX_MTU}).empty();
    const bool plain_preference = a[RTA_PREF].u8().value_or(0) == 0;
    return other_attributes(bytes, {RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_NH_ID,
                                    RTA_CACHEINFO, RTA_MFC_STATS, RTA_PAD, static_cast<std::uint16_t>(plain_metrics ? RTA_METRICS : RTA_DST),
                                    static_cast<std::uint16_t>(plain_preference ? RTA_PREF : RTA_DST)});
}

}  // namespace

std::vector<std::string> names_in(const route& r) {
    std::vector<std::string> names;
    for (const auto& hop : r.nexthops)
        if (!hop.device.empty()) names.push_back(hop.device);
    return names;
}

message encode(const route& r, write w, const index_of& index) {
    const bool v6 = r.destination.is_v6();
    message m(w == write::remove ? RTM_DELROUTE : RTM_NEWROUTE, write_flags(w, true));
    rtmsg h{};
    h.rtm_family = family_of(v6);
    h.rtm_dst_len = r.destination.length;
    h.rtm_tos = r.tos;
    h.rtm_table = r.table < 256 ? static_cast<std::uint8_t>(r.table) : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
    h.rtm_protocol = r.protocol;
    h.rtm_scope = r.scope;
    h.rtm_type = r.type;
    const bool single = r.nexthops.size() == 1 && r.nexthops[0].weight <= 1;
    if (single && r.nexthops[0].onlink) h.rtm_flags |= RTNH_F_ONLINK;
    m.header(h).u32(RTA_TABLE, r.table);
    if (r.destination.length != 0) m.ip(RTA_DST, r.destination.address);
    // Said aloud in IPv6, since there a deletion without a metric takes the first route of any metric.
    const std::uint32_t metric = v6 && r.metric == 0 ? v6_default_metric : r.metric;
    if (metric != 0) m.u32(RTA_PRIORITY, metric);
    if (r.preferred_source) m.ip(RTA_PREFSRC, *r.preferred_source);
    if (r.nexthop_id != 0) {
        // A deletion finds its route without; naming an object that is gone already would be an error.
        if (w != write::remove) m.u32(RTA_NH_ID, r.nexthop_id);
    } else if (single) {
        if (r.nexthops[0].gateway) put_gateway(m, *r.nexthops[0].gateway, v6);
        if (!r.nexthops[0].device.empty()) m.u32(RTA_OIF, index(r.nexthops[0].device));
    } else if (!r.nexthops.empty()) {
        put_multipath(m, r, index);
    }
    // A deletion finds its route without the rest; metrics in it have the MTU with them.
    if (w != write::remove) m.append(r.rest.data(), r.rest.size());
    if (r.mtu && w != write::remove && !attributes(r.rest)[RTA_METRICS]) {
        const auto nest = m.begin(RTA_METRICS);
        m.u32(RTAX_MTU, *r.mtu);
        m.end(nest);
    }
    return m;
}

message route_dump(std::uint8_t family) {
    message m(RTM_GETROUTE, NLM_F_DUMP);
    rtmsg h{};
    h.rtm_family = family;
    m.header(h);
    return m;
}

std::optional<route> decode_route(const nlmsghdr* header, const name_of& name) {
    const auto parts = split<rtmsg>(header);
    if (!parts) return std::nullopt;
    const auto& [h, rest] = *parts;
    if (h.rtm_family != AF_INET && h.rtm_family != AF_INET6) return std::nullopt;
    if ((h.rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
    const attributes a(rest);
    route r;
    r.table = a[RTA_TABLE].u32().value_or(h.rtm_table);
    if (r.table == RT_TABLE_LOCAL && h.rtm_protocol == RTPROT_KERNEL) return std::nullopt;
    const bool v6 = h.rtm_family == AF_INET6;
    const ip_address any = v6 ? ip_address(boost::asio::ip::address_v6()) : ip_address(boost::asio::ip::address_v4());
    r.destination = {a[RTA_DST].ip().value_or(any), h.rtm_dst_len};
    r.scope = h.rtm_scope;
    r.type = h.rtm_type;
    r.protocol = h.rtm_protocol;
    r.metric = a[RTA_PRIORITY].u32().value_or(0);
    if (v6 && r.metric == v6_default_metric) r.metric = 0;
    r.preferred_source = a[RTA_PREFSRC].ip();
    r.mtu = a.nested(RTA_METRICS)[RTAX_MTU].u32();
    r.tos = h.rtm_tos;
    r.rest = rest_of(a, rest);
    rta_cacheinfo life{};
    if (const auto& info = a[RTA_CACHEINFO]; info.payload().size() >= sizeof life) std::memcpy(&life, info.payload().data(), sizeof life);
    r.passing = life.rta_expires != 0;
    r.nexthop_id = a[RTA_NH_ID].u32().value_or(0);
    // With an object the kernel repeats its hops for old readers; with a refusing type it names lo. Neither was asked for.
    if (r.nexthop_id != 0 || (r.type >= RTN_BLACKHOLE && r.type <= RTN_THROW)) return r;
    if (const auto& multipath = a[RTA_MULTIPATH]) {
        r.nexthops = multipath_in(multipath.payload(), name);
        return r;
    }
    nexthop hop;
    hop.gateway = gateway_in(a);
    if (const auto oif = a[RTA_OIF].u32()) hop.device = name(*oif);
    hop.onlink = (h.rtm_flags & RTNH_F_ONLINK) != 0;
    if (hop.gateway || !hop.device.empty()) r.nexthops.push_back(std::move(hop));
    return r;
}

std::vector<std::string> names_in(const nexthop_object& n) {
    return n.group.empty() && !n.hop.device.empty() ? std::vector{n.hop.device} : std::vector<std::string>{};
}

message encode(const nexthop_object& n, write w, const index_of& index) {
    message m(w == write::remove ? RTM_DELNEXTHOP : RTM_NEWNEXTHOP, write_flags(w, true));
    nhmsg h{};
    if (w == write::remove) {  // the kernel wants nothing but the id here
        m.header(h).u32(NHA_ID, n.id);
        return m;
    }
    h.nh_protocol = n.protocol;
    if (n.group.empty()) h.nh_family = family_of(n.hop.gateway ? n.hop.gateway->is_v6() : n.v6);
    if (n.hop.onlink) h.nh_flags = RTNH_F_ONLINK;
    m.header(h).u32(NHA_ID, n.id);
    if (n.group.empty()) {
        if (!n.hop.device.empty()) m.u32(NHA_OIF, index(n.hop.device));
        if (n.hop.gateway) m.ip(NHA_GATEWAY, *n.hop.gateway);
        return m;
    }
    std::vector<nexthop_grp> members;
    for (const auto id : n.group) members.push_back({id, 0, 0, 0});
    m.put(NHA_GROUP, members.data(), members.size() * sizeof(nexthop_grp));
    return m;
}

message nexthop_dump() {
    message m(RTM_GETNEXTHOP, NLM_F_DUMP);
    m.header(nhmsg{});
    return m;
}

std::optional<nexthop_object> decode_nexthop(const nlmsghdr* header, const name_of& name) {
    const auto parts = split<nhmsg>(header);
    if (!parts) return std::nullopt;
    const auto& [h, rest] = *parts;
    const attributes a(rest);
    nexthop_object n;
    n.id = a[NHA_ID].u32().value_or(0);
    n.protocol = h.nh_protocol;
    n.v6 = h.nh_family == AF_INET6;
    n.hop.gateway = a[NHA_GATEWAY].ip();
    if (const auto oif = a[NHA_OIF].u32()) n.hop.device = name(*oif);
    n.hop.onlink = (h.nh_flags & RTNH_F_ONLINK) != 0;
    for (auto group = a[NHA_GROUP].payload(); group.size() >= sizeof(nexthop_grp); group = group.subspan(sizeof(nexthop_grp))) {
        nexthop_grp member;
        std::memcpy(&member, group.data(), sizeof member);
        n.group.push_back(member.id);
    }
    return n;
}

}  // namespace weft::wire
