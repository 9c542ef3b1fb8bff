// SPDX-License-Identifier: Apache-2.0
// Anti-spoofing by raw frames: one forged field per frame, sent from a VM whose port is pinned, and not seen at the peer; the
// same frame with the right field is seen. What no pinned port may send at all (DHCP answers, router advertisements, other
// ethertypes) is seen to arrive when a port without pins sends it. Rows of old CVEs stay forever.
#include "spoofing.hpp"

using namespace weft;
using namespace weft::test;

TEST_CASE("a pinned port sends from its own addresses and from no other, to the same node and to another") {
    if (!test::can_run()) return;
    stage s;
    run(s, "pinned", "near", forgeries(s, "pinned", "near", true));
    run(s, "pinned", "far", forgeries(s, "pinned", "far", true));
    // The same frames from a port without pins: they are sound, and it is the pins that stopped them.
    run(s, "loose", "near", forgeries(s, "loose", "near", false));
    run(s, "loose", "far", forgeries(s, "loose", "far", false));
}

TEST_CASE("nobody leaves his network by a tag of his own") {
    if (!test::can_run()) return;
    stage s;
    for (const std::string from : {"pinned", "loose"}) {
        const auto me = s.mac_of(from), peer = s.mac_of("near");
        std::vector<attempt> all;
        // VID 0 is a priority alone; 0x88a8 is the outer tag of a provider, here also around an inner one.
        for (const unsigned type : {0x8100U, 0x88a8U})
            for (const unsigned tci : {0x0000U, 0x0001U, 0x0002U, 0x0fffU, 0xe000U, 0x1001U})
                for (const bool twice : {false, true})
                    for (const auto& target : {peer, everybody}) {
                        const auto tag = tag_of(all.size());
                        bytes inner;
                        put16(inner, tci);
                        if (twice) put16(inner, 0x8100), put16(inner, 1);
                        put16(inner, 0x0800), put(inner, udp(s.ip_of(from), s.ip_of("near"), 777, 777, tag));
                        all.push_back({"VLAN " + std::to_string(tci) + " of type " + std::to_string(type) + (twice ? " twice" : "") + " to " +
                                           target.to_string(),
                                       false, ethernet(target, me, type, inner), tag});
                    }
        run(s, from, "near", all);
    }
}

TEST_CASE("what reaches a guarded port is ARP, discovery and what its groups allow, whoever sends it") {
    if (!test::can_run()) return;
    stage s;
    for (const std::string to : {"guest", "shut"}) {
        const bool lets_in = to == "guest";
        const auto me = s.mac_of("loose"), peer = s.mac_of(to);
        const auto here = s.ip_of("loose"), there = s.ip_of(to);
        const auto here6 = link_local(me), there6 = link_local(peer);
        std::vector<attempt> all;
        const auto add = [&](const std::string& name, bool passes, auto make) {
            const auto tag = tag_of(all.size());
            all.push_back({name, passes, make(tag), tag});
        };
        add("IPv4", lets_in, [&](const bytes& tag) { return ethernet(peer, me, 0x0800, udp(here, there, 777, 777, tag)); });
        add("IPv6", lets_in, [&](const bytes& tag) { return ethernet(peer, me, 0x86dd, udp(here6, there6, 777, 777, tag)); });
        add("IPv4 broadcast", lets_in,
            [&](const bytes& tag) { return ethernet(everybody, me, 0x0800, udp(here, ip("50.50.1.255"), 777, 777, tag)); });
        add("IPv4 multicast", lets_in,
            [&](const bytes& tag) { return ethernet(mac("01:00:5e:00:00:fb"), me, 0x0800, udp(here, ip("224.0.0.251"), 777, 777, tag)); });
        add("IPv6 multicast", lets_in,
            [&](const bytes& tag) { return ethernet(mac("33:33:00:00:00:fb"), me, 0x86dd, udp(here6, ip("ff02::fb"), 777, 777, tag)); });
        add("ARP", true, [&](const bytes& tag) { return ethernet(everybody, me, 0x0806, arp(1, me, here, there, tag)); });
        add("neighbour solicitation", true, [&](const bytes& tag) {
            return ethernet(mac("33:33:00:00:00:01"), me, 0x86dd, icmp6(here6, ip("ff02::1"), 135, neighbour_body(false, there6, me, tag)));
        });
        add("DHCP answer from its network", true, [&](const bytes& tag) { return ethernet(peer, me, 0x0800, udp(here, there, 67, 68, tag)); });
        add("DHCP answer from elsewhere", lets_in,
            [&](const bytes& tag) { return ethernet(peer, me, 0x0800, udp(ip("203.0.113.10"), there, 67, 68, tag)); });
        add("another ethertype", false, [&](const bytes& tag) { return ethernet(peer, me, 0x88b5, tag); });
        add("another ethertype to all", false, [&](const bytes& tag) { return ethernet(everybody, me, 0x88b5, tag); });
        // The last frame of a run must pass: ARP for the port whose groups let nothing in.
        const wire out(s.lab.at("one/loose"), "eth0"), in(s.lab.at("one/" + to), "eth0");
        attempt last{"the last", true, ethernet(everybody, me, 0x0806, arp(1, me, here, there, tag_of(200))), tag_of(200)};
        all.push_back(last);
        for (const auto& a : all) out.send(a.frame);
        const auto frames = in.collect([&](const bytes& f) { return holds(f, last.tag); });
        for (const auto& a : all) {
            INFO("loose -> " << to << ": " << a.name);
            CHECK(std::any_of(frames.begin(), frames.end(), [&](const bytes& f) { return holds(f, a.tag); }) == a.passes);
        }
    }
}

TEST_CASE("a port that nobody has bound hears no tenant and reaches none, while bound ones do") {
    if (!test::can_run()) return;
    stage s;
    const auto inside = [&](const std::string& command) { return run_inside(s.lab.name, "compute1", {"sh", "-c", command}); };
    REQUIRE(inside("ip link add odd0 type veth peer name odd1 && ip link set odd0 up && ip link set odd1 up && "
                   "ovs-vsctl add-port br-int odd0") == 0);
    const auto me = s.mac_of("loose"), stranger = mac("02:00:00:00:99:99");
    const auto hears = [&](const wire& at, const bytes& tag, std::chrono::milliseconds patience) {
        const auto frames = at.collect([&](const bytes& f) { return holds(f, tag); }, patience);
        return std::any_of(frames.begin(), frames.end(), [&](const bytes& f) { return holds(f, tag); });
    };
    const wire odd(s.lab.at("compute1"), "odd1"), near(s.lab.at("one/near"), "eth0"), loose(s.lab.at("one/loose"), "eth0");
    // A broadcast, and a frame for a MAC that no switch has learnt, which goes to open ports only.
    loose.send(ethernet(everybody, me, 0x0806, arp(1, me, s.ip_of("loose"), s.ip_of("far"), tag_of(1))));
    CHECK(hears(near, tag_of(1), std::chrono::milliseconds(3000)));
    CHECK_FALSE(hears(odd, tag_of(1), std::chrono::milliseconds(200)));
    loose.send(ethernet(stranger, me, 0x0800, udp(s.ip_of("loose"), ip("50.50.1.77"), 777, 777, tag_of(2))));
    CHECK(hears(near, tag_of(2), std::chrono::milliseconds(3000)));
    CHECK_FALSE(hears(odd, tag_of(2), std::chrono::milliseconds(200)));

    const wire shut(s.lab.at("one/shut"), "eth0");
    loose.send(ethernet(stranger, me, 0x0800, udp(s.ip_of("loose"), ip("50.50.1.77"), 777, 777, tag_of(3))));
    CHECK_FALSE(hears(shut, tag_of(3), std::chrono::milliseconds(300)));

    odd.send(ethernet(everybody, stranger, 0x0806, arp(1, stranger, ip("50.50.1.77"), s.ip_of("near"), tag_of(4))));
    CHECK_FALSE(hears(near, tag_of(4), std::chrono::milliseconds(300)));
}
