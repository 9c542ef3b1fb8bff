// SPDX-License-Identifier: Apache-2.0
// How a test case says, loudly, that it cannot run here. Call it and return.
#pragma once

#include <string>
#include <vector>

namespace weft::test {

std::vector<std::string>& skipped();
inline void skip(std::string reason) { skipped().push_back(std::move(reason)); }

}  // namespace weft::test
