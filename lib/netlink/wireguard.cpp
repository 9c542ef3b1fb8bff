// SPDX-License-Identifier: Apache-2.0
// See the header. A device's answer holds its secrets, so that answers are received into secret memory. Whether a device is the kernel's is
// what the options say; a change is worked out once for both tongues. May include: core, model, wire. Errors carry the kernel's words.
#include "weft/netlink/wireguard.hpp"

#include "core/fault.hpp"
#include "netlink/session_runner.hpp"
#include "netlink/socket.hpp"
#include "weft/core/secret.hpp"
#include "weft/netlink/key_file.hpp"
#include "wire/wireguard.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

namespace weft::netlink {
namespace {

constexpr int patience_ms = 10000;
constexpr std::size_t largest_datagram = 64 * 1024;

struct wanted_change {
    wire::wireguard_change change;
    std::deque<secret> keys;  // what the change points at
    bool empty() const { return change.private_key == nullptr && !change.port && change.peers.empty(); }
};

result<public_key> key_of(const wireguard_peer& p) {
    auto key = public_key_from_base64(p.public_key);
    if (!key) return error{errc::invalid_input, "set WireGuard peer", p.public_key, key.error().detail, 0};
    return key;
}

// The key of the file, if it is still the one that the plan was made for.
result<const secret*> load(wanted_change& c, const std::string& file, const std::string& wanted, bool shared) {
    if (file.empty())
        return error{errc::not_found, "set WireGuard key", wanted.substr(0, shared ? 8 : 44), "no file with this key is known", 0};
    auto key = read_key_file(file);
    if (!key) return key.error();
    if ((shared ? fingerprint(*key) : to_base64(public_half(*key))) != wanted)
        return error{errc::stale, "set WireGuard key", file, "the file has another key than when this was planned; nothing was changed", 0};
    return &c.keys.emplace_back(std::move(*key));
}

const secret* no_key(wanted_change& c) {
    auto& zeros = c.keys.emplace_back();
    zeros.resize(sizeof(public_key));
    return &zeros;
}

result<void> add_peer(wanted_change& c, const wireguard_peer* was, const wireguard_peer* is) {
    const auto key = key_of(is != nullptr ? *is : *was);
    if (!key) return key.error();
    wire::wireguard_peer_change p;
    p.key = *key;
    if (is == nullptr) {
        p.remove = true;
        c.change.peers.push_back(std::move(p));
        return {};
    }
    p.only_update = was != nullptr;
    if (was == nullptr || was->allowed != is->allowed) {
        p.replace_allowed = true;
        p.allowed = is->allowed;
    }
    if ((was == nullptr && is->keepalive != 0) || (was != nullptr && was->keepalive != is->keepalive)) p.keepalive = is->keepalive;
    if (!is->endpoint.empty() && (was == nullptr || was->endpoint != is->endpoint)) {
        const auto endpoint = parse_endpoint(is->endpoint);
        if (!endpoint) return error{errc::invalid_input, "set WireGuard peer", is->public_key, "endpoint " + is->endpoint + " is none", 0};
        p.endpoint = *endpoint;
    }
    if ((was == nullptr ? std::string() : was->preshared) != is->preshared) {
        if (is->preshared.empty()) p.preshared = no_key(c);
        else {
            auto loaded = load(c, is->preshared_file, is->preshared, true);
            if (!loaded) return loaded.error();
            p.preshared = *loaded;
        }
    }
    if (was != nullptr && !p.replace_allowed && !p.keepalive && !p.endpoint && p.preshared == nullptr) return {};
    c.change.peers.push_back(std::move(p));
    return {};
}

// Peers stand in the order of their keys on both sides.
result<void> work_out(wanted_change& c, const std::string& name, const wireguard_options& before, const wireguard_options& after) {
    c.change.device = name;
    if (before.public_key != after.public_key) {
        if (after.public_key.empty()) c.change.private_key = no_key(c);
        else {
            auto loaded = load(c, after.key_file, after.public_key, false);
            if (!loaded) return loaded.error();
            c.change.private_key = *loaded;
        }
    }
    if (after.port && after.port != before.port) c.change.port = after.port;
    auto was = before.peers.begin();
    auto is = after.peers.begin();
    while (was != before.peers.end() || is != after.peers.end()) {
        const bool gone = is == after.peers.end() || (was != before.peers.end() && was->public_key < is->public_key);
        const bool fresh = !gone && (was == before.peers.end() || is->public_key < was->public_key);
        if (auto ok = add_peer(c, fresh ? nullptr : &*was, gone ? nullptr : &*is); !ok) return ok;
        if (!fresh) ++was;
        if (!gone) ++is;
    }
    return {};
}

result<bool> wait_readable(int fd) {
    for (;;) {
        pollfd p{fd, POLLIN, 0};
        const int n = ::poll(&p, 1, patience_ms);
        if (n > 0) return true;
        if (n == 0) return false;
        if (errno != EINTR) return errno_error(errno, "wait for WireGuard", "");
    }
}

// One request over generic netlink; `use` gets each message of the answer but its end.
template <class F> result<void> exchange(socket& s, std::span<const std::uint8_t> request, std::uint32_t sequence, const char* operation, const std::string& name, F&& use) {
    if (auto sent = s.send(request); !sent) return sent;
    secret buffer;
    buffer.resize(largest_datagram);
    for (;;) {
        const auto there = wait_readable(s.fd());
        if (!there) return there.error();
        if (!*there) return error{errc::timed_out, operation, name, "the kernel does not answer", 0};
        const auto n = ::recv(s.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return errno_error(errno, operation, name);
        std::optional<acknowledgement> end;
        bool torn = false;
        for_each_message(buffer.bytes().first(static_cast<std::size_t>(n)), [&](const nlmsghdr* h) {
            if (h->nlmsg_seq != sequence) return;
            torn = torn || (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) end = read_ack(h);
            else use(h);
        });
        if (torn) return error{errc::events_lost, operation, name, "the device changed while it was read", 0};
        if (!end) continue;
        if (end->errnum != 0) return errno_error(end->errnum, operation, name, end->text);
        return {};
    }
}

// The family's number; 0 where the kernel has none.
result<std::uint16_t> family(socket& s) {
    std::optional<std::uint16_t> id;
    auto request = wire::family_get("wireguard");
    auto done = exchange(s, request.finish(1), 1, "find WireGuard", "", [&](const nlmsghdr* h) { id = wire::decode_family(h); });
    if (!done && done.error().errnum == ENOENT) return std::uint16_t{0};
    if (!done) return done.error();
    return id.value_or(0);
}

struct kernel_device {
    socket netlink;
    std::uint16_t family;
};
result<kernel_device> open_kernel(const namespace_handle& at, const std::string& name) {
    auto s = socket::open(at, {}, NETLINK_GENERIC);
    if (!s) return s.error();
    const auto id = family(*s);
    if (!id) return id.error();
    if (*id == 0) return error{errc::unsupported, "open WireGuard", name, "this kernel has no WireGuard", 0};
    return kernel_device{std::move(*s), *id};
}

// A connection to the wireguard-go of a device; nothing where none listens.
result<std::optional<unique_fd>> connect_go(const std::string& name) {
    if (auto ok = check_link_name(name); !ok) return ok.error();
    unique_fd peer(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (peer.get() < 0) return errno_error(errno, "open socket", name);
    const timeval patience{patience_ms / 1000, 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    const auto path = "/run/wireguard/" + name + ".sock";
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    if (::connect(peer.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return std::optional(std::move(peer));
    if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<unique_fd>{};
    return errno_error(errno, "connect to wireguard-go", path);
}

// The whole answer, which ends in errno=N and an empty line.
result<secret> ask_go(const unique_fd& peer, std::span<const std::uint8_t> request, const std::string& name) {
    for (std::size_t done = 0; done < request.size();) {
        const auto n = ::send(peer.get(), request.data() + done, request.size() - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "ask wireguard-go", name);
        done += static_cast<std::size_t>(n);
    }
    secret answer;
    std::size_t size = 0;
    for (;;) {
        if (answer.size() - size < 4096) answer.resize(std::max<std::size_t>(answer.size() * 2, 16384));
        const auto n = ::recv(peer.get(), answer.data() + size, answer.size() - size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "ask wireguard-go", name);
        size += static_cast<std::size_t>(n);
        const std::string_view text(reinterpret_cast<const char*>(answer.data()), size);
        const auto number = wire::uapi_errno(text);
        if (number && *number != 0) return errno_error(std::abs(*number), "ask wireguard-go", name, "it refused the change");
        if (number) {
            answer.resize(size);
            return answer;
        }
        if (n == 0) return error{errc::protocol_error, "ask wireguard-go", name, "it ended before its answer did", 0};
    }
}

}  // namespace

result<bool> kernel_has_wireguard(const namespace_handle& at) {
    auto s = socket::open(at, {}, NETLINK_GENERIC);
    if (!s) return s.error();
    const auto id = family(*s);
    if (!id) return id.error();
    return *id != 0;
}

result<wireguard_options> read_wireguard(const namespace_handle& at, const std::string& name) {
    auto device = open_kernel(at, name);
    if (!device) return device.error();
    constexpr int attempts = 8;
    for (int i = 0;; ++i) {
        wire::wireguard_dump dump;
        const auto sequence = static_cast<std::uint32_t>(2 + i);
        const auto request = wire::wireguard_get(device->family, name, sequence);
        auto done = exchange(device->netlink, request.bytes(), sequence, "read WireGuard", name, [&](const nlmsghdr* h) { dump.add(h); });
        if (done) return dump.take();
        if (done.error().code != errc::events_lost || i == attempts) return done.error();
        // What is left of the torn answer belongs to no later question.
        auto fresh = open_kernel(at, name);
        if (!fresh) return fresh.error();
        device = std::move(fresh);
    }
}

result<std::optional<wireguard_options>> read_wireguard_go(const std::string& name) {
    auto peer = connect_go(name);
    if (!peer) return peer.error();
    if (!*peer) return std::optional<wireguard_options>{};
    const std::string_view get = "get=1\n\n";
    const auto answer = ask_go(**peer, {reinterpret_cast<const std::uint8_t*>(get.data()), get.size()}, name);
    if (!answer) return answer.error();
    auto options = wire::uapi_read({reinterpret_cast<const char*>(answer->data()), answer->size()});
    if (!options) return options.error();
    options->userspace = true;
    return std::optional(std::move(*options));
}

result<void> change_wireguard(const namespace_handle& at, const std::string& name, const wireguard_options& before, const wireguard_options& after) {
    wanted_change wanted;
    if (auto ok = work_out(wanted, name, before, after); !ok) return ok;
    if (wanted.empty()) return {};
    if (after.userspace) {
        auto peer = connect_go(name);
        if (!peer) return peer.error();
        if (!*peer) return error{errc::unavailable, "set WireGuard", name, "no wireguard-go serves it", 0};
        count_write();
        auto answer = ask_go(**peer, wire::uapi_set(wanted.change).bytes(), name);
        if (!answer) return answer.error();
        return {};
    }
    auto device = open_kernel(at, name);
    if (!device) return device.error();
    std::uint32_t sequence = 2;
    for (const auto& m : wire::wireguard_set(device->family, wanted.change, sequence)) {
        count_write();
        if (auto ok = exchange(device->netlink, m.bytes(), sequence++, "set WireGuard", name, [](const nlmsghdr*) {}); !ok) return ok;
    }
    return {};
}

}  // namespace weft::netlink
