// SPDX-License-Identifier: Apache-2.0
// The host's own namespace: NICs, the bridges that hold their addresses, default routes, and the defence against the
// leaks of DATAPLANE section 12 (forwarding off, tunnels only from endpoints, addresses only through their own NIC).
// Pure.
#include <algorithm>

#include "roles/compile.hpp"
#include "weft/model/nft.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

// A bridge that takes a NIC as its port and, if there is one, the NIC's address on its local device.
void bridge_over(compilation& c, placed_nic& nic, const std::string& bridge_name) {
    nic.holder = bridge_name;
    ovs::bridge_row bridge;
    bridge.name = bridge_name;
    bridge.datapath_type = c.facts.datapath;
    bridge.fail_mode = "standalone";
    bridge.external_ids = c.marks(node_path(c.name, bridge_name));
    // Asked for, or vswitchd would lower it to that of whatever port somebody adds.
    bridge.mtu_request = nic.network->mtu;
    // Pinned, or the bridge would take the lowest MAC of its ports, and change it when a port comes or goes.
    if (const auto mac = c.facts.nic_macs.find(nic.device); mac != c.facts.nic_macs.end())
        bridge.other_config["hwaddr"] = mac->second.to_string();
    ovs::port_row port;
    port.name = nic.device;
    port.external_ids = c.marks(node_path(c.name, nic.device));
    port.interfaces = {ovs::interface_row{.name = nic.device}};
    bridge.ports.push_back(std::move(port));
    c.bridges[bridge_name] = std::move(bridge);
    c.guard(nic.device);

    link local;
    local.name = bridge_name;
    local.up = true;
    local.mtu = nic.network->mtu;
    c.space("").links.push_back(std::move(local));
    c.ipv6_of(nic, bridge_name);
}

// A hypervisor's Linux bridge over one of its NICs. It holds the NIC's address; the guests' NICs join it beside, whoever
// starts them.
void bridge_for_guests(compilation& c, placed_nic& nic, link& physical, const std::string& bridge_name) {
    nic.holder = bridge_name;
    physical.master = bridge_name;
    physical.mtu = segment_mtu(c.f, segment_of(c.f, nic.nic->network));
    link bridge;
    bridge.name = bridge_name;
    // One way to each segment is what validate lets through, so there is no loop for STP to find; and nobody on the segment
    // asks for groups, so that snooping would only lose their packets.
    bridge_options options;
    options.stp = false;
    options.mcast_snooping = false;
    // With 0, as some set it for a bridge of two ports, every guest would hear what is for the others.
    options.ageing_time = 30000;  // in 1/100 s
    bridge.options = options;
    // Pinned, or the bridge would take the lowest MAC of its ports, and change it when a guest comes or goes.
    if (const auto mac = c.facts.nic_macs.find(nic.device); mac != c.facts.nic_macs.end()) bridge.mac = mac->second;
    bridge.mtu = physical.mtu;
    bridge.group = weft_link_group;
    bridge.alias = c.alias(node_path(c.name, bridge_name));
    bridge.up = true;
    c.space("").links.push_back(std::move(bridge));
    c.disable_ipv6(nic.device);
    c.ipv6_of(nic, bridge_name);
}

// Whether the node has another NIC on the same segment.
bool shares_segment(const compilation& c, const placed_nic& nic) {
    return std::any_of(c.nics.begin(), c.nics.end(), [&](const placed_nic& other) {
        return other.key != nic.key && segment_of(c.f, other.nic->network) == segment_of(c.f, nic.nic->network);
    });
}

}  // namespace

std::string external_bridge(const fabric& f, const std::string& network) {
    // The usual case is one external network, and its bridge has the name that everybody knows.
    std::set<std::string> externals;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, r] : t.routers)
            if (!r.external.empty()) externals.insert(r.external);
    if (network == "external" || externals.size() <= 1) return "br-ex";
    const auto full = "br-" + network;
    return full.size() <= 15 ? full : device_name("br-", object_uuid(f.name, "networks/" + network));
}

std::string underlay_bridge(const std::string& device) {
    const auto full = "br-" + device;
    return full.size() <= 15 ? full : device_name("br-", object_uuid("", device));
}

void compile_nics(compilation& c) {
    auto& root = c.space("");
    for (auto& nic : c.nics) {
        if (!nic.network) continue;
        const bool uplink = has_role(c.node, "network") && is_external(nic.nic->network) &&
                            &uplink_nic(c.node, nic.nic->network)->second == nic.nic;
        const bool endpoint =
            is_switch(c.node) && nic.nic->network == tunnel_network && c.nic_on(tunnel_network) == &nic;

        link physical;
        physical.name = nic.device;
        physical.up = true;
        physical.mtu = nic.network->mtu;
        // Routers and floating addresses have MACs of their own, which the NIC would filter out. A switch in userspace turns this on for
        // each NIC that it opens, and leaves it on when it is killed: what weft turned on itself, it knows how to give back.
        if (uplink || (endpoint && c.netdev())) physical.promiscuous = true;
        const auto guests = bridge_over_nic(c.node, nic.key);
        if (!guests.empty()) bridge_for_guests(c, nic, physical, guests);
        root.links.push_back(std::move(physical));

        if (uplink) bridge_over(c, nic, external_bridge(c.f, nic.nic->network));
        // The userspace datapath sends tunnels only out of a bridge of its own that holds the endpoint's address.
        else if (endpoint && c.netdev())
            bridge_over(c, nic, underlay_bridge(nic.device));
        else if (guests.empty() && (!is_external(nic.nic->network) || c.has_ipv6(nic)))
            c.ipv6_of(nic, nic.device);
        // What else the LAN has of IPv6 is not ours to switch off, but no router of it says what this node is.
        else if (guests.empty())
            root.sysctls["net/ipv6/conf/" + nic.device + "/accept_ra"] = "0";

        for (const auto& own : addresses_of(*nic.nic, *nic.network)) {
            const auto& gateway = own.is_v6() && !nic.network->cidr.is_v6() ? nic.network->gateway6 : nic.network->gateway;
            address_entry address;
            address.device = nic.holder;
            address.address = own;
            address.protocol = weft_protocol;
            // The file is checked for addresses given twice, and a tunnel's end must answer at once, not after a second of asking.
            constexpr std::uint32_t no_dad = 0x02;  // IFA_F_NODAD
            if (own.is_v6()) address.flags = no_dad;
            root.addresses.push_back(std::move(address));
            if (!gateway || *gateway == own.address) continue;
            route route;
            route.destination = {ip_address(), 0};
            if (gateway->is_v6())
                route.destination.address = boost::asio::ip::address_v6();
            else
                route.destination.address = boost::asio::ip::address_v4();
            route.nexthops = {nexthop{*gateway, nic.holder, 0, false}};
            root.routes.push_back(std::move(route));
        }
    }
}

void compile_defence(compilation& c) {
    auto& root = c.space("");
    // Forwarding belongs to the router namespaces. The guide switches it on everywhere, which is its leak C2/C3.
    root.sysctls["net/ipv4/ip_forward"] = "0";
    root.sysctls["net/ipv6/conf/all/forwarding"] = "0";
    // Two subnets may share a segment (plan 2): an address is answered for on its own NIC only.
    root.sysctls["net/ipv4/conf/all/arp_ignore"] = "1";
    root.sysctls["net/ipv4/conf/all/arp_announce"] = "2";
    // There a neighbour's broadcasts come in on both NICs; a strict check would drop them on the one without the route.
    for (const auto& nic : c.nics)
        if (nic.nic->address && shares_segment(c, nic))
            root.sysctls["net/ipv4/conf/" + nic.holder + "/rp_filter"] = "2";

    nft::chain forward{"forward", "filter", 2, 0, 0, {}, {}};
    nft::chain input{"input", "filter", 1, 0, 1, {}, {}};
    // The weak host model answers on any NIC for the address of another: that is how the LAN reached management.
    for (const char* network : {management_network, tunnel_network}) {
        const auto* nic = c.nic_on(network);
        if (!nic || !nic->nic->address) continue;
        for (const auto& own : addresses_of(*nic->nic, *nic->network)) {
            input.rules.push_back(nft::rule_builder()
                                      .daddr(host_prefix(own.address))
                                      .iifname(nic->holder, false)
                                      .iifname("lo", false)
                                      .drop(std::string(network) + " address, but not through " + nic->holder));
            // On a shared segment nothing but this keeps a host of the one network away from the addresses of the other.
            for (const auto& [other, n] : c.f.networks) {
                if (other == network || segment_of(c.f, other) != segment_of(c.f, network)) continue;
                for (const auto& subnet : subnets_of(n))
                    if (subnet.is_v6() == own.is_v6())
                        input.rules.push_back(nft::rule_builder()
                                                  .daddr(host_prefix(own.address))
                                                  .saddr(subnet)
                                                  .iifname("lo", false)
                                                  .drop(std::string(network) + " address, but from " + other));
            }
        }
    }
    // Where bridge netfilter is on, the guests' frames pass here too, from a bridge to itself.
    auto bridges = c.guest_bridges;
    for (const auto& [bridge, nics] : c.node.bridges) bridges.insert(bridge);
    for (const auto& bridge : bridges)
        forward.rules.push_back(nft::rule_builder().iifname(bridge).oifname(bridge).accept("guests on " + bridge));
    constexpr std::uint8_t gre = 47, udp = 17;
    const auto tunnelled = [&c](nft::rule_builder builder, const std::string& type) {
        if (type == "gre") return builder.l4proto(gre);
        return builder.l4proto(udp).dport(type == "geneve" ? geneve_port : is_cloudstack(c.node) ? linux_vxlan_port : vxlan_port);
    };
    const auto& type = c.f.overlay.type;
    if (is_cloudstack(c.node))
        input.rules.push_back(
            nft::rule_builder().daddr(link_local_prefix()).iifname("cloud0", false).iifname("lo", false).drop("CloudStack's control network, but not through cloud0"));
    if (const auto* nic = c.nic_on(tunnel_network); nic && (is_switch(c.node) || is_cloudstack(c.node)) && type != "vlan")
        for (const auto& [peer, address] : tunnel_endpoints(c.f))
            if (peer != c.name)
                input.rules.push_back(
                    tunnelled(nft::rule_builder().iifname(nic->holder).saddr(host_prefix(address)), type)
                        .accept(type + " from " + peer));
    // Whoever can send a tunnel packet can speak in any tenant's network.
    if (type != "vlan") input.rules.push_back(tunnelled(nft::rule_builder(), type).drop(type + " from anybody else"));
    root.tables.push_back({nft::family::inet, "weft", {std::move(forward), std::move(input)}});

    if (c.guarded.empty()) return;
    nft::table ingress{nft::family::netdev, "weft", {}};
    for (const auto& device : c.guarded)
        ingress.chains.push_back({"drop-" + device, "filter", 0, -300, 0, {device}, {}});
    root.tables.push_back(std::move(ingress));
}

}  // namespace weft::roles
