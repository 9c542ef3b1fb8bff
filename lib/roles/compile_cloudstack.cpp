// SPDX-License-Identifier: Apache-2.0
// The Linux bridges of a CloudStack KVM host (DATAPLANE section 11): cloud0, the control network of its system VMs, and for each guest network
// with VMs here a bridge and the device that joins it to the other hosts, as CloudStack's agent would make them with modifyvxlan.sh and
// modifyvlan.sh. Whoever starts the VMs plugs their devices. Pure.
#include "roles/compile.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

constexpr std::uint8_t vxlan_ttl = 10;      // modifyvxlan.sh
// Groups that one host may join, of all its sockets; the kernel's default of net/ipv4/igmp_max_memberships.
constexpr std::size_t usual_memberships = 20;

// 239.A.B.C, with the id's three bytes.
ip_address group_of(std::uint32_t id) { return boost::asio::ip::address_v4(0xef000000U | (id & 0xffffffU)); }

void add_bridge(compilation& c, const std::string& name, const std::string& object, std::optional<std::uint32_t> mtu) {
    link bridge;
    bridge.name = name;
    bridge_options options;
    options.stp = false;
    options.forward_delay = 0;
    // Nobody on a guest network need ask for groups, and without a querier snooping would lose their packets.
    options.mcast_snooping = false;
    bridge.options = options;
    // Pinned, or the bridge would take the lowest MAC of its ports, and change it when a guest comes or goes.
    bridge.mac = object_mac(c.f.name, node_path(c.name, object));
    bridge.mtu = mtu;
    bridge.group = weft_link_group;
    bridge.alias = c.alias(node_path(c.name, object));
    bridge.up = true;
    c.space("").links.push_back(std::move(bridge));
    // The host speaks on none of them with link-local addresses of its own making.
    c.disable_ipv6(name);
    c.guest_bridges.insert(name);
}

void add_control_network(compilation& c) {
    add_bridge(c, "cloud0", "cloud0", {});
    address_entry address;
    address.device = "cloud0";
    address.address = {advance(link_local_prefix().address, 1), link_local_prefix().length};
    address.protocol = weft_protocol;
    c.space("").addresses.push_back(std::move(address));
}

}  // namespace

void compile_guest_bridges(compilation& c) {
    if (!is_cloudstack(c.node)) return;
    add_control_network(c);
    const auto* way = c.nic_on(tunnel_network);
    const auto hosted = hosted_networks(c.f, c.name);
    for (const auto& full : hosted) {
        const auto slash = full.find('/');
        const auto tenant = full.substr(0, slash), name = full.substr(slash + 1);
        const auto id = *c.f.tenants.at(tenant).networks.at(name).id;
        const auto devices = guest_devices_of(c.f, c.node, id);
        if (devices.bridge.empty() || way == nullptr) continue;  // validate has told
        const auto mtu = network_mtu(c.f, tenant, name);
        add_bridge(c, devices.bridge, network_path(tenant, name), mtu);
        link uplink;
        uplink.name = devices.uplink;
        uplink.master = devices.bridge;
        uplink.mtu = mtu;
        uplink.group = weft_link_group;
        uplink.alias = c.alias(node_path(c.name, network_path(tenant, name)));
        uplink.up = true;
        c.disable_ipv6(uplink.name);
        if (c.f.overlay.type == "vlan") {
            uplink.options = vlan_options{static_cast<std::uint16_t>(id), way->device};
        } else {
            vxlan_options options;
            options.id = id;
            options.local = way->nic->address;
            options.remote = group_of(id);
            options.port = linux_vxlan_port;
            options.ttl = vxlan_ttl;
            options.device = devices.lower;
            uplink.options = options;
            route to_group;
            to_group.destination = host_prefix(group_of(id));
            to_group.scope = 253;  // RT_SCOPE_LINK
            to_group.nexthops = {nexthop{{}, devices.lower, 0, false}};
            c.space("").routes.push_back(std::move(to_group));
        }
        c.space("").links.push_back(std::move(uplink));
    }
    if (c.f.overlay.type != "vlan" && hosted.size() > usual_memberships / 2)  // other programs of the host join groups, too
        c.space("").sysctls["net/ipv4/igmp_max_memberships"] = std::to_string(hosted.size() + usual_memberships);
}

}  // namespace weft::roles
