// SPDX-License-Identifier: Apache-2.0
// The socket calls themselves. A socket is made on a thread inside its namespace, since that is what ties it to it.
// May include: core, wire. Datagrams that do not come from the kernel are dropped.
#include "netlink/socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::netlink {
namespace {

// No dump datagram is longer: the kernel caps them at 32 KiB (netlink_dump in net/netlink/af_netlink.c).
constexpr std::size_t datagram_size = 65536;
// Room for the acks of a whole batch, or for a burst of events.
constexpr int receive_buffer = 4 << 20;

void set(int fd, int option) {
    const int on = 1;
    // Kernels too old for one of them work without: less text in errors, filters done here.
    (void)setsockopt(fd, SOL_NETLINK, option, &on, sizeof on);
}

}  // namespace

unique_fd::~unique_fd() {
    if (fd_ >= 0) close(fd_);
}

result<socket> socket::open(const namespace_handle& ns, const std::vector<std::uint32_t>& groups, int family) {
    socket s;
    s.buffer_.resize(datagram_size);
    auto outcome = run_in(ns, [&]() -> result<void> {
        const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);
        if (fd < 0) return errno_error(errno, "open netlink socket", ns.name());
        s.fd_ = unique_fd(fd);
        set(fd, NETLINK_EXT_ACK);
        set(fd, NETLINK_CAP_ACK);
        set(fd, NETLINK_GET_STRICT_CHK);
        // FORCE needs CAP_NET_ADMIN and goes above rmem_max; without it as much as is allowed.
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        sockaddr_nl local{};
        local.nl_family = AF_NETLINK;
        if (bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
            return errno_error(errno, "bind netlink socket", ns.name());
        for (const auto group : groups)
            // A group this kernel does not know (nexthops before 5.3) sends no events anyway.
            if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0 && errno != EINVAL)
                return errno_error(errno, "join netlink group", ns.name());
        return {};
    });
    if (!outcome) return outcome.error();
    return s;
}

result<void> socket::send(wire::byte_span bytes) {
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    for (;;) {
        const ssize_t n = sendto(fd(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
        if (n == static_cast<ssize_t>(bytes.size())) return {};
        if (n < 0 && errno == EINTR) continue;
        return errno_error(n < 0 ? errno : EMSGSIZE, "send to netlink", {});
    }
}

result<wire::byte_span> socket::receive(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        sockaddr_nl from{};
        iovec iov{buffer_.data(), buffer_.size()};
        msghdr m{};
        m.msg_name = &from;
        m.msg_namelen = sizeof from;
        m.msg_iov = &iov;
        m.msg_iovlen = 1;
        const ssize_t n = recvmsg(fd(), &m, MSG_DONTWAIT);
        if (n >= 0) {
            if (from.nl_pid != 0) continue;
            if ((m.msg_flags & MSG_TRUNC) != 0)
                return error{errc::protocol_error, "receive from netlink", {}, "a datagram was cut off", 0};
            return wire::byte_span(buffer_.data(), static_cast<std::size_t>(n));
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return errno_error(errno, "receive from netlink", {});
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return wire::byte_span();
        pollfd p{fd(), POLLIN, 0};
        poll(&p, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1000)));
    }
}

acknowledgement read_ack(const nlmsghdr* h) {
    acknowledgement ack;
    const auto parts = wire::split<nlmsgerr>(h);
    std::int32_t code = 0;
    if (h->nlmsg_len >= NLMSG_HDRLEN + sizeof code) std::memcpy(&code, NLMSG_DATA(h), sizeof code);
    ack.errnum = code < 0 ? -code : 0;
    wire::byte_span rest;
    if (h->nlmsg_type == NLMSG_DONE) {  // only a number comes before the attributes
        const auto done = wire::split<std::int32_t>(h);
        if (done) rest = done->second;
    } else if (parts) {
        rest = parts->second;
        // Without NLM_F_CAPPED a refused request is repeated before the attributes.
        if ((h->nlmsg_flags & NLM_F_CAPPED) == 0 && ack.errnum != 0) {
            const std::size_t echoed = NLMSG_ALIGN(parts->first.msg.nlmsg_len) - NLMSG_HDRLEN;
            rest = echoed <= rest.size() ? rest.subspan(echoed) : wire::byte_span();
        }
    }
    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return ack;
    const wire::attributes a(rest);
    ack.text = a[NLMSGERR_ATTR_MSG].text();
    if (ack.errnum != 0) {
        if (const auto offset = a[NLMSGERR_ATTR_OFFS].u32()) ack.text += " (at byte " + std::to_string(*offset) + " of the request)";
        if (const auto missing = a[5].u32())  // NLMSGERR_ATTR_MISS_TYPE, named since Linux 6.1
            ack.text += " (missing attribute " + std::to_string(*missing) + ")";
    }
    return ack;
}

}  // namespace weft::netlink
