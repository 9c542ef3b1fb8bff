// SPDX-License-Identifier: Apache-2.0
// Which fabric was tried on a node and never confirmed, so that nothing but a person applies it again. It is known from before the first
// write of the change until the same fabric becomes final, whatever undoes the change. Private to apply. May include: core, model.
#pragma once

#include "apply/journal.hpp"

namespace weft::apply {

// A change that waits to be confirmed is about to begin. Errors: what the file system says.
result<void> note_unconfirmed(const journal_header&);
// A run is final: what it made the node from is no longer unconfirmed.
void note_final(const journal_header&);

}  // namespace weft::apply
