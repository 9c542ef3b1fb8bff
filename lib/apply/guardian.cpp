// SPDX-License-Identifier: Apache-2.0
// See the header. The guardian itself opens no switch and no kernel socket: when the time has come it starts a process that does, and
// starts it again, with growing pauses, until that one has ended the journal: undone, or kept aside with what could not be. May call: libc, Linux.
#include "apply/guardian.hpp"

#include "apply/journal.hpp"
#include "apply/host_lock.hpp"
#include "apply/internal.hpp"
#include "core/fault.hpp"
#include "services/helper.hpp"
#include "services/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace weft::apply {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds look{100}, patience{3000}, first_pause{500}, longest_pause{30000};
const char* const log_path = "/run/weft/guardian.log";

std::string guardian_path(const place& where) { return "/run/weft/guardian" + suffix_of(where); }

// Whether somebody holds the lock of a file; one that is not there is nobody's. `unknown`: what to say where it cannot be found out.
bool held(const std::string& path, bool unknown) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno != ENOENT && unknown;
    const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || unknown);
    ::close(fd);
    return taken;
}

// All that a process of the guardian's needs to know of its caller. What else stands in the environment is the caller's own: secrets, and
// what makes a program load other code.
std::vector<std::string> environment() {
    std::vector<std::string> kept;
    for (const char* name : {"PATH", "LANG", "LC_ALL", "TZ", "WEFT_LIBEXEC", "WEFT_OVS_LOG",
#ifdef WEFT_FAULTS
                             "WEFT_FAULT", "ASAN_OPTIONS", "UBSAN_OPTIONS",
#endif
         })
        if (const char* value = std::getenv(name)) kept.push_back(std::string(name) + "=" + value);
    return kept;
}

bool watched_within(const place& where, milliseconds time) {
    for (const auto end = clock::now() + time; !held(guardian_path(where), false);) {
        if (clock::now() > end) return false;
        std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
}

// Tries that keep failing must not fill /run.
void bound_log() {
    constexpr off_t most = 256 * 1024;
    struct stat log {};
    if (::stat(log_path, &log) == 0 && log.st_size > most) (void)!::truncate(log_path, 0);
}

// The process id; 0 where it could not be started.
pid_t start(const std::vector<std::string>& words) {
    if (words.empty()) return 0;  // weft-node is not to be found
    bound_log();
    const auto pid = services::spawn(words, {.error_log = log_path, .log_mode = 0600, .out_to_log = true, .environment = environment()}, true);
    return pid ? *pid : 0;
}

std::vector<std::string> helper_words(const char* verb, const place& where, const std::string& more = {}) {
    auto helper = services::find_helper();
    if (!helper) return {};
    std::vector<std::string> words = {*helper, verb, where.netns.empty() ? "-" : where.netns, where.ovs_rundir};
    if (!more.empty()) words.push_back(more);
    return words;
}

void be_deaf() {
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_IGN);
}

// Whether it is time to act: the deadline has passed, or whoever was at work has gone without an end.
bool due(const place& where, const journal_watch& journal) {
    return journal.deadline() ? boottime_now() >= *journal.deadline() : !held(host_lock::path(where), true);
}

// The lock that says that this host is watched; `taken` where another has it, `failed` where nobody may.
constexpr int taken = -1, failed = -2;
int take_watch(const place& where) {
    ::mkdir("/run/weft", 0700);
    const int lock = ::open(guardian_path(where).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return failed;
    // Somebody who only asks whether there is one holds it for a moment.
    bool alone = false;
    for (int i = 0; i < 100 && !alone; ++i, alone || ::usleep(2000)) alone = ::flock(lock, LOCK_EX | LOCK_NB) == 0;
    const auto pid = std::to_string(::getpid()) + "\n";
    if (alone && ::ftruncate(lock, 0) == 0 && ::pwrite(lock, pid.data(), pid.size(), 0) > 0) return lock;
    ::close(lock);
    return alone ? failed : taken;
}

// Until there is no journal any more.
void watch_over(const place& where, bool twin) {
    journal_watch journal(where);
    pid_t other = 0;
    auto pause = first_pause;
    auto next = clock::now();
    for (auto now = journal.look(); now != journal_watch::kind::absent; now = journal.look()) {
        if (twin && (other == 0 || ::waitpid(other, nullptr, WNOHANG) != 0)) other = start(helper_words("guard-twin", where, std::to_string(::getpid())));
        // One that cannot be read, whatever keeps it from that, is looked at again: only its absence says that nobody waits.
        if (now == journal_watch::kind::here && due(where, journal) && clock::now() >= next) {
            auto acting = where;
            acting.ovs_rundir = journal.ovs_rundir();
            const auto worker = start(helper_words("guard-act", acting));
            const bool well = worker > 0 && services::wait_for(worker) == 0;
            pause = well ? first_pause : std::min(pause * 2, longest_pause);
            next = clock::now() + pause;
            if (well) continue;
        }
        std::this_thread::sleep_for(look);
    }
    (void)fault::point("guardian", "end");
    if (other > 0) {
        ::kill(other, SIGKILL);
        (void)services::wait_for(other);
    }
}

}  // namespace

result<void> ensure_guardian(const place& where) {
    if (held(guardian_path(where), false)) return {};
    const bool unit = ::access("/run/systemd/system", F_OK) == 0 && where.netns.empty() && same_folder(where.ovs_rundir, place().ovs_rundir);
    if (unit) {
        const auto pid = start({"systemctl", "start", "--no-block", "weft-guardian.service"});
        if (pid > 0 && services::wait_for(pid) == 0 && watched_within(where, patience)) return {};
        std::fprintf(stderr, "weft: systemd did not start weft-guardian.service; a process of our own watches instead\n");
    }
    const auto words = helper_words("guard", where);
    if (words.empty()) return services::find_helper().error();
    const auto pid = start(words);
    if (pid > 0 && services::wait_for(pid) == 0 && watched_within(where, patience)) return {};
    return error{errc::unavailable, "start guardian", guardian_path(where), std::string("none watches this host after 3 s; see ") + log_path, 0};
}

int guard(const place& where, bool twin) {
    if (twin) {
        // A process of its own, so that nobody has to wait for it.
        const pid_t pid = ::fork();
        if (pid != 0) return pid < 0 ? 1 : 0;
        ::setsid();
        ::close_range(3, ~0U, 0);
        ::umask(022);
        if (::chdir("/") < 0) return 1;
        be_deaf();
    }
    // A change that begins while this guardian ends has found its lock taken and relies on it: once the lock is free, one more look says
    // whether there is such a change.
    do {
        const int lock = take_watch(where);
        if (lock < 0) return lock == taken ? 0 : 1;
        watch_over(where, twin);
        ::close(lock);
    } while (journal_watch(where).look() != journal_watch::kind::absent);
    return 0;
}

int guard_guardian(const place& where, int pid) {
    be_deaf();
    // It is the guardian's child: a guardian that has died already is not waited for under a number that may be another's.
    const int fd = ::getppid() == pid ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1;
    if (fd >= 0) {
        pollfd watch{fd, POLLIN, 0};
        while (::poll(&watch, 1, -1) < 0 && errno == EINTR) {
        }
        ::close(fd);
    }
    if (journal_watch(where).look() == journal_watch::kind::absent) return 0;
    return guard(where, true);
}

int guard_act(const place& where) {
    const auto done = recover(where);
    if (!done) {
        std::fprintf(stderr, "weft: guardian: %s\n", done.error().message().c_str());
        return 1;
    }
    if (done->what == recovery::kind::undone)
        std::fprintf(stderr, "weft: guardian: %s of %s on %s was undone%s%s\n", done->verb.c_str(), done->fabric.c_str(), done->node.c_str(),
                     done->told.empty() ? "" : "; ", done->told.c_str());
    else if (!done->told.empty())
        std::fprintf(stderr, "weft: guardian: %s\n", done->told.c_str());
    return 0;
}

}  // namespace weft::apply
