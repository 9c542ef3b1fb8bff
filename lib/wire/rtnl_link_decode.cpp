// SPDX-License-Identifier: Apache-2.0
// Decoding of links: every kind that weft makes comes back with its options, any other kind as physical_options with the
// kernel's word. Constants are of linux/if_link.h. May include: core, model. A message too short gives nullopt.
#include "wire/rtnl_link.hpp"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <linux/if_tunnel.h>

namespace weft::wire {
namespace {

std::optional<bool> flag(std::optional<std::uint32_t> v) { return v ? std::optional<bool>(*v != 0) : std::nullopt; }

// An address of zeros is how tunnels say "not set".
std::optional<ip_address> endpoint(const attribute& v4, const attribute& v6 = {}) {
    for (const auto* a : {&v4, &v6})
        if (auto ip = a->ip(); ip && !ip->is_unspecified()) return ip;
    return std::nullopt;
}

bridge_options decode_bridge(const attributes& d) {
    bridge_options o;
    o.stp = flag(d[IFLA_BR_STP_STATE].u32());
    o.forward_delay = d[IFLA_BR_FORWARD_DELAY].u32();
    o.ageing_time = d[IFLA_BR_AGEING_TIME].u32();
    o.vlan_filtering = flag(d[IFLA_BR_VLAN_FILTERING].u8());
    o.mcast_snooping = flag(d[IFLA_BR_MCAST_SNOOPING].u8());
    return o;
}

vxlan_options decode_vxlan(const attributes& d) {
    vxlan_options o;
    o.id = d[IFLA_VXLAN_ID].u32().value_or(0);
    o.local = endpoint(d[IFLA_VXLAN_LOCAL], d[IFLA_VXLAN_LOCAL6]);
    o.remote = endpoint(d[IFLA_VXLAN_GROUP], d[IFLA_VXLAN_GROUP6]);
    o.port = d[IFLA_VXLAN_PORT].be16();
    o.ttl = d[IFLA_VXLAN_TTL].u8();
    o.learning = flag(d[IFLA_VXLAN_LEARNING].u8());
    return o;
}

gretap_options decode_gretap(const attributes& d) {
    gretap_options o;
    o.local = endpoint(d[IFLA_GRE_LOCAL]);
    o.remote = endpoint(d[IFLA_GRE_REMOTE]);
    if ((d[IFLA_GRE_OFLAGS].u16().value_or(0) & GRE_KEY) != 0) o.key = d[IFLA_GRE_OKEY].be32();
    o.ttl = d[IFLA_GRE_TTL].u8();
    return o;
}

geneve_options decode_geneve(const attributes& d) {
    geneve_options o;
    o.id = d[IFLA_GENEVE_ID].u32().value_or(0);
    o.remote = endpoint(d[IFLA_GENEVE_REMOTE], d[IFLA_GENEVE_REMOTE6]);
    o.port = d[IFLA_GENEVE_PORT].be16();
    o.ttl = d[IFLA_GENEVE_TTL].u8();
    return o;
}

tun_options decode_tun(const attributes& d) {
    tun_options o;
    o.tap = d[IFLA_TUN_TYPE].u8().value_or(2) == 2;  // IFF_TAP of linux/if_tun.h
    o.owner = d[IFLA_TUN_OWNER].u32();
    o.group = d[IFLA_TUN_GROUP].u32();
    o.multi_queue = d[IFLA_TUN_MULTI_QUEUE].u8().value_or(0) != 0;
    return o;
}

link_options decode_options(const std::string& kind, const attributes& d) {
    if (kind == "bridge") return decode_bridge(d);
    if (kind == "veth") return veth_options{};
    if (kind == "vxlan") return decode_vxlan(d);
    if (kind == "gretap" || kind == "ip6gretap") return decode_gretap(d);
    if (kind == "geneve") return decode_geneve(d);
    if (kind == "vlan") return vlan_options{d[IFLA_VLAN_ID].u16().value_or(0), {}};
    if (kind == "dummy") return dummy_options{};
    if (kind == "bond") return bond_options{d[IFLA_BOND_MODE].u8(), d[IFLA_BOND_MIIMON].u32()};
    if (kind == "macvlan") return macvlan_options{{}, d[IFLA_MACVLAN_MODE].u32().value_or(0)};
    if (kind == "vrf") return vrf_options{d[IFLA_VRF_TABLE].u32().value_or(0)};
    if (kind == "ifb") return ifb_options{};
    if (kind == "wireguard") return wireguard_options{};
    if (kind == "tun") return decode_tun(d);
    return physical_options{kind};
}

}  // namespace

std::optional<raw_link> decode_link(const nlmsghdr* header) {
    const auto parts = split<ifinfomsg>(header);
    if (!parts) return std::nullopt;
    const auto& [info, rest] = *parts;
    const attributes a(rest);
    raw_link raw;
    link& l = raw.value;
    l.name = a[IFLA_IFNAME].text();
    l.index = static_cast<std::uint32_t>(info.ifi_index);
    l.mac = a[IFLA_ADDRESS].mac();
    l.mtu = a[IFLA_MTU].u32();
    l.group = a[IFLA_GROUP].u32();
    l.alias = a[IFLA_IFALIAS].text();
    l.up = (info.ifi_flags & IFF_UP) != 0;
    l.promiscuous = (info.ifi_flags & IFF_PROMISC) != 0;
    l.carrier = a[IFLA_CARRIER].u8().value_or(0) != 0;
    l.link_index = a[IFLA_LINK].u32().value_or(0);
    if (const auto id = a[IFLA_LINK_NETNSID].u32()) {
        l.peer_namespace_id = static_cast<std::int32_t>(*id);
        raw.has_peer_namespace = true;
    }
    raw.master_index = a[IFLA_MASTER].u32().value_or(0);
    const attributes info_nest = a.nested(IFLA_LINKINFO);
    raw.kind = info_nest[IFLA_INFO_KIND].text();
    raw.slave_kind = info_nest[IFLA_INFO_SLAVE_KIND].text();
    const attributes data = info_nest.nested(IFLA_INFO_DATA);
    l.options = decode_options(raw.kind, data);
    // The driver tells the link below among its own attributes; IFLA_LINK is absent or the device itself there.
    if (raw.kind == "vxlan") l.link_index = data[IFLA_VXLAN_LINK].u32().value_or(0);
    return raw;
}

void resolve_names(raw_link& raw, const name_of& name) {
    link& l = raw.value;
    // Membership of an Open vSwitch bridge is told by OVSDB; ovs-system as a master would only look like a difference.
    if (raw.master_index != 0 && raw.slave_kind != "openvswitch") l.master = name(raw.master_index);
    if (l.master == "ovs-system") l.master.clear();
    if (l.link_index == 0 || raw.has_peer_namespace) return;
    const std::string lower = name(l.link_index);
    if (auto* o = std::get_if<veth_options>(&l.options)) o->peer = lower;
    if (auto* o = std::get_if<vxlan_options>(&l.options)) o->device = lower;
    if (auto* o = std::get_if<vlan_options>(&l.options)) o->device = lower;
    if (auto* o = std::get_if<macvlan_options>(&l.options)) o->device = lower;
}

}  // namespace weft::wire
