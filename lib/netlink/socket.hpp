// SPDX-License-Identifier: Apache-2.0
// A netlink socket of our own in one namespace: extended acks, capped acks, strict checking. It belongs to the namespace for
// life and may be used from any thread. May include: core, wire. Errors carry the errno; receive() tells ENOBUFS as such.
#pragma once

#include "weft/netlink/namespaces.hpp"
#include "wire/rtnl_message.hpp"

#include <chrono>

namespace weft::netlink {

// A file descriptor that closes itself.
class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~unique_fd();
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

class socket {
public:
    // `groups` are the family's multicast groups (RTNLGRP_* numbers); none for a request socket.
    static result<socket> open(const namespace_handle&, const std::vector<std::uint32_t>& groups = {}, int family = NETLINK_ROUTE);

    int fd() const { return fd_.get(); }
    // All of `bytes` in one sendmsg.
    result<void> send(wire::byte_span bytes);
    // One datagram from the kernel. Waits at most `timeout` (zero: not at all); an empty span is a time-out.
    result<wire::byte_span> receive(std::chrono::milliseconds timeout);

private:
    unique_fd fd_;
    std::vector<std::uint8_t> buffer_;
};

// What an NLMSG_ERROR or NLMSG_DONE says: errnum 0 is success; text is the kernel's extended-ack message.
struct acknowledgement {
    int errnum = 0;
    std::string text;
};
acknowledgement read_ack(const nlmsghdr*);

// Walks the messages of a datagram; stops at a malformed one.
template <class F>
void for_each_message(wire::byte_span bytes, F&& f) {
    while (bytes.size() >= sizeof(nlmsghdr)) {
        const auto* h = reinterpret_cast<const nlmsghdr*>(bytes.data());
        if (h->nlmsg_len < sizeof(nlmsghdr) || h->nlmsg_len > bytes.size()) return;
        f(h);
        bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(h->nlmsg_len), bytes.size()));
    }
}

}  // namespace weft::netlink
