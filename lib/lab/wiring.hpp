// SPDX-License-Identifier: Apache-2.0
// Lays the cables of a lab: segments, NICs, taps, and the addresses of what is not a node. Members' namespaces exist already;
// every device is born in its namespace, so that none ever passes the root one. May include: core, model, netlink.
#pragma once

#include "lab/topology.hpp"
#include "weft/core/error.hpp"

namespace weft::lab {

// NICs and taps of nodes are left down: what stands on them is for apply to say.
result<void> wire(const topology&);
// Puts the cables of a hypervisor's guests into its bridges, once apply has made these.
result<void> join_guests(const topology&, const std::string& node);
// Brings the node's taps up, once apply has put their ingress drop there.
result<void> raise_taps(const topology&, const std::string& node);

}  // namespace weft::lab
