// SPDX-License-Identifier: Apache-2.0
// IPv6 on the underlay: what a fabric file may not say of it, each with the place of the bad value; and what compile and the matrix make of what it
// says. Needs nothing but the example.
#include "roles_fixture.hpp"
#include "weft/model/overlay.hpp"

#include <algorithm>

using namespace weft;
using namespace weft::test;

namespace {

std::string dual() { return example_text("dual-stack"); }
fabric complete(const std::string& text) { return roles::allocate(parsed(text, "dual-stack.yaml"), {}).value().fabric; }

// `from` becomes `to`, where '@' stands right before the value that must be told of.
struct row {
    std::string from, to, value, problem, allowed;
};

std::vector<diagnostic> errors_of(const std::string& text) {
    const auto p = parse_fabric(text, "dual-stack.yaml");
    auto all = roles::validate(p.fabric, p.diagnostics);
    std::erase_if(all, [](const auto& d) { return d.severity != severity::error; });
    return all;
}

void told_alone(const row& r) {
    auto text = changed(dual(), r.from, r.to);
    const auto at = text.find('@');
    REQUIRE(at != std::string::npos);
    text.erase(at, 1);
    const auto line = static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')) + 1;
    const auto column = static_cast<int>(at - (text.rfind('\n', at - 1) + 1)) + 1;
    const auto errors = errors_of(text);
    INFO(r.to);
    for (const auto& d : errors) UNSCOPED_INFO(d.to_string());
    CHECK(errors.size() == 1);
    if (errors.size() != 1) return;
    CHECK(errors[0].file == "dual-stack.yaml");
    CHECK(errors[0].value == r.value);
    CHECK(errors[0].problem.find(r.problem) != std::string::npos);
    CHECK(errors[0].allowed.find(r.allowed) != std::string::npos);
    CHECK(errors[0].place.line == line);
    CHECK(errors[0].place.column == column);
}

const namespace_state& root_of(const host_state& s) {
    return *std::find_if(s.namespaces.begin(), s.namespaces.end(), [](const auto& n) { return n.name.empty(); });
}

const ovs::interface_row* tunnel_of(const host_state& s, const std::string& remote) {
    for (const auto& bridge : s.bridges)
        for (const auto& port : bridge.ports)
            for (const auto& i : port.interfaces)
                if (const auto at = i.options.find("remote_ip"); at != i.options.end() && at->second == remote) return &i;
    return nullptr;
}

}  // namespace

TEST_CASE("IPv6 of the underlay that cannot be is refused where it stands", "[roles][ipv6]") {
    REQUIRE(errors_of(dual()).empty());
    const std::string management = "cidr6: \"fd00:10::/64\"", compute1 = "address6: \"fd00:10::53\"";
    for (const auto& r : std::vector<row>{
             {management, "cidr6: @\"fd00:10::1/64\"", "fd00:10::1/64", "misaligned", "fd00:10::/64"},
             {management, "cidr6: @\"fd00:10::/127\"", "fd00:10::/127", "no room for hosts", "/1 to /126"},
             {management, "cidr6: @10.99.0.0/24", "10.99.0.0/24", "not an IPv6 subnet", "fd00:1::/64"},
             {management, "cidr6: @\"fe80::/64\"", "fe80::/64", "not an IPv6 subnet", "fd00:1::/64"},
             {"cidr6: \"fd00:20::/64\"", "cidr6: @\"fd00::/16\"", "fd00::/16", "overlaps networks.management", "apart from fd00:10::/64"},
             {compute1, "address6: @\"fd00:11::53\"", "fd00:11::53", "outside the subnet", "a host of fd00:10::/64"},
             {"address6: \"fd00:10::54\"", "address6: @\"fd00:10::53\"", "fd00:10::53", "duplicate address", "an address of its own"},
             {compute1, "address6: @10.10.10.60", "10.10.10.60", "outside the subnet", "a host of fd00:10::/64"},
             {"eth2: { network: external }", "eth2: { network: external, address6: @\"2001:db8:100::52\" }", "2001:db8:100::52",
              "needs an address beside it", "address"},
             {"gateway6: \"2001:db8:100::1\"", "gateway6: @\"2001:db8:101::1\"", "2001:db8:101::1", "outside the subnet", "2001:db8:100::/64"},
             {"address6: \"2001:db8:100::200\"", "address6: @\"2001:db8:100::51\"", "2001:db8:100::51", "duplicate address", "of its own"},
             {"endpoints: ipv6", "endpoints: @ipv5", "ipv5", "", "ipv4, ipv6"}})
        told_alone(r);
}

TEST_CASE("a tunnel endpoint without an IPv6 address is refused when tunnels run over IPv6", "[roles][ipv6]") {
    const auto errors = errors_of(changed(dual(), ", address6: \"fd00:20::53\"", ""));
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].path == "nodes.compute1.nics.eth1.address6");
    CHECK(errors[0].allowed == "an address of fd00:20::/64");
    CHECK(errors[0].place.line > 0);
}

TEST_CASE("profile grizzly has no tunnels over IPv6", "[roles][ipv6]") {
    const auto errors = errors_of(changed(dual(), "type: vxlan, ids", "type: gre, profile: grizzly, ids"));
    CHECK(std::any_of(errors.begin(), errors.end(), [](const auto& d) { return d.path == "overlay.endpoints" && d.value == "ipv6"; }));
}

TEST_CASE("tunnels over IPv6 cost 20 bytes more, and run between the IPv6 addresses", "[roles][ipv6]") {
    for (const auto& [type, over_v6, over_v4] : std::vector<std::tuple<std::string, std::uint32_t, std::uint32_t>>{
             {"gre", 1438, 1458}, {"vxlan", 1430, 1450}, {"geneve", 1430, 1450}}) {
        const auto text = changed(dual(), "type: vxlan", "type: " + type);
        CHECK(network_mtu(parsed(text), "proj_one", "net1") == over_v6);
        CHECK(network_mtu(parsed(changed(text, ", endpoints: ipv6", "")), "proj_one", "net1") == over_v4);
        const auto state = roles::compile(complete(text), "compute1", facts_of("netdev")).value();
        const auto* tunnel = tunnel_of(state, "fd00:20::54");
        REQUIRE(tunnel != nullptr);
        CHECK(tunnel->options.at("local_ip") == "fd00:20::53");
        CHECK(tunnel_of(state, "10.20.20.54") == nullptr);
    }
    const auto over_v4 = roles::compile(complete(changed(dual(), ", endpoints: ipv6", "")), "compute1", facts_of("netdev")).value();
    CHECK(tunnel_of(over_v4, "10.20.20.54") != nullptr);
    CHECK(tunnel_of(over_v4, "fd00:20::54") == nullptr);
}

TEST_CASE("a device has the IPv6 addresses of the file and makes none of its own", "[roles][ipv6]") {
    for (const char* datapath : {"netdev", "system"}) {
        const auto state = roles::compile(complete(dual()), "compute1", facts_of(datapath)).value();
        const auto& root = root_of(state);
        for (const auto& a : root.addresses) {
            if (!a.address.is_v6()) continue;
            CHECK(a.flags == 0x02);  // IFA_F_NODAD
            const auto key = "net/ipv6/conf/" + a.device + "/";
            CHECK(root.sysctls.at(key + "accept_ra") == "0");
            CHECK(root.sysctls.at(key + "autoconf") == "0");
            CHECK(root.sysctls.at(key + "addr_gen_mode") == "1");
            CHECK(root.sysctls.at(key + "disable_ipv6") == "0");
        }
        CHECK(std::count_if(root.addresses.begin(), root.addresses.end(), [](const auto& a) { return a.address.is_v6(); }) == 2);
    }
}

TEST_CASE("no leg on the LAN takes a router advertisement, whether it has IPv6 or not", "[roles][ipv6]") {
    const auto of_ipv4 = roles::compile(complete_grizzly(), "controller", facts_of("netdev")).value();
    CHECK(root_of(of_ipv4).sysctls.at("net/ipv6/conf/eth1/accept_ra") == "0");
    CHECK(root_of(of_ipv4).sysctls.count("net/ipv6/conf/eth1/disable_ipv6") == 0);
    const auto dual_stack = roles::compile(complete(dual()), "controller", facts_of("netdev")).value();
    CHECK(root_of(dual_stack).sysctls.at("net/ipv6/conf/eth1/accept_ra") == "0");
    const auto& routes = root_of(dual_stack).routes;
    CHECK(std::any_of(routes.begin(), routes.end(), [](const auto& r) {
        return r.destination.is_v6() && r.destination.length == 0 && r.nexthops.at(0).gateway == *parse_ip("2001:db8:100::1");
    }));
}

TEST_CASE("the matrix has rows of both families, and none of IPv6 without addresses", "[roles][ipv6]") {
    const auto has = [](const fabric& f, const std::string& from, const std::string& to, const std::string& address, bool reachable) {
        const auto rows = roles::expectations(f);
        return std::any_of(rows.begin(), rows.end(), [&](const auto& e) {
            return e.from == from && e.to == to && e.address == *parse_ip(address) && e.reachable == reachable && !e.planted_gateway;
        });
    };
    const auto f = complete(dual());
    CHECK(has(f, "compute1", "compute2", "fd00:20::54", true));
    CHECK(has(f, "controller", "compute2", "fd00:20::54", false));
    CHECK(has(f, "controller", "compute2", "fd00:10::54", true));
    CHECK(has(f, "lan1", "controller", "2001:db8:100::51", true));
    CHECK(has(f, "lan1", "controller", "fd00:10::51", false));
    for (const auto& e : roles::expectations(complete_grizzly())) CHECK_FALSE(e.address->is_v6());
}

TEST_CASE("what a tenant cannot have of IPv6 is refused at the place of the bad value, and alone") {
    const std::string net1 = "cidr6: \"2001:db8:1::/64\"", net2 = "cidr6: \"2001:db8:2::/64\"", net3 = "cidr6: \"2001:db8:3::/96\"";
    for (const row& r : std::vector<row>{
             {net1, "cidr6: @\"2001:db8:1::/80\"", "2001:db8:1::/80", "longer than 64", "a /64"},
             {net1, "cidr6: @\"2001:db8:1000::/56\"", "2001:db8:1000::/56", "shorter than 64", "a /64"},
             {net2, "cidr6: @\"2001:db8:2000::/56\"", "2001:db8:2000::/56", "too large for DHCPv6", "/64 to /126"},
             {net1, "cidr6: @\"2001:db8:1::1/64\"", "2001:db8:1::1/64", "misaligned", "2001:db8:1::/64"},
             {net1, "cidr6: @\"fe80::/64\"", "fe80::/64", "not an IPv6 subnet for VMs", "fd00:1::/64"},
             {net1, "cidr6: @10.99.0.0/24", "10.99.0.0/24", "not an IPv6 subnet for VMs", "fd00:1::/64"},
             {net1, "cidr6: @\"2001:db8:100::/64\"", "2001:db8:100::/64", "overlaps networks.external", "apart from 2001:db8:100::/64"},
             {net2, "cidr6: @\"2001:db8:1::/64\"", "2001:db8:1::/64", "overlaps tenants.proj_one.networks.net1", "apart from 2001:db8:1::/64"},
             {net3, net3 + ", gateway6: @\"2001:db8:4::1\"", "2001:db8:4::1", "outside the subnet", "a host of 2001:db8:3::/96"},
             {net1, net1 + ", dhcp-address6: @\"2001:db8:1::9\"", "2001:db8:1::9", "the router announces the subnet", "no dhcp-address6"},
             {"vm3: { node: compute1, network: net2,", "vm3: { node: compute1, network: net2, address6: @\"2001:db8:9::1\",", "2001:db8:9::1",
              "outside the subnet", "a host of 2001:db8:2::/64"},
             {"vm2: { node: compute2, network: net1, security-groups", "vm2: { node: compute2, network: net1, address6: @\"2001:db8:1::77\", security-groups",
              "2001:db8:1::77", "not what the VM makes of its MAC", "no address6"},
             {"floating6: auto", "floating6: @\"2001:db8:100::2:0\"", "2001:db8:100::2:0", "outside the floating6 range", "2001:db8:100::1:0-2001:db8:100::1:ff"},
         })
        told_alone(r);
}

TEST_CASE("a tenant's IPv6 without a router has an announcer of its own, which leads nowhere; grizzly and a small MTU are refused") {
    CHECK(errors_of(dual()).empty());
    const auto nobody = errors_of(changed(dual(), "50.50.1.0/24, cidr6: \"fd00:50::/64\"", "50.50.1.0/24, dhcp: false, cidr6: \"fd00:50::/64\""));
    REQUIRE(nobody.size() == 1);
    CHECK(nobody[0].path == "tenants.proj_two.networks.net1.ipv6");
    const auto small = errors_of(changed(dual(), "cidr6: \"2001:db8:3::/96\"", "mtu: 1200, cidr6: \"2001:db8:3::/96\""));
    REQUIRE(small.size() == 1);
    CHECK(small[0].problem == "needs an MTU of 1280, and the network has 1200");
    const auto grizzly = errors_of(changed(dual(), "overlay: { type: vxlan, ids: 1-1000, endpoints: ipv6 }", "overlay: { type: gre, profile: grizzly, ids: 1-1000 }"));
    CHECK(std::count_if(grizzly.begin(), grizzly.end(), [](const auto& d) { return d.problem == "is IPv6, which tenants of profile grizzly do not have"; }) == 4);
    const auto f = complete(dual());
    const auto network = roles::compile(f, "network", {}).value();
    std::map<std::string, std::string> announced;  // service → its options
    for (const auto& s : network.services)
        if (s.name.starts_with("dnsmasq6-"))
            for (const auto& option : s.argv) announced[s.name + " " + s.space.substr(0, 5)] += option + " ";
    REQUIRE(announced.size() == 3);  // net3 is static
    int leading = 0, isolated = 0, stateful = 0;
    for (const auto& [name, options] : announced) {
        CHECK(options.find(",mtu:1430,") != std::string::npos);
        leading += name.ends_with("qrout") && options.find(",600,1800 ") != std::string::npos;
        isolated += name.ends_with("qdhcp") && options.find(",600,0 ") != std::string::npos && options.find("ra-only,64") != std::string::npos;
        stateful += options.find("--dhcp-range=2001:db8:2::,static,64") != std::string::npos && options.find("--dhcp-ignore=tag:!known") != std::string::npos;
    }
    CHECK(leading == 2);
    CHECK(isolated == 1);
    CHECK(stateful == 1);
}

TEST_CASE("VMs' IPv6 addresses: made of the MAC with SLAAC, drawn and remembered otherwise, and pinned at their ports") {
    const auto done = roles::allocate(parsed(dual(), "dual-stack.yaml"), {}).value();
    const auto& ports = done.fabric.tenants.at("proj_one").ports;
    auto mac = ports.at("vm1").mac->bytes;
    CHECK(ports.at("vm1").address6->to_v6().to_bytes()[8] == (mac[0] ^ 2));
    CHECK(ports.at("vm1").address6->to_v6().to_bytes()[15] == mac[5]);
    CHECK(done.lock.count("proj_one/ports/vm1/address6") == 0);
    CHECK(done.lock.at("proj_one/ports/vm3/address6") == "2001:db8:2::2");
    // What is remembered stays, also beside a new port before it in name order.
    const auto more = changed(dual(), "      vm3: {", "      vm0: { node: compute1, network: net2 }\n      vm3: {");
    const auto again = roles::allocate(parsed(more, "dual-stack.yaml"), done.lock).value();
    CHECK(again.fabric.tenants.at("proj_one").ports.at("vm3").address6->to_string() == "2001:db8:2::2");
    CHECK(again.fabric.tenants.at("proj_one").ports.at("vm0").address6->to_string() == "2001:db8:2::3");
    CHECK(roles::is_complete(done.fabric));
    // Also asked about what is not valid, and answered.
    auto stray = done.fabric;
    stray.tenants.at("proj_one").ports.at("vm3").network = "gone";
    CHECK(roles::lock_of(stray).count("proj_one/ports/vm3/address6") == 0);
    CHECK(roles::is_complete(stray));
    CHECK(roles::lock_of(done.fabric).at("proj_one/ports/vm1/floating6") == "2001:db8:100::1:1");
}

TEST_CASE("rows of the file name an address of IPv6 by the way and its family, and one that is not there is refused", "[roles][ipv6]") {
    const std::string row = "  - { from: lan1, to: proj_one/vm1, via: floating/ipv6, protocol: tcp, port: 22, expect: reachable }\n";
    const auto f = complete(dual());
    std::vector<std::string> got;
    for (const auto& e : roles::expectations(f))
        if (e.protocol == "tcp") got.push_back(e.to + " " + e.via + " " + e.address.value().to_string());
    const auto& vms = f.tenants.at("proj_one").ports;
    CHECK(got == std::vector<std::string>{"proj_one/vm1 floating " + vms.at("vm1").floating->to_string(), "proj_one/vm1 floating/ipv6 " + vms.at("vm1").floating6->to_string(),
                                          "proj_one/vm2 fixed/ipv6 " + vms.at("vm2").address6->to_string(), "proj_one/vm2 fixed/ipv6 " + vms.at("vm2").address6->to_string()});
    const auto with = [&](const std::string& to, const std::string& via) {
        return changed(dual(), row, "  - { from: lan1, to: " + to + ", via: " + via + ", expect: blocked }\n");
    };
    const auto address = [&](const std::string& to, const std::string& via) {
        for (const auto& e : roles::expectations(complete(with(to, via))))
            if (e.to == to && e.via == via && e.from == "lan1") return e.address.value().to_string();
        return std::string("none");
    };
    CHECK(address("compute1", "management/ipv6") == "fd00:10::53");
    CHECK(address("controller", "external/ipv6") == "2001:db8:100::51");
    struct bad { std::string to, via, problem; };
    for (const auto& b : std::vector<bad>{{"proj_one/vm2", "floating/ipv6", "needs a floating address, and proj_one/vm2 has none (allowed: floating6: auto)"},
                                          {"compute1", "external/ipv6", "is a network where compute1 has no IPv6 address"},
                                          {"internet1", "external/ipv6", "is a network where internet1 has no IPv6 address"},
                                          {"compute1", "fixed/ipv6", "is for VMs only, and compute1 is none"},
                                          {"proj_one/vm1", "management/ipv6", "leads to nodes and hosts of the lab"},
                                          {"compute1", "nowhere/ipv6", "is an unknown network"},
                                          {"compute1", "internet/ipv6", "is an unknown network"}}) {
        const auto errors = errors_of(with(b.to, b.via));
        REQUIRE(errors.size() == 1);
        INFO(errors[0].to_string());
        CHECK(errors[0].to_string().find(b.problem) != std::string::npos);
    }
    const auto without = errors_of(changed(example_text("grizzly"), "via: floating", "via: fixed/ipv6"));
    REQUIRE(without.size() == 1);
    CHECK(without[0].to_string().find("is on a network without it") != std::string::npos);
}

TEST_CASE("the lab's Internet over IPv6: who reaches it, and what cannot be is refused where it stands", "[roles][ipv6]") {
    const std::string internet = "internet6: \"2001:db8:203::/64\"", host = "address6: \"2001:db8:203::10\"";
    for (const auto& r : std::vector<row>{
             {internet, "internet6: @10.99.0.0/24", "10.99.0.0/24", "is no subnet of IPv6", "an IPv6 subnet"},
             {internet, "internet6: @\"2001:db8:203::1/64\"", "2001:db8:203::1/64", "has host bits", "2001:db8:203::/64"},
             {internet, "internet6: @\"2001:db8:203::10/128\"", "2001:db8:203::10/128", "has no room for hosts", "/1 to /126"},
             {internet, "internet6: @\"2001:db8::/32\"", "2001:db8::/32", "overlaps networks.external", "a subnet apart"},
             {internet, "internet6: @\"2001:db8:2::/64\"", "2001:db8:2::/64", "overlaps tenants.proj_one.networks.net2", "a subnet apart"},
             {host, "address6: @\"2001:db8:204::10\"", "2001:db8:204::10", "outside the subnet", "a host of 2001:db8:203::/64"},
             {host, "address6: @\"2001:db8:203::1\"", "2001:db8:203::1", "duplicate address", "of its own"}})
        told_alone(r);
    const auto without = errors_of(changed(dual(), ", " + internet, ""));
    REQUIRE(without.size() == 1);
    CHECK(without[0].value == "2001:db8:203::10");
    CHECK(without[0].problem == "needs an IPv6 subnet of its network");
    CHECK(without[0].allowed == "lab.router.internet6");
    CHECK(errors_of(changed(dual(), internet, "internet6: nonsense")).size() == 1);
    CHECK(errors_of(changed(dual(), "gateway6: \"2001:db8:100::1\", ", "")).at(0).to_string().find("needs a router of IPv6 on its LAN") != std::string::npos);

    std::map<std::string, bool> got;
    for (const auto& e : roles::expectations(complete(dual())))
        if (e.via.ends_with("/ipv6") && (e.from == "internet1" || e.to == "internet1")) got[e.from + " " + e.to + " " + e.via] = e.reachable;
    CHECK(got.at("controller internet1 external/ipv6"));
    CHECK_FALSE(got.at("compute1 internet1 external/ipv6"));
    CHECK(got.at("lan1 internet1 external/ipv6"));
    CHECK(got.at("proj_one/vm1 internet1 external/ipv6"));
    CHECK_FALSE(got.at("proj_two/vm1 internet1 external/ipv6"));
    for (const auto* in : {"controller external/ipv6", "lan1 external/ipv6", "compute1 management/ipv6", "proj_one/vm1 fixed/ipv6", "proj_one/vm1 floating/ipv6"})
        CHECK_FALSE(got.at("internet1 " + std::string(in)));
}
