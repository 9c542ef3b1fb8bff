// SPDX-License-Identifier: Apache-2.0
// Encoding of links. One create message carries name, MAC, MTU, group, master and all options of the kind, so that no
// half-made link is ever seen. Constants are of linux/if_link.h, if_tunnel.h and veth.h. May include: core, model.
#include "wire/rtnl_link.hpp"

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
// After net/if.h, which declares the same flags.
#include <linux/if_tunnel.h>

namespace weft::wire {
namespace {

ifinfomsg info(std::uint32_t index = 0) {
    ifinfomsg m{};
    m.ifi_family = AF_UNSPEC;
    m.ifi_index = static_cast<int>(index);
    return m;
}

void set_flags(ifinfomsg& m, const link& l, bool with_up) {
    if (with_up) {
        m.ifi_change |= IFF_UP;
        if (l.up) m.ifi_flags |= IFF_UP;
    }
    if (l.promiscuous) {
        m.ifi_change |= IFF_PROMISC;
        if (*l.promiscuous) m.ifi_flags |= IFF_PROMISC;
    }
}

struct data_writer {
    message& m;
    const link& l;
    int peer_fd;
    std::uint32_t lower = 0;  // index of the link below, where there is one

    void operator()(const physical_options&) const {}
    void operator()(const dummy_options&) const {}
    void operator()(const ifb_options&) const {}
    void operator()(const wireguard_options&) const {}
    void operator()(const tun_options&) const {}
    void operator()(const bridge_options& o) const {
        if (o.forward_delay) m.u32(IFLA_BR_FORWARD_DELAY, *o.forward_delay);
        if (o.ageing_time) m.u32(IFLA_BR_AGEING_TIME, *o.ageing_time);
        if (o.stp) m.u32(IFLA_BR_STP_STATE, *o.stp ? 1 : 0);
        if (o.vlan_filtering) m.u8(IFLA_BR_VLAN_FILTERING, *o.vlan_filtering ? 1 : 0);
        if (o.mcast_snooping) m.u8(IFLA_BR_MCAST_SNOOPING, *o.mcast_snooping ? 1 : 0);
    }
    void operator()(const veth_options& o) const {
        const auto peer = m.begin(VETH_INFO_PEER);
        const ifinfomsg i = info();
        m.append(&i, sizeof i);
        if (!o.peer.empty()) m.text(IFLA_IFNAME, o.peer);
        if (o.peer_mac) m.mac(IFLA_ADDRESS, *o.peer_mac);
        if (o.peer_mtu) m.u32(IFLA_MTU, *o.peer_mtu);
        if (l.group) m.u32(IFLA_GROUP, *l.group);  // the mark holds for both ends
        if (peer_fd >= 0) m.u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_fd));
        m.end(peer);
    }
    void operator()(const vxlan_options& o) const {
        m.u32(IFLA_VXLAN_ID, o.id);
        if (lower != 0) m.u32(IFLA_VXLAN_LINK, lower);  // the driver does not look at IFLA_LINK
        if (o.local) m.ip(o.local->is_v6() ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, *o.local);
        if (o.remote) m.ip(o.remote->is_v6() ? IFLA_VXLAN_GROUP6 : IFLA_VXLAN_GROUP, *o.remote);
        if (o.port) m.be16(IFLA_VXLAN_PORT, *o.port);
        if (o.ttl) m.u8(IFLA_VXLAN_TTL, *o.ttl);
        if (o.learning) m.u8(IFLA_VXLAN_LEARNING, *o.learning ? 1 : 0);
    }
    void operator()(const gretap_options& o) const {
        if (o.local) m.ip(IFLA_GRE_LOCAL, *o.local);
        if (o.remote) m.ip(IFLA_GRE_REMOTE, *o.remote);
        if (o.key) {
            m.u16(IFLA_GRE_IFLAGS, GRE_KEY).u16(IFLA_GRE_OFLAGS, GRE_KEY);  // GRE_KEY is in network order already
            m.be32(IFLA_GRE_IKEY, *o.key).be32(IFLA_GRE_OKEY, *o.key);
        }
        if (o.ttl) m.u8(IFLA_GRE_TTL, *o.ttl);
    }
    void operator()(const geneve_options& o) const {
        m.u32(IFLA_GENEVE_ID, o.id);
        if (o.remote) m.ip(o.remote->is_v6() ? IFLA_GENEVE_REMOTE6 : IFLA_GENEVE_REMOTE, *o.remote);
        if (o.port) m.be16(IFLA_GENEVE_PORT, *o.port);
        if (o.ttl) m.u8(IFLA_GENEVE_TTL, *o.ttl);
    }
    void operator()(const vlan_options& o) const { m.u16(IFLA_VLAN_ID, o.id); }
    void operator()(const bond_options& o) const {
        if (o.mode) m.u8(IFLA_BOND_MODE, *o.mode);
        if (o.miimon) m.u32(IFLA_BOND_MIIMON, *o.miimon);
    }
    void operator()(const macvlan_options& o) const { m.u32(IFLA_MACVLAN_MODE, o.mode); }
    void operator()(const vrf_options& o) const { m.u32(IFLA_VRF_TABLE, o.table); }
};

std::string lower_device(const link& l) {
    if (const auto* o = std::get_if<vxlan_options>(&l.options)) return o->device;
    if (const auto* o = std::get_if<vlan_options>(&l.options)) return o->device;
    if (const auto* o = std::get_if<macvlan_options>(&l.options)) return o->device;
    return {};
}

// gretap over IPv6 is a kind of its own in the kernel.
std::string wire_kind(const link& l) {
    if (const auto* o = std::get_if<gretap_options>(&l.options))
        if ((o->remote && o->remote->is_v6()) || (o->local && o->local->is_v6())) return "ip6gretap";
    return kind_name(l.options);
}

void put_link_info(message& m, const link& l, int peer_fd, std::uint32_t lower = 0) {
    const auto nest = m.begin(IFLA_LINKINFO);
    m.text(IFLA_INFO_KIND, wire_kind(l));
    const auto data = m.begin(IFLA_INFO_DATA);
    std::visit(data_writer{m, l, peer_fd, lower}, l.options);
    m.end(data);
    m.end(nest);
}

// Only what differs is said to a bridge: a kernel that cannot filter VLANs refuses even to be told that it shall not.
link told_only_of_differences(link wanted, const bridge_options& has) {
    auto& o = std::get<bridge_options>(wanted.options);
    const auto known = [](auto& field, const auto& at) {
        if (field == at) field.reset();
    };
    known(o.stp, has.stp);
    known(o.forward_delay, has.forward_delay);
    known(o.ageing_time, has.ageing_time);
    known(o.vlan_filtering, has.vlan_filtering);
    known(o.mcast_snooping, has.mcast_snooping);
    return wanted;
}

// A bridge keeps an MTU only if it is changed after creation (BROPT_MTU_SET_BY_USER in net/bridge/br_device.c); else it
// takes the smallest of its ports. Setting the value it has does not count, so it is born one off.
bool is_bridge_with_mtu(const link& l) { return l.mtu && std::holds_alternative<bridge_options>(l.options); }

bool needs_follow_up(const link& l) {
    return !l.alias.empty() || is_bridge_with_mtu(l) || (l.up && (!l.master.empty() || std::holds_alternative<veth_options>(l.options)));
}

}  // namespace

std::vector<std::string> names_in_create(const link& l) {
    std::vector<std::string> names;
    if (!l.master.empty()) names.push_back(l.master);
    if (auto lower = lower_device(l); !lower.empty()) names.push_back(std::move(lower));
    return names;
}

message link_create(const link& l, const index_of& index, int peer_namespace_fd) {
    message m(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    ifinfomsg i = info();
    set_flags(i, l, l.up && !needs_follow_up(l));
    m.header(i).text(IFLA_IFNAME, l.name);
    // In the create message, so that addr_assign_type is SET and udev leaves it alone.
    if (l.mac) m.mac(IFLA_ADDRESS, *l.mac);
    if (l.mtu) m.u32(IFLA_MTU, is_bridge_with_mtu(l) && *l.mtu > ETH_MIN_MTU ? *l.mtu - 1 : *l.mtu);
    if (l.group) m.u32(IFLA_GROUP, *l.group);
    if (!l.master.empty()) m.u32(IFLA_MASTER, index(l.master));
    const auto below = lower_device(l);
    const std::uint32_t lower = below.empty() ? 0 : index(below);
    if (lower != 0) m.u32(IFLA_LINK, lower);
    bridge_options born;
    born.vlan_filtering = false;
    put_link_info(m, std::holds_alternative<bridge_options>(l.options) ? told_only_of_differences(l, born) : l, peer_namespace_fd, lower);
    return m;
}

std::optional<message> link_follow_up(const link& l) {
    if (!needs_follow_up(l)) return std::nullopt;
    message m(RTM_NEWLINK, NLM_F_ACK);
    ifinfomsg i = info();
    if (l.up) i.ifi_change = i.ifi_flags = IFF_UP;
    m.header(i).text(IFLA_IFNAME, l.name);
    if (!l.alias.empty()) m.put(IFLA_IFALIAS, l.alias.data(), l.alias.size());
    if (is_bridge_with_mtu(l)) m.u32(IFLA_MTU, *l.mtu);
    return m;
}

message link_settings_by_name(const link& l, const index_of& index) {
    message m(RTM_NEWLINK, NLM_F_ACK);
    ifinfomsg i = info();
    set_flags(i, l, l.up);
    m.header(i).text(IFLA_IFNAME, l.name);
    if (l.mac) m.mac(IFLA_ADDRESS, *l.mac);
    if (l.mtu) m.u32(IFLA_MTU, *l.mtu);
    if (l.group) m.u32(IFLA_GROUP, *l.group);
    if (!l.master.empty()) m.u32(IFLA_MASTER, index(l.master));
    if (!l.alias.empty()) m.put(IFLA_IFALIAS, l.alias.data(), l.alias.size());
    return m;
}

message link_change(const link& wanted, const raw_link& seen, const index_of& index) {
    message m(RTM_NEWLINK, NLM_F_ACK);
    ifinfomsg i = info();
    set_flags(i, wanted, true);
    m.header(i).text(IFLA_IFNAME, seen.value.name);
    // Only what differs: many drivers refuse any MAC while the link is up, even the one they have.
    if (wanted.mac && wanted.mac != seen.value.mac) m.mac(IFLA_ADDRESS, *wanted.mac);
    if (wanted.mtu && wanted.mtu != seen.value.mtu) m.u32(IFLA_MTU, *wanted.mtu);
    if (wanted.group && wanted.group != seen.value.group) m.u32(IFLA_GROUP, *wanted.group);
    if (!wanted.alias.empty() && wanted.alias != seen.value.alias)
        m.put(IFLA_IFALIAS, wanted.alias.data(), wanted.alias.size());
    if (!wanted.master.empty()) {
        const std::uint32_t master = index(wanted.master);
        if (master != seen.master_index) m.u32(IFLA_MASTER, master);
    } else if (seen.master_index != 0 && seen.slave_kind != "openvswitch") {
        m.u32(IFLA_MASTER, 0);  // a port of Open vSwitch has the datapath as its master and must keep it
    }
    // The options of a bridge can be changed in place; those of the other kinds are fixed or checked by their driver.
    const auto* has = std::get_if<bridge_options>(&seen.value.options);
    if (std::holds_alternative<bridge_options>(wanted.options) && has != nullptr)
        if (const auto told = told_only_of_differences(wanted, *has); std::get<bridge_options>(told.options) != bridge_options{})
            put_link_info(m, told, -1);
    return m;
}

message link_delete(const std::string& name) {
    message m(RTM_DELLINK, NLM_F_ACK);
    m.header(info()).text(IFLA_IFNAME, name);
    return m;
}

// RTEXT_FILTER_SKIP_STATS makes the answers a third as long.
message link_get(const std::string& name) {
    message m(RTM_GETLINK, NLM_F_ACK);
    m.header(info()).text(IFLA_IFNAME, name).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return m;
}

message link_get(std::uint32_t index) {
    message m(RTM_GETLINK, NLM_F_ACK);
    m.header(info(index)).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return m;
}

message link_dump() {
    message m(RTM_GETLINK, NLM_F_DUMP);
    m.header(info()).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return m;
}

}  // namespace weft::wire
