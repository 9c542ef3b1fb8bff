// SPDX-License-Identifier: Apache-2.0
// The supervisor's side of services, and what both sides share. Private to the library and weft-node.
#pragma once

#include <string>

#include "weft/core/error.hpp"
#include "weft/model/host_state.hpp"

namespace weft::services {

inline const std::string root_folder = "/run/weft/services";
inline const std::string control_socket = root_folder + "/control";

// The specification that a service is started from: a host_state with this one service, as JSON.
std::string spec_path(const std::string& fabric, const std::string& name);
// What the service writes to its standard output and error.
std::string log_path(const std::string& fabric, const std::string& name);
result<std::string> read_text(const std::string& path);

// Serves the listening socket on descriptor 0 until nothing is left to supervise or SIGTERM comes. Gives the exit
// status. Its caller's process goes on as the parent, which is told 0 at once.
int supervise();

}  // namespace weft::services
