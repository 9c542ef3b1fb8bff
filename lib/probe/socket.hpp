// SPDX-License-Identifier: Apache-2.0
// An owned file descriptor and the few calls that open probe sockets. A socket stays in the namespace it was opened in, so
// only the opening happens on a thread inside it. Failures are errno values for the caller to word. May include: core.
#pragma once

#include <cstdint>
#include <utility>

namespace weft::probe {

class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor();
    int fd() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

// RFC 1071 checksum of the bytes, ready to be stored in the packet.
std::uint16_t internet_checksum(const void* data, std::size_t size);

}  // namespace weft::probe
