// SPDX-License-Identifier: Apache-2.0
// The control socket of ovs-vswitchd, which ovs-appctl(8) speaks to: JSON-RPC, one request per connection. May include: core.
#pragma once

#include "weft/core/error.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace weft::ovs {

// The control socket RUNDIR/*vswitchd*.ctl (by default ovs-vswitchd.PID.ctl) that takes connections. Errors: unavailable
// where none does, and what keeps weft from asking one.
result<std::string> vswitchd_socket(const std::string& rundir);

// The text that a command answers. Equivalent to: ovs-appctl -t SOCKET COMMAND ARGUMENT...
// Errors: unavailable (nothing listens, or it hung up), timed_out, protocol_error with vswitchd's own words.
result<std::string> ask_vswitchd(const std::string& control_socket, const std::string& command, const std::vector<std::string>& arguments,
                                 std::chrono::milliseconds deadline = std::chrono::seconds(5));

}  // namespace weft::ovs
