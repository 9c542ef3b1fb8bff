// SPDX-License-Identifier: Apache-2.0
// What of a plan's steps no undo brings back. Private to model. May include: model.
#pragma once

#include "weft/model/plan.hpp"

namespace weft {

// Writes into each step what its inverse does not bring back, or a later removal does not; "" where all comes back.
void say_no_inverse(plan&);

}  // namespace weft
