// SPDX-License-Identifier: Apache-2.0
// Announcements as the other end of a cable hears them: three rounds, as request and as answer, from the device's own
// MAC. That a neighbour believes them at once is in tests/program/test_routers.py.
#include "weft/probe/announce.hpp"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>

#include "kernel/netns_fixture.hpp"

using namespace weft;

namespace {

struct cable {
    test::scoped_namespace here{"an"}, there{"an"};
    mac_address mac{{2, 0, 0, 0, 0, 0x17}};

    cable() {
        auto session = here.session();
        auto end = test::make_link("qg-1", veth_options{"eth0", there.name, {}, {}});
        end.mac = mac;
        end.up = true;
        session.run_one({netlink::verb::add, end}).value();
        auto other = there.session();
        weft::link eth0;
        eth0.name = "eth0";
        eth0.up = true;
        other.run_one({netlink::verb::change, eth0}).value();
        address_entry a;
        a.device = "eth0";
        a.address = *parse_prefix("192.0.2.1/24");
        other.run_one({netlink::verb::add, a}).value();
    }
};

struct heard {
    int requests = 0, answers = 0, strange = 0;
};

}  // namespace

TEST_CASE("an announcement is heard three times in each form, from the device's MAC, within a quarter of a second") {
    if (!test::may_make_namespaces()) return;
    const cable c;
    int ear = -1;
    netlink::run_in(c.there.handle(), [&]() -> result<void> {
        ear = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP));
        return ear >= 0 ? result<void>{} : errno_error(errno, "open", "ear");
    }).value();

    // A new cable swallows what is sent before the kernel has seen its carrier.
    const auto from = c.here.handle();
    const std::vector<probe::announcement> first = {{&from, "qg-1", *parse_ip("192.0.2.9")}};
    pollfd wait{ear, POLLIN, 0};
    for (int attempt = 0; attempt < 20 && ::poll(&wait, 1, 0) == 0; ++attempt) probe::announce(first).value();
    for (char sink[256]; ::poll(&wait, 1, 50) > 0;) (void)::recv(ear, sink, sizeof sink, 0);

    const auto start = std::chrono::steady_clock::now();
    const std::vector<probe::announcement> all = {{&from, "qg-1", *parse_ip("192.0.2.10")},
                                                  {&from, "qg-1", *parse_ip("fd00::1")}};
    probe::announce(all).value();
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(250));

    heard h;
    while (::poll(&wait, 1, 200) > 0) {
        ether_arp packet{};
        sockaddr_ll sender{};
        socklen_t length = sizeof sender;
        if (::recvfrom(ear, &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&sender), &length) <
            static_cast<ssize_t>(sizeof packet))
            break;
        if (sender.sll_pkttype == PACKET_OUTGOING) continue;
        const unsigned char address[] = {192, 0, 2, 10};
        const bool right =
            std::memcmp(packet.arp_spa, address, 4) == 0 && std::memcmp(packet.arp_tpa, address, 4) == 0 &&
            std::memcmp(packet.arp_sha, c.mac.bytes.data(), 6) == 0 && sender.sll_pkttype == PACKET_BROADCAST;
        h.strange += right ? 0 : 1;
        h.requests += ntohs(packet.arp_op) == ARPOP_REQUEST ? 1 : 0;
        h.answers += ntohs(packet.arp_op) == ARPOP_REPLY ? 1 : 0;
    }
    ::close(ear);
    CHECK(h.requests == 3);
    CHECK(h.answers == 3);
    CHECK(h.strange == 0);
}

TEST_CASE("a device that is not there is told after the others were announced") {
    if (!test::may_make_namespaces()) return;
    const cable c;
    const auto from = c.here.handle();
    const std::vector<probe::announcement> all = {{&from, "qg-9", *parse_ip("192.0.2.9")}};
    const auto failed = probe::announce(all);
    REQUIRE(failed.has_error());
    CHECK(failed.error().message().find("qg-9") != std::string::npos);
    CHECK(probe::announce({}).has_value());
}
