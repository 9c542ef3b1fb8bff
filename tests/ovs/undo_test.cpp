// SPDX-License-Identifier: Apache-2.0
// What a failed run puts back in Open vSwitch, on a real, private ovsdb-server and ovs-vswitchd; a namespace stands for
// the host. Skips where none can be started.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "ovs/switch_fixture.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/session.hpp"

using namespace weft;
using namespace weft::test;

namespace {

struct host {
    private_switch sw;
    std::string name = "wu" + std::to_string(::getpid());
    apply::place place{name, sw.rundir()};
    host() { netlink::create_namespace(name).value(); }
    ~host() { (void)netlink::delete_namespace(name); }
};

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

    const auto failed = apply::apply(h.place, unreachable());
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().detail.find("all earlier steps were undone") != std::string::npos);
    const auto after = db.snapshot().value();
    REQUIRE(after.size() == 1);
    CHECK(wanted(after[0]) == wanted(before[0]));
}
