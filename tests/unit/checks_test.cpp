// SPDX-License-Identifier: Apache-2.0
// Checks of a fabric file: what is refused, and what compile makes of them.
#include "unit/roles_fixture.hpp"
#include "weft/model/json.hpp"

using namespace weft;

namespace {

const std::string of_grizzly = "  network: [ { ping: 192.168.100.1, mtu: full }, { arp: 10.10.10.51 } ]";

const std::string of_dual_stack = "  network: [ { ping: \"2001:db8:100::1\", mtu: full }, { ping: \"fd00:10::51\", mtu: full } ]";

std::string with_checks(const std::string& list) { return test::changed(test::grizzly_text(), of_grizzly, "  network: [ " + list + " ]"); }

std::string faults(const std::string& list) {
    std::string all;
    for (const auto& d : roles::validate(test::parsed(with_checks(list)))) all += d.to_string() + "\n";
    return all;
}

std::vector<host_check> compiled(const std::string& text, const std::string& node = "network") {
    const auto f = roles::allocate(test::parsed(text), {}).value().fabric;
    return roles::compile(f, node, test::facts_of()).value().checks;
}

}  // namespace

TEST_CASE("a check must be one that can be sent, and the fault says what is allowed", "[roles][validate]") {
    const std::string all_well = "{ ping: 192.168.100.1, mtu: full }, { arp: 10.10.10.51 }, { tcp: 10.10.10.51, port: 22 }, { ping: 203.0.113.10 }";
    CHECK(faults(all_well) == "");
    CHECK(faults("{ arp: 203.0.113.10 }").find("is on no network of the node's NICs, and nobody else hears ARP (allowed: an address of 10.10.10.0/24, "
                                               "10.20.20.0/24, 192.168.100.0/24)") != std::string::npos);
    CHECK(faults("{ ping: 10.10.10.52 }").find("is the node's own address, of eth0") != std::string::npos);
    CHECK(faults("{ ping: '2001:db8:9::1', mtu: full }, { tcp: '2001:db8:9::1', port: 22 }") == "");
    CHECK(faults("{ arp: '2001:db8:9::1' }").find("is IPv6, and ARP is IPv4's (allowed: an IPv4 address, or ping)") != std::string::npos);
    CHECK(faults("{ ping: 'fe80::1' }").find("is an address of one link, and names none") != std::string::npos);
    CHECK(faults("{ ping: 'ff02::1' }").find("is no address of a host") != std::string::npos);
    CHECK(faults("{ ping: 224.0.0.1 }").find("is no address of a host") != std::string::npos);
    CHECK(faults("{ ping: 10.10.10.51, port: 22 }").find("is for tcp alone") != std::string::npos);
    CHECK(faults("{ arp: 10.10.10.51, mtu: full }").find("is for ping alone") != std::string::npos);
    CHECK(faults("{ tcp: 10.10.10.51, port: 22, mtu: full }").find("is for ping alone") != std::string::npos);
    std::string many;
    for (int i = 0; i < 65; ++i) many += std::string(many.empty() ? "" : ", ") + "{ ping: 10.10.10.51 }";
    CHECK(faults(many).find("too many checks (allowed: up to 64)") != std::string::npos);
    // Built in code, where no parser looked before.
    auto f = test::grizzly();
    f.checks["network"] = {{"tcp", *parse_ip("10.10.10.51"), 0, false, {}}};
    std::string all;
    for (const auto& d : roles::validate(f)) all += d.to_string() + "\n";
    CHECK(all.find("needs a port") != std::string::npos);
}

TEST_CASE("compile says where each probe is sent from and how large a full packet is", "[roles]") {
    const auto checks = compiled(test::changed(with_checks("{ ping: 192.168.100.1, mtu: full }, { arp: 10.10.10.51 }, { arp: 192.168.100.1 }, "
                                                           "{ tcp: 10.10.10.51, port: 22 }, { ping: 203.0.113.10, mtu: full }, { ping: 10.20.20.53, mtu: full }"),
                                               "vm-config:  { cidr: 10.20.20.0/24, mtu: 1500 }", "vm-config:  { cidr: 10.20.20.0/24, mtu: 9000 }"));
    REQUIRE(checks.size() == 6);
    // The node has no address on the LAN; its router has one there.
    const auto router = "qrouter-" + object_uuid("grizzly", "proj_one/routers/router1");
    CHECK(checks[0].to_string() == "ping 192.168.100.1 (1500 bytes, DF) from " + router);
    CHECK(checks[1].to_string() == "arp 10.10.10.51 from the host dev eth0");
    CHECK(checks[2].to_string() == "arp 192.168.100.1 from the host dev br-ex");
    CHECK(checks[3].to_string() == "tcp 10.10.10.51 port 22 from the host");
    CHECK(checks[4].to_string() == "ping 203.0.113.10 (full packets, DF) from the host");
    CHECK(checks[5].mtu == 9000);
    CHECK(compiled(test::grizzly_text(), "compute1").empty());
}

TEST_CASE("a check over IPv6 goes out where the node has an IPv6 address, which need not be where it has one of IPv4", "[roles]") {
    const std::string nic = "eth2: { network: external }";
    const auto text = test::changed(test::example_text("dual-stack"), of_dual_stack, "  network: [ { ping: 'fd00:10::51', mtu: full }, { ping: '2001:db8:100::1' }, "
                                                                       "{ ping: 192.168.100.1 }, { tcp: '2001:db8:9::1', port: 22 } ]");
    const auto checks = compiled(text);
    REQUIRE(checks.size() == 4);
    const auto router = "qrouter-" + object_uuid("dual-stack", "proj_one/routers/router1");
    CHECK(checks[0].to_string() == "ping fd00:10::51 (1500 bytes, DF) from the host");
    CHECK(checks[1].to_string() == "ping 2001:db8:100::1 from " + router);
    CHECK(checks[2].to_string() == "ping 192.168.100.1 from " + router);
    CHECK(checks[3].to_string() == "tcp 2001:db8:9::1 port 22 from the host");
    const auto of_both = compiled(test::changed(text, nic, "eth2: { network: external, address: 192.168.100.52, address6: '2001:db8:100::52' }"));
    CHECK(of_both[1].to_string() == "ping 2001:db8:100::1 from the host");
    CHECK(of_both[2].to_string() == "ping 192.168.100.1 from the host");
    const auto of_v4 = compiled(test::changed(text, nic, "eth2: { network: external, address: 192.168.100.52 }"));
    CHECK(of_v4[1].to_string() == "ping 2001:db8:100::1 from " + router);
    CHECK(of_v4[2].to_string() == "ping 192.168.100.1 from the host");
    // The node's own address is nobody to ask.
    std::string own;
    for (const auto& d : roles::validate(test::parsed(test::changed(text, "'fd00:10::51'", "'fd00:10::52'")))) own += d.to_string() + "\n";
    CHECK(own.find("is the node's own address, of eth0") != std::string::npos);
}

TEST_CASE("the checks of a state survive JSON", "[model]") {
    host_state state;
    state.checks = compiled(test::grizzly_text());
    REQUIRE(state.checks.size() == 2);
    CHECK(host_state_from_json(to_json(state)).value() == state);
}
