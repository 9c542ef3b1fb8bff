// SPDX-License-Identifier: Apache-2.0
// Allocation: what is open gets filled, the file wins over the lock, the lock over the first free value, and a change
// to one object moves no other.
#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;
using roles::allocate;

TEST_CASE("allocation fills everything, the same each time", "[allocate]") {
    const auto open = grizzly();
    CHECK_FALSE(roles::is_complete(open));
    const auto a = allocate(open, {}).value();
    CHECK(roles::is_complete(a.fabric));
    const auto b = allocate(open, {}).value();
    CHECK(a.fabric == b.fabric);
    CHECK(a.lock == b.lock);
    const auto& one = a.fabric.tenants.at("proj_one");
    CHECK(one.networks.at("net1").id == 1u);
    CHECK(one.networks.at("net1").gateway->to_string() == "50.50.1.1");
    CHECK(one.networks.at("net1").mtu == 1458u);
    CHECK(one.networks.at("net1").dhcp_address->to_string() == "50.50.1.2");
    CHECK(one.ports.at("vm2").address->to_string() == "50.50.1.3");
    CHECK(one.ports.at("vm1").address->to_string() == "50.50.1.11");
    CHECK(one.ports.at("vm1").mac == object_mac("grizzly", "proj_one/ports/vm1"));
    CHECK(one.routers.at("router1").address->to_string() == "192.168.100.102");
    // What the file says is not the lock's business.
    CHECK(a.lock.count("proj_one/ports/vm1/address") == 0);
    CHECK(a.lock.at("proj_one/ports/vm2/address") == "50.50.1.3");
    // With the lock, and again from a complete fabric: nothing moves.
    CHECK(allocate(open, a.lock).value().fabric == a.fabric);
    CHECK(allocate(a.fabric, a.lock).value().fabric == a.fabric);
}

TEST_CASE("a change to one object moves no other", "[allocate]") {
    const auto before = allocate(grizzly(), {}).value();
    auto grown = grizzly();
    // In name order all of these come before what is there.
    grown.tenants["proj_one"].networks["a_net"].cidr = *parse_prefix("50.50.9.0/24");
    grown.tenants["proj_one"].ports["a_vm"] = grown.tenants["proj_one"].ports["vm2"];
    grown.tenants["a_tenant"].networks["n"].cidr = *parse_prefix("50.50.1.0/24");
    grown.tenants["a_tenant"].routers["r"] = {"external", {"n"}, {}, {}};
    const auto after = allocate(grown, before.lock).value();
    for (const auto& [key, value] : before.lock) CHECK(after.lock.at(key) == value);
    CHECK(after.fabric.tenants.at("proj_one").networks.at("a_net").id == 5u);
    CHECK(after.fabric.tenants.at("a_tenant").networks.at("n").id == 4u);
    CHECK(after.fabric.tenants.at("proj_one").ports.at("a_vm").address->to_string() == "50.50.1.4");

    auto shrunk = grizzly();
    shrunk.tenants["proj_one"].networks.erase("net2");
    shrunk.tenants["proj_one"].routers["router1"].networks = {"net1"};
    shrunk.tenants["proj_one"].ports.erase("vm3");
    const auto less = allocate(shrunk, before.lock).value();
    CHECK(less.lock.count("proj_one/networks/net2/id") == 0);
    for (const auto& [key, value] : less.lock) CHECK(before.lock.at(key) == value);
}

TEST_CASE("the file wins over the lock, and a bad lock is not believed", "[allocate]") {
    const auto text =
        changed(grizzly_text(), "net1: { cidr: 50.50.1.0/24, dns", "net1: { id: 2, cidr: 50.50.1.0/24, dns");
    const auto first = allocate(grizzly(), {}).value();
    REQUIRE(first.lock.at("proj_one/networks/net2/id") == "2");
    const auto a = allocate(parsed(text), first.lock).value();
    CHECK(a.fabric.tenants.at("proj_one").networks.at("net1").id == 2u);
    CHECK(a.fabric.tenants.at("proj_one").networks.at("net2").id == 1u);
    CHECK(a.fabric.tenants.at("proj_two").networks.at("net1").id == 3u);

    roles::lock bad = {{"proj_one/networks/net1/id", "5000"},
                       {"proj_one/networks/net2/id", "x"},
                       {"proj_one/ports/vm2/address", "50.50.1.1"},
                       {"proj_one/ports/vm1/floating", "10.0.0.1"}};
    const auto b = allocate(grizzly(), bad).value();
    CHECK(b.lock == first.lock);
}

TEST_CASE("an exhausted range is an error that names it", "[allocate]") {
    auto f = grizzly();
    f.overlay.last_id = 2;
    CHECK(allocate(f, {}).error().message().find("overlay.ids (1-2)") != std::string::npos);
    f = grizzly();
    f.networks["external"].floating->last = *parse_ip("192.168.100.103");
    CHECK(allocate(f, {}).error().code == errc::invalid_input);
    f = grizzly();
    f.tenants["proj_two"].networks["net1"].cidr = *parse_prefix("50.50.1.20/30");
    f.tenants["proj_two"].ports["vm3"] = {"compute1", "net1", {}, {}, false, {}, {}, {}};
    // Two hosts are left, which the file gives to ports; then DHCP is the one too many, and without it vm3.
    CHECK(allocate(f, {}).error().object == "proj_two/networks/net1/dhcp");
    CHECK(allocate(f, {}).error().message().find("dhcp: false") != std::string::npos);
    f.tenants["proj_two"].networks["net1"].dhcp = false;
    CHECK(allocate(f, {}).error().object == "proj_two/ports/vm3/address");
}
