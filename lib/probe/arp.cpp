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

}  // namespace

result<arp_answer> arp(const netlink::namespace_handle& from, const std::string& device, const ip_address& target,
                       std::chrono::milliseconds patience) {
    if (!target.is_v4()) return error{errc::unsupported, "probe ARP", target.to_string(), "IPv4 targets only"};
    arp_socket s;
    if (auto opened = netlink::run_in(from, [&] { return open_arp(s, device); }); !opened) return opened.error();

    ether_arp question{};
    question.arp_hrd = htons(ARPHRD_ETHER);
    question.arp_pro = htons(ETHERTYPE_IP);
    question.arp_hln = 6;
    question.arp_pln = 4;
    question.arp_op = htons(ARPOP_REQUEST);
    std::memcpy(question.arp_sha, s.mac.data(), 6);
    std::memcpy(question.arp_spa, &s.source, 4);
    const auto bytes = target.to_v4().to_bytes();
    std::memcpy(question.arp_tpa, bytes.data(), 4);
    sockaddr_ll everybody{};
    everybody.sll_family = AF_PACKET;
    everybody.sll_protocol = htons(ETH_P_ARP);
    everybody.sll_ifindex = s.index;
    everybody.sll_halen = 6;
    std::memset(everybody.sll_addr, 0xff, 6);

    arp_answer out;
    const auto start = std::chrono::steady_clock::now();
    auto next = start;
    while (std::chrono::steady_clock::now() < start + patience) {
        if (std::chrono::steady_clock::now() >= next) {
            next += std::chrono::milliseconds(150);
            if (::sendto(s.socket.fd(), &question, sizeof question, 0, reinterpret_cast<sockaddr*>(&everybody), sizeof everybody) > 0) ++out.sent;
        }
        pollfd wait{s.socket.fd(), POLLIN, 0};
        ::poll(&wait, 1, 20);
        ether_arp reply{};
        sockaddr_ll sender{};
        socklen_t length = sizeof sender;
        while (::recvfrom(s.socket.fd(), &reply, sizeof reply, 0, reinterpret_cast<sockaddr*>(&sender), &length) >= static_cast<ssize_t>(sizeof reply)) {
            if (sender.sll_ifindex != s.index || ntohs(reply.arp_op) != ARPOP_REPLY || std::memcmp(reply.arp_spa, bytes.data(), 4) != 0) continue;
            mac_address mac;
            std::memcpy(mac.bytes.data(), reply.arp_sha, 6);
            if (std::find(out.macs.begin(), out.macs.end(), mac) == out.macs.end()) out.macs.push_back(mac);
        }
    }
    std::sort(out.macs.begin(), out.macs.end());
    return out;
}

}  // namespace weft::probe
