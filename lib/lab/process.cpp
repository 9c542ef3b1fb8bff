// SPDX-License-Identifier: Apache-2.0
// Children with pipes, and the interrupt flag. It may call libc and services/spawn.hpp. Every descriptor is close-on-exec, so that no child
// inherits what is not its own.
#include "lab/process.hpp"

#include "services/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace weft::lab {
namespace {

std::atomic<bool> interrupt_flag{false};
std::mutex guard_mutex;
int guards = 0;
struct sigaction former_int, former_term;

void on_interrupt(int) { interrupt_flag = true; }

}  // namespace

interrupt_guard::interrupt_guard() {
    const std::lock_guard lock(guard_mutex);
    if (guards++ != 0) return;
    interrupt_flag = false;
    struct sigaction act {};
    act.sa_handler = on_interrupt;
    sigemptyset(&act.sa_mask);
    ::sigaction(SIGINT, &act, &former_int);
    ::sigaction(SIGTERM, &act, &former_term);
}

interrupt_guard::~interrupt_guard() {
    const std::lock_guard lock(guard_mutex);
    if (--guards != 0) return;
    ::sigaction(SIGINT, &former_int, nullptr);
    ::sigaction(SIGTERM, &former_term, nullptr);
}

bool interrupt_guard::interrupted() noexcept { return interrupt_flag; }

result<child> child::start(const std::vector<std::string>& argv, const std::string& log) {
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    if (::pipe2(in, O_CLOEXEC) < 0) return errno_error(errno, "start", argv[0]);
    child c;
    c.in_ = in[1];
    if (::pipe2(out, O_CLOEXEC) < 0) {
        const int problem = errno;
        ::close(in[0]);
        return errno_error(problem, "start", argv[0]);
    }
    c.out_ = out[0];

    const auto pid = services::spawn(argv, {.in = in[0], .out = out[1], .error_log = log});
    ::close(in[0]);
    ::close(out[1]);
    if (!pid) return pid.error();
    c.pid_ = *pid;
    return c;
}

child::child(child&& o) noexcept : pid_(o.pid_), in_(o.in_), out_(o.out_), reaped_(o.reaped_), buffered_(std::move(o.buffered_)) {
    o.pid_ = o.in_ = o.out_ = -1;
}

child::~child() {
    close_input();
    if (out_ >= 0) ::close(out_);
}

void child::close_input() {
    if (in_ >= 0) ::close(in_);
    in_ = -1;
}

result<void> child::write(const std::string& bytes) {
    // A child that went away must be an error here, not a SIGPIPE in the caller's program.
    sigset_t pipe_signal, former;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &former);
    int problem = 0;
    for (std::size_t done = 0; done < bytes.size() && problem == 0;) {
        const auto n = ::write(in_, bytes.data() + done, bytes.size() - done);
        if (n >= 0) done += static_cast<std::size_t>(n);
        else if (errno != EINTR) problem = errno;
    }
    if (problem == EPIPE) {
        const timespec now{};
        ::sigtimedwait(&pipe_signal, nullptr, &now);
    }
    ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
    if (problem != 0) return errno_error(problem, "write to helper", std::to_string(pid_));
    return {};
}

result<std::string> child::read_line(std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        if (const auto line_end = buffered_.find('\n'); line_end != std::string::npos) {
            auto line = buffered_.substr(0, line_end);
            buffered_.erase(0, line_end + 1);
            return line;
        }
        if (interrupt_guard::interrupted()) return error{errc::busy, "wait for helper", std::to_string(pid_), "interrupted by a signal", EINTR};
        if (std::chrono::steady_clock::now() >= end) return error{errc::timed_out, "wait for helper", std::to_string(pid_), "no answer"};
        pollfd wait{out_, POLLIN, 0};
        if (::poll(&wait, 1, 100) <= 0) continue;
        char chunk[4096];
        const auto n = ::read(out_, chunk, sizeof chunk);
        if (n > 0) buffered_.append(chunk, static_cast<std::size_t>(n));
        else if (n == 0) return error{errc::unavailable, "wait for helper", std::to_string(pid_), "it went away"};
    }
}

namespace {
int exit_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }
}  // namespace

std::optional<int> child::ended() {
    int status = 0;
    if (pid_ <= 0 || reaped_) return -1;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    reaped_ = true;
    return exit_status(status);
}

int child::wait() {
    int status = 0;
    if (pid_ <= 0 || reaped_) return -1;
    while (::waitpid(pid_, &status, 0) < 0)
        if (errno != EINTR) return -1;
    reaped_ = true;
    return exit_status(status);
}

void child::kill(int signal) noexcept {
    if (pid_ > 0 && !reaped_) ::kill(pid_, signal);
}

std::string encode(const error& e) {
    std::string out = "error " + std::to_string(static_cast<int>(e.code)) + "\x1f" + std::to_string(e.errnum) + "\x1f" + e.operation + "\x1f" +
                      e.object + "\x1f" + e.detail;
    for (auto& c : out)
        if (c == '\n') c = ' ';
    return out + "\n";
}

error decode_error(const std::string& line) {
    std::vector<std::string> parts;
    std::size_t at = line.starts_with("error ") ? 6 : 0;
    for (std::size_t next; (next = line.find('\x1f', at)) != std::string::npos; at = next + 1) parts.push_back(line.substr(at, next - at));
    parts.push_back(line.substr(at));
    if (parts.size() != 5) return {errc::protocol_error, "read helper's answer", "weft-node", line};
    return {static_cast<errc>(std::atoi(parts[0].c_str())), parts[2], parts[3], parts[4], std::atoi(parts[1].c_str())};
}

}  // namespace weft::lab
