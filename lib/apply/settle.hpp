// SPDX-License-Identifier: Apache-2.0
// The effects of steps, brought about once all of them were run. Private to apply. May include: core, model.
#pragma once

#include "model/effects.hpp"
#include "weft/core/error.hpp"

namespace weft::apply {

// First what is remembered goes, everywhere, then the neighbours are told: what they send then meets nothing old.
// Connections that could not be forgotten would go on to the wrong machine, so that is an error; an announcement only
// saves a neighbour a wait.
// `own` is the namespace of the host itself.
result<void> settle(const std::vector<step_effects>&, bool announce, const std::string& own);

}  // namespace weft::apply
