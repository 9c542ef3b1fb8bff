// SPDX-License-Identifier: Apache-2.0
// Ending what an earlier run left. Private to apply; the host's lock is held. May include: core, model.
#pragma once

#include "apply/journal.hpp"

namespace weft::apply {

// Before a run of one's own: nothing may be half done. Errors: busy while a change waits to be confirmed, those of read_journal but for
// a damaged one, which is set aside, and what keeps an undo from being done. What became of it, in words; "" where there was none.
result<std::string> end_earlier_run(const place&);

}  // namespace weft::apply
