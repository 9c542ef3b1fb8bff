// SPDX-License-Identifier: Apache-2.0
// The Open vSwitch database of one run directory, through the libopenvswitch IDL. All IDL state lives on one worker thread
// per process; calls post work to it and wait. May include: core, model.
#pragma once

#include "weft/model/ovs.hpp"

#include <chrono>
#include <memory>

namespace weft::ovs {

struct bridge_change { std::optional<bridge_row> before, after; };  // ports are not looked at
struct port_change { std::string bridge; std::optional<port_row> before, after; };
struct change_set {
    std::vector<bridge_change> bridges;
    std::vector<port_change> ports;
    bool empty() const { return bridges.empty() && ports.empty(); }
};

// What vswitchd made of a port of the change set, read once after cur_cfg had caught up.
struct port_outcome { std::string interface; std::optional<std::int64_t> ofport; std::string error; };

// Whether an ovs-vswitchd serves here: a control socket RUNDIR/*vswitchd*.ctl (by default ovs-vswitchd.PID.ctl) takes connections.
// Without one a transaction would stand in the database and nothing would come of it. Errors: unavailable where none runs, and what keeps
// weft from asking.
result<void> vswitchd_runs(const std::string& rundir);
// Returns once ovs-vswitchd has taken in what lay in the sockets of its userspace ports before the call, as far as 96 frames a port go.
// Without one there is nobody to wait for.
void let_vswitchd_take_frames(const std::string& rundir);

class database {
public:
    // Connects to RUNDIR/db.sock and waits for the first snapshot; objects of one directory share a connection while one of them
    // lives. Errors: unavailable (no server), timed_out.
    static result<database> connect(const std::string& rundir, std::chrono::milliseconds deadline = std::chrono::seconds(5));
    database(database&&) noexcept;
    database& operator=(database&&) noexcept;
    ~database();

    // All bridges, ports and interfaces as they stand, sorted by name; every key of the maps.
    result<std::vector<bridge_row>> snapshot();
    // The rows as soon as they differ from `known`, or as they are when the time is over. Errors: unavailable (the server went).
    result<std::vector<bridge_row>> wait_change(const std::vector<bridge_row>& known, std::chrono::milliseconds patience);
    // Readable once anything may have changed since it was read last (as an eventfd is), or the server went. It is this object's.
    result<int> notices();
    // One transaction: mutations only (Bridge.ports and Open_vSwitch.bridges are never set whole; of the maps only keys named
    // in before or after are touched). Idempotent, repeated on TRY_AGAIN up to 5 times. Then one wait for cur_cfg, then ofport
    // and error of each interface added or changed. Errors: timed_out (vswitchd did not catch up; the rows stand), protocol_error
    // with the database's own words. An empty change set writes nothing.
    result<std::vector<port_outcome>> commit(const change_set&, std::chrono::milliseconds deadline = std::chrono::seconds(10));
    static std::uint64_t writes() noexcept;  // transactions of this process that changed something

private:
    struct impl;
    explicit database(std::unique_ptr<impl>);
    std::unique_ptr<impl> impl_;
};

}  // namespace weft::ovs
