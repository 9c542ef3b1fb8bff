// SPDX-License-Identifier: Apache-2.0
// The two ends with I/O: observe a host, execute a plan on it, take weft off it. May include: core, model, netlink, ovs, services.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/plan.hpp"

#include <functional>

namespace weft::apply {

// Where a host is: "" and the default run directory for the machine itself.
struct place {
    std::string netns;                                   // a named namespace instead of the host's own
    std::string ovs_rundir = "/var/run/openvswitch";
};

// The ids of the users that the node's taps are for, by this machine's user database. Errors: not_found.
result<std::map<std::string, std::uint32_t>> users(const fabric&, const std::string& node);
// What compile needs to know of the host: datapath, NIC MACs, remembered local VLANs, ports that exist, users. Writes nothing.
result<host_facts> facts(const place&, const fabric&, const std::string& node);
// The live state of all that `wanted` names or that bears our mark. Writes nothing.
result<host_state> observe(const place&, const host_state& wanted);
// facts are in `wanted`; observe + diff.
result<plan> make_plan(const place&, const host_state& wanted);

struct report {
    std::size_t steps = 0;
    std::uint64_t netlink_writes = 0, ovsdb_writes = 0, flow_writes = 0;
    std::vector<std::string> pending;
    std::vector<quarantined_port> quarantined;
};
// Executes in order; on a failure undoes what was done, in reverse, and reports the first error. A service that does not start undoes
// nothing, nor do connections that cannot be cut: all else is done, and the error, `incomplete`, names each. Reads back at the end.
result<report> execute(const place&, const plan&);
// make_plan + execute. A port of which the switch refuses a flow is quarantined and reported: it gets none of its flows, all others
// get theirs; make_plan does the same with flows that do not parse.
result<report> apply(const place&, const host_state& wanted);
// What a caller has to say to a run, under the host's lock: `before` to the plan, whose error ends the run with nothing touched (as
// same_plan in weft/model/json.hpp gives one), `after` once the state stands.
struct say {
    std::function<result<void>(const plan&)> before;
    // May take steps out of the plan, which are not done then and not missed: the state is not read back, the caller looks again himself.
    std::function<void(plan&)> choose;
    std::function<result<void>()> after;
    bool announce = true;  // false: nobody out there can know the addresses yet, which saves the 100 ms of the announcements
};
// The same for a state that is compiled under the host's lock, so that no other run comes between its facts and its steps.
result<report> apply(const place&, const std::function<result<host_state>()>& wanted, const say& = {});
// The fabric that the node was last made from, complete: whoever applies it anew later (follow) must not use another.
// It outlives the boot and goes with `remove`. Errors: not_found.
result<void> remember_fabric(const fabric&, const std::string& node);
result<fabric> remembered_fabric(const std::string& name, const std::string& node);
// From one wanted state to the next, for a caller who keeps the host and knows that it is as `from` says: nothing is observed first, so
// that a port more costs what the port costs, on a host of any size. Acknowledged step by step, undone on a failure; what the
// host lost of `from` meanwhile is neither seen nor repaired, which is for apply.
result<report> change(const place&, const host_state& from, const host_state& to);
// All that bears our mark goes; sysctls and addresses that were found come back.
result<report> remove(const place&, const std::string& fabric, const std::string& node);

}  // namespace weft::apply
