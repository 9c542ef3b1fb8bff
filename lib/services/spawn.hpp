// SPDX-License-Identifier: Apache-2.0
// Starting a program from a library that may live in any process: with no signal blocked or ignored, whatever the caller has set, and with the
// three standard descriptors that it is given, no others. Private to the library. May include: core, POSIX.
#pragma once

#include "weft/core/error.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace weft::services {

// What becomes the standard descriptors: a descriptor of the caller's, or where that is negative, /dev/null.
struct standard_descriptors {
    int in = -1, out = -1;
    std::string error_log;       // a file to append to; "" is /dev/null
    mode_t log_mode = 0644;
    bool out_to_log = false;     // standard output goes there too
    std::optional<std::vector<std::string>> environment = {};  // "NAME=VALUE"; unset: the caller's
};

// words[0] is looked for on PATH unless it has a slash. Errors: unavailable with the system's words.
result<pid_t> spawn(const std::vector<std::string>& words, const standard_descriptors&, bool new_session = false);
// From now on this process and what it executes leave nothing in a core dump, whatever the kernel does with those: for a program that holds
// keys on an ordinary heap. Safe after fork.
void dump_nothing();
// Waits for its end; the exit status, or 1 where it was killed.
int wait_for(pid_t);

}  // namespace weft::services
