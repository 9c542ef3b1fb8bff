// SPDX-License-Identifier: Apache-2.0
// The test program of every tier. Catch2 2 exits with the number of failed assertions and knows no skip, so the status is
// clamped to 0 or 1, and to 77 (CTest's SKIP_RETURN_CODE) when a case asked to skip and nothing failed. In the guest tier a
// skip is a failure.
#define CATCH_CONFIG_RUNNER
#include "skip.hpp"

#include <catch2/catch.hpp>

#include <iostream>

namespace weft::test {
std::vector<std::string>& skipped() {
    static std::vector<std::string> reasons;
    return reasons;
}
}  // namespace weft::test

int main(int argc, char** argv) {
    const int failed = Catch::Session().run(argc, argv);
    for (const auto& reason : weft::test::skipped()) std::cerr << "SKIPPED: " << reason << "\n";
    if (failed != 0) return 1;
    if (weft::test::skipped().empty()) return 0;
    return weft::test::in_guest() ? 1 : 77;
}
