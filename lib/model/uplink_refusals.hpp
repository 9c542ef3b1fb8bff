// SPDX-License-Identifier: Apache-2.0
// What is refused before anything is written, since a host would be cut off by it. Pure; private to model. May include: core, model.
#pragma once

#include "model/uplink.hpp"
#include "model/uplink_objects.hpp"

namespace weft {

// Errors: foreign_object where the NIC is somebody else's port, or something lies on it that would hear nothing any more, or an address
// of it has a lifetime: whoever leased it puts it on the NIC again.
result<void> can_be_port(const namespace_state& root, const host_state& seen, const host_state& wanted, const uplink&);
// Errors: foreign_object where a route cannot be told from another one.
result<void> can_be_carried(const namespace_state& root, const held_objects&, const uplink&);
// Errors: foreign_object, invalid_input where an address of the host would be on a bridge that passes nothing before somebody's flows
// are there: after a restart nobody could reach the host to put them there.
// `taken` is moved with this plan; `seen` is as it will be then.
result<void> path_needs_no_flows(const host_state& seen, const host_state& wanted, const std::vector<uplink>& ports,
                                 const std::vector<moved_object>& taken);

}  // namespace weft
