// SPDX-License-Identifier: Apache-2.0
// The flows of profile grizzly: br-int and br-tun as OpenStack Grizzly (2013.1) drove them, in table 0 alone (DATAPLANE
// section 5), so that a node talks to one that still runs that release. br-int switches by MAC and local VLAN, with nothing
// between a VM and its network; the sender's tag stays on the frame in the tunnel, and the receiver overwrites it. Pure.
#include <fmt/format.h>

#include "roles/compile.hpp"

namespace weft::roles {
namespace {

// A port of br-int that belongs to a network, as Grizzly's agent saw a VIF.
struct vif {
    mac_address mac;
    std::uint16_t vlan = 0;
};

std::vector<vif> vifs_of(const compilation& c) {
    std::vector<vif> out;
    std::set<std::string> vms;
    for (const auto& b : c.bound) {
        vms.insert(b.device);
        out.push_back({*b.port->mac, c.vlans.at(b.tenant + "/" + b.port->network)});
    }
    for (const auto& row : c.bridges.at("br-int").ports)
        if (row.tag && row.tag != ovs::dead_vlan && !vms.count(row.name))
            out.push_back({parse_mac(row.interfaces.at(0).external_ids.at("attached-mac")).value(), *row.tag});
    return out;
}

// Who is plugged into br-int and is no port of this node may neither speak nor hear. The drop alone would leave it all that
// the switch floods, for a port without a tag is a trunk of every VLAN.
void dead_ports(compilation& c) {
    std::set<std::string> vms;
    for (const auto& b : c.bound) vms.insert(b.device);
    for (const auto& device : c.facts.plugged_ports) {
        if (vms.count(device)) continue;
        ovs::port_row row;
        row.name = device;
        row.tag = ovs::dead_vlan;
        row.other_config = {{"tag", std::to_string(ovs::dead_vlan)}, {ovs::mark_bound, "true"}};
        row.external_ids = c.marks(node_path(c.name, "dead/" + device));
        row.interfaces = {ovs::interface_row{.name = device}};
        c.bridges["br-int"].ports.push_back(std::move(row));
        c.add_flow("br-int", 0, 2, "in_port=" + flow_port(device), "drop");
    }
}

// Grizzly's mod_vlan_vid, which replaces a tag and adds one where there is none. Since OpenFlow 1.1 ovs-ofctl makes a push of it
// in a flow whose match names no VLAN, and the frame would have two; a load of the field means the same in every version.
// 0x1000 says that there is a tag; its priority bits stay.
std::string mod_vlan(std::uint16_t vlan) { return fmt::format("load:0x{:x}->NXM_OF_VLAN_TCI[0..12]", vlan | 0x1000); }

}  // namespace

void compile_grizzly(compilation& c) {
    if (!c.bridges.count("br-int")) return;
    dead_ports(c);
    c.add_flow("br-int", 0, 1, "", "NORMAL");

    c.add_flow("br-tun", 0, 1, "", "drop");
    std::map<std::uint16_t, std::uint32_t> ids;  // by local VLAN
    for (const auto& [network, vlan] : c.vlans) {
        const auto slash = network.find('/');
        const auto id = *c.f.tenants.at(network.substr(0, slash)).networks.at(network.substr(slash + 1)).id;
        ids[vlan] = id;
        c.add_flow("br-tun", 0, 4, fmt::format("in_port=patch-int,dl_vlan={}", vlan), fmt::format("set_tunnel:0x{:x},NORMAL", id));
        c.add_flow("br-tun", 0, 3, fmt::format("tun_id=0x{:x},dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", id),
                   mod_vlan(vlan) + ",output:patch-int");
    }
    // What is for a MAC of another node falls to the drop: no tunnel leads on into another one.
    for (const auto& v : vifs_of(c))
        c.add_flow("br-tun", 0, 3, fmt::format("tun_id=0x{:x},dl_dst={}", ids.at(v.vlan), v.mac.to_string()), mod_vlan(v.vlan) + ",NORMAL");
}

}  // namespace weft::roles
