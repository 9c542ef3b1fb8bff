// SPDX-License-Identifier: Apache-2.0
// One flow that cannot be had costs the port that it serves, and no other. Private to apply. May include: core, model, ovs.
#pragma once

#include "weft/model/host_state.hpp"
#include "weft/ovs/flows.hpp"

namespace weft::apply {

// Takes all flows of the ports concerned out of `wanted`, so that these neither send nor receive, and notes why. False, and
// nothing changed, where a refused flow serves more than one port: then the node as a whole cannot have what it should.
bool quarantine(host_state& wanted, const std::vector<ovs::refused_flow>&);

}  // namespace weft::apply
