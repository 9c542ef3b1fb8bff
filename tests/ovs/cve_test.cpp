// SPDX-License-Identifier: Apache-2.0
// Faults of the switch itself that would be weft's too, on a real, private switch: what a refused bundle leaves. Skips where no
// switch can be started.
#include <signal.h>

#include <catch2/catch.hpp>

#include "ovs/switch_fixture.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/ovs/version.hpp"

using namespace weft;
using namespace weft::test;

namespace {

ovs::flow make(int table, int priority, std::string match, std::string actions) {
    ovs::flow f;
    f.cookie = ovs::flow_cookie;
    f.table = static_cast<std::uint8_t>(table);
    f.priority = static_cast<std::uint16_t>(priority);
    f.match = std::move(match);
    f.actions = std::move(actions);
    return f;
}

}  // namespace

TEST_CASE("CVE-2018-17205: a bundle that the switch refuses takes nothing and gives nothing, wherever it breaks, and vswitchd lives", "[ovs][cve]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    auto changes = add_bridge(bridge("br0"));
    changes.ports.push_back({"br0", std::nullopt, port("p1", "internal")});
    ovs::port_numbers ports;
    for (const auto& o : db.commit(changes).value()) ports[o.interface] = static_cast<std::uint32_t>(o.ofport.value_or(-1));

    std::vector<ovs::flow> old, fresh;
    for (int i = 0; i < 40; ++i) {
        old.push_back(make(i % 4, 100 + i, "ip,nw_dst=10.0.0." + std::to_string(i), "output:p1"));
        fresh.push_back(make(i % 4, 100 + i, "ip,nw_dst=10.0.0." + std::to_string(i), i % 2 ? "drop" : "goto_table:9"));
    }
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br0", {{}, old}, ports)) == "");
    const auto sorted = [&] {
        auto all = ovs::dump_flows(sw.rundir(), "br0", ports).value();
        std::sort(all.begin(), all.end());
        return all;
    };
    const auto before = sorted();
    REQUIRE(before.size() == old.size());
    // Removals, replacements and additions together, with one flow that the switch alone refuses (a group that is not there, a table
    // that is none for a group's action) at every place in turn; as the fault of 2018 was in the undoing of what came before.
    for (std::size_t at = 0; at <= fresh.size(); at += 5) {
        for (const char* bad : {"group:77", "meter:9,output:p1"}) {
            INFO("refused at " << at << ": " << bad);
            ovs::flow_change change;
            change.remove.assign(old.begin(), old.begin() + 20);
            change.add.assign(fresh.begin(), fresh.end());
            for (int i = 0; i < 20; ++i) change.add.push_back(make(20, i, "udp,tp_dst=" + std::to_string(i + 1), "drop"));
            change.add.insert(change.add.begin() + static_cast<std::ptrdiff_t>(at), make(31, 9, "ip", bad));
            const auto refused = ovs::apply_flows(sw.rundir(), "br0", change, ports);
            REQUIRE(refused.has_error());
            CHECK(refused.error().object == "table=31,priority=9,ip in br0");
            CHECK(sorted() == before);
            REQUIRE(::kill(sw.switchd_pid(), 0) == 0);
            CHECK(ovs::vswitchd_version(sw.rundir()).has_value());
        }
    }
    // And a good one goes through afterwards.
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br0", {old, fresh}, ports)) == "");
    CHECK(sorted().size() == fresh.size());
}

TEST_CASE("the running switch says its own release, and what cannot be asked is unavailable", "[ovs][cve]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    private_switch sw;
    const auto version = ovs::vswitchd_version(sw.rundir()).value();
    CHECK(run({"ovs-vswitchd", "--version"}).find(") " + version + "\n") != std::string::npos);
    CHECK(ovs::check_version(version).has_value());
    sw.stop_switchd();
    CHECK(ovs::vswitchd_version(sw.rundir()).error().code == errc::unavailable);
}
