// SPDX-License-Identifier: Apache-2.0
// The supervisor process: one thread, so that fork is safe here. It holds the services as its unreaped children, hence
// a process id that it knows cannot have been given to another. May call: libc, Linux.
#include "services/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "services/spawn.hpp"
#include "weft/model/json.hpp"

namespace weft::services {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds longest_pause{1000}, proof_of_life{1000}, patience{2000};

struct entry {
    std::string fabric;
    service spec;
    pid_t pid = 0;     // 0: dead, to be started at `due`
    int failures = 0;  // deaths in a row, each before it had lived for a while
    clock::time_point started, due;
    struct stat listens {};  // the namespace of `listens_in` when it was started
};

struct problem {
    int number = 0;
    std::string words;
    std::string answer() const { return "error " + std::to_string(number) + " " + words; }
};

std::string space_path(const service& s) { return s.space.empty() ? "/proc/self/ns/net" : "/run/netns/" + s.space; }
std::string listening_path(const service& s) { return "/run/netns/" + s.listens_in; }
bool same_file(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

[[noreturn]] void become(const entry& e, int log, int failed) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
    for (const int fd : {1, 2})
        if (log >= 0) ::dup2(log, fd);
    const int space = ::open(space_path(e.spec).c_str(), O_RDONLY | O_CLOEXEC);
    if (space >= 0 && ::setns(space, CLONE_NEWNET) == 0) {
        if (e.spec.kind == "wireguard-go") dump_nothing();
        std::vector<char*> args;
        for (const auto& a : e.spec.argv) args.push_back(const_cast<char*>(a.c_str()));
        args.push_back(nullptr);
        ::execvp(args[0], args.data());
    }
    const int number = errno;
    if (::write(failed, &number, sizeof number) < 0) ::_exit(126);
    ::_exit(127);
}

// The last line that the program wrote, which says why it ended.
std::string last_words(const entry& e) {
    auto text = read_text(log_path(e.fabric, e.spec.name));
    if (!text) return {};
    while (!text->empty() && text->back() == '\n') text->pop_back();
    const auto line = text->rfind('\n');
    return line == std::string::npos ? *text : text->substr(line + 1);
}

// Starts the program; 0, or why it could not be.
int start(entry& e) {
    int failed[2];
    if (::pipe2(failed, O_CLOEXEC) < 0) return errno;
    const int log = ::open(log_path(e.fabric, e.spec.name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (!e.spec.listens_in.empty() && ::stat(listening_path(e.spec).c_str(), &e.listens) < 0) e.listens = {};
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(127);
        become(e, log, failed[1]);
    }
    int number = pid < 0 ? errno : 0;
    ::close(failed[1]);
    if (log >= 0) ::close(log);
    if (pid > 0 && ::read(failed[0], &number, sizeof number) == sizeof number) {
        ::waitpid(pid, nullptr, 0);
    } else if (pid > 0) {
        e.pid = pid;
        e.started = clock::now();
    }
    ::close(failed[0]);
    return number;
}

// A program that is given `--pid-file=PATH` writes it when it is ready to serve.
std::string pid_file(const service& s) {
    const std::string option = "--pid-file=";
    for (const auto& a : s.argv)
        if (a.compare(0, option.size(), option) == 0) return a.substr(option.size());
    return {};
}

// Whether the program answers a line on the socket that it opens when all else of it is open. The folder's path may be longer
// than a socket's name can be, hence the way through its descriptor.
bool answers(const entry& e) {
    const int folder = ::open(service_folder(e.fabric, e.spec.name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int peer = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    const auto path = "/proc/self/fd/" + std::to_string(folder) + "/" + e.spec.ready;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    const timeval moment{0, 100000};
    char byte = '\n';
    const bool served = folder >= 0 && peer >= 0 && ::setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment) == 0 &&
                        ::connect(peer, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
                        ::send(peer, &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(peer, &byte, 1, 0) == 1;
    for (const int fd : {folder, peer})
        if (fd >= 0) ::close(fd);
    return served;
}

// Waits until the program serves, so that a configuration that it refuses is its starter's error.
problem wait_ready(entry& e) {
    const auto path = pid_file(e.spec);
    const auto serves = [&] {
        if (!e.spec.ready.empty()) return answers(e);
        const auto text = path.empty() ? result<std::string>(std::to_string(e.pid)) : read_text(path);
        return text && std::atoi(text->c_str()) == e.pid;
    };
    for (const auto until = clock::now() + patience; !serves();) {
        if (::waitpid(e.pid, nullptr, WNOHANG) == e.pid) {
            e.pid = 0;
            return {0, "it ended at once: " + last_words(e)};
        }
        if (clock::now() > until)
            return {ETIMEDOUT, path.empty() ? "it does not answer on " + e.spec.ready : "it does not write " + path};
        ::usleep(1000);
    }
    return {};
}

void end(entry& e) {
    if (e.pid == 0) return;
    ::kill(e.pid, SIGTERM);
    const auto until = clock::now() + patience;
    while (::waitpid(e.pid, nullptr, WNOHANG) == 0) {
        if (clock::now() > until) {
            ::kill(e.pid, SIGKILL);
            ::waitpid(e.pid, nullptr, 0);
            break;
        }
        ::usleep(1000);
    }
    e.pid = 0;
}

// A namespace that was removed and made anew under its name is another one; what runs or listens in the old serves nobody.
bool in_its_space(const entry& e) {
    struct stat own {
    }, wanted{};
    if (::stat(("/proc/" + std::to_string(e.pid) + "/ns/net").c_str(), &own) < 0 ||
        ::stat(space_path(e.spec).c_str(), &wanted) < 0 || !same_file(own, wanted))
        return false;
    return e.spec.listens_in.empty() ||
           (::stat(listening_path(e.spec).c_str(), &wanted) == 0 && same_file(e.listens, wanted));
}

class supervisor {
public:
    // What the client is told: "ok", a host_state as JSON, or "error NUMBER WORDS".
    std::string answer(const std::string& command) {
        std::istringstream words(command);
        std::string verb, fabric, name;
        words >> verb >> fabric >> name;
        if (verb == "list") return list(fabric, false);
        if (verb == "all") return list(fabric, true);
        if (verb == "put") return put(fabric, name, true);
        if (verb == "restart") return put(fabric, name, false);
        if (verb == "remove") return drop(fabric, name);
        return problem{EINVAL, "no such command"}.answer();
    }

    void reap() {
        for (auto& e : entries_) {
            if (e.pid == 0 || ::waitpid(e.pid, nullptr, WNOHANG) != e.pid) continue;
            e.pid = 0;
            const bool lived = clock::now() - e.started > proof_of_life;
            e.failures = lived ? 1 : e.failures + 1;
            // At once the first time, then 50, 100, … ms: a service that can run is back within two seconds.
            const auto pause =
                e.failures == 1 ? milliseconds(0) : milliseconds(25) * (1 << std::min(e.failures - 1, 6));
            e.due = clock::now() + std::min(pause, longest_pause);
        }
    }

    void start_due() {
        for (auto& e : entries_) {
            if (e.pid != 0 || e.due > clock::now()) continue;
            if (start(e) != 0) e.due = clock::now() + longest_pause;
        }
    }

    // Until the next start is due; -1 when none is.
    int wait_ms() const {
        long wait = -1;
        for (const auto& e : entries_) {
            if (e.pid != 0) continue;
            const auto left = std::max<long>(std::chrono::ceil<milliseconds>(e.due - clock::now()).count(), 0);
            wait = wait < 0 ? left : std::min(wait, left);
        }
        return static_cast<int>(wait);
    }

    bool idle() const { return entries_.empty(); }
    void end_all() {
        for (auto& e : entries_) end(e);
    }

private:
    std::vector<entry>::iterator find(const std::string& fabric, const std::string& name) {
        return std::find_if(entries_.begin(), entries_.end(),
                            [&](const entry& e) { return e.fabric == fabric && e.spec.name == name; });
    }

    // One that keeps dying is not running, though it may live at this moment.
    static bool serves(const entry& e) {
        const bool proved = e.failures <= 1 || clock::now() - e.started > proof_of_life;
        return e.pid != 0 && proved && in_its_space(e);
    }

    std::string list(const std::string& fabric, bool dead_too) const {
        host_state seen;
        for (const auto& e : entries_)
            if (e.fabric == fabric && (dead_too || serves(e))) seen.services.push_back(e.spec);
        return to_json(seen);
    }

    std::string put(const std::string& fabric, const std::string& name, bool may_reload) {
        const auto text = read_text(spec_path(fabric, name));
        auto read = text ? host_state_from_json(*text) : result<host_state>(text.error());
        if (!read) return problem{EINVAL, read.error().message()}.answer();
        if (read->services.size() != 1 || read->services[0].name != name || read->services[0].argv.empty())
            return problem{EINVAL, "not a service of this name with a program"}.answer();
        auto& spec = read->services[0];
        auto at = find(fabric, name);
        // The same once more is asked for when a file that it reads again was altered, or when it does not serve.
        const bool reload = may_reload && at != entries_.end() && reload_is_enough(at->spec, spec) && serves(*at);
        if (reload) {
            at->spec = std::move(spec);
            return ::kill(at->pid, SIGHUP) == 0 ? "ok" : problem{errno, "reload"}.answer();
        }
        if (at != entries_.end()) {
            end(*at);
            entries_.erase(at);
        }
        ::unlink(log_path(fabric, name).c_str());
        entry made{fabric, std::move(spec), 0, 0, {}, {}, {}};
        if (const int number = start(made); number != 0) return problem{number, made.spec.argv[0]}.answer();
        if (const auto why = wait_ready(made); !why.words.empty()) {
            end(made);
            return why.answer();
        }
        entries_.push_back(std::move(made));
        return "ok";
    }

    std::string drop(const std::string& fabric, const std::string& name) {
        if (auto at = find(fabric, name); at != entries_.end()) {
            end(*at);
            entries_.erase(at);
        }
        return "ok";
    }

    std::vector<entry> entries_;
};

// One command per connection: the client writes it and closes its half. A silent client is given up after a second.
void serve(supervisor& s, int listener) {
    const int peer = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) return;
    const timeval second{1, 0};
    ::setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    ::setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
    std::string command;
    char bytes[512];
    ssize_t n = 0;
    while (command.size() < 4096 && (n = ::read(peer, bytes, sizeof bytes)) > 0)
        command.append(bytes, static_cast<std::size_t>(n));
    if (n == 0) {
        const auto text = s.answer(command);
        for (std::size_t done = 0; done < text.size();) {
            n = ::send(peer, text.data() + done, text.size() - done, MSG_NOSIGNAL);
            if (n <= 0) break;
            done += static_cast<std::size_t>(n);
        }
    }
    ::close(peer);
}

int watch_signals() {
    for (const int signal : {SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    return ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

void run(supervisor& s, int listener, int signals) {
    bool asked = false;
    // Before its first command it waits for a bounded time only: its starter may have died.
    while (!asked || !s.idle()) {
        pollfd watch[2] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}};
        const int n = ::poll(watch, 2, asked ? s.wait_ms() : 10000);
        if (n < 0 && errno != EINTR) return;
        if (n == 0 && !asked) return;
        if (n > 0 && (watch[1].revents & POLLIN) != 0) {
            signalfd_siginfo info;
            bool stop = false;
            while (::read(signals, &info, sizeof info) == sizeof info) stop = stop || info.ssi_signo == SIGTERM;
            if (stop) return;
            s.reap();
        }
        if (n > 0 && (watch[0].revents & POLLIN) != 0) {
            serve(s, listener);
            asked = true;
        }
        s.start_due();
    }
}

// A starter that is never to be killed for want of memory, as the guardian is, has children that may be.
void be_ordinary_for_the_oom_killer() {
    const char* const path = "/proc/self/oom_score_adj";
    const auto score = read_text(path);
    if (!score || std::atoi(score->c_str()) > -1000) return;
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!::write(fd, "0", 1);
    ::close(fd);
}

}  // namespace

int supervise() {
    // A process of its own, so that nobody has to wait for it.
    const pid_t pid = ::fork();
    if (pid != 0) return pid < 0 ? 1 : 0;
    ::setsid();
    // What its starter's environment happened to hold is no part of a service.
    ::clearenv();
    ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    be_ordinary_for_the_oom_killer();
    ::close_range(3, ~0U, 0);
    if (::chdir("/") < 0) return 1;
    const int listener = ::fcntl(0, F_DUPFD_CLOEXEC, 3);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (listener < 0 || null < 0) return 1;
    for (const int fd : {0, 1, 2}) ::dup2(null, fd);
    const int signals = watch_signals();
    if (signals < 0) return 1;

    supervisor s;
    run(s, listener, signals);
    s.end_all();
    // Before the listening socket closes: a client that finds it closed makes a new one under this name.
    ::unlink(control_socket.c_str());
    ::rmdir(root_folder.c_str());  // one that holds files of a service that is being started stays
    return 0;
}

}  // namespace weft::services
