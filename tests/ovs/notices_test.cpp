// SPDX-License-Identifier: Apache-2.0
// What a watcher hears from a private switch: flows that others change, but not those that the switch learns; rows that
// change, and a server or a switch that goes and comes back.
#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "ovs/switch_fixture.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flow_monitor.hpp"

#define NEEDS_SWITCH()                                              \
    if (const auto reason = no_switch_because(); !reason.empty()) { \
        skip(reason);                                               \
        return;                                                     \
    }

using namespace weft;
using namespace weft::test;

namespace {

bool readable(int fd, int ms = 5000) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, ms) > 0;
}

// Whether anything is told within the time; what was told is read.
bool told(int fd, int ms) {
    std::uint64_t count = 0;
    return readable(fd, ms) && ::read(fd, &count, sizeof count) == sizeof count;
}
void settle(int fd) {
    for (int i = 0; i < 100 && told(fd, 300); ++i) {
    }
}

}  // namespace

TEST_CASE("flows that others add, change or remove are told; learned ones and questions are not", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    sw.vsctl({"add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"});
    auto monitor = ovs::flow_monitor::open(sw.rundir(), "br0").value();
    CHECK_FALSE(monitor.changed().value());
    const auto br0 = sw.rundir() + "/br0.mgmt";
    const auto change = [&](std::vector<std::string> words) {
        INFO(words.back());
        sw.ofctl(std::move(words));
        CHECK(readable(monitor.fd()));
        CHECK(monitor.changed().value());
        CHECK_FALSE(monitor.changed().value());
    };
    change({"add-flow", br0, "cookie=7,table=3,priority=5,actions=drop"});
    change({"mod-flows", br0, "table=3,actions=normal"});
    change({"del-flows", br0, "table=3"});

    const std::string learned = "cookie=0x7765667400006c6e,table=20,dl_vlan=";
    for (int i = 1; i < 50; ++i) sw.ofctl({"add-flow", br0, learned + std::to_string(i) + ",actions=drop"});
    sw.ofctl({"dump-flows", br0});
    CHECK_FALSE(monitor.changed().value());
    change({"add-flow", br0, "cookie=7,table=20,priority=5,actions=drop"});
    change({"del-flows", br0});  // ours among them
}

TEST_CASE("a switch that goes ends its monitor; without a switch or a bridge there is none", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    sw.vsctl({"add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"});
    CHECK(ovs::flow_monitor::open(sw.rundir(), "br1").error().code == errc::unavailable);
    auto monitor = ovs::flow_monitor::open(sw.rundir(), "br0").value();
    sw.stop_switchd();
    REQUIRE(readable(monitor.fd()));
    CHECK(monitor.changed().error().code == errc::unavailable);
    CHECK(ovs::flow_monitor::open(sw.rundir(), "br0").error().code == errc::unavailable);
    sw.start_switchd();
    sw.vsctl({"add-br", "br2", "--", "set", "bridge", "br2", "datapath_type=netdev"});  // it serves again
    CHECK(ovs::flow_monitor::open(sw.rundir(), "br0").has_value());
}

TEST_CASE("rows that change are told, a quiet database is not; a server that goes and comes back is", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    const int fd = db.notices().value();
    settle(fd);
    for (int i = 0; i < 3; ++i) CHECK(db.snapshot().has_value());
    CHECK_FALSE(told(fd, 300));  // to read is no change
    sw.vsctl({"add-br", "br7", "--", "set", "bridge", "br7", "datapath_type=netdev"});
    CHECK(told(fd, 5000));
    settle(fd);
    sw.vsctl({"set", "bridge", "br7", "external_ids:a=b"});
    CHECK(told(fd, 5000));
    settle(fd);
    sw.stop_server();
    CHECK(told(fd, 5000));
    sw.start_server(false);
    CHECK(db.snapshot().has_value());
    CHECK(told(fd, 5000));
}
