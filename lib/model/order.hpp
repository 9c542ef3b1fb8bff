// SPDX-License-Identifier: Apache-2.0
// The order in which the steps of a plan run, and in which they are taken back. Pure; private to the library.
#pragma once

#include "model/uplink.hpp"
#include "weft/model/plan.hpp"

namespace weft {

// Sorts the steps, stably, by rank: removals that free names first; then namespaces, links (down), nftables and sysctls
// before anything is raised; then Open vSwitch rows, flows, addresses and routes; what protects goes last.
void order(plan&, const host_state& wanted, const uplink_moves* = nullptr);

// What takes back the steps that were done, last one first. Not open before secure here either: the settings of a device that comes back,
// or up again, come just before it is up, and one that comes back is made down for them. An end of a veth pair comes with its peer.
std::vector<step> inverses(const std::vector<step>& done);

}  // namespace weft
