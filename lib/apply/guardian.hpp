// SPDX-License-Identifier: Apache-2.0
// The process that undoes a change which nobody confirms. It outlives the client, its terminal and its connection: where systemd runs it
// is a unit, elsewhere a session of its own with a twin, each of which replaces the other. It holds no state: what it waits for stands in the
// journal, with the deadline on a clock that nobody sets. Private to the library and weft-node. May include: core.
#pragma once

#include "weft/apply/apply.hpp"

namespace weft::apply {

// Returns once a guardian watches this host; starts one where there is none. Errors: unavailable.
result<void> ensure_guardian(const place&);

// The process itself, until no change is left to watch over: the exit status. `twin` keeps another process that replaces this one.
int guard(const place&, bool twin);
// The twin: waits for the end of process `pid`, then becomes the guardian if there is something to watch over.
int guard_guardian(const place&, int pid);
// What the guardian starts when the time has come: recover, said on standard error.
int guard_act(const place&);

}  // namespace weft::apply
