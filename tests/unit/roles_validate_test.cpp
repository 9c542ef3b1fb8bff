// SPDX-License-Identifier: Apache-2.0
// Every fault of meaning: one line of the example is spoiled, and the diagnostic must name line, column, value and
// problem. The place is that of the bad value; where the file has none (an absent key), that of its object.
#include <algorithm>

#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;

namespace {

struct fault {
    std::string from, to;
    int line, column;
    std::string value, problem;
};

void found(const std::string& text, const fault& e, severity s = severity::error) {
    const auto diagnostics = roles::validate(parsed(text));
    std::string all;
    for (const auto& d : diagnostics) all += d.to_string() + "\n";
    INFO(e.to << "\n" << all);
    CHECK(std::any_of(diagnostics.begin(), diagnostics.end(), [&](const diagnostic& d) {
        return d.severity == s && d.file == "grizzly.yaml" && d.place.line == e.line && d.place.column == e.column &&
               d.value == e.value && d.problem.find(e.problem) != std::string::npos &&
               (s == severity::warning || !d.allowed.empty());
    }));
}

void spoiled(const fault& e) { found(changed(grizzly_text(), e.from, e.to), e); }

}  // namespace

TEST_CASE("the example is valid and warns of what is not enforced yet", "[roles][validate]") {
    const auto diagnostics = roles::validate(grizzly());
    CHECK(std::none_of(diagnostics.begin(), diagnostics.end(),
                       [](const auto& d) { return d.severity == severity::error; }));
    found(changed(grizzly_text(), "[controller]", "[controller, vpn-gateway]"),
          {"", "", 13, 25, "vpn-gateway", "no vpn block"}, severity::warning);
    CHECK(diagnostics.empty());
}

TEST_CASE("source NAT is turned off where there is something to turn off", "[roles][validate]") {
    found(changed(grizzly_text(), "router1: { external: external, networks: [net1, net2] }", "router1: { snat: false, networks: [net1, net2] }"),
          {"", "snat without an outside", 32, 34, "false", "no external network"}, severity::warning);
}

TEST_CASE("a segment that management and vm-config share is warned of, with what is done about it", "[roles][validate]") {
    std::vector<std::string> told;
    for (const auto& d : roles::validate(parsed(example_text("two-servers"), "two-servers.yaml")))
        if (d.path == "networks.vm-config.segment") told.push_back(d.to_string());
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("two-servers.yaml:12:") == 0);
    for (const char* word : {"warning", "inner", "arp_ignore 1", "arp_announce 2", "rp_filter 2"})
        CHECK(told[0].find(word) != std::string::npos);
    for (const auto& d : roles::validate(grizzly())) CHECK(d.path != "networks.vm-config.segment");
}

TEST_CASE("faults of underlay networks", "[roles][validate]") {
    spoiled({"cidr: 10.10.10.0/24", "cidr: 10.10.10.1/24", 7, 23, "10.10.10.1/24", "misaligned"});
    spoiled({"cidr: 10.20.20.0/24", "cidr: 10.10.0.0/16", 8, 23, "10.10.0.0/16", "overlaps networks.management"});
    spoiled({"mtu: 1500", "mtu: 600", 30, 7, "558", "too small"});
    spoiled({"gateway: 192.168.100.1,", "gateway: 192.168.101.1,", 9, 50, "192.168.101.1", "outside the subnet"});
    spoiled({"192.168.100.102-192.168.100.126", "192.168.100.102-192.168.101.126", 9, 75,
             "192.168.100.102-192.168.101.126", "outside the network"});
    spoiled({"type: gre, ids: 1-1000", "type: vxlan, ids: 1-16777216", 10, 30, "1-16777216", "out of range"});
}

TEST_CASE("faults of nodes", "[roles][validate]") {
    spoiled({"network: management, address: 10.10.10.51", "network: managment, address: 10.10.10.51", 14, 30,
             "managment", "unknown network"});
    spoiled({"address: 10.10.10.52", "address: 10.10.10.51", 18, 45, "10.10.10.51", "duplicate address"});
    spoiled({"address: 10.20.20.53", "address: 10.20.21.53", 23, 103, "10.20.21.53", "outside the subnet"});
    spoiled({"address: 10.20.20.53", "address: 10.20.20.255", 23, 103, "10.20.20.255", "outside the subnet"});
    spoiled({"eth1: { network: vm-config, address: 10.20.20.53 }",
             "eth1: { network: external, address: 192.168.100.53 }", 23, 5, "compute1", "no tunnel"});
    spoiled(
        {"eth0: { network: management, address: 10.10.10.52 }", "eth0: { network: management }", 18, 7, "", "missing"});
    fabric in_code = grizzly();
    in_code.nodes["network"].roles.insert("storage");
    in_code.nodes["network"].nics["sixteen-bytes-xx"] = in_code.nodes["network"].nics["eth0"];
    std::string all;
    for (const auto& d : roles::validate(in_code)) all += d.to_string() + "\n";
    CHECK(all.find("\"storage\" is an unknown role") != std::string::npos);
    CHECK(all.find("\"sixteen-bytes-xx\" is not an interface name") != std::string::npos);
}

TEST_CASE("faults of tenants", "[roles][validate]") {
    spoiled({"net2: { cidr: 50.50.2.0/24", "net2: { cidr: 50.50.1.0/25", 32, 65, "net2",
             "overlaps net1 on the same router"});
    spoiled({"net2: { cidr: 50.50.2.0/24", "net2: { cidr: 50.50.2.7/24", 31, 21, "50.50.2.7/24", "misaligned"});
    spoiled({"net2: { cidr: 50.50.2.0/24", "net2: { cidr: 10.10.10.0/25", 31, 21, "10.10.10.0/25",
             "overlaps networks.management"});
    spoiled({"net2: { cidr: 50.50.2.0/24", "net2: { cidr: 50.50.2.0/31", 31, 21, "50.50.2.0/31", "no room"});
    spoiled({"net2: { cidr: 50.50.2.0/24", "net2: { mtu: 1459, cidr: 50.50.2.0/24", 31, 20, "1459", "does not fit"});
    spoiled({"networks: [net1, net2]", "networks: [net1, net3]", 32, 65, "net3", "unknown network"});
    spoiled({"external: external", "external: extrenal", 32, 38, "extrenal", "unknown network"});
    spoiled({"external: external", "external: vm-config", 32, 38, "vm-config", "not an external network"});
    spoiled({"vm1: { node: compute1", "vm1: { node: compute9", 35, 20, "compute9", "unknown node"});
    spoiled({"vm1: { node: compute1", "vm1: { node: controller", 35, 20, "controller", "not a compute node"});
    spoiled({"vm1: { node: compute1, network: net1", "vm1: { node: compute1, network: netx", 35, 39, "netx",
             "unknown network"});
    spoiled({"address: 50.50.1.11", "address: 50.50.3.11", 35, 54, "50.50.3.11", "outside the subnet"});
    spoiled({"address: 50.50.1.11", "address: 50.50.1.1", 35, 54, "50.50.1.1", "duplicate address"});
    spoiled({"address: 50.50.1.22", "address: 50.50.1.21", 44, 54, "50.50.1.21", "duplicate address"});
    spoiled({"address: 50.50.1.11, floating: auto", "floating: 192.168.100.50", 35, 55, "192.168.100.50",
             "outside the floating range"});
    spoiled({"routers:  { router2: { external: external, networks: [net1] } }", "routers: {}", 43, 76, "auto",
             "needs a router"});
    spoiled({"security-groups: [default] }", "security-groups: [web] }", 35, 100, "web", "unknown security group"});
    spoiled({"protocol: icmp }", "protocol: icmq }", 33, 58, "icmq", "unknown protocol"});
    spoiled({"ports: 22", "ports: 0-70000", 33, 90, "0-70000", "not a port"});
}

TEST_CASE("a rule that no packet can meet, or that would say another thing than it reads, is refused", "[roles][validate]") {
    const auto rule = [](const std::string& text, int column, const std::string& value, const std::string& problem) {
        spoiled({"{ protocol: icmp }, ", "{ " + text + " }, ", 33, column, value, problem});
    };
    rule("protocol: 0", 58, "0", "unknown protocol");
    rule("protocol: 256", 58, "256", "unknown protocol");
    rule("protocol: icmp, ports: 22", 71, "22", "needs a protocol with ports");
    rule("ports: 22", 55, "22", "needs a protocol with ports");
    rule("protocol: tcp, type: 8", 69, "8", "needs ICMP");
    rule("protocol: icmp, code: 0", 70, "0", "needs a type");
    rule("protocol: icmp, remote: 10.0.0.1/8", 72, "10.0.0.1/8", "misaligned");
    rule("remote: web", 56, "web", "neither a CIDR nor a security group");
    spoiled({"{ protocol: icmp }, ", "{ protocol: icmp, remote: \"fd00::/8\" }, ", 33, 46, "fd00::/8", "matches no packet"});
    spoiled({"{ protocol: icmp }, ", "{ protocol: icmpv6, family: ipv4 }, ", 33, 46, "ipv4", "matches no packet"});
}

TEST_CASE("what a port says of its filter is checked and bounded", "[roles][validate]") {
    spoiled({"vm1: { node: compute1", "vm1: { port-security: false, node: compute1", 35, 122, "default", "would not be enforced"});
    spoiled({"vm1: { node: compute1", "vm1: { allowed-addresses: [{ address: 50.50.1.9/24 }], node: compute1", 35, 45,
             "50.50.1.9/24", "misaligned"});
    auto f = grizzly();
    f.tenants["proj_one"].ports["vm1"].allowed_addresses.resize(17, {parse_prefix("50.50.1.99").value(), {}, {}});
    f.tenants["proj_one"].ports["vm1"].allowed_addresses[0].mac = parse_mac("01:00:5e:00:00:01").value();
    f.tenants["proj_one"].security_groups["default"].ingress.resize(257);
    std::string all;
    for (const auto& d : roles::validate(f)) all += d.to_string() + "\n";
    CHECK(all.find("\"17\" are too many (allowed: at most 16)") != std::string::npos);
    CHECK(all.find("\"01:00:5e:00:00:01\" is not a unicast MAC") != std::string::npos);
    CHECK(all.find("\"257 rules\" are too many (allowed: at most 256)") != std::string::npos);
}

TEST_CASE("ids and addresses that several tenants share", "[roles][validate]") {
    auto text = changed(grizzly_text(), "net1: { cidr: 50.50.1.0/24, dns", "net1: { id: 5, cidr: 50.50.1.0/24, dns");
    text = changed(text, "net1: { cidr: 50.50.1.0/24 }", "net1: { id: 5, cidr: 50.50.1.0/24 }");
    found(text, {"", "two networks of id 5", 39, 29, "5", "duplicate id"});
    text = changed(grizzly_text(), "routers:  { router1: { external: external,",
                   "routers:  { router1: { address: 192.168.100.51, external: external,");
    found(text, {"", "router with the controller's address", 32, 37, "192.168.100.51", "duplicate address"});
    text = changed(grizzly_text(), "address: 50.50.1.21, floating: auto",
                   "address: 50.50.1.21, floating: 192.168.100.110");
    text = changed(text, "address: 50.50.1.11, floating: auto", "address: 50.50.1.11, floating: 192.168.100.110");
    found(text, {"", "one floating address for two", 43, 76, "192.168.100.110", "duplicate address"});
}

TEST_CASE("faults of expectations, checks and the lab", "[roles][validate]") {
    spoiled({"from: lan1", "from: lan9", 46, 13, "lan9", "unknown endpoint"});
    spoiled({"to: proj_one/vm1", "to: vm1", 46, 23, "vm1", "ambiguous short name"});
    spoiled({"to: proj_one/vm1", "to: proj_one/vm9", 46, 23, "proj_one/vm9", "unknown endpoint"});
    spoiled({"to: proj_one/vm1, via: floating", "to: proj_one/vm2, via: floating", 46, 42, "floating", "has none"});
    spoiled(
        {"to: proj_one/vm1, via: floating", "to: controller, via: vm-config", 46, 40, "vm-config", "has no address"});
    spoiled({"  network: [ { ping", "  netwrok: [ { ping", 48, 3, "netwrok", "unknown node"});
    spoiled({"lan1: { network: external, address: 192.168.100.200 }",
             "lan1: { network: external, address: 192.168.100.51 }", 51, 49, "192.168.100.51", "duplicate address"});
    spoiled({"lan1: { network: external", "lan1: { network: outside", 51, 30, "outside", "unknown network"});
    spoiled({"address: 203.0.113.10", "address: 203.0.114.10", 51, 109, "203.0.114.10", "outside the subnet"});
    // vm3 is unique, so its short name serves.
    const auto text = changed(grizzly_text(), "to: proj_one/vm1", "to: vm3");
    for (const auto& d : roles::validate(parsed(text))) CHECK(d.severity == severity::warning);
}

TEST_CASE("all faults come in one run, sorted by place", "[roles][validate]") {
    auto text = changed(grizzly_text(), "10.10.10.0/24", "10.10.10.9/24");
    text = changed(text, "node: compute1", "node: nowhere");
    text = changed(text, "from: lan1", "from: lan9");
    const auto diagnostics = roles::validate(parsed(text));
    std::vector<int> lines;
    for (const auto& d : diagnostics)
        if (d.severity == severity::error) lines.push_back(d.place.line);
    CHECK(lines == std::vector<int>{7, 35, 46});
}
