// SPDX-License-Identifier: Apache-2.0
// Gratuitous ARP on packet sockets (RFC 5227, section 3; RFC 826). It may call sockets and netlink::run_in.
#include "weft/probe/announce.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "probe/socket.hpp"

namespace weft::probe {

namespace {

constexpr int rounds = 3;
constexpr std::chrono::milliseconds pause{50};

struct prepared {
    descriptor socket;
    sockaddr_ll everybody{};
    ether_arp packet{};
};

result<void> prepare(prepared& out, const announcement& a) {
    out.socket = descriptor(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!out.socket) return errno_error(errno, "announce " + a.address.to_string(), a.device);
    ifreq request{};
    a.device.copy(request.ifr_name, IFNAMSIZ - 1);
    auto& to = out.everybody;
    if (::ioctl(out.socket.fd(), SIOCGIFINDEX, &request) < 0)
        return errno_error(errno, "announce " + a.address.to_string(), a.device);
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_ARP);
    to.sll_ifindex = request.ifr_ifindex;
    to.sll_halen = 6;
    std::memset(to.sll_addr, 0xff, 6);
    if (::ioctl(out.socket.fd(), SIOCGIFHWADDR, &request) < 0) return errno_error(errno, "read MAC", a.device);
    auto& p = out.packet;
    p.arp_hrd = htons(ARPHRD_ETHER);
    p.arp_pro = htons(ETHERTYPE_IP);
    p.arp_hln = 6;
    p.arp_pln = 4;
    std::memcpy(p.arp_sha, request.ifr_hwaddr.sa_data, 6);
    const auto bytes = a.address.to_v4().to_bytes();
    std::memcpy(p.arp_spa, bytes.data(), 4);
    std::memcpy(p.arp_tpa, bytes.data(), 4);
    return {};
}

result<void> send_round(std::vector<prepared>& all) {
    result<void> outcome;
    for (auto& one : all)
        for (const auto operation : {ARPOP_REQUEST, ARPOP_REPLY}) {
            one.packet.arp_op = htons(static_cast<std::uint16_t>(operation));
            // Linux takes a reply for an announcement only if its target is its sender; in a request the target is not
            // known.
            if (operation == ARPOP_REPLY)
                std::memcpy(one.packet.arp_tha, one.packet.arp_sha, 6);
            else
                std::memset(one.packet.arp_tha, 0, 6);
            if (::sendto(one.socket.fd(), &one.packet, sizeof one.packet, 0,
                         reinterpret_cast<const sockaddr*>(&one.everybody), sizeof one.everybody) < 0 &&
                outcome)
                outcome = errno_error(errno, "send ARP announcement", std::to_string(one.everybody.sll_ifindex));
        }
    return outcome;
}

}  // namespace

result<void> announce(std::span<const announcement> all) {
    result<void> outcome;
    std::vector<prepared> ready;
    for (const auto& a : all) {
        if (!a.address.is_v4()) continue;
        prepared one;
        auto made = netlink::run_in(*a.from, [&] { return prepare(one, a); });
        if (made)
            ready.push_back(std::move(one));
        else if (outcome)
            outcome = made;
    }
    for (int round = 0; round < rounds && !ready.empty(); ++round) {
        if (round > 0) std::this_thread::sleep_for(pause);
        if (auto sent = send_round(ready); !sent && outcome) outcome = sent;
    }
    return outcome;
}

}  // namespace weft::probe
