// SPDX-License-Identifier: Apache-2.0
// The lock is flock's on a file under /run/weft, so that it goes with the process however that ends. May include: core.
#include "apply/host_lock.hpp"

#include "apply/internal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace weft::apply {
namespace {

constexpr std::chrono::milliseconds patience{2000};

}  // namespace

std::string host_lock::path(const place& where) { return "/run/weft/lock" + suffix_of(where); }

result<host_lock> host_lock::take(const place& where) {
    ::mkdir("/run/weft", 0700);
    const auto path = host_lock::path(where);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno_error(errno, "lock", path);
    // A follower holds it for the moment that a plugged port costs; whoever waits this long has met another person's run.
    bool taken = false;
    for (const auto end = std::chrono::steady_clock::now() + patience; !taken;) {
        taken = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (taken || std::chrono::steady_clock::now() > end) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (!taken) {
        char holder[128] = {};
        const auto n = ::pread(fd, holder, sizeof holder - 1, 0);
        ::close(fd);
        return error{errc::busy, "lock", path, "another weft is at work, pid " + std::string(holder, n > 0 ? n : 0), 0};
    }
    // Who it is, for those that are refused.
    const auto holder = std::to_string(::getpid()) + " (" + program_invocation_short_name + ")";
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, holder.data(), holder.size(), 0) < 0) {
        const auto e = errno_error(errno, "lock", path);
        ::close(fd);
        return e;
    }
    return host_lock(fd);
}

host_lock::host_lock(host_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

host_lock::~host_lock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace weft::apply
