// SPDX-License-Identifier: Apache-2.0
// Anti-spoofing by raw frames: one forged field per frame, sent from a VM whose port is pinned, and not seen at the peer; the
// same frame with the right field is seen. What no pinned port may send at all (DHCP answers, router advertisements, other
// ethertypes) is seen to arrive when a port without pins sends it. Rows of old CVEs stay forever.
#include "frames.hpp"
#include "lab_fixture.hpp"

#include <algorithm>

using namespace weft;
using namespace weft::test;

namespace {

// `pinned` tries, `loose` may do anything; peers of both kinds stand on the other node and on the same one. The groups let all in,
// so that only the pins can stop a frame.
const std::string tenants = R"(tenants:
  one:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    security-groups: { default: { ingress: [ { family: ipv4 }, { family: ipv6 } ] }, closed: { ingress: [] } }
    ports:
      pinned: { node: compute1, network: net1, address: 50.50.1.11, allowed-addresses: [ { address: 50.50.1.100/32, mac: "00:00:5e:00:01:07" } ] }
      loose:  { node: compute1, network: net1, address: 50.50.1.12, port-security: false }
      far:    { node: compute2, network: net1, address: 50.50.1.13, port-security: false }
      near:   { node: compute1, network: net1, address: 50.50.1.14, port-security: false }
      guest:  { node: compute2, network: net1, address: 50.50.1.15 }
      shut:   { node: compute2, network: net1, address: 50.50.1.16, security-groups: [closed] }
)";

ip_address link_local(const mac_address& m) {
    const auto& b = m.bytes;
    return boost::asio::ip::address_v6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(b[0] ^ 2), b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]});
}

struct attempt {
    std::string name;
    bool passes = false;
    bytes frame;  // holds its tag
    bytes tag;
};

struct stage {
    stage() : f(small_cloud("gre", tenants)), lab(f) {}
    const tenant_port& port(const std::string& name) const { return f.tenants.at("one").ports.at(name); }
    mac_address mac_of(const std::string& name) const { return *port(name).mac; }
    ip_address ip_of(const std::string& name) const { return *port(name).address; }

    weft::fabric f;
    standing_lab lab;
};

bool holds(const bytes& frame, const bytes& tag) {
    return std::search(frame.begin(), frame.end(), tag.begin(), tag.end()) != frame.end();
}

bytes tag_of(std::size_t n) { return {0x77, 0x65, 0x66, 0x74, 0xa5, static_cast<std::uint8_t>(n + 1)}; }

// Sends all from one member and looks at another; a last frame that passes says that the others had their time.
void run(stage& s, const std::string& from, const std::string& to, std::vector<attempt> attempts) {
    const wire out(s.lab.at("one/" + from), "eth0"), in(s.lab.at("one/" + to), "eth0");
    attempt last{"the last", true, {}, tag_of(200)};
    last.frame = ethernet(s.mac_of(to), s.mac_of(from), 0x0800, udp(s.ip_of(from), s.ip_of(to), 999, 999, last.tag));
    attempts.push_back(last);
    for (const auto& a : attempts) out.send(a.frame);
    const auto frames = in.collect([&](const bytes& f) { return holds(f, last.tag); });
    for (const auto& a : attempts) {
        INFO(from << " -> " << to << ": " << a.name);
        CHECK(std::any_of(frames.begin(), frames.end(), [&](const bytes& f) { return holds(f, a.tag); }) == a.passes);
    }
}

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
        for (const unsigned tci : {0x0000U, 0x0001U, 0x0002U, 0x0fffU}) {
            for (const auto& target : {peer, everybody}) {
                const auto tag = tag_of(all.size());
                bytes inner;
                put16(inner, tci), put16(inner, 0x0800), put(inner, udp(s.ip_of(from), s.ip_of("near"), 777, 777, tag));
                all.push_back({"VLAN " + std::to_string(tci) + " to " + target.to_string(), false, ethernet(target, me, 0x8100, inner), tag});
            }
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
