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

}  // namespace weft::test
