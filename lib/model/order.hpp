// SPDX-License-Identifier: Apache-2.0
// The order in which the steps of a plan run. Pure; private to model.
#pragma once

#include "model/uplink.hpp"
#include "weft/model/plan.hpp"

namespace weft {

// Sorts the steps, stably, by rank: removals that free names first; then namespaces, links (down), nftables and sysctls
// before anything is raised; then Open vSwitch rows, flows, addresses and routes; what protects goes last.
void order(plan&, const host_state& wanted, const uplink_moves* = nullptr);

}  // namespace weft
