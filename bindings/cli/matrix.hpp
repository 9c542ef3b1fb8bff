// SPDX-License-Identifier: Apache-2.0
// The reachability matrix as text for people and as JSON. Pure. May include: weft headers.
#pragma once

#include "weft/lab/lab.hpp"

namespace weft::cli {

// One table per `via`: rows are sources, columns targets; then the cells that differ, then a line of totals.
std::string matrix_text(const std::vector<lab::cell>&);
std::string matrix_json(const std::vector<lab::cell>&);

}  // namespace weft::cli
