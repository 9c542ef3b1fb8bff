// SPDX-License-Identifier: Apache-2.0
// What several verbs share: reading a fabric file with its diagnostics, filling it from the lock, printing.
// Faults of a file are printed one per line on standard error, then weft::exception is thrown. May include: weft
// headers and Boost.JSON.
#pragma once

#include <signal.h>

#include <boost/json/value.hpp>
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
// What weft wrote as JSON; names of the host in it need not be UTF-8.
boost::json::value parsed_json(const std::string& text);
void print(const std::string& text);  // and a newline if it lacks one

// Reads the file, which must have the node.
fabric fabric_with_node(const options&);
// Reads this host's facts, and compiles what the node shall be.
result<host_state> compiled_here(const apply::place&, const fabric&, const std::string& node);
// The options that name this place again, for a command that the user is told to give; "" for the host's own.
std::string place_words(const apply::place&);

// A run is not cut short by the end of the program: who ends it waits for its last step or its undo.
class uninterrupted {
public:
    uninterrupted();
    ~uninterrupted();
    uninterrupted(const uninterrupted&) = delete;
    uninterrupted& operator=(const uninterrupted&) = delete;

private:
    sigset_t before_;
};

// ANSI codes where standard output is a terminal, nothing elsewhere.
struct colours {
    const char *good, *bad, *dim, *bold, *off;
};
const colours& colour();

// Indented text of a state for people.
std::string describe(const host_state&);

}  // namespace weft::cli
