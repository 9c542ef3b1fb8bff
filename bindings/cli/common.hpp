// SPDX-License-Identifier: Apache-2.0
// What several verbs share: reading a fabric file with its diagnostics, filling it from the lock, printing.
// Faults of a file are printed one per line on standard error, then weft::exception is thrown. May include: weft
// headers.
#pragma once

#include <optional>
#include <string>

#include "verbs.hpp"
#include "weft/roles/roles.hpp"

namespace weft::cli {

// How strict a verb is about values that the file leaves open.
enum class open_values {
    fill,    // allocate in memory
    refuse,  // a fresh lock must answer for each of them
};

// Parses and validates; prints every diagnostic. Errors: invalid_input if one of them is an error.
fabric load(const options&);
// load, then allocate against --lock or the lock beside FILE; with `refuse` the lock must be fresh. Inside a node of a
// lab of this fabric, where there is no lock, the values that the lab was built with.
fabric load_complete(const options&, open_values);

// On a node of a lab, the complete fabric that the lab was brought up with.
std::optional<fabric> fabric_of_this_lab();

std::vector<diagnostic> diagnostics_of(const options&, fabric* loaded = nullptr);
std::string diagnostics_json(const std::vector<diagnostic>&);

[[noreturn]] void fail(errc, std::string operation, std::string object, std::string detail);
void print(const std::string& text);  // and a newline if it lacks one

// ANSI codes where standard output is a terminal, nothing elsewhere.
struct colours {
    const char *good, *bad, *dim, *bold, *off;
};
const colours& colour();

// Indented text of a state for people.
std::string describe(const host_state&);

}  // namespace weft::cli
