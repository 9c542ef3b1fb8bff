// SPDX-License-Identifier: Apache-2.0
// How a test case says, loudly, that it cannot run here. Call it and return. The program then exits with 77, or with 1 where
// nothing may skip: in the guest tier, whose kernel has all that the tests need (WEFT_GUEST=1).
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace weft::test {

std::vector<std::string>& skipped();
inline void skip(std::string reason) { skipped().push_back(std::move(reason)); }

inline bool in_guest() {
    const char* value = std::getenv("WEFT_GUEST");
    return value != nullptr && std::string_view(value) == "1";
}

}  // namespace weft::test
