// SPDX-License-Identifier: Apache-2.0
// What a failed run puts back in Open vSwitch, on a real, private ovsdb-server and ovs-vswitchd; a namespace stands for
// the host. Skips where none can be started.
#include <catch2/catch.hpp>

#include "ovs/switch_host.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/flows.hpp"

using namespace weft;
using namespace weft::test;

namespace {

using host = switch_host;

// A state without bridges that cannot be reached: its last step is a route through a gateway that no network holds.
host_state unreachable() {
    host_state w;
    w.fabric = "undo";
    w.node = "n";
    w.namespaces.emplace_back();
    weft::route lost;
    lost.destination = *parse_prefix("0.0.0.0/0");
    lost.nexthops.push_back({parse_ip("203.0.113.1").value(), "", 0, false});
    w.namespaces[0].routes.push_back(lost);
    return w;
}

std::vector<ovs::flow> flows_of(const host& h, const std::string& bridge) {
    ovs::port_numbers numbers;
    for (const auto& b : ovs::database::connect(h.place.ovs_rundir).value().snapshot().value())
        for (const auto& p : b.ports)
            for (const auto& i : p.interfaces)
                if (b.name == bridge && i.ofport) numbers[i.name] = static_cast<std::uint32_t>(*i.ofport);
    return ovs::dump_flows(h.place.ovs_rundir, bridge, numbers).value();
}

// A bridge of ours with internal ports, and one flow for each that matches on it.
host_state gates(const std::vector<std::string>& names) {
    const ovs::string_map marks = {{ovs::mark_fabric, "undo"}};
    host_state w;
    w.fabric = "undo";
    w.node = "n";
    w.namespaces.emplace_back();
    auto br0 = bridge("br0");
    br0.fail_mode = "secure";
    br0.external_ids = marks;
    for (const auto& name : names) {
        auto p = port(name, "internal");
        p.external_ids = marks;
        br0.ports.push_back(std::move(p));
        ovs::flow f;
        f.cookie = ovs::flow_cookie;
        f.priority = 10;
        f.match = "in_port=" + name;
        f.actions = "NORMAL";
        w.flows["br0"].push_back(std::move(f));
    }
    w.bridges.push_back(std::move(br0));
    return w;
}

}  // namespace

TEST_CASE("a bridge whose removal is undone has the ports of others again, with all that their rows said", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    host h;
    auto db = ovs::database::connect(h.place.ovs_rundir).value();
    const ovs::string_map marks = {{ovs::mark_fabric, "undo"}};
    auto ours = bridge("br-int");
    ours.external_ids = marks;
    auto changes = add_bridge(ours);
    auto tap = port("ours1", "internal");
    tap.external_ids = marks;
    changes.ports.push_back({"br-int", std::nullopt, tap});
    db.commit(changes).value();
    h.sw.vsctl({"add-port", "br-int", "theirs1", "tag=7", "other_config:theirs=1", "external_ids:note=keep", "--",
                "set", "interface", "theirs1", "type=internal", "mac=\"02:00:00:00:00:07\"", "external_ids:iface-id=u1",
                "mtu_request=1400"});
    h.sw.vsctl({"add-port", "br-int", "theirs2", "vlan_mode=trunk", "trunks=10,20", "--", "set", "interface", "theirs2",
                "type=gre", "options:remote_ip=192.0.2.9", "options:key=5", "ofport_request=99"});
    const auto before = db.snapshot().value();
    REQUIRE(before.size() == 1);
    REQUIRE(before[0].ports.size() == 3);
    h.sw.ofctl({"add-flow", "unix:" + h.sw.rundir() + "/br-int.mgmt", "cookie=0x7765667400000001,table=3,priority=9,in_port=theirs1,actions=output:ours1"});
    h.sw.ofctl({"add-flow", "unix:" + h.sw.rundir() + "/br-int.mgmt", "cookie=0x12,priority=8,tcp,actions=drop"});
    const auto flows = flows_of(h, "br-int");
    REQUIRE(flows.size() >= 2);

    const auto failed = apply::apply(h.place, unreachable());
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().detail.find("all earlier steps were undone") != std::string::npos);
    const auto after = db.snapshot().value();
    REQUIRE(after.size() == 1);
    CHECK(wanted(after[0]) == wanted(before[0]));
    CHECK(flows_of(h, "br-int") == flows);
}

TEST_CASE("a port leaves with the flows that match on it, and comes back with them when a later step fails", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    host h;
    auto both = gates({"p1", "p2"});
    apply::apply(h.place, both).value();
    const auto before = flows_of(h, "br0");
    REQUIRE(before.size() == 2);

    auto one = gates({"p2"});
    one.namespaces = unreachable().namespaces;
    const auto failed = apply::apply(h.place, one);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().detail.find("all earlier steps were undone") != std::string::npos);
    CHECK(flows_of(h, "br0") == before);
    CHECK(apply::make_plan(h.place, both).value().empty());

    apply::apply(h.place, gates({"p2"})).value();
    const auto after = flows_of(h, "br0");
    REQUIRE(after.size() == 1);
    CHECK(after[0].match == "in_port=p2");
}

TEST_CASE("a bridge that vswitchd still has from a lost database keeps none of its old flows", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    host h;
    apply::apply(h.place, gates({"p1", "p2"})).value();
    h.sw.stop_server();
    h.sw.start_server(true);
    // vswitchd tries again only after a while, and by then finds rows of the same names: to it nothing has happened.
    apply::apply(h.place, gates({"p2"})).value();
    const auto flows = flows_of(h, "br0");
    REQUIRE(flows.size() == 1);
    CHECK(flows[0].match == "in_port=p2");
}

TEST_CASE("a port that its owner unplugged since the node's state was compiled is not plugged again by weft", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    host h;
    auto state = gates({"p1"});
    apply::apply(h.place, state).value();
    auto bound = port("theirs1", "");
    bound.tag = 1;
    bound.external_ids = {{ovs::mark_fabric, "undo"}};
    bound.other_config = {{ovs::mark_bound, "true"}};
    state.bridges[0].ports.push_back(bound);
    const auto rows = h.sw.vsctl({"list-ports", "br0"});
    const auto refused = apply::apply(h.place, state);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::stale);
    CHECK(refused.error().object == "port theirs1 of br0");
    CHECK(h.sw.vsctl({"list-ports", "br0"}) == rows);
}
