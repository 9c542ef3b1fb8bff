// SPDX-License-Identifier: Apache-2.0
// Running the program and other tools as a user does, on the machine or inside a member of a lab. May include: the whole library.
#pragma once

#include "lab_fixture.hpp"

#include <fcntl.h>
#include <sys/wait.h>

#include <array>

namespace weft::test {

inline const std::string program = WEFT_BINARY_DIR "/bin/weft";

inline bool has_program() {
    if (::access(program.c_str(), X_OK) == 0) return true;
    return skip("the program weft was not built"), false;
}

// A file that everybody may read and that goes with its scope.
struct fabric_file {
    std::filesystem::path folder, path;
    explicit fabric_file(const std::string& text) {
        char name[] = "/tmp/weft-refusal-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        folder = name;
        path = folder / "f.yaml";
        std::ofstream(path) << text;
        std::filesystem::permissions(folder, std::filesystem::perms(0755));
    }
    ~fabric_file() { std::filesystem::remove_all(folder); }
    fabric_file(const fabric_file&) = delete;
    fabric_file& operator=(const fabric_file&) = delete;
};

struct outcome {
    int status = -1;
    std::string text;  // both streams
};

// Runs `command` in a shell, inside a member of a lab if one is named, and waits for it.
inline outcome shell(const std::string& command, const std::string& lab = {}, const std::string& member = {}) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        const std::string limited = "ulimit -t 60; " + command;
        if (lab.empty())
            ::execl("/bin/sh", "sh", "-c", limited.c_str(), nullptr);
        else
            (void)lab::exec(lab, member, {"/bin/sh", "-c", limited});
        ::_exit(126);
    }
    ::close(ends[1]);
    outcome out;
    std::array<char, 4096> buffer{};
    for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        out.text.append(buffer.data(), static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return out;
}

// What a command said on a member; it must have gone well.
inline std::string said(const std::string& command, const std::string& lab, const std::string& member) {
    const auto done = shell(command, lab, member);
    INFO(member << ": " << command << ": " << done.text);
    REQUIRE(done.status == 0);
    return done.text;
}

// `weft VERB FILE --node NODE` on that node.
inline outcome weft_on(const std::string& node, const std::string& lab, const std::string& verb, const fabric_file& file) {
    return shell(program + " " + verb + " " + file.path.string() + " --node " + node, lab, node);
}

}  // namespace weft::test
