// SPDX-License-Identifier: Apache-2.0
// The stage of the tests of anti-spoofing: a lab of guarded and open ports on two nodes, and a run that sends frames from one
// port and looks at another for those that came through. May include: the whole library.
#pragma once

#include "frames.hpp"
#include "lab_fixture.hpp"

#include <algorithm>

namespace weft::test {

// `pinned` tries, `loose` may do anything; peers of both kinds stand on the other node and on the same one. The groups let all in,
// so that only the pins can stop a frame.
inline const std::string spoofing_tenants = R"(tenants:
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

inline ip_address link_local(const mac_address& m) {
    const auto& b = m.bytes;
    return boost::asio::ip::address_v6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(b[0] ^ 2), b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]});
}

struct attempt {
    std::string name;
    bool passes = false;
    bytes frame;  // holds its tag, unless there is a second
    bytes tag;
    bytes second = {};  // sent right after, where a packet is in fragments
};

struct stage {
    stage() : f(small_cloud("gre", spoofing_tenants)), lab(f) {}
    const tenant_port& port(const std::string& name) const { return f.tenants.at("one").ports.at(name); }
    mac_address mac_of(const std::string& name) const { return *port(name).mac; }
    ip_address ip_of(const std::string& name) const { return *port(name).address; }

    weft::fabric f;
    standing_lab lab;
};

inline bool holds(const bytes& frame, const bytes& tag) {
    return std::search(frame.begin(), frame.end(), tag.begin(), tag.end()) != frame.end();
}

inline bytes tag_of(std::size_t n) { return {0x77, 0x65, 0x66, 0x74, 0xa5, static_cast<std::uint8_t>(n + 1)}; }

// Sends all from one member and looks at another; a last frame that passes says that the others had their time.
inline void run(stage& s, const std::string& from, const std::string& to, std::vector<attempt> attempts) {
    const wire out(s.lab.at("one/" + from), "eth0"), in(s.lab.at("one/" + to), "eth0");
    attempt last{"the last", true, {}, tag_of(200)};
    last.frame = ethernet(s.mac_of(to), s.mac_of(from), 0x0800, udp(s.ip_of(from), s.ip_of(to), 999, 999, last.tag));
    attempts.push_back(last);
    for (const auto& a : attempts) {
        out.send(a.frame);
        if (!a.second.empty()) out.send(a.second);
    }
    const auto frames = in.collect([&](const bytes& f) { return holds(f, last.tag); });
    for (const auto& a : attempts) {
        INFO(from << " -> " << to << ": " << a.name);
        CHECK(std::any_of(frames.begin(), frames.end(), [&](const bytes& f) { return holds(f, a.tag); }) == a.passes);
    }
}

// One forged field per frame. With `pinned` false the sender may forge, and all of them arrive: the frames themselves are sound.
inline std::vector<attempt> forgeries(const stage& s, const std::string& from, const std::string& to, bool pinned) {
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

// Whether a frame with this tag comes to a member in time.
inline bool hears(const wire& at, const bytes& tag, std::chrono::milliseconds patience = std::chrono::milliseconds(3000)) {
    const auto frames = at.collect([&](const bytes& f) { return holds(f, tag); }, patience);
    return std::any_of(frames.begin(), frames.end(), [&](const bytes& f) { return holds(f, tag); });
}

}  // namespace weft::test
