// SPDX-License-Identifier: Apache-2.0
// Notices of change against the running kernel: each kind of object that somebody changes by hand is told, what
// concerns nobody is not, and a flood that overflows the sockets is told as a change.
#include "weft/netlink/changes.hpp"

#include <poll.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "netns_fixture.hpp"
#include "weft/netlink/nftables.hpp"

using namespace weft;
using namespace weft::test;

namespace {

// By hand, as others do it.
void by_hand(const scoped_namespace& ns, const std::string& command) {
    INFO(command);
    REQUIRE(std::system(("ip netns exec " + ns.name + " " + command + " >/dev/null 2>&1").c_str()) == 0);
}

bool readable(const netlink::change_notices& n) {
    std::vector<pollfd> set;
    for (const int fd : n.fds()) set.push_back({fd, POLLIN, 0});
    return ::poll(set.data(), set.size(), 1000) > 0;
}

}  // namespace

TEST_CASE("each change by hand is told, and told once", "[kernel]") {
    if (!may_make_namespaces()) return;
    const scoped_namespace ns("chg");
    by_hand(ns, "ip link set lo up");
    auto notices = netlink::change_notices::open(ns.handle()).value();
    CHECK_FALSE(notices.drain().value().changed);
    for (const auto* command :
         {"ip link add d0 type veth peer name d1", "ip link set d1 up", "ip link set d0 up",
          "ip address add 192.0.2.1/24 dev d0", "ip route add 198.51.100.0/24 via 192.0.2.2",
          "ip route del 198.51.100.0/24", "ip -6 route add 2001:db8::/64 dev d0", "ip rule add from 192.0.2.7 table 7",
          "ip nexthop add id 7 dev d0", "sysctl -w net.ipv4.conf.d0.rp_filter=2",
          "sysctl -w net.ipv4.conf.d0.forwarding=1", "nft add table inet weft", "nft add chain inet weft c",
          "nft add rule inet weft c accept", "nft flush chain inet weft c", "nft delete table inet weft",
          "ip link set d0 mtu 1400", "ip link del d0"}) {
        by_hand(ns, command);
        CHECK(readable(notices));
        const auto news = notices.drain().value();
        INFO(command);
        CHECK(news.changed);
        CHECK_FALSE(news.lost);
        CHECK_FALSE(notices.drain().value().changed);
    }
}

TEST_CASE("tables of others and found neighbours are not told", "[kernel]") {
    if (!may_make_namespaces()) return;
    const scoped_namespace ns("chg");
    by_hand(ns, "ip link add d0 type veth peer name d1");
    by_hand(ns, "ip link set d1 up");
    by_hand(ns, "ip link set d0 up");
    by_hand(ns, "ip address add 192.0.2.1/24 dev d0");
    auto notices = netlink::change_notices::open(ns.handle()).value();
    by_hand(ns, "nft add table inet somebody");
    by_hand(ns, "nft add chain inet somebody c");
    by_hand(ns, "ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev d0");
    CHECK_FALSE(notices.drain().value().changed);
    by_hand(ns, "nft add table inet weft");
    CHECK(notices.drain().value().changed);
}

TEST_CASE("a flood that overflows the smallest buffer is a change, and what comes after it is told again", "[kernel]") {
    if (!may_make_namespaces()) return;
    const scoped_namespace ns("chg");
    by_hand(ns, "ip link add d0 type veth peer name d1");
    by_hand(ns, "ip link set d1 up");
    by_hand(ns, "ip link set d0 up");
    auto notices = netlink::change_notices::open(ns.handle(), "weft", 1).value();
    by_hand(ns, "sh -c 'for i in $(seq 200); do echo route add 198.51.100.$i/32 dev d0; done | ip -batch -'");
    auto news = notices.drain().value();
    CHECK(news.changed);
    CHECK(news.lost);
    CHECK_FALSE(notices.drain().value().changed);
    by_hand(ns, "ip route del 198.51.100.7/32");
    news = notices.drain().value();
    CHECK(news.changed);
    CHECK_FALSE(news.lost);
}
