// SPDX-License-Identifier: Apache-2.0
// The engine on a real kernel without Open vSwitch: a namespace of its own stands for the host.
//
//   [peer ns "…w"] eth0 ──veth── eth0 [host ns "…h"]   the NIC of the host; [qrouter ns "…r"] qr-1 ──veth── tap1 [host]
#include "weft/apply/apply.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"

#include "skip.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

using namespace weft;

namespace {

struct host {
    std::string base = "wa" + std::to_string(::getpid());
    std::string name = base + "h", wire = base + "w", routed = base + "r";
    apply::place place{name, "/nonexistent/openvswitch"};

    host() {
        netlink::create_namespace(name).value();
        netlink::create_namespace(wire).value();
        weft::link nic{};
        nic.name = "eth0";
        nic.options = veth_options{"eth0", wire, std::nullopt, std::nullopt};
        session().run_one({netlink::verb::add, nic}).value();
    }
    ~host() {
        (void)apply::remove(place, "unit", "n");
        for (const auto& n : {name, wire, routed}) (void)netlink::delete_namespace(n);
        ::unlink(("/run/weft/lock." + name).c_str());
    }
    netlink::namespace_handle handle() const { return netlink::namespace_handle::open(name).value(); }
    netlink::session session() const { return netlink::session::open(handle()).value(); }

    host_state wanted() const {
        host_state w;
        w.fabric = "unit";
        w.node = "n";
        namespace_state root;
        weft::link nic{};
        nic.name = "eth0";
        nic.up = true;
        root.links.push_back(nic);
        weft::link tap{};
        tap.name = "tap1";
        tap.options = veth_options{"qr-1", routed, mac_address{{2, 0, 0, 0, 0, 9}}, 1458};
        tap.mtu = 1458;
        tap.group = weft_link_group;
        tap.alias = "weft:unit/router";
        tap.up = true;
        root.links.push_back(tap);
        root.addresses.push_back({"eth0", *parse_prefix("10.10.10.52/24"), 0, std::nullopt, weft_protocol, 0});
        weft::route def{};
        def.destination = *parse_prefix("0.0.0.0/0");
        def.nexthops.push_back({parse_ip("10.10.10.1").value(), "eth0", 0, false});
        root.routes.push_back(def);
        root.sysctls["net/ipv4/conf/all/arp_ignore"] = "1";
        nft::table guard;
        guard.family = nft::family::netdev;
        guard.name = "weft";
        nft::chain chain;
        chain.name = "ingress-tap1";
        chain.type = "filter";
        chain.priority = -300;
        chain.policy = 0;
        chain.devices = {"tap1"};
        guard.chains.push_back(chain);
        root.tables.push_back(guard);
        w.namespaces.push_back(root);
        namespace_state inside;
        inside.name = routed;
        weft::link lo{};
        lo.name = "lo";
        lo.up = true;
        inside.links.push_back(lo);
        weft::link qr{};
        qr.name = "qr-1";
        qr.options = veth_options{"tap1", "", std::nullopt, std::nullopt};
        qr.mac = mac_address{{2, 0, 0, 0, 0, 9}};
        qr.mtu = 1458;
        qr.group = weft_link_group;
        qr.alias = "weft:unit/router";
        qr.up = true;
        qr.features["tx-checksum-ip-generic"] = false;
        inside.links.push_back(qr);
        inside.addresses.push_back({"qr-1", *parse_prefix("50.50.1.1/24"), 0, std::nullopt, weft_protocol, 0});
        inside.sysctls["net/ipv4/ip_forward"] = "1";
        w.namespaces.push_back(inside);
        return w;
    }
};

}  // namespace

TEST_CASE("apply reaches the wanted state, a second apply writes nothing, remove brings back what was found") {
    host h;
    auto session = h.session();
    const auto links_before = session.links().value().size();
    const auto found = netlink::read_sysctl(h.handle(), "net/ipv4/conf/all/arp_ignore").value();
    // A foreign address and route must survive all of it.
    weft::address_entry foreign{"eth0", *parse_prefix("192.0.2.7/24"), 0, std::nullopt, 0, 0};
    session.run_one({netlink::verb::add, foreign}).value();

    const auto first = apply::apply(h.place, h.wanted());
    INFO((first ? std::string("ok") : first.error().message()));
    REQUIRE(first.has_value());
    REQUIRE(first->netlink_writes > 0);

    const auto writes = netlink::session::writes() + netlink::nft_writes();
    const auto again = apply::apply(h.place, h.wanted()).value();
    REQUIRE(again.steps == 0);
    REQUIRE(netlink::session::writes() + netlink::nft_writes() == writes);

    // By-hand damage shows in the plan: never "nothing to do" when something is gone.
    session.run_one({netlink::verb::remove, h.wanted().namespaces[0].addresses[0]}).value();
    REQUIRE_FALSE(apply::make_plan(h.place, h.wanted()).value().empty());
    apply::apply(h.place, h.wanted()).value();

    apply::remove(h.place, "unit", "n").value();
    REQUIRE(session.links().value().size() == links_before);
    REQUIRE(netlink::read_sysctl(h.handle(), "net/ipv4/conf/all/arp_ignore").value() == found);
    REQUIRE(netlink::nft_tables(h.handle(), "").value().empty());
    REQUIRE(netlink::namespace_handle::open(h.routed).has_error());
    const auto left = session.addresses().value();
    REQUIRE(std::any_of(left.begin(), left.end(), [&](const auto& a) { return a.address == foreign.address; }));
    REQUIRE(std::none_of(left.begin(), left.end(), [](const auto& a) { return a.protocol == weft_protocol; }));
}

TEST_CASE("a failing step undoes the earlier ones and is reported with the kernel's words") {
    host h;
    auto session = h.session();
    auto wanted = h.wanted();
    wanted.namespaces[0].routes[0].nexthops[0].gateway = parse_ip("203.0.113.1").value();  // no such neighbour network
    const auto failed = apply::apply(h.place, wanted);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    REQUIRE(failed.error().message().find("undone") != std::string::npos);
    REQUIRE(failed.error().message().find("default") != std::string::npos);
    REQUIRE(session.get_link("tap1").has_error());
    REQUIRE(netlink::namespace_handle::open(h.routed).has_error());
}

TEST_CASE("what was sent together with the failing step and took effect is undone too") {
    host h;
    auto wanted = h.wanted();
    auto good = wanted.namespaces[0].routes[0];
    good.destination = *parse_prefix("198.51.100.0/24");
    wanted.namespaces[0].routes[0].nexthops[0].gateway = parse_ip("203.0.113.1").value();  // no such neighbour network
    wanted.namespaces[0].routes.push_back(good);
    auto session = h.session();
    // The NIC is up and has its address already, as on a real host, so that their undo does not take the route along.
    weft::link up{};
    up.name = "eth0";
    up.up = true;
    session.run_one({netlink::verb::change, up}).value();
    netlink::namespace_handle peer = netlink::namespace_handle::open(h.wire).value();
    netlink::session::open(peer).value().run_one({netlink::verb::change, up}).value();
    session.run_one({netlink::verb::add, wanted.namespaces[0].addresses[0]}).value();
    REQUIRE(apply::apply(h.place, wanted).has_error());
    const auto left = session.routes().value();
    REQUIRE(std::none_of(left.begin(), left.end(), [&](const auto& r) { return r.destination == good.destination; }));
}

TEST_CASE("a namespace of a wanted name that is not ours stops the plan before anything is written") {
    host h;
    netlink::create_namespace(h.routed).value();
    const auto writes = netlink::session::writes() + netlink::nft_writes();
    const auto refused = apply::apply(h.place, h.wanted());
    REQUIRE(refused.has_error());
    REQUIRE(refused.error().code == errc::foreign_object);
    REQUIRE(refused.error().object.find(h.routed) != std::string::npos);
    REQUIRE(netlink::session::writes() + netlink::nft_writes() == writes);
}

TEST_CASE("a hypervisor's bridge that could not be removed has its NIC and its guests again") {
    host h;
    auto session = h.session();
    host_state wanted;
    wanted.fabric = "unit";
    wanted.node = "n";
    namespace_state root;
    weft::link nic{};
    nic.name = "eth0";
    nic.up = true;
    nic.master = "bridge-int";
    root.links.push_back(nic);
    weft::link bridge{};
    bridge.name = "bridge-int";
    bridge.options = bridge_options{.stp = false, .forward_delay = {}, .ageing_time = {}, .vlan_filtering = {}, .mcast_snooping = false};
    bridge.group = weft_link_group;
    bridge.alias = "weft:unit/nodes/n/bridge-int";
    bridge.mtu = 1500;
    bridge.up = true;
    root.links.push_back(bridge);
    root.addresses.push_back({"bridge-int", *parse_prefix("10.10.10.50/24"), 0, std::nullopt, weft_protocol, 0});
    wanted.namespaces.push_back(root);
    const auto first = apply::apply(h.place, wanted);
    INFO((first ? std::string("ok") : first.error().message()));
    REQUIRE(first.has_value());
    CHECK(apply::apply(h.place, wanted).value().steps == 0);
    weft::link guest{};
    guest.name = "vnet0";
    guest.options = veth_options{"guest0", h.wire, std::nullopt, std::nullopt};
    guest.master = "bridge-int";
    session.run_one({netlink::verb::add, guest}).value();
    CHECK(apply::apply(h.place, wanted).value().steps == 0);

    auto without = wanted;
    without.namespaces[0].links.pop_back();
    without.namespaces[0].links[0].master.clear();
    without.namespaces[0].addresses.clear();
    auto failing = without;
    weft::route nowhere{};
    nowhere.destination = *parse_prefix("198.51.100.0/24");
    nowhere.nexthops.push_back({parse_ip("203.0.113.1").value(), "eth0", 0, false});  // no such neighbour network
    failing.namespaces[0].routes.push_back(nowhere);
    const auto failed = apply::apply(h.place, failing);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().message().find("undone") != std::string::npos);
    CHECK(session.get_link("eth0").value().master == "bridge-int");
    CHECK(session.get_link("vnet0").value().master == "bridge-int");
    CHECK(apply::apply(h.place, wanted).value().steps == 0);

    // An option changed by hand is put right in place: the ports stay.
    const auto index = session.get_link("bridge-int").value().index;
    weft::link by_hand = session.get_link("bridge-int").value();
    std::get<bridge_options>(by_hand.options).mcast_snooping = true;
    session.run_one({netlink::verb::change, by_hand}).value();
    CHECK(apply::apply(h.place, wanted).value().steps == 1);
    CHECK(session.get_link("bridge-int").value().index == index);
    CHECK(std::get<bridge_options>(session.get_link("bridge-int").value().options).mcast_snooping == false);
    CHECK(session.get_link("vnet0").value().master == "bridge-int");

    REQUIRE(apply::apply(h.place, without).has_value());
    CHECK(session.get_link("bridge-int").has_error());
    CHECK(session.get_link("eth0").value().master.empty());
    CHECK(session.get_link("vnet0").value().master.empty());
}

TEST_CASE("a tap is made and changes its owner in place, and a failed run gives it back as it was") {
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) return test::skip("no /dev/net/tun");
    host h;
    auto session = h.session();
    host_state wanted;
    wanted.fabric = "unit";
    wanted.node = "n";
    namespace_state root;
    weft::link tap{};
    tap.name = "tap-vm";
    tap.options = tun_options{true, 1000, {}, false};
    tap.mtu = 1458;
    tap.group = weft_link_group;
    tap.alias = "weft:unit/t/ports/vm";
    tap.up = true;
    root.links.push_back(tap);
    wanted.namespaces.push_back(root);
    const auto owner = [&] { return std::get<tun_options>(session.get_link("tap-vm").value().options).owner; };

    weft::route nowhere{};
    nowhere.destination = *parse_prefix("198.51.100.0/24");
    nowhere.nexthops.push_back({parse_ip("203.0.113.1").value(), "eth0", 0, false});  // no such neighbour network
    auto failing = wanted;
    failing.namespaces[0].routes.push_back(nowhere);
    REQUIRE(apply::apply(h.place, failing).has_error());
    CHECK(session.get_link("tap-vm").has_error());

    const auto made = apply::apply(h.place, wanted);
    INFO((made ? std::string("ok") : made.error().message()));
    REQUIRE(made.has_value());
    CHECK(owner() == 1000U);
    CHECK(apply::apply(h.place, wanted).value().steps == 0);
    const auto index = session.get_link("tap-vm").value().index;

    std::get<tun_options>(failing.namespaces[0].links[0].options).owner = 2000;
    REQUIRE(apply::apply(h.place, failing).has_error());
    CHECK(owner() == 1000U);
    std::get<tun_options>(wanted.namespaces[0].links[0].options).owner = 2000;
    REQUIRE(apply::apply(h.place, wanted).value().steps == 1);
    CHECK(owner() == 2000U);
    CHECK(session.get_link("tap-vm").value().index == index);
    apply::remove(h.place, "unit", "n").value();
    CHECK(session.get_link("tap-vm").has_error());
}
