// SPDX-License-Identifier: Apache-2.0
// Fuzzes the JSON of host states and fabrics: what parses is dumped as text that parses to an equal value.
#include "weft/model/json.hpp"

#include "fuzz.hpp"

using namespace weft;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = fuzz::text_of(data, size);
    if (const auto state = host_state_from_json(text)) {
        const auto again = host_state_from_json(to_json(*state));
        must(again && *again == *state, "a dumped host state parses to an equal one");
    }
    if (const auto fabric = fabric_from_json(text)) {
        const auto again = fabric_from_json(to_json(*fabric));
        must(again && *again == *fabric, "a dumped fabric parses to an equal one");
    }
    return 0;
}
