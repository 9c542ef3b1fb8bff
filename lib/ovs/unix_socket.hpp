// SPDX-License-Identifier: Apache-2.0
// A connected, non-blocking unix stream socket, also for paths longer than sockaddr_un holds. May include: core.
// A missing socket file or a refused connection is `unavailable`, at once.
#pragma once

#include "weft/core/error.hpp"

#include <string>
#include <utility>

namespace weft::ovs {

class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_(fd) {}
    unique_fd(unique_fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~unique_fd();
    int get() const { return fd_; }

private:
    int fd_ = -1;
};

result<unique_fd> connect_unix(const std::string& path, const char* operation);

}  // namespace weft::ovs
