// SPDX-License-Identifier: Apache-2.0
// The probe engine: all sockets are opened inside their namespaces, then one poll loop sends, repeats, receives and gives up.
// It may call sockets and netlink::run_in; it changes no state of any namespace. What the kernel answers to a send is kept
// as the probe's detail; only a socket that cannot be opened is an error.
#include "weft/probe/probe.hpp"

#include "probe/icmp.hpp"
#include "probe/socket.hpp"

#include <fmt/format.h>

#include <boost/asio/ip/udp.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>

namespace weft::probe {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The kernel repeats a SYN by itself after a second, so that a handful of attempts covers any patience.
constexpr std::size_t tcp_attempts = 6;

struct attempt {
    descriptor socket;
    clock::time_point sent_at;
    bool pending = false;
};

struct running {
    const request* wanted = nullptr;
    probe::answer answer;
    std::vector<attempt> attempts;           // one for ICMP and UDP
    std::vector<clock::time_point> sent_at;  // ICMP and UDP, by sequence number
    std::uint16_t id = 0;
    std::size_t next_attempt = 0;
    clock::time_point next_send;
    bool done = false;
};

// A socket address of either family, as the calls take it: data() and size().
using socket_address = boost::asio::ip::udp::endpoint;

result<descriptor> open_socket(const request& r) {
    const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    const bool v6 = r.target.is_v6();
    const int family = v6 ? AF_INET6 : AF_INET;
    descriptor s(r.kind == kind::icmp ? ::socket(family, SOCK_RAW | flags, v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP))
                 : r.kind == kind::tcp ? ::socket(family, SOCK_STREAM | flags, 0)
                                       : ::socket(family, SOCK_DGRAM | flags, 0));
    if (!s) return errno_error(errno, "open probe socket", r.target.to_string());
    if (r.mark != 0 && ::setsockopt(s.fd(), SOL_SOCKET, SO_MARK, &r.mark, sizeof r.mark) < 0)
        return errno_error(errno, "mark probe socket", r.target.to_string());
    if (v6) {
        // The kernel writes the checksum of ICMPv6 itself. An error of a router is read as what it quotes.
        icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        for (const int type : {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB})
            ICMP6_FILTER_SETPASS(type, &filter);
        if (r.kind == kind::icmp) ::setsockopt(s.fd(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
        const int discover = r.dont_fragment ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT, whole = r.dont_fragment ? 1 : 0;
        if (r.kind != kind::tcp) {
            ::setsockopt(s.fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &discover, sizeof discover);
            ::setsockopt(s.fd(), IPPROTO_IPV6, IPV6_DONTFRAG, &whole, sizeof whole);
        }
        return s;
    }
    if (r.kind == kind::icmp) {
        icmp_filter filter{};
        filter.data = ~((1U << ICMP_ECHOREPLY) | (1U << ICMP_DEST_UNREACH) | (1U << ICMP_TIME_EXCEEDED) | (1U << ICMP_PARAMETERPROB));
        ::setsockopt(s.fd(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
    }
    // PROBE sets DF without believing a remembered path MTU; DONT keeps the plain probes independent of the sysctl.
    const int discover = r.dont_fragment ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
    if (r.kind != kind::tcp) ::setsockopt(s.fd(), IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover);
    return s;
}

struct served {
    descriptor socket;
    probe::kind kind = probe::kind::tcp;
};

// A port that is taken is served by somebody already, which is as good.
result<served> open_listener(const listener& l) {
    // One socket hears both families; where the kernel has no IPv6, IPv4 alone.
    const int type = (l.kind == kind::udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    served out{descriptor(::socket(AF_INET6, type, 0)), l.kind};
    socket_address any(boost::asio::ip::address_v6::any(), l.port);
    if (!out.socket) {
        out.socket = descriptor(::socket(AF_INET, type, 0));
        any = socket_address(boost::asio::ip::address_v4::any(), l.port);
    }
    if (!out.socket) return errno_error(errno, "open listener", l.at->name());
    const int yes = 1, no = 0;
    if (any.address().is_v6()) ::setsockopt(out.socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    ::setsockopt(out.socket.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(out.socket.fd(), any.data(), static_cast<socklen_t>(any.size())) < 0 ||
        (l.kind == kind::tcp && ::listen(out.socket.fd(), 64) < 0)) {
        if (errno == EADDRINUSE) return served{};
        return errno_error(errno, "listen", fmt::format("port {} in {}", l.port, l.at->name()));
    }
    return out;
}

void note_send_error(running& p, int errnum) {
    if (errnum == ENETUNREACH) p.answer.no_route = true;
    p.answer.detail = errnum == ENETUNREACH ? "no route at the source" : std::strerror(errnum);
}

void finish(running& p, clock::time_point since) {
    p.answer.replied = true;
    p.answer.round_trip = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - since);
    p.answer.detail = fmt::format("{:.2f} ms", static_cast<double>(p.answer.round_trip.count()) / 1000.0);
    p.done = true;
}

void send_icmp(running& p) {
    const auto packet = echo_request(p.wanted->target.is_v6(), p.id, static_cast<std::uint16_t>(p.sent_at.size()), p.wanted->size);
    const socket_address to(p.wanted->target, 0);
    p.sent_at.push_back(clock::now());
    if (::sendto(p.attempts[0].socket.fd(), packet.data(), packet.size(), 0, to.data(), static_cast<socklen_t>(to.size())) < 0)
        note_send_error(p, errno);
    else
        ++p.answer.sent;
}

void send_udp(running& p) {
    const socket_address to(p.wanted->target, p.wanted->port);
    auto& a = p.attempts[0];
    const char text[] = "weft probe";
    a.sent_at = clock::now();
    if (::connect(a.socket.fd(), to.data(), static_cast<socklen_t>(to.size())) < 0 || ::send(a.socket.fd(), text, sizeof text, 0) < 0) {
        p.answer.refused |= errno == ECONNREFUSED;
        note_send_error(p, errno);
    } else {
        ++p.answer.sent;
    }
}

void send_tcp(running& p) {
    if (p.next_attempt >= p.attempts.size()) return;
    auto& a = p.attempts[p.next_attempt++];
    const socket_address to(p.wanted->target, p.wanted->port);
    a.sent_at = clock::now();
    if (::connect(a.socket.fd(), to.data(), static_cast<socklen_t>(to.size())) == 0) {
        ++p.answer.sent;
        finish(p, a.sent_at);
    } else if (errno == EINPROGRESS) {
        ++p.answer.sent;
        a.pending = true;
    } else {
        p.answer.refused |= errno == ECONNREFUSED;
        note_send_error(p, errno);
    }
}

void send_one(running& p) {
    p.next_send = clock::now() + (p.wanted->kind == kind::tcp ? std::max(p.wanted->interval, milliseconds(200)) : p.wanted->interval);
    switch (p.wanted->kind) {
    case kind::icmp: return send_icmp(p);
    case kind::udp: return send_udp(p);
    case kind::tcp: return send_tcp(p);
    }
}

// As receive_icmp; the kernel hands over ICMPv6 without the IPv6 header in front of it, and the sender beside it.
void receive_icmp6(running& p) {
    std::array<std::uint8_t, 2048> buffer;
    const auto target = p.wanted->target.to_v6().to_bytes();
    for (;;) {
        sockaddr_in6 peer{};
        socklen_t length = sizeof peer;
        const auto n = ::recvfrom(p.attempts[0].socket.fd(), buffer.data(), buffer.size(), MSG_TRUNC, reinterpret_cast<sockaddr*>(&peer), &length);
        if (n < 0) return;
        const auto size = std::min<std::size_t>(static_cast<std::size_t>(n), buffer.size());
        icmp6_hdr header;
        if (size < sizeof header) continue;
        std::memcpy(&header, buffer.data(), sizeof header);
        if (header.icmp6_type == ICMP6_ECHO_REPLY) {
            const auto sequence = ntohs(header.icmp6_seq);
            if (std::memcmp(&peer.sin6_addr, target.data(), target.size()) != 0 || ntohs(header.icmp6_id) != p.id || sequence >= p.sent_at.size())
                continue;
            return finish(p, p.sent_at[sequence]);
        }
        ip6_hdr inner;
        icmp6_hdr echo;
        if (size < sizeof header + sizeof inner + sizeof echo) continue;
        std::memcpy(&inner, buffer.data() + sizeof header, sizeof inner);
        std::memcpy(&echo, buffer.data() + sizeof header + sizeof inner, sizeof echo);
        if (inner.ip6_nxt != IPPROTO_ICMPV6 || std::memcmp(&inner.ip6_dst, target.data(), target.size()) != 0 || ntohs(echo.icmp6_id) != p.id)
            continue;
        char from[INET6_ADDRSTRLEN] = "";
        ::inet_ntop(AF_INET6, &peer.sin6_addr, from, sizeof from);
        p.answer.detail = error_text(header) + " from " + from;
    }
}

// A raw socket sees every ICMP packet of its namespace, so that each is matched by peer and echo id.
void receive_icmp(running& p) {
    std::array<std::uint8_t, 2048> buffer;
    if (p.wanted->target.is_v6()) return receive_icmp6(p);
    const auto target = htonl(p.wanted->target.to_v4().to_uint());
    for (;;) {
        const auto n = ::recv(p.attempts[0].socket.fd(), buffer.data(), buffer.size(), MSG_TRUNC);
        if (n < 0) return;
        const auto size = std::min<std::size_t>(static_cast<std::size_t>(n), buffer.size());
        iphdr ip;
        icmphdr header;
        if (size < sizeof ip) continue;
        std::memcpy(&ip, buffer.data(), sizeof ip);
        const std::size_t offset = ip.ihl * 4UL;
        if (size < offset + sizeof header) continue;
        std::memcpy(&header, buffer.data() + offset, sizeof header);
        if (header.type == ICMP_ECHOREPLY) {
            const auto sequence = ntohs(header.un.echo.sequence);
            if (ip.saddr != target || ntohs(header.un.echo.id) != p.id || sequence >= p.sent_at.size()) continue;
            return finish(p, p.sent_at[sequence]);
        }
        iphdr inner;
        icmphdr echo;
        const std::size_t inner_offset = offset + sizeof header;
        if (size < inner_offset + sizeof inner) continue;
        std::memcpy(&inner, buffer.data() + inner_offset, sizeof inner);
        const std::size_t echo_offset = inner_offset + inner.ihl * 4UL;
        if (inner.protocol != IPPROTO_ICMP || inner.daddr != target || size < echo_offset + sizeof echo) continue;
        std::memcpy(&echo, buffer.data() + echo_offset, sizeof echo);
        if (ntohs(echo.un.echo.id) != p.id) continue;
        char from[INET_ADDRSTRLEN] = "";
        ::inet_ntop(AF_INET, &ip.saddr, from, sizeof from);
        p.answer.detail = error_text(header) + " from " + from;
    }
}

void receive(running& p, attempt& a) {
    if (p.wanted->kind == kind::icmp) return receive_icmp(p);
    if (p.wanted->kind == kind::udp) {
        char buffer[64];
        if (::recv(a.socket.fd(), buffer, sizeof buffer, 0) >= 0) return finish(p, a.sent_at);
        if (errno == EAGAIN) return;
        p.answer.refused |= errno == ECONNREFUSED;
        return note_send_error(p, errno);
    }
    int problem = 0;
    socklen_t length = sizeof problem;
    ::getsockopt(a.socket.fd(), SOL_SOCKET, SO_ERROR, &problem, &length);
    a.pending = false;
    if (problem == 0) return finish(p, a.sent_at);
    p.answer.refused |= problem == ECONNREFUSED;
    p.answer.detail = std::strerror(problem);
}

void serve(const served& s) {
    if (s.kind == kind::tcp) {
        while (descriptor(::accept4(s.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC))) {}
        return;
    }
    char buffer[64];
    sockaddr_storage peer{};
    for (;;) {
        socklen_t length = sizeof peer;
        const auto n = ::recvfrom(s.socket.fd(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &length);
        if (n < 0) return;
        ::sendto(s.socket.fd(), buffer, static_cast<std::size_t>(n), 0, reinterpret_cast<sockaddr*>(&peer), length);
    }
}

void loop(std::vector<running>& probes, const std::vector<served>& services) {
    const auto start = clock::now();
    std::vector<pollfd> fds;
    std::vector<std::pair<running*, attempt*>> owners;
    for (;;) {
        const auto now = clock::now();
        auto wake = now + milliseconds(1000);
        fds.clear();
        owners.clear();
        bool busy = false;
        for (const auto& s : services) fds.push_back({s.socket.fd(), POLLIN, 0});
        for (auto& p : probes) {
            if (!p.done && now >= start + p.wanted->patience) p.done = true;
            if (!p.done && now >= p.next_send) send_one(p);
            if (p.done) continue;
            busy = true;
            wake = std::min({wake, p.next_send, start + p.wanted->patience});
            for (auto& a : p.attempts) {
                if (p.wanted->kind == kind::tcp && !a.pending) continue;
                fds.push_back({a.socket.fd(), static_cast<short>(p.wanted->kind == kind::tcp ? POLLOUT : POLLIN), 0});
                owners.emplace_back(&p, &a);
            }
        }
        if (!busy) return;
        const auto wait = std::chrono::duration_cast<milliseconds>(wake - clock::now()).count() + 1;
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max<long>(wait, 0)));
        for (std::size_t i = 0; i < fds.size(); ++i) {
            if (fds[i].revents == 0) continue;
            if (i < services.size()) serve(services[i]);
            else if (auto [p, a] = owners[i - services.size()]; !p->done) receive(*p, *a);
        }
    }
}

}  // namespace

result<std::vector<answer>> run(std::span<const request> requests, std::span<const listener> listeners) {
    std::vector<running> probes(requests.size());
    std::vector<served> services;
    std::map<const netlink::namespace_handle*, std::vector<std::size_t>> by_namespace;
    std::uint16_t id = static_cast<std::uint16_t>(std::random_device{}());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        probes[i].wanted = &requests[i];
        probes[i].id = id++;
        by_namespace[requests[i].from].push_back(i);
    }
    for (const auto& l : listeners) by_namespace[l.at];
    // One entry into each namespace opens all of its sockets.
    for (const auto& [at, indices] : by_namespace) {
        const auto opened = netlink::run_in(*at, [&, at = at, &indices = indices]() -> result<void> {
            for (const auto& l : listeners) {
                if (l.at != at) continue;
                auto s = open_listener(l);
                if (!s) return s.error();
                if (s->socket) services.push_back(std::move(*s));
            }
            for (const auto i : indices) {
                const std::size_t count = requests[i].kind == kind::tcp ? tcp_attempts : 1;
                for (std::size_t n = 0; n < count; ++n) {
                    auto s = open_socket(requests[i]);
                    if (!s) return s.error();
                    probes[i].attempts.push_back({std::move(*s), {}, false});
                }
            }
            return {};
        });
        if (!opened) return opened.error();
    }
    loop(probes, services);
    std::vector<answer> out;
    out.reserve(probes.size());
    for (auto& p : probes) out.push_back(std::move(p.answer));
    return out;
}

result<answer> icmp(const netlink::namespace_handle& from, const ip_address& target, std::uint16_t size, bool dont_fragment,
                    milliseconds patience) {
    const request one{.from = &from, .kind = kind::icmp, .target = target, .size = size, .dont_fragment = dont_fragment, .patience = patience};
    auto answers = run(std::span(&one, 1));
    if (!answers) return answers.error();
    return std::move(answers->front());
}

result<answer> tcp(const netlink::namespace_handle& from, const ip_address& target, std::uint16_t port, milliseconds patience) {
    const request one{.from = &from, .kind = kind::tcp, .target = target, .port = port, .patience = patience};
    auto answers = run(std::span(&one, 1));
    if (!answers) return answers.error();
    return std::move(answers->front());
}

}  // namespace weft::probe
