// SPDX-License-Identifier: Apache-2.0
// Fuzzes the fabric file and what the roles make of it. A refused file has a diagnostic; a good one goes through JSON
// unchanged; what is valid and allocates compiles on every node or says why not, and its allocation holds when repeated.
#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"
#include "weft/roles/roles.hpp"

#include <algorithm>

#include "fuzz.hpp"

using namespace weft;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_fabric(fuzz::text_of(data, size), "fuzz.yaml");
    if (!parsed.ok()) {
        must(!parsed.diagnostics.empty(), "a refused file has a diagnostic");
        return 0;
    }
    const auto again = fabric_from_json(to_json(parsed.fabric));
    must(again && *again == parsed.fabric, "a fabric goes through JSON unchanged");

    const auto faults = roles::validate(parsed.fabric);
    if (std::any_of(faults.begin(), faults.end(), [](const diagnostic& d) { return d.severity == severity::error; })) return 0;
    const auto complete = roles::allocate(parsed.fabric, {});
    if (!complete) return 0;
    must(roles::is_complete(complete->fabric), "an allocated fabric is complete");
    const auto repeated = roles::allocate(parsed.fabric, complete->lock);
    must(repeated && repeated->fabric == complete->fabric, "an allocation from its own lock is the same");
    roles::expectations(complete->fabric);
    for (const auto& [name, node] : complete->fabric.nodes) {
        const auto state = roles::compile(complete->fabric, name, {});
        if (!state) continue;
        const auto copy = host_state_from_json(to_json(*state));
        must(copy && *copy == *state, "a compiled state goes through JSON unchanged");
    }
    return 0;
}
