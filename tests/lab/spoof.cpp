// SPDX-License-Identifier: Apache-2.0
// Anti-spoofing by raw frames: one forged field per frame, sent from a VM whose port is pinned, and not seen at the peer; the
// same frame with the right field is seen. What no pinned port may send at all (DHCP answers, router advertisements, other
// ethertypes) is seen to arrive when a port without pins sends it. Rows of old CVEs stay forever.
#include "spoofing.hpp"

using namespace weft;
using namespace weft::test;

namespace {

// One forged field per frame. With `pinned` false the sender may forge, and all of them arrive: the frames themselves are sound.
std::vector<attempt> forgeries(const stage& s, const std::string& from, const std::string& to, bool pinned) {
    const auto me = s.mac_of(from), peer = s.mac_of(to), other = mac("02:00:00:00:99:99"), vrrp = mac("00:00:5e:00:01:07");
    const auto here = s.ip_of(from), there = s.ip_of(to), stranger = ip("50.50.1.77"), shared = ip("50.50.1.100");
    const auto here6 = link_local(me), there6 = link_local(peer), stranger6 = ip("fe80::99"), routed6 = ip("fd00::99");
    const auto nobody = ip("0.0.0.0"), broadcast = ip("255.255.255.255"), all_nodes = ip("ff02::1");
    const auto all_nodes_mac = mac("33:33:00:00:00:01");
    std::vector<attempt> all;
    const auto add = [&](const std::string& name, bool right, auto make) {
        const auto tag = tag_of(all.size());
        all.push_back({name, right || !pinned, make(tag), tag});
    };
    const auto udp4 = [&](const std::string& name, bool right, const mac_address& source, const ip_address& address) {
        add(name, right, [&](const bytes& tag) { return ethernet(peer, source, 0x0800, udp(address, there, 777, 777, tag)); });
    };
    udp4("IPv4, its own addresses", true, me, here);
    udp4("IPv4, another MAC", false, other, here);
    udp4("IPv4, another address", false, me, stranger);
    udp4("IPv4, the peer's own address", false, me, there);
    udp4("IPv4, the allowed pair", true, vrrp, shared);
    udp4("IPv4, the allowed address from its own MAC", false, me, shared);
    udp4("IPv4, the allowed MAC with its own address", false, vrrp, here);
    const auto arp4 = [&](const std::string& name, bool right, const mac_address& source, const mac_address& sender, const ip_address& address,
                          unsigned operation = 1) {
        add(name, right, [&](const bytes& tag) {
            return ethernet(operation == 1 ? everybody : peer, source, 0x0806, arp(operation, sender, address, there, tag));
        });
    };
    arp4("ARP request, its own addresses", true, me, me, here);
    arp4("ARP answer, its own addresses", true, me, me, here, 2);
    arp4("ARP, another Ethernet source", false, other, me, here);
    arp4("ARP, another sender MAC", false, me, other, here);
    arp4("ARP, another sender address", false, me, me, stranger);
    arp4("ARP answer for the gateway", false, me, me, ip("50.50.1.1"), 2);
    arp4("ARP, the allowed pair", true, vrrp, vrrp, shared);
    const auto udp6 = [&](const std::string& name, bool right, const mac_address& source, const ip_address& address) {
        add(name, right, [&](const bytes& tag) { return ethernet(peer, source, 0x86dd, udp(address, there6, 777, 777, tag)); });
    };
    udp6("IPv6, its own addresses", true, me, here6);
    udp6("IPv6, another MAC", false, other, here6);
    udp6("IPv6, another link-local address", false, me, stranger6);
    udp6("IPv6, another address", false, me, routed6);
    const auto nd = [&](const std::string& name, bool right, bool advertisement, const ip_address& source, const ip_address& target,
                        const std::optional<mac_address>& link) {
        add(name, right, [&](const bytes& tag) {
            return ethernet(all_nodes_mac, me, 0x86dd, icmp6(source, all_nodes, advertisement ? 136 : 135, neighbour_body(advertisement, target, link, tag)));
        });
    };
    nd("neighbour advertisement of its own", true, true, here6, here6, me);
    nd("neighbour advertisement, another target", false, true, here6, stranger6, me);
    nd("neighbour advertisement, another link-layer address", false, true, here6, here6, other);
    nd("neighbour advertisement, another source", false, true, stranger6, here6, me);
    nd("neighbour solicitation of its own", true, false, here6, there6, me);
    nd("neighbour solicitation, another link-layer address", false, false, here6, there6, other);
    nd("neighbour solicitation, another source", false, false, stranger6, there6, me);
    nd("search for a duplicate of its own address", true, false, ip("::"), here6, {});
    nd("search for a duplicate of another address", false, false, ip("::"), stranger6, {});
    add("router advertisement", false, [&](const bytes& tag) {
        bytes body = {64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1};
        put(body, tag);
        return ethernet(all_nodes_mac, me, 0x86dd, icmp6(here6, all_nodes, 134, body));
    });
    add("redirect", false, [&](const bytes& tag) {
        bytes body = {0, 0, 0, 0};
        put(body, here6), put(body, there6), put(body, bytes{14, 1}), put(body, tag);
        return ethernet(peer, me, 0x86dd, icmp6(here6, there6, 137, body));
    });
    add("DHCP request", true, [&](const bytes& tag) { return ethernet(everybody, me, 0x0800, udp(nobody, broadcast, 68, 67, tag)); });
    add("DHCP request with another MAC", false,
        [&](const bytes& tag) { return ethernet(everybody, other, 0x0800, udp(nobody, broadcast, 68, 67, tag)); });
    add("DHCP answer to all", false, [&](const bytes& tag) { return ethernet(everybody, me, 0x0800, udp(here, broadcast, 67, 68, tag)); });
    add("DHCP answer to one", false, [&](const bytes& tag) { return ethernet(peer, me, 0x0800, udp(here, there, 67, 68, tag)); });
    add("DHCPv6 answer", false, [&](const bytes& tag) { return ethernet(peer, me, 0x86dd, udp(here6, there6, 547, 546, tag)); });
    add("IP broadcast", true, [&](const bytes& tag) { return ethernet(everybody, me, 0x0800, udp(here, ip("50.50.1.255"), 777, 777, tag)); });
    add("IP broadcast from another address", false,
        [&](const bytes& tag) { return ethernet(everybody, me, 0x0800, udp(stranger, ip("50.50.1.255"), 777, 777, tag)); });
    add("a gratuitous ARP of its own", true, [&](const bytes& tag) { return ethernet(everybody, me, 0x0806, arp(1, me, here, here, tag)); });
    add("a gratuitous ARP of another's address", false,
        [&](const bytes& tag) { return ethernet(everybody, me, 0x0806, arp(1, me, there, there, tag)); });
    add("a gratuitous ARP answer of another's address", false,
        [&](const bytes& tag) { return ethernet(everybody, me, 0x0806, arp(2, me, stranger, stranger, tag)); });
    add("RARP", false, [&](const bytes& tag) { return ethernet(everybody, me, 0x8035, arp(3, me, here, here, tag)); });
    const auto echo6 = [&](const std::string& name, bool right, const ip_address& source) {
        add(name, right, [&](const bytes& tag) {
            bytes body = {0, 7, 0, 1};
            put(body, tag);
            return ethernet(peer, me, 0x86dd, icmp6(source, there6, 128, body));
        });
    };
    echo6("ICMPv6 echo, its own address", true, here6);
    echo6("ICMPv6 echo, another link-local address", false, stranger6);
    echo6("ICMPv6 echo, the peer's own address", false, there6);
    nd("neighbour advertisement, no link-layer address", true, true, here6, here6, {});
    nd("neighbour solicitation, no link-layer address", true, false, here6, there6, {});
    add("neighbour advertisement of a code of its own making", false, [&](const bytes& tag) {
        bytes b = {136, 1, 0, 0};
        put(b, neighbour_body(true, here6, me, tag));
        return ethernet(all_nodes_mac, me, 0x86dd, packet(here6, all_nodes, 58, b, 2));
    });
    const auto soliciting = [&](const std::string& name, bool right, const mac_address& source, const ip_address& address) {
        add(name, right, [&](const bytes& tag) {
            bytes body = {0, 0, 0, 0, 1, 1};
            put(body, me), put(body, bytes{14, 1}), put(body, tag);
            return ethernet(mac("33:33:00:00:00:02"), source, 0x86dd, icmp6(address, ip("ff02::2"), 133, body));
        });
    };
    soliciting("router solicitation of its own", true, me, here6);
    soliciting("router solicitation from another address", false, me, stranger6);
    soliciting("router solicitation from another MAC", false, other, here6);
    // Behind a header, or in pieces, where a filter that looks at ports and types sees none (RFC 7113).
    const auto advertisement = [&](const bytes& tag) {
        bytes body = {64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1};
        put(body, tag);
        return icmp6(here6, all_nodes, 134, body);
    };
    for (const auto& [what, type] : {std::pair{"hop-by-hop options", 0}, std::pair{"destination options", 60}})
        add(std::string("router advertisement behind ") + what, false, [&](const bytes& tag) {
            return ethernet(all_nodes_mac, me, 0x86dd, behind(advertisement(tag), static_cast<std::uint8_t>(type), {1, 4, 0, 0, 0, 0}));
        });
    add("router advertisement as a fragment that is whole", false, [&](const bytes& tag) {
        return ethernet(all_nodes_mac, me, 0x86dd, behind(advertisement(tag), 44, {0, 0, 0, 0, 0, 1}));
    });
    const auto add_pieces = [&](const std::string& name, bool right, const mac_address& target, unsigned type, auto make) {
        const auto tag = tag_of(all.size());
        const auto [first, second] = in_pieces(make(tag), static_cast<unsigned>(all.size() + 1));
        all.push_back({name, right || !pinned, ethernet(target, me, type, first), tag, ethernet(target, me, type, second)});
    };
    const auto padded = [](const bytes& tag) {
        bytes text(1288);
        put(text, tag);
        return text;
    };
    add_pieces("router advertisement in pieces", false, all_nodes_mac, 0x86dd, [&](const bytes& tag) {
        bytes body = {64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 253, 163};  // an unknown option of 1304 bytes
        put(body, bytes(1296)), put(body, tag);
        return icmp6(here6, all_nodes, 134, body);
    });
    add_pieces("UDP in pieces", true, peer, 0x0800, [&](const bytes& tag) { return udp(here, there, 777, 777, padded(tag)); });
    add_pieces("UDP in pieces from another address", false, peer, 0x0800,
               [&](const bytes& tag) { return udp(stranger, there, 777, 777, padded(tag)); });
    add_pieces("DHCP answer in pieces", false, peer, 0x0800, [&](const bytes& tag) { return udp(here, there, 67, 68, padded(tag)); });
    add_pieces("DHCPv6 answer in pieces", false, peer, 0x86dd, [&](const bytes& tag) { return udp(here6, there6, 547, 546, padded(tag)); });
    for (const auto& [what, type] : {std::pair{"LLDP", 0x88cc}, std::pair{"MPLS", 0x8847}, std::pair{"PPPoE", 0x8863}})
        add(what, false, [&, type = type](const bytes& tag) {
            bytes body = {0, 1, 0x41, 0xff};
            put(body, tag);
            return ethernet(everybody, me, static_cast<unsigned>(type), body);
        });
    add("an ethertype of its own making", false, [&](const bytes& tag) { return ethernet(peer, me, 0x88b5, tag); });
    add("an ethertype of its own making, to all", false, [&](const bytes& tag) { return ethernet(everybody, me, 0x88b5, tag); });
    return all;
}

}  // namespace

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
