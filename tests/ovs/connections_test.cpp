// SPDX-License-Identifier: Apache-2.0
// Cutting tracked connections: what the switch's rules accept stays, the rest is marked, in every protocol and family, on a real, private
// ovs-vswitchd. Skips where none can be started.
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cstdint>
#include <vector>

#include "ovs/switch_fixture.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/ovs/connections.hpp"
#include "weft/ovs/flows.hpp"

using namespace weft;
using namespace weft::test;

namespace {

using bytes = std::vector<std::uint8_t>;

bytes operator+(bytes a, const bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

bytes word(unsigned v) { return {static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)}; }

unsigned checksum(const bytes& b) {  // RFC 1071, of an even number of bytes
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < b.size(); i += 2) sum += std::uint32_t{b[i]} << 8 | b[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

const bytes ethernet = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};

bytes ipv4(std::uint8_t protocol, std::uint8_t last, const bytes& payload) {
    const auto header = [&](unsigned sum) {
        return bytes{0x45, 0} + word(20 + static_cast<unsigned>(payload.size())) + bytes{0, 0, 0, 0, 64, protocol} + word(sum) + bytes{10, 0, 0, last, 10, 0, 0, 9};
    };
    return ethernet + bytes{8, 0} + header(checksum(header(0))) + payload;
}

bytes ipv6(std::uint8_t protocol, std::uint8_t last, const bytes& payload) {
    bytes from(16), to(16);
    from[0] = to[0] = 0xfd;
    from[15] = last, to[15] = 9;
    return ethernet + bytes{0x86, 0xdd, 0x60, 0, 0, 0} + word(static_cast<unsigned>(payload.size())) + bytes{protocol, 64} + from + to + payload;
}

bytes echo4(unsigned id) {
    const auto packet = [&](unsigned sum) { return bytes{8, 0} + word(sum) + word(id) + word(1); };
    return packet(checksum(packet(0)));
}

// With the checksum over the pseudo header (RFC 8200, section 8.1).
bytes echo6(std::uint8_t last, unsigned id) {
    bytes from(16), to(16);
    from[0] = to[0] = 0xfd;
    from[15] = last, to[15] = 9;
    const auto packet = [&](unsigned sum) { return bytes{128, 0} + word(sum) + word(id) + word(1); };
    return packet(checksum(from + to + bytes{0, 0, 0, 8, 0, 0, 0, 58} + packet(0)));
}

bytes udp(unsigned port) { return word(4000) + word(port) + word(8) + word(0); }
bytes udp6(std::uint8_t last, unsigned port) {
    bytes from(16), to(16);
    from[0] = to[0] = 0xfd;
    from[15] = last, to[15] = 9;
    const auto packet = [&](unsigned sum) { return word(4000) + word(port) + word(8) + word(sum); };
    return packet(checksum(from + to + bytes{0, 0, 0, 8, 0, 0, 0, 17} + packet(0)));
}
bytes tcp_syn(std::uint8_t last, unsigned port) {
    const auto packet = [&](unsigned sum) { return word(4000) + word(port) + bytes{0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff} + word(sum) + word(0); };
    return packet(checksum(bytes{10, 0, 0, last, 10, 0, 0, 9, 0, 6, 0, 20} + packet(0)));
}

std::string hex(const bytes& b) {
    std::string out;
    for (const auto byte : b) out += "0123456789abcdef"[byte >> 4], out += "0123456789abcdef"[byte & 15];
    return out;
}

}  // namespace

TEST_CASE("of the tracked connections those that no rule accepts are marked, whatever they speak, and all others are left", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) return skip(reason);
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    db.commit(add_bridge(bridge("br-int"))).value();
    const auto to_bridge = "unix:" + sw.rundir() + "/br-int.mgmt";
    const auto track = [&](const bytes& frame, const std::string& zone) {
        sw.ofctl({"packet-out", to_bridge, "in_port=controller,packet=" + hex(frame) + ",actions=ct(commit,zone=" + zone + ")"});
    };
    // Sources .1 are denied, .2 are accepted by the receiver's rules; zone 8 is not asked about.
    for (const std::uint8_t last : {1, 2}) {
        track(ipv4(1, last, echo4(77)), "7");
        track(ipv4(17, last, udp(53)), "7");
        track(ipv4(6, last, tcp_syn(last, 22)), "7");
        track(ipv6(58, last, echo6(last, 78)), "7");
        track(ipv6(17, last, udp6(last, 53)), "7");
        // What the tracker's table prints by other names than a flow takes.
        for (const std::uint8_t protocol : {2, 33, 136, 99}) track(ipv4(protocol, last, bytes(16)), "7");
    }
    track(ipv4(17, 1, udp(54)), "8");
    const auto lines = [&] {
        std::vector<std::string> out;
        const auto all = run({"ovs-appctl", "-t", sw.rundir() + "/ovs-vswitchd.0.ctl", "dpctl/dump-conntrack", "netdev@ovs-netdev"});
        for (std::size_t at = 0, end; (end = all.find('\n', at)) != std::string::npos; at = end + 1) out.push_back(all.substr(at, end - at));
        return out;
    };
    INFO("tracked");
    REQUIRE(lines().size() == 19);

    const auto flow = [](std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
        return ovs::flow{ovs::flow_cookie, table, priority, 0, 0, std::move(match), std::move(actions)};
    };
    const std::string cut = "ct(commit,zone=NXM_NX_REG6[0..15],exec(load:1->NXM_NX_CT_MARK[]))";
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br-int",
                                 {{}, {flow(80, 1, "reg7=0xffffffff", "resubmit(,82)"), flow(70, 1, "", "drop"), flow(82, 10, "ip,nw_src=10.0.0.2", "drop"),
                                       flow(82, 10, "ipv6,ipv6_src=fd00::2", "drop"), flow(82, 1, "ip", cut), flow(82, 1, "ipv6", cut)}},
                                 {})) == "");
    REQUIRE(why(ovs::cut_denied_connections(sw.rundir(), "br-int", "netdev", {0, 7})) == "");
    const auto after = lines();
    CHECK(after.size() == 19);  // the packets that ask belong to the connections and make no others
    std::size_t marked = 0;
    for (const auto& line : after) {
        INFO(line);
        const bool denied = line.find("src=10.0.0.1,dst=10.0.0.9") != std::string::npos || line.find("src=fd00::1,dst=fd00::9") != std::string::npos;
        const bool is_marked = (line + ",").find("mark=1,") != std::string::npos;
        CHECK(is_marked == (denied && line.find("zone=7") != std::string::npos));
        marked += is_marked;
    }
    CHECK(marked == 9);
    // What is cut already is not asked about again, and a switch that does not answer is an error.
    REQUIRE(why(ovs::cut_denied_connections(sw.rundir(), "br-int", "netdev", {7})) == "");
    sw.stop_switchd();
    CHECK(ovs::cut_denied_connections(sw.rundir(), "br-int", "netdev", {7}).error().code == errc::unavailable);
}
