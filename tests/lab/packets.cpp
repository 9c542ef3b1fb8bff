// SPDX-License-Identifier: Apache-2.0
// Packets through a lab: the whole matrix, the exact MTU of each encapsulation, and a VM that tries to reach the host it runs
// on. The topology is that of lab_fixture.hpp:
//
//   vm1, vm3 - compute1 ==tunnel== network (router1, router2) - br-ex - external - lan1, router - internet1
//   vm2      - compute2 ==tunnel==/                                     external - controller
#include "shell.hpp"

#include "weft/model/overlay.hpp"
#include "weft/netlink/session.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <sys/socket.h>

using namespace weft;

TEST_CASE("every cell of the matrix is as expected") {
    if (!test::can_run()) return;
    const auto fabric = test::small_cloud();
    test::standing_lab lab(fabric);
    const auto expectations = roles::expectations(fabric);
    REQUIRE_FALSE(expectations.empty());
    const auto cells = lab::test(fabric, expectations, lab.name).value();
    CHECK(cells.size() == expectations.size());
    std::size_t blocked = 0;
    for (const auto& c : cells) {
        INFO(c.from << " -> " << c.to << " via " << c.via << ": " << c.detail);
        CHECK(c.ok());
        blocked += c.expected ? 0 : 1;
    }
    CHECK(blocked > 0);
}

TEST_CASE("a blocked cell is not believed when the target is dead") {
    if (!test::can_run()) return;
    const auto fabric = test::small_cloud();
    test::standing_lab lab(fabric);
    expectation nobody;
    nobody.from = "lan1";
    nobody.to = "nobody";
    nobody.reachable = false;
    nobody.address = parse_ip("192.168.100.77").value();
    const auto cells = lab::test(fabric, {nobody}, lab.name).value();
    REQUIRE(cells.size() == 1);
    CHECK_FALSE(cells[0].ok());
    CHECK(cells[0].detail == "target not proved alive");
}

TEST_CASE("the VM's MTU passes exactly, one byte more does not") {
    if (!test::can_run()) return;
    const std::string type = GENERATE("gre", "vxlan", "geneve");
    INFO(type);
    const auto fabric = test::small_cloud(type);
    test::standing_lab lab(fabric);
    const auto mtu = network_mtu(fabric, "one", "net1");
    CHECK(mtu == 1500U - (type == "gre" ? 42U : 50U));
    const auto vm2 = *fabric.tenants.at("one").ports.at("vm2").address;
    const auto payload = static_cast<std::uint16_t>(mtu - 28);  // IPv4 and ICMP headers
    const auto vm1 = lab.at("one/vm1");
    CHECK(probe::icmp(vm1, vm2, payload, true).value().replied);
    CHECK_FALSE(probe::icmp(vm1, vm2, payload + 1, true, std::chrono::milliseconds(500)).value().replied);

    // With a VM that does not know its MTU it is the tunnel that decides, to the byte.
    for (const char* vm : {"one/vm1", "one/vm2"}) {
        const auto at = lab.at(vm);
        auto session = std::move(netlink::session::open(at).value());
        auto eth0 = session.get_link("eth0").value();
        weft::link wanted;
        wanted.name = "eth0";
        wanted.mtu = 1500;
        wanted.up = true;
        CHECK(session.run_one({netlink::verb::change, wanted}).has_value());
    }
    CHECK(probe::icmp(vm1, vm2, payload, true).value().replied);
    const auto over = probe::icmp(vm1, vm2, payload + 1, true, std::chrono::milliseconds(800)).value();
    CHECK_FALSE(over.replied);
    CHECK(over.sent > 0);
}

TEST_CASE("a VM does not reach the host it runs on, not even with the switch emptied of its flows") {
    if (!test::can_run()) return;
    const bool emptied = GENERATE(false, true);
    INFO(emptied);
    const auto fabric = test::small_cloud();
    test::standing_lab lab(fabric);
    if (emptied)
        REQUIRE(test::shell("for b in br-int br-tun; do ovs-ofctl -OOpenFlow14 del-flows $b; done && test -z \"$(ovs-ofctl -OOpenFlow14 "
                            "dump-flows br-int | grep cookie)\"", lab.name, "compute1").status == 0);
    const auto vm1 = lab.at("one/vm1");
    const auto brief = std::chrono::milliseconds(700);
    for (const char* address : {"10.10.10.53", "10.20.20.53"}) {
        INFO(address);
        CHECK_FALSE(probe::icmp(vm1, parse_ip(address).value(), 56, false, brief).value().replied);
        CHECK(probe::arp(vm1, "eth0", parse_ip(address).value(), brief).value().macs.empty());
    }
    // The gateway has exactly one owner, and is behind the flows.
    CHECK(probe::arp(vm1, "eth0", *fabric.tenants.at("one").networks.at("net1").gateway, brief).value().macs.size() == (emptied ? 0 : 1));

    // All nodes of the link by IPv6, from the VM: whoever answers must not be the compute.
    std::set<std::string> answered;
    const auto outcome = netlink::run_in(vm1, [&]() -> result<void> {
        const int s = ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
        if (s < 0) return errno_error(errno, "open socket", "vm1");
        sockaddr_in6 to{};
        to.sin6_family = AF_INET6;
        to.sin6_scope_id = ::if_nametoindex("eth0");
        ::inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
        icmp6_hdr echo{};
        echo.icmp6_type = ICMP6_ECHO_REQUEST;
        echo.icmp6_id = htons(77);
        for (int i = 0; i < 12; ++i) {
            ::sendto(s, &echo, sizeof echo, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
            pollfd wait{s, POLLIN, 0};
            while (::poll(&wait, 1, 150) > 0) {
                char buffer[256];
                sockaddr_in6 from{};
                socklen_t length = sizeof from;
                const auto n = ::recvfrom(s, buffer, sizeof buffer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
                if (n < 1 || buffer[0] != static_cast<char>(ICMP6_ECHO_REPLY)) continue;
                char text[INET6_ADDRSTRLEN];
                answered.insert(::inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
            }
        }
        ::close(s);
        return {};
    });
    REQUIRE(outcome.has_value());
    const auto compute = lab.at("compute1");
    auto session = std::move(netlink::session::open(compute).value());
    for (const auto& a : session.addresses().value()) CHECK_FALSE(answered.contains(a.address.address.to_string().substr(0, a.address.address.to_string().find('%'))));
}
