// SPDX-License-Identifier: Apache-2.0
// Child processes by posix_spawn (the library never forks itself), talked to over pipes in sized messages, and the guard that
// turns SIGINT and SIGTERM into a flag while a lab is brought up. Waiting ends early when the flag is set.
// Errors: unavailable (cannot start), timed_out, busy (interrupted), or what the child said. May include: core.
#pragma once

#include "weft/core/error.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace weft::lab {

// While one lives, SIGINT and SIGTERM only set a flag; the last one to go puts the former handlers back.
class interrupt_guard {
public:
    interrupt_guard();
    ~interrupt_guard();
    interrupt_guard(const interrupt_guard&) = delete;
    interrupt_guard& operator=(const interrupt_guard&) = delete;
    static bool interrupted() noexcept;
};

class child {
public:
    // `log` takes its standard error ("" = /dev/null). Pipes to its standard input and from its standard output.
    static result<child> start(const std::vector<std::string>& argv, const std::string& log = {});
    child(child&&) noexcept;
    child& operator=(child&&) = delete;
    // Closes the pipes; the process goes on (a node process is meant to outlive its starter).
    ~child();

    int pid() const noexcept { return pid_; }
    result<void> write(const std::string& bytes);
    // One line without its end. Errors: timed_out, unavailable (the child went away), busy (interrupted).
    result<std::string> read_line(std::chrono::milliseconds deadline);
    void close_input();
    // The exit status as wait gives it, once it has ended; never waits.
    std::optional<int> ended();
    // Waits for the end and gives the exit status (128 + signal where one killed it).
    int wait();
    void kill(int signal) noexcept;

private:
    child() = default;
    int pid_ = -1, in_ = -1, out_ = -1;
    bool reaped_ = false;
    std::string buffered_;
};

// An error in one line, and back: what the helper answers.
std::string encode(const error&);
error decode_error(const std::string& line);

}  // namespace weft::lab
