// SPDX-License-Identifier: Apache-2.0
// DHCP of tenant networks: where its address comes from, which node serves it, and what its dnsmasq is told.
#include <algorithm>

#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;
using roles::allocate;

namespace {

const std::string net1 = "net1: { cidr: 50.50.1.0/24, dns: [8.8.8.8]";

host_state on_network_node(const fabric& f) { return roles::compile(f, "network", facts_of()).value(); }

const service* dhcp_of(const host_state& s, const std::string& network) {
    const auto name = "dnsmasq-" + object_uuid("grizzly", network);
    const auto at =
        std::find_if(s.services.begin(), s.services.end(), [&](const service& v) { return v.name == name; });
    return at == s.services.end() ? nullptr : &*at;
}

bool told(const service& s, const std::string& option) {
    return std::find(s.argv.begin(), s.argv.end(), option) != s.argv.end();
}

}  // namespace

TEST_CASE("the DHCP address is drawn before new ports and after all that the lock remembers", "[dhcp]") {
    const auto fresh = allocate(grizzly(), {}).value();
    CHECK(fresh.lock.at("proj_one/networks/net1/dhcp") == "50.50.1.2");
    CHECK(fresh.lock.at("proj_one/ports/vm2/address") == "50.50.1.3");
    // A lock from before there was DHCP: its ports stay where they are.
    roles::lock older = fresh.lock;
    older.erase("proj_one/networks/net1/dhcp");
    older["proj_one/ports/vm2/address"] = "50.50.1.2";
    const auto later = allocate(grizzly(), older).value();
    CHECK(later.lock.at("proj_one/ports/vm2/address") == "50.50.1.2");
    CHECK(later.lock.at("proj_one/networks/net1/dhcp") == "50.50.1.3");
    CHECK(allocate(later.fabric, {}).value().fabric == later.fabric);
    CHECK(roles::lock_of(later.fabric).at("proj_one/networks/net1/dhcp") == "50.50.1.3");
    // What the file says is kept, and taken from no port.
    const auto fixed = allocate(parsed(changed(grizzly_text(), net1, net1 + ", dhcp-address: 50.50.1.3")), {}).value();
    CHECK(fixed.fabric.tenants.at("proj_one").networks.at("net1").dhcp_address->to_string() == "50.50.1.3");
    CHECK(fixed.lock.count("proj_one/networks/net1/dhcp") == 0);
    CHECK(fixed.lock.at("proj_one/ports/vm2/address") == "50.50.1.2");
    auto open = fresh.fabric;
    open.tenants.at("proj_one").networks.at("net1").dhcp_address.reset();
    CHECK_FALSE(roles::is_complete(open));
}

TEST_CASE("every network has one dnsmasq on its router's node, and nowhere else", "[dhcp]") {
    const auto f = complete_grizzly();
    CHECK(on_network_node(f).services.size() == 3);
    for (const char* node : {"controller", "compute1", "compute2"})
        CHECK(roles::compile(f, node, facts_of()).value().services.empty());
    const auto off =
        allocate(parsed(changed(grizzly_text(), net1, "net1: { cidr: 50.50.1.0/24, dhcp: false")), {}).value();
    const auto state = on_network_node(off.fabric);
    CHECK(state.services.size() == 2);
    CHECK(dhcp_of(state, "proj_one/networks/net1") == nullptr);
    CHECK(off.lock.count("proj_one/networks/net1/dhcp") == 0);
    for (const auto& n : state.namespaces) CHECK(n.name != "qdhcp-" + object_uuid("grizzly", "proj_one/networks/net1"));
}

TEST_CASE("dnsmasq knows the network's ports and no others, and says MTU, routes and name servers", "[dhcp]") {
    const auto f = complete_grizzly();
    const auto state = on_network_node(f);
    const auto* s = dhcp_of(state, "proj_one/networks/net1");
    REQUIRE(s);
    CHECK(s->space == "qdhcp-" + object_uuid("grizzly", "proj_one/networks/net1"));
    const auto& ports = f.tenants.at("proj_one").ports;
    CHECK(s->files.at("hosts").reloadable);
    CHECK(s->files.at("hosts").text == ports.at("vm1").mac->to_string() + ",50.50.1.11,vm1\n" +
                                           ports.at("vm2").mac->to_string() + ",50.50.1.3,vm2\n");
    CHECK(told(*s, "--dhcp-range=50.50.1.0,static,255.255.255.0,86400s"));
    CHECK(told(*s, "--dhcp-ignore=tag:!known"));
    CHECK(told(*s, "--dhcp-option-force=26,1458"));
    CHECK(told(*s, "--dhcp-option=3,50.50.1.1"));
    CHECK(told(*s, "--dhcp-option=6,8.8.8.8"));
    CHECK(told(*s, "--no-resolv"));
    // Where the network names no server, dnsmasq itself answers for the names of its ports.
    const auto* other = dhcp_of(state, "proj_two/networks/net1");
    REQUIRE(other);
    CHECK(told(*other, "--dhcp-option=6,50.50.1.2"));

    const auto routed =
        allocate(parsed(changed(grizzly_text(), net1, net1 + ", routes: [{ to: 10.9.0.0/16, via: 50.50.1.11 }]")), {});
    const auto with_routes = on_network_node(routed.value().fabric);
    for (const char* option : {"121", "249"})
        CHECK(told(*dhcp_of(with_routes, "proj_one/networks/net1"),
                   std::string("--dhcp-option=") + option + ",10.9.0.0/16,50.50.1.11,0.0.0.0/0,50.50.1.1"));
}

TEST_CASE("a new port is a reload of the running dnsmasq, a new MTU is a restart", "[dhcp]") {
    const auto before = allocate(grizzly(), {}).value();
    auto grown = grizzly();
    grown.tenants.at("proj_one").ports["vm9"] = grown.tenants.at("proj_one").ports.at("vm2");
    auto smaller = grizzly();
    smaller.tenants.at("proj_one").networks.at("net1").mtu = 1400;
    const auto of = [&](const fabric& f) {
        return *dhcp_of(on_network_node(allocate(f, before.lock).value().fabric), "proj_one/networks/net1");
    };
    CHECK(of(grown) != of(grizzly()));
    CHECK(reload_is_enough(of(grizzly()), of(grown)));
    CHECK_FALSE(reload_is_enough(of(grizzly()), of(smaller)));
}

TEST_CASE("faults of the DHCP keys are told where they are", "[dhcp]") {
    const auto says = [](const std::string& with, const std::string& path, const std::string& problem, severity level) {
        const auto all = roles::validate(parsed(changed(grizzly_text(), net1, net1 + with)));
        INFO(with);
        CHECK(std::any_of(all.begin(), all.end(), [&](const diagnostic& d) {
            return d.severity == level && d.path == "tenants.proj_one.networks.net1." + path &&
                   d.problem.find(problem) != std::string::npos;
        }));
    };
    says(", dhcp-address: 50.50.9.2", "dhcp-address", "", severity::error);
    says(", dhcp-address: 50.50.1.1", "dhcp-address", "duplicate", severity::error);
    says(", dhcp: false, dhcp-address: 50.50.1.2", "dhcp-address", "needs DHCP", severity::error);
    says(", dhcp: false", "dns", "off", severity::warning);
    says(", routes: [{ to: 10.9.0.0/16, via: 10.1.1.1 }]", "routes[0].via", "", severity::error);
    says(", routes: [{ to: 'fd00::/64', via: 50.50.1.9 }]", "routes[0].to", "IPv6", severity::error);
}
