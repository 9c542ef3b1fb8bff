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
// facts are in `wanted`; observe + diff, see there for `others`.
result<plan> make_plan(const place&, const host_state& wanted, std::vector<error>* others = nullptr);

struct report {
    std::size_t steps = 0;
    std::uint64_t netlink_writes = 0, ovsdb_writes = 0, flow_writes = 0;
    std::vector<std::string> pending;
    std::vector<quarantined_port> quarantined;
    std::vector<std::string> failed_checks = {};  // that failed before the change and still do, with what answered
    std::uint32_t confirm_within = 0;  // seconds; the change is undone if nobody confirms it by then. 0: it is final
    std::string earlier_run = {};      // what became of a run that had not come to its end, before this one began; "" = there was none
};
// Executes in order; on a failure undoes what was done, in reverse, verified by reading back, and reports the first error. A service that
// does not start undoes nothing, nor do connections that cannot be cut: all else is done, and the error, `incomplete`, names each. Of a run
// that succeeds it takes the answers of the kernel, the database and the switch for its success; apply and remove read the host back.
result<report> execute(const place&, const plan&);
// make_plan + execute. A port of which the switch refuses a flow is quarantined and reported: it gets none of its flows, all others
// get theirs; make_plan does the same with flows that do not parse. The state's checks run before the first step and after the
// last; one that passed before and fails after undoes the change at once, with the error check_failed.
result<report> apply(const place&, const host_state& wanted);
// What a caller has to say to a run.
struct say {
    // To the plan, under the host's lock: an error ends the run with nothing touched (as same_plan in weft/model/json.hpp gives one).
    std::function<result<void>(const plan&)> before;
    // May take steps out of the plan, which are not done then and not missed: the state is not read back, nor are its checks run; the caller
    // looks again himself. What others have taken of the wanted names is told, and left to them.
    std::function<void(plan&, const std::vector<error>& others)> choose;
    // The fabric, complete, that the state was compiled from: remembered once the state stands, see remembered_fabric.
    std::optional<fabric> made_from;
    // false: nobody is out there yet. It saves the 100 ms of the announcements, and the checks, which nobody could answer.
    bool announce = true;
    // Seconds, at most max_confirm: a guardian, which outlives the caller, undoes the change unless confirm() comes in time. It watches from
    // before the first write: a caller that is killed meanwhile is undone at once. 0: the change is final.
    std::uint32_t confirm = 0;
};
inline constexpr std::uint32_t max_confirm = 86400;
// The same for a state that is compiled under the host's lock, so that no other run comes between its facts and its steps.
result<report> apply(const place&, const std::function<result<host_state>()>& wanted, const say& = {});
// The fabric that the node was last made from, complete: whoever applies it anew later (follow, recover) must not use another.
// It outlives the boot and goes with `remove`. Errors: not_found.
result<fabric> remembered_fabric(const std::string& name, const std::string& node);
// Whether the last change that was to be confirmed here was to this fabric, complete, and was not: it is undone, or will be. What runs by
// itself, as at boot, must not apply it; a person may. Errors: what is remembered cannot be read.
result<bool> never_confirmed(const fabric&, const std::string& node);
// Fabric and node of all that are remembered here, sorted.
result<std::vector<std::pair<std::string, std::string>>> remembered_nodes();
// From one wanted state to the next, for a caller who keeps the host and knows that it is as `from` says: nothing is observed first, so
// that a port more costs what the port costs, on a host of any size. Acknowledged step by step, undone on a failure; what the
// host lost of `from` meanwhile is neither seen nor repaired, which is for apply.
result<report> change(const place&, const host_state& from, const host_state& to);
// All that bears our mark goes; sysctls and addresses that were found come back.
result<report> remove(const place&, const std::string& fabric, const std::string& node, const say& = {});

// What became of a run that had not ended well, or waits. Every run that writes keeps a journal, /var/lib/weft/journal, from before its
// first write until its end; all runs look at it first and do the same as recover.
struct recovery {
    enum class kind {
        nothing,     // there was no journal
        undone,      // the host is as it was before the run
        finished,    // all steps had been done: the run is final
        waiting,     // it waits to be confirmed, and a guardian watches
        other_boot,  // the machine was started anew since: the caller applies remembered_fabric, or removes the fabric if there is none
        unreadable,  // the journal was damaged and is kept under another name; the caller does the same
    };
    kind what = kind::nothing;
    std::string verb, fabric, node;  // of that run, where it is known
    std::uint32_t seconds_left = 0;  // of a waiting one
    std::string told;                // of a journal that was damaged: how, and where it is kept
};
const char* to_string(recovery::kind) noexcept;  // its name
// Errors: busy, unsupported (the journal is another host's or of another version: left as it is), incomplete with what could not be undone,
// and what keeps the host from being read; the journal stays then. Idempotent.
result<recovery> recover(const place&);
// Keeps the journal, whatever it is, under another name: for one that recover refuses.
result<recovery> discard_journal(const place&);
// Makes the change that waits final, or takes it back now. Errors: not_found where none waits, timed_out where it is too late to confirm, stale
// after a new start of the machine; nothing was changed then.
result<recovery> confirm(const place&);
result<recovery> rollback(const place&);

}  // namespace weft::apply
