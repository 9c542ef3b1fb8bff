// SPDX-License-Identifier: Apache-2.0
// What a switch of one's own needs before it serves: an empty database, and a warm datapath; and how vswitchd is asked. May
// include: core.
// Errors: unavailable (the schema cannot be read, vswitchd does not answer), or errno's own.
#pragma once

#include <chrono>
#include <string>

#include "weft/core/error.hpp"

namespace weft::ovs {

// A new database of the schema with an empty row of table Open_vSwitch, as `ovsdb-tool create PATH SCHEMA` and
// `ovs-vsctl --no-wait init` leave it; the format is that of ovsdb(5), "File Formats".
result<void> create_database(const std::string& path, const std::string& schema);

// The control socket RUNDIR/*vswitchd*.ctl that takes connections; "" where none does.
std::string vswitchd_socket(const std::string& rundir);

// One command of vswitchd's control socket on a connection of its own, and what it answers. Errors: timed_out, unavailable; what
// vswitchd refuses is protocol_error with its words.
result<std::string> ask_vswitchd(const std::string& control_socket, const std::string& method, const std::string& argument,
                                 std::chrono::milliseconds deadline);

// Has vswitchd make and remove an empty userspace datapath (`ovs-appctl -t SOCKET dpctl/add-dp netdev@NAME`). The first
// one of a process sleeps 100 ms to measure the clock (dpif-netdev-perf.c, pmd_perf_estimate_tsc_frequency); after this
// call no bridge has to wait for that.
result<void> warm_datapath(const std::string& control_socket, std::chrono::milliseconds deadline);

}  // namespace weft::ovs
