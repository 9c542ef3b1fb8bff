// SPDX-License-Identifier: Apache-2.0
// nftables over nfnetlink: one short-lived socket per call, opened in the namespace by run_in and used from the caller's
// thread. Reads are repeated a bounded number of times when a transaction of somebody else came between their dumps, then
// fail with events_lost. A batch that the kernel took but whose answer was lost fails with outcome_unknown: read back.
#include "weft/netlink/nftables.hpp"

#include "core/fault.hpp"
#include "wire/nft_codec.hpp"

// Open vSwitch's headers wrap this one and define nla_bitfield32 once more unless told that the system has it.
#ifndef HAVE_NLA_BITFIELD32
#define HAVE_NLA_BITFIELD32 1
#endif
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace weft::netlink {
namespace {

std::atomic<std::uint64_t> writes{0};

constexpr int read_attempts = 10;
constexpr std::chrono::seconds reply_timeout{10};
constexpr std::size_t receive_size = 256 * 1024;  // a dump's datagrams are at most 32 KiB; errors may echo more

class socket_fd {
public:
    explicit socket_fd(int fd = -1) : fd_(fd) {}
    socket_fd(const socket_fd&) = delete;
    socket_fd& operator=(const socket_fd&) = delete;
    ~socket_fd() { reset(-1); }
    int get() const { return fd_; }
    void reset(int fd) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = fd;
    }

private:
    int fd_;
};

std::string place(const namespace_handle& where) {
    return where.name().empty() ? "own namespace" : "namespace " + where.name();
}

result<void> open_socket(const namespace_handle& where, socket_fd& out) {
    return run_in(where, [&]() -> result<void> {
        const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        if (fd < 0) return errno_error(errno, "open nfnetlink socket", place(where));
        out.reset(fd);
        const int on = 1;
        // Both options only make errors better; a kernel without them still answers.
        ::setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
        ::setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
        // The kernel picks the port number at bind; connecting to port 0 keeps other processes' datagrams out.
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
            ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
            return errno_error(errno, "open nfnetlink socket", place(where));
        return {};
    });
}

// The buffer must take a whole batch, as a transaction is one datagram. Forcing needs a privilege that writers have.
void grow_buffers(int fd, std::size_t bytes) {
    const int size = static_cast<int>(std::min<std::size_t>(bytes * 2 + 65536, 1U << 30));
    for (const auto& [force, plain] : {std::pair{SO_SNDBUFFORCE, SO_SNDBUF}, std::pair{SO_RCVBUFFORCE, SO_RCVBUF}})
        if (::setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) < 0)
            ::setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

int send_all(int fd, const nft::bytes& bytes) {
    ssize_t sent = 0;
    do sent = ::send(fd, bytes.data(), bytes.size(), 0);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

// One datagram. Gives 0 and its size, or an errno.
int receive(int fd, nft::bytes& buffer, std::size_t& size) {
    const auto deadline = std::chrono::steady_clock::now() + reply_timeout;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{fd, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) return errno;
        if (ready == 0) return ETIMEDOUT;
        const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC | MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) return errno;
        if (static_cast<std::size_t>(got) > buffer.size()) return EMSGSIZE;
        size = static_cast<std::size_t>(got);
        return 0;
    }
}

// Calls work(header, message) for each whole message of a datagram; false when the datagram is malformed.
template <class Work>
bool each_message(const nft::bytes& buffer, std::size_t size, Work work) {
    std::size_t at = 0;
    while (at + sizeof(nlmsghdr) <= size) {
        nlmsghdr header;
        std::memcpy(&header, buffer.data() + at, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at) return false;
        work(header, std::span<const std::uint8_t>(buffer.data() + at, header.nlmsg_len));
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
    return true;
}

int error_number(const nlmsghdr& header, std::span<const std::uint8_t> message) {
    int number = 0;
    if (header.nlmsg_len < sizeof header + sizeof number) return EBADMSG;
    std::memcpy(&number, message.data() + sizeof header, sizeof number);
    return -number;
}

error malformed(const std::string& operation, const std::string& object) {
    return {errc::protocol_error, operation, object, "the kernel's message is malformed", 0};
}

// A reading of all tables: the generation before, three dumps, the generation after.
class reader {
public:
    reader(int fd, std::string object) : fd_(fd), object_(std::move(object)), buffer_(receive_size) {}

    result<std::uint32_t> generation() {
        const std::uint32_t sequence = ++sequence_;
        std::uint32_t value = 0;
        auto done = exchange(wire::encode_nft_generation_request(sequence), sequence, false,
                             [&](std::span<const std::uint8_t> message) -> result<void> {
                                 auto decoded = wire::decode_nft_generation(message);
                                 if (!decoded) return decoded.error();
                                 value = *decoded;
                                 return {};
                             });
        if (!done) return done.error();
        return value;
    }

    // All tables and chains, then all rules, or only those of the tables asked for: a host may bear large tables of others.
    result<void> dump_all(const std::string& table, wire::nft_collector& into) {
        const auto collect = [&](std::span<const std::uint8_t> message) { return into.add(message); };
        for (const auto what : {wire::nft_dump::tables, wire::nft_dump::chains}) {
            const std::uint32_t sequence = ++sequence_;
            if (auto done = exchange(wire::encode_nft_dump(what, sequence), sequence, true, collect); !done) return done;
        }
        if (table.empty()) {
            const std::uint32_t sequence = ++sequence_;
            return exchange(wire::encode_nft_dump(wire::nft_dump::rules, sequence), sequence, true, collect);
        }
        for (const auto& [family, name] : into.found()) {
            const std::uint32_t sequence = ++sequence_;
            if (auto done = exchange(wire::encode_nft_rule_dump(family, name, sequence), sequence, true, collect); !done)
                return done;
        }
        return {};
    }

    bool torn() const { return torn_; }
    void restart() { torn_ = false; }

private:
    template <class Work>
    result<void> exchange(const nft::bytes& request, std::uint32_t sequence, bool dump, Work work) {
        if (const int failed = send_all(fd_, request)) return errno_error(failed, "read nftables", object_);
        result<void> outcome;
        for (bool finished = false; !finished;) {
            std::size_t size = 0;
            if (const int failed = receive(fd_, buffer_, size)) return errno_error(failed, "read nftables", object_);
            const bool whole = each_message(buffer_, size, [&](const nlmsghdr& header, auto message) {
                if (finished || header.nlmsg_seq != sequence) return;  // a late answer of an earlier exchange
                if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) torn_ = true;
                if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
                    finished = true;
                    const int number = header.nlmsg_type == NLMSG_DONE && header.nlmsg_len == sizeof header
                                           ? 0
                                           : error_number(header, message);
                    // A dump that began before a commit and went on after it ends with EINTR on some kernels.
                    if (number == EINTR) torn_ = true;
                    else if (number != 0 && outcome)
                        outcome = errno_error(number, "read nftables", object_, wire::nft_error_text(message));
                    return;
                }
                if (outcome) outcome = work(message);
                if (!dump) finished = true;
            });
            if (!whole) return malformed("read nftables", object_);
        }
        return outcome;
    }

    int fd_;
    std::string object_;
    nft::bytes buffer_;
    std::uint32_t sequence_ = 0;
    bool torn_ = false;
};

}  // namespace

result<std::vector<nft::table>> nft_tables(const namespace_handle& where, const std::string& name) {
    socket_fd fd;
    if (auto opened = open_socket(where, fd); !opened) return opened.error();
    grow_buffers(fd.get(), receive_size);
    reader in(fd.get(), place(where));
    for (int attempt = 0; attempt < read_attempts; ++attempt) {
        if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(attempt));
        in.restart();
        wire::nft_collector tables(name);
        const auto before = in.generation();
        if (!before) return before.error();
        const result<void> outcome = in.dump_all(name, tables);
        const auto after = in.generation();
        if (!after) return after.error();
        // Whatever went wrong between two generations may be the other writer's doing: look again.
        if (in.torn() || *before != *after || !fault::point("dump", "read nftables")) continue;
        if (!outcome) return outcome.error();
        return tables.take();
    }
    return error{errc::events_lost, "read nftables", place(where), "the ruleset changed during each of several reads", 0};
}

result<void> nft_apply(const namespace_handle& where, const nft_change& change) {
    if (change.replace.empty() && change.remove.empty()) return {};
    auto encoded = wire::encode_nft_batch(change.replace, change.remove, 1);
    if (!encoded) return encoded.error();
    const wire::nft_batch& batch = *encoded;

    if (auto ok = fault::point("nft", place(where)); !ok) return ok;
    socket_fd fd;
    if (auto opened = open_socket(where, fd); !opened) return opened.error();
    grow_buffers(fd.get(), batch.bytes.size());
    if (const int failed = send_all(fd.get(), batch.bytes)) return errno_error(failed, "apply nftables", place(where));
    writes.fetch_add(1, std::memory_order_relaxed);

    // The kernel has run the whole batch when send returns, and queued every error before the acknowledgement of the last
    // message. An error on the batch's first header (no privilege, commit failed) concerns the batch and ends it.
    nft::bytes buffer(receive_size);
    error first_error;
    std::size_t errors = 0;
    for (bool finished = false; !finished;) {
        std::size_t size = 0;
        if (const int failed = receive(fd.get(), buffer, size)) {
            error unknown = errno_error(failed, "apply nftables", place(where), "the kernel's answer was lost; read back");
            unknown.code = errc::outcome_unknown;
            return unknown;
        }
        const bool whole = each_message(buffer, size, [&](const nlmsghdr& header, auto message) {
            if (header.nlmsg_type != NLMSG_ERROR) return;
            const int number = error_number(header, message);
            if (header.nlmsg_seq == batch.first_sequence || header.nlmsg_seq == batch.last_sequence) finished = true;
            if (number == 0 || ++errors > 1) return;
            const std::size_t index = header.nlmsg_seq - batch.first_sequence;
            const std::string object = index < batch.objects.size() ? batch.objects[index] : "batch";
            first_error = errno_error(number, "apply nftables", object + " in " + place(where), wire::nft_error_text(message));
        });
        if (!whole) return malformed("apply nftables", place(where));
    }
    if (errors == 0) return fault::point("nft-answer", place(where));
    if (errors > 1)
        first_error.detail += (first_error.detail.empty() ? "" : "; ") + std::to_string(errors - 1) + " more errors in the batch";
    return first_error;
}

std::uint64_t nft_writes() noexcept {
    return writes.load(std::memory_order_relaxed);
}

}  // namespace weft::netlink
