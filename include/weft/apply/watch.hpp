// SPDX-License-Identifier: Apache-2.0
// Watches a node: one stream of what differs from the wanted state, told when it begins, changes and ends; and, on
// request, repaired. May include: core, model.
#pragma once

#include <chrono>

#include "weft/apply/apply.hpp"

namespace weft::apply {

enum class drift_state {
    seen,      // it differs, and is left so
    repaired,  // it differed, and does not any more: we put it back
    held,    // it differs again right after we put it back: somebody else changes it, and we wait before we do it again
    failed,  // we tried to put it back, and could not
    over,    // it does not differ any more, and not by us
};
const char* to_string(drift_state) noexcept;

// One object that is not as it should be. `difference` is what would put it right: `before` is what is there, `after`
// what is wanted.
struct drift {
    drift_state state = drift_state::seen;
    step difference;
    std::chrono::system_clock::time_point since;  // when it was seen first
    std::string detail;                           // of held and failed: why, and what comes next
};

struct watcher {
    // What the node shall be, compiled under the host's lock at each look.
    std::function<result<host_state>()> wanted;
    // Puts back what differs, and nothing that is not ours. One object is put back at once, and where somebody else
    // changes it again each time, from the third time on after pauses that grow from 100 ms to 5 s; the others do not
    // wait for it, but for what stands on it.
    bool heal = false;
    // With `heal`, before each look: the fabric that the node is to be remembered to be made from, where it is not yet (say::made_from).
    std::function<std::optional<fabric>()> made_from;
    // Each drift once, and again when it changes, is repaired or is over.
    std::function<void(const drift&)> tell;
    // Why the node cannot be read or repaired as a whole, or which wanted names others have, once for each reason; "" when that is over.
    std::function<void(const std::string&)> trouble;
    // What became of another one's run that had not come to its end, before a look (report::earlier_run).
    std::function<void(const std::string&)> earlier_run;
    // After each turn of the loop, which is never longer than a few seconds away; `looked` once the node was read for
    // the first time.
    std::function<void(bool looked)> alive;
    // Asked after each look: whether there is nothing to watch any more.
    std::function<bool()> ended;
    int stop = -1;  // a descriptor; once it is readable, watch() returns at the next moment when no run is under way
};

// Returns when it is stopped or has ended. Looks when the kernel, the database or the switch tells of a change, and
// every 1.2 s for what nothing tells of; where a look takes longer than 60 ms, after twenty times as long. A look reads the node anew: an
// event that was lost costs nothing. Takes the host's lock for each look, as apply does, and waits where another weft has it.
void watch(const place&, const watcher&);

}  // namespace weft::apply
