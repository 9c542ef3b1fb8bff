// SPDX-License-Identifier: Apache-2.0
// ARP asked on a packet socket, so that duplicate owners of an address are seen and the kernel's neighbour table is neither
// believed nor changed. It may call sockets and netlink::run_in. An address nobody answers for is an empty list, no error.
#include "probe/socket.hpp"
#include "weft/probe/probe.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weft::probe {

descriptor::~descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

std::uint16_t internet_checksum(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < size; i += 2) sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    if (size % 2 != 0) sum += static_cast<std::uint32_t>(bytes[size - 1] << 8);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return htons(static_cast<std::uint16_t>(~sum));
}

namespace {

struct arp_socket {
    descriptor socket;
    int index = 0;
    std::array<std::uint8_t, 6> mac{};
    in_addr source{};
};

result<void> open_arp(arp_socket& out, const std::string& device) {
    out.socket = descriptor(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP)));
    if (!out.socket) return errno_error(errno, "open ARP socket", device);
    ifreq request{};
    device.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(out.socket.fd(), SIOCGIFINDEX, &request) < 0) return errno_error(errno, "probe ARP", device);
    out.index = request.ifr_ifindex;
    if (::ioctl(out.socket.fd(), SIOCGIFHWADDR, &request) < 0) return errno_error(errno, "read MAC", device);
    std::memcpy(out.mac.data(), request.ifr_hwaddr.sa_data, out.mac.size());
    // Without an address of its own the probe asks from 0.0.0.0, as RFC 5227 does.
    descriptor plain(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    request.ifr_addr.sa_family = AF_INET;
    if (plain && ::ioctl(plain.fd(), SIOCGIFADDR, &request) == 0) {
        sockaddr_in address{};
        std::memcpy(&address, &request.ifr_addr, sizeof address);
        out.source = address.sin_addr;
    }
    return {};
}

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct asking {
    const arp_request* wanted = nullptr;
    arp_socket socket;
    ether_arp question{};
    sockaddr_ll everybody{};
    arp_answer answer;
    clock::time_point next_send;
    bool done = false;
};

void prepare(asking& a) {
    a.question.arp_hrd = htons(ARPHRD_ETHER);
    a.question.arp_pro = htons(ETHERTYPE_IP);
    a.question.arp_hln = 6;
    a.question.arp_pln = 4;
    a.question.arp_op = htons(ARPOP_REQUEST);
    std::memcpy(a.question.arp_sha, a.socket.mac.data(), 6);
    std::memcpy(a.question.arp_spa, &a.socket.source, 4);
    const auto bytes = a.wanted->target.to_v4().to_bytes();
    std::memcpy(a.question.arp_tpa, bytes.data(), 4);
    a.everybody.sll_family = AF_PACKET;
    a.everybody.sll_protocol = htons(ETH_P_ARP);
    a.everybody.sll_ifindex = a.socket.index;
    a.everybody.sll_halen = 6;
    std::memset(a.everybody.sll_addr, 0xff, 6);
}

void send_one(asking& a) {
    a.next_send = clock::now() + milliseconds(150);
    if (::sendto(a.socket.socket.fd(), &a.question, sizeof a.question, 0, reinterpret_cast<sockaddr*>(&a.everybody), sizeof a.everybody) > 0)
        ++a.answer.sent;
}

void receive(asking& a) {
    ether_arp reply{};
    sockaddr_ll sender{};
    socklen_t length = sizeof sender;
    while (::recvfrom(a.socket.socket.fd(), &reply, sizeof reply, 0, reinterpret_cast<sockaddr*>(&sender), &length) >=
           static_cast<ssize_t>(sizeof reply)) {
        if (sender.sll_ifindex != a.socket.index || ntohs(reply.arp_op) != ARPOP_REPLY ||
            std::memcmp(reply.arp_spa, a.question.arp_tpa, 4) != 0)
            continue;
        mac_address mac;
        std::memcpy(mac.bytes.data(), reply.arp_sha, 6);
        auto& macs = a.answer.macs;
        if (std::find(macs.begin(), macs.end(), mac) == macs.end()) macs.push_back(mac);
        a.done = a.done || a.wanted->first_only;
    }
}

}  // namespace

result<std::vector<arp_answer>> arp(std::span<const arp_request> requests) {
    std::vector<asking> all(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        auto& a = all[i];
        a.wanted = &requests[i];
        if (!a.wanted->target.is_v4()) return error{errc::unsupported, "probe ARP", a.wanted->target.to_string(), "IPv4 targets only"};
        if (auto opened = netlink::run_in(*a.wanted->from, [&] { return open_arp(a.socket, a.wanted->device); }); !opened)
            return opened.error();
        prepare(a);
    }
    const auto start = clock::now();
    std::vector<pollfd> fds;
    for (bool busy = !all.empty(); busy;) {
        busy = false;
        fds.clear();
        for (auto& a : all) {
            a.done = a.done || clock::now() >= start + a.wanted->patience;
            if (!a.done && clock::now() >= a.next_send) send_one(a);
            busy = busy || !a.done;
            if (!a.done) fds.push_back({a.socket.socket.fd(), POLLIN, 0});
        }
        if (!busy) break;
        ::poll(fds.data(), fds.size(), 20);
        for (auto& a : all)
            if (!a.done) receive(a);
    }
    std::vector<arp_answer> out;
    for (auto& a : all) {
        std::sort(a.answer.macs.begin(), a.answer.macs.end());
        out.push_back(std::move(a.answer));
    }
    return out;
}

result<arp_answer> arp(const netlink::namespace_handle& from, const std::string& device, const ip_address& target,
                       std::chrono::milliseconds patience) {
    const arp_request one{&from, device, target, patience, false};
    auto answers = arp(std::span(&one, 1));
    if (!answers) return answers.error();
    return std::move(answers->front());
}

}  // namespace weft::probe
