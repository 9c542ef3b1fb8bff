// SPDX-License-Identifier: Apache-2.0
// One poisoned flow costs the tenant port that it serves and nobody else, on a real, private ovsdb-server and ovs-vswitchd; a
// namespace stands for the host. Skips where none can be started.
#include <catch2/catch.hpp>

#include <algorithm>

#include "ovs/switch_host.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/model/fabric.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/flows.hpp"

using namespace weft;
using namespace weft::test;

namespace {

using host = switch_host;

std::uint64_t cookie_of(const std::string& port) { return ovs::port_cookie(port_register("pox", "t/ports/" + port)); }

// br-int with three ports, each with a gate and a rule of its own, and one flow for all.
host_state three_ports() {
    host_state w;
    w.fabric = "pox";
    w.node = "n";
    w.namespaces.emplace_back();
    auto br = bridge("br-int");
    br.external_ids = {{ovs::mark_fabric, "pox"}};
    for (const std::string name : {"a", "b", "c"}) {
        auto p = port("q-" + name, "internal");
        p.external_ids = {{ovs::mark_fabric, "pox"}, {ovs::mark_object, "t/ports/" + name}};
        br.ports.push_back(std::move(p));
        w.flows["br-int"].push_back({cookie_of(name), 0, 10, 0, 0, "in_port=q-" + name, "goto_table:1"});
        w.flows["br-int"].push_back({cookie_of(name), 1, 10, 0, 0, "in_port=q-" + name + ",tcp", "drop"});
    }
    w.flows["br-int"].push_back({ovs::flow_cookie, 1, 0, 0, 0, "", "drop"});
    w.bridges.push_back(std::move(br));
    return w;
}

std::size_t flows_with(const host& h, std::uint64_t cookie) {
    const auto all = ovs::dump_flows(h.place.ovs_rundir, "br-int", {}).value();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& f) { return f.cookie == cookie; }));
}

void poison(host_state& w, const std::string& port, const std::string& actions) {
    w.flows["br-int"].push_back({cookie_of(port), 1, 20, 0, 0, "in_port=q-" + port + ",udp", actions});
}

}  // namespace

TEST_CASE("a flow that the switch refuses quarantines its own port: its old flows go, and the other ports get theirs", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) return skip(reason);
    host h;
    auto w = three_ports();
    REQUIRE(why(apply::apply(h.place, w)) == "");
    REQUIRE(flows_with(h, cookie_of("b")) == 2);

    poison(w, "b", "group:77");     // parses; the bridge has no such group
    poison(w, "c", "goto_table:2");  // sound, and new in the same bundle
    const auto done = apply::apply(h.place, w);
    REQUIRE(why(done) == "");
    REQUIRE(done->quarantined.size() == 1);
    CHECK(done->quarantined[0].port == "t/b");
    CHECK(done->quarantined[0].reason.find("GROUP") != std::string::npos);
    CHECK(flows_with(h, cookie_of("a")) == 2);
    CHECK(flows_with(h, cookie_of("b")) == 0);
    CHECK(flows_with(h, cookie_of("c")) == 3);
    CHECK(flows_with(h, ovs::flow_cookie) == 1);

    const auto again = apply::apply(h.place, w);
    REQUIRE(why(again) == "");
    CHECK(again->flow_writes == 0);
    CHECK(again->quarantined == done->quarantined);

    // With the rule put right the port is back.
    auto cured = apply::apply(h.place, three_ports());
    REQUIRE(why(cured) == "");
    CHECK(cured->quarantined.empty());
    CHECK(flows_with(h, cookie_of("b")) == 2);
}

TEST_CASE("flows that do not parse quarantine their ports, several at once, and the plan says so before anything is written", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) return skip(reason);
    host h;
    auto w = three_ports();
    poison(w, "a", "frobnicate");
    poison(w, "c", "output:q-c,frobnicate");
    // On a bare host the ports have no numbers yet, so only the run itself can tell.
    const auto done = apply::apply(h.place, w);
    REQUIRE(why(done) == "");
    REQUIRE(done->quarantined.size() == 2);
    CHECK(flows_with(h, cookie_of("a")) == 0);
    CHECK(flows_with(h, cookie_of("b")) == 2);
    CHECK(flows_with(h, cookie_of("c")) == 0);
    REQUIRE(why(apply::apply(h.place, three_ports())) == "");
    CHECK(flows_with(h, cookie_of("a")) == 2);

    const auto p = apply::make_plan(h.place, w);
    REQUIRE(why(p) == "");
    REQUIRE(p->quarantined.size() == 2);
    CHECK(p->quarantined[0].port == "t/a");
    CHECK(p->quarantined[1].port == "t/c");
    CHECK(p->quarantined[1].reason.find("frobnicate") != std::string::npos);
    CHECK(p->steps.size() == 4);  // the removal of what both had
}

TEST_CASE("a refused flow that serves all ports fails the run, and nothing of it stands", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) return skip(reason);
    host h;
    auto w = three_ports();
    w.flows["br-int"].push_back({ovs::flow_cookie, 3, 1, 0, 0, "", "group:77"});
    poison(w, "b", "group:78");
    const auto failed = apply::apply(h.place, w);
    REQUIRE(failed.has_error());
    CHECK(failed.error().detail.find("GROUP") != std::string::npos);
    CHECK(ovs::database::connect(h.place.ovs_rundir).value().snapshot().value().empty());
}

TEST_CASE("from one state to the next only the difference is written, and a poisoned port costs itself there too", "[ovs]") {
    if (const auto reason = no_switch_because(); !reason.empty()) return skip(reason);
    host h;
    auto two = three_ports();
    two.bridges[0].ports.pop_back();
    std::erase_if(two.flows["br-int"], [](const auto& f) { return f.cookie == cookie_of("c"); });
    REQUIRE(why(apply::apply(h.place, two)) == "");
    h.sw.ofctl({"add-flow", "unix:" + h.sw.rundir() + "/br-int.mgmt", "cookie=0x12,priority=8,tcp,actions=drop"});

    const auto done = apply::change(h.place, two, three_ports());
    REQUIRE(why(done) == "");
    CHECK(done->steps == 3);
    CHECK(done->ovsdb_writes == 1);
    CHECK(done->flow_writes == 2);
    CHECK(flows_with(h, cookie_of("c")) == 2);
    CHECK(flows_with(h, 0x12) == 1);
    CHECK(apply::make_plan(h.place, three_ports()).value().empty());
    const auto nothing = apply::change(h.place, three_ports(), three_ports());
    REQUIRE(why(nothing) == "");
    CHECK(nothing->steps == 0);

    auto poisoned = three_ports();
    poison(poisoned, "c", "group:77");
    const auto cut = apply::change(h.place, three_ports(), poisoned);
    REQUIRE(why(cut) == "");
    REQUIRE(cut->quarantined.size() == 1);
    CHECK(cut->quarantined[0].port == "t/c");
    CHECK(flows_with(h, cookie_of("c")) == 0);
    CHECK(flows_with(h, cookie_of("b")) == 2);
}
