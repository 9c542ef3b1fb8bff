// SPDX-License-Identifier: Apache-2.0
// The connections that a switch tracks. May include: core, model.
#pragma once

#include "weft/core/error.hpp"

#include <chrono>
#include <cstdint>
#include <set>
#include <string>

namespace weft::ovs {

// Cuts the tracked connections of these zones that the bridge's rules do not allow any more, and no others: the switch itself is asked
// about each, by a packet of the connection that goes through the rules of both ends and is never delivered. Nothing is cut in zone 0.
// `datapath` is the bridge's datapath_type. Idempotent. Errors: those of OpenFlow and of the control socket.
// Equivalent to: ovs-appctl dpctl/dump-conntrack zone=ZONE, and ovs-ofctl packet-out BRIDGE … for each line.
result<void> cut_denied_connections(const std::string& rundir, const std::string& bridge, const std::string& datapath,
                                    const std::set<std::uint16_t>& zones, std::chrono::milliseconds deadline = std::chrono::seconds(30));

}  // namespace weft::ovs
