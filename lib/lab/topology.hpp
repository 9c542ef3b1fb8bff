// SPDX-License-Identifier: Apache-2.0
// What a lab is made of, as values: members with their NICs, addresses and routes, the segments that the cables join, and
// the VMs that are plugged into computes. Pure; the faults of an incomplete fabric are found here. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/nft.hpp"
#include "weft/model/route.hpp"

#include <optional>

namespace weft::lab {

struct segment {
    std::string name;     // what segment_of says of an underlay network, or "internet"
    std::string bridge;   // its Linux bridge in the cables namespace
    std::uint32_t mtu = 1500;
};

// One end of a cable; the other is `cable` in `netns`, in the bridge there: that of the segment in the cables namespace, or
// for a guest the one of its hypervisor.
struct cabled_nic {
    std::string device, cable, bridge, netns;
    mac_address mac;
    std::uint32_t mtu = 1500;
};

struct planned_member {
    std::string name, kind;  // kind: node, vm, host, router, cables
    std::string netns;       // the outer name
    bool ovs = false;        // a node that runs a switch of its own
    std::vector<cabled_nic> nics;
    // Empty for nodes: what a node has on its NICs is for compile to say.
    std::vector<address_entry> addresses;
    std::vector<route> routes;
    std::optional<ip_address> lease;  // a VM that asks DHCP for its address, and must be given this one
    std::optional<ip_address> lease6;  // the same of IPv6
    bool by_dhcp6 = false;             // it asks DHCPv6; else it makes its address of an advertisement
    std::map<std::string, std::string> sysctls;
    std::vector<nft::table> tables;
};

// A VM's one cable: eth0 in the VM's namespace, the tap in the node's.
struct plug {
    std::string vm, node, vm_netns, node_netns, tap, iface_id, vm_id;
    mac_address mac;
    std::uint32_t mtu = 1500;
};

struct topology {
    std::vector<planned_member> members;  // "cables" first, then nodes, VMs, router, hosts, each in name order
    std::vector<segment> segments;
    std::vector<plug> plugs;

    const planned_member& cables() const { return members.front(); }
};

// Errors: invalid_input names what allocate has not filled, or two members of one name.
result<topology> plan_topology(const fabric&, const std::string& lab);

// "weft-<lab>-<member>", with '.' for the '/' of a VM's name.
std::string netns_name(const std::string& lab, const std::string& member);

}  // namespace weft::lab
