// SPDX-License-Identifier: Apache-2.0
// Which underlay networks share a switch, and which bridge of a hypervisor is on it. Networks of one segment are kept
// apart by their addresses alone. Pure; an unknown name gives an empty answer. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"

namespace weft {

// The switch of an underlay network: what its key `segment` says, else a switch of its own, which has the network's
// name.
std::string segment_of(const fabric&, const std::string& network);
// The largest MTU of the segment's networks: what each hop of it must carry.
std::uint32_t segment_mtu(const fabric&, const std::string& segment);
// The bridge of a hypervisor that a guest's NIC on this network hangs on: the one with a NIC on the same segment.
std::string bridge_for(const fabric&, const node& hypervisor, const std::string& network);
// The bridge that holds a NIC of the hypervisor; "" if none does.
std::string bridge_over_nic(const node& hypervisor, const std::string& nic);

// Whether the node is a KVM host of CloudStack, whose guests hang on Linux bridges, one for each guest network.
bool is_cloudstack(const node&);
// What carries a guest network of this id on such a host: the bridge, by CloudStack's name (brvx-ID, or brNIC-ID for a VLAN), and the device
// that leaves the host (vxlanID, or NIC.ID). "" both where the host has no way to the other hosts.
struct guest_devices {
    std::string bridge, uplink, lower;  // lower: what the uplink stands on
};
guest_devices guest_devices_of(const fabric&, const node&, std::uint32_t id);

}  // namespace weft
