// SPDX-License-Identifier: Apache-2.0
// See the header. It may call libc only.
#include "services/spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

extern char** environ;

namespace weft::services {

void dump_nothing() {
    const rlimit none_at_all{0, 0};
    ::setrlimit(RLIMIT_CORE, &none_at_all);
    // A dump into a pipe (core_pattern) asks for no limit; of what is left out of it, core(5) tells.
    const int filter = ::open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (filter < 0) return;
    (void)!::write(filter, "0", 1);
    ::close(filter);
}

result<pid_t> spawn(const std::vector<std::string>& words, const standard_descriptors& d, bool new_session) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    if (d.in >= 0) posix_spawn_file_actions_adddup2(&files, d.in, 0);
    else posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, d.error_log.empty() ? "/dev/null" : d.error_log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW,
                                     d.log_mode);
    if (d.out_to_log) posix_spawn_file_actions_adddup2(&files, 2, 1);
    else if (d.out >= 0) posix_spawn_file_actions_adddup2(&files, d.out, 1);
    else posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (new_session ? POSIX_SPAWN_SETSID : 0)));
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> variables;
    if (d.environment) {
        for (const auto& one : *d.environment) variables.push_back(const_cast<char*>(one.c_str()));
        variables.push_back(nullptr);
    }
    pid_t pid = 0;
    const int problem = ::posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), d.environment ? variables.data() : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (problem != 0) return error{errc::unavailable, "start", words[0], std::strerror(problem), problem};
    return pid;
}

int wait_for(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace weft::services
