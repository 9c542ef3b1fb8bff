// SPDX-License-Identifier: Apache-2.0
// Implements unix_socket.hpp. A long path is reached through /proc/self/fd of its directory, as Open vSwitch does itself.
#include "ovs/unix_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weft::ovs {

unique_fd::~unique_fd() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

result<unique_fd> connect_unix(const std::string& path, const char* operation) {
    const auto failed = [&](int number) {
        error e = errno_error(number, operation, path);
        if (number == ENOENT || number == ECONNREFUSED || number == ENOTDIR || number == ECONNRESET || number == EPIPE) {
            e.code = errc::unavailable;
        }
        return e;
    };
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string reachable = path;
    unique_fd directory;
    if (path.size() >= sizeof address.sun_path) {
        const auto slash = path.rfind('/');
        if (slash == std::string::npos) {
            return failed(ENAMETOOLONG);
        }
        directory = unique_fd(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (directory.get() < 0) {
            return failed(errno);
        }
        reachable = "/proc/self/fd/" + std::to_string(directory.get()) + path.substr(slash);
        if (reachable.size() >= sizeof address.sun_path) {
            return failed(ENAMETOOLONG);
        }
    }
    std::memcpy(address.sun_path, reachable.c_str(), reachable.size() + 1);
    unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) {
        return failed(errno);
    }
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return failed(errno);
    }
    return fd;
}

}  // namespace weft::ovs
