// SPDX-License-Identifier: Apache-2.0
// What every fuzz target needs: the entry point that libFuzzer calls, the input as text, and a property that must hold for
// every input. A broken property ends the program, so that libFuzzer keeps the input. May include: std only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace weft::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

inline void must(bool holds, const char* property) {
    if (holds) return;
    std::fprintf(stderr, "broken property: %s\n", property);
    std::abort();
}

}  // namespace weft::fuzz
