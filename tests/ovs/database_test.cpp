// SPDX-License-Identifier: Apache-2.0
// The database driver against a real, private ovsdb-server and ovs-vswitchd: rows created, changed and removed, what stays of
// others, and what vswitchd answers. Skips where none can be started. Longer than the guide, because each case is one call of the one driver
// with daemons of its own, and the rows that all of them begin with are the same.
#include "ovs/test_rows.hpp"
#include "ovs/switch_fixture.hpp"
#include "skip.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

#define NEEDS_SWITCH()                                                   \
    if (const auto reason = no_switch_because(); !reason.empty()) {      \
        skip(reason);                                                       \
        return;                                                          \
    }

TEST_CASE("the MTU that a bridge asks for is kept whatever ports join it, changes, and goes again with who asked for it", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    auto br = bridge("br-a");
    br.mtu_request = 1500;
    auto changes = add_bridge(br);
    db.commit(changes).value();
    const auto mtu = [&] { return sw.vsctl({"get", "interface", "br-a", "mtu"}); };
    const auto asked = [&] { return sw.vsctl({"get", "interface", "br-a", "mtu_request"}); };
    CHECK(mtu() == "1500\n");
    sw.vsctl({"add-port", "br-a", "low", "--", "set", "interface", "low", "type=internal", "mtu_request=1300"});
    CHECK(mtu() == "1500\n");
    CHECK(db.snapshot().value()[0].mtu_request == 1500U);

    auto lower = br;
    lower.mtu_request = 1400;
    changes.bridges[0] = {br, lower};
    db.commit(changes).value();
    CHECK(mtu() == "1400\n");
    const auto writes = ovs::database::writes();
    db.commit(changes).value();
    CHECK(ovs::database::writes() == writes);
    // Of a bridge that never asked, what somebody else asks for is left alone.
    auto none = lower;
    none.mtu_request.reset();
    changes.bridges[0] = {none, none};
    db.commit(changes).value();
    CHECK(asked() == "1400\n");
    changes.bridges[0] = {lower, none};
    db.commit(changes).value();
    CHECK(asked() == "[]\n");
}

TEST_CASE("bridge and port are created, changed and removed", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    CHECK(db.snapshot().value().empty());

    auto br = bridge("br-int");
    br.protocols = {"OpenFlow13", "OpenFlow14"};
    br.other_config = {{"disable-in-band", "true"}};
    br.external_ids = {{"weft-object", "b1"}};
    auto changes = add_bridge(br);
    auto tap = port("tap1", "internal");
    tap.tag = 5;
    tap.external_ids = {{"weft-object", "p1"}};
    tap.interfaces[0].external_ids = {{"iface-id", "x"}, {"attached-mac", "02:00:00:00:00:01"}};
    tap.interfaces[0].mac = parse_mac("02:00:00:00:00:01").value();
    tap.interfaces[0].mtu_request = 1450;
    tap.interfaces[0].ofport_request = 42;
    changes.ports.push_back({"br-int", std::nullopt, tap});
    auto trunk = port("trunk1", "internal");
    trunk.trunks = {10, 20, 4095};
    trunk.vlan_mode = "trunk";
    changes.ports.push_back({"br-int", std::nullopt, trunk});

    auto outcomes = db.commit(changes).value();
    REQUIRE(outcome_of(outcomes, "tap1"));
    CHECK(outcome_of(outcomes, "tap1")->ofport == 42);
    CHECK(outcome_of(outcomes, "tap1")->error.empty());
    CHECK(outcome_of(outcomes, "br-int")->ofport == 65534);
    br.ports = {tap, trunk};
    auto seen = db.snapshot().value();
    REQUIRE(seen.size() == 1);
    CHECK(wanted(seen[0]) == br);

    // The same again writes nothing: neither by our count nor by the database's own (vswitchd writes
    // statistics to the log whenever it likes, but next_cfg is raised by clients only).
    const auto writes = ovs::database::writes();
    const auto generation = sw.vsctl({"get", "open_vswitch", ".", "next_cfg"});
    CHECK(db.commit(changes).value().size() == 2);  // the local port was not changed this time
    CHECK(ovs::database::writes() == writes);
    CHECK(sw.vsctl({"get", "open_vswitch", ".", "next_cfg"}) == generation);

    // A foreign key on the row survives a change, and so does one in a map that we empty.
    sw.vsctl({"set", "port", "tap1", "external_ids:foreign=1", "other_config:theirs=2"});
    sw.vsctl({"set", "bridge", "br-int", "external_ids:foreign=3"});
    auto changed = tap;
    changed.tag.reset();
    changed.vlan_mode = "access";
    changed.external_ids.clear();
    changed.interfaces[0].external_ids = {{"iface-id", "y"}};
    changed.interfaces[0].mac.reset();
    ovs::change_set second;
    second.ports.push_back({"br-int", tap, changed});
    auto br2 = br;
    br2.external_ids.clear();
    br2.fail_mode = "standalone";
    br2.other_config = {{"mac-table-size", "50000"}};
    second.bridges.push_back({br, br2});
    REQUIRE(why(db.commit(second)) == "");
    seen = db.snapshot().value();
    CHECK(seen[0].external_ids == ovs::string_map{{"foreign", "3"}});
    CHECK(seen[0].other_config == ovs::string_map{{"mac-table-size", "50000"}});
    CHECK(seen[0].fail_mode == "standalone");
    changed.external_ids = {{"foreign", "1"}};
    changed.other_config = {{"theirs", "2"}};
    CHECK(wanted(seen[0]).ports[0] == changed);

    ovs::change_set removal;
    removal.ports.push_back({"br-int", changed, std::nullopt});
    REQUIRE(why(db.commit(removal)) == "");
    CHECK(db.snapshot().value()[0].ports.size() == 1);
    removal = {};
    removal.bridges.push_back({br2, std::nullopt});
    REQUIRE(why(db.commit(removal)) == "");
    CHECK(db.snapshot().value().empty());
    CHECK(sw.vsctl({"--columns=name", "list", "port"}).empty());
    REQUIRE(why(db.commit(removal)) == "");  // gone already: nothing to do
}

TEST_CASE("a change of a row that is gone makes it anew where weft made it, and never where its owner took it away", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    auto changes = add_bridge(bridge("br-int"));
    auto own = port("own1", "internal"), theirs = port("theirs1", "internal");
    own.external_ids = {{ovs::mark_fabric, "f"}, {ovs::mark_object, "o"}};
    theirs.interfaces[0].external_ids = {{"iface-id", "x"}};
    changes.ports.push_back({"br-int", std::nullopt, own});
    REQUIRE(why(db.commit(changes)) == "");

    const auto change_to = [&](const ovs::port_row& before, ovs::port_row after) {
        after.tag = 7;
        ovs::change_set set;
        set.ports.push_back({"br-int", before, after});
        return db.commit(set);
    };
    sw.vsctl({"del-port", "own1"});
    REQUIRE(why(change_to(own, own)) == "");
    CHECK(sw.vsctl({"get", "port", "own1", "tag"}) == "7\n");

    auto bound = theirs;
    bound.external_ids = own.external_ids;
    bound.other_config = {{ovs::mark_bound, "true"}};
    for (const auto& [before, after] : {std::pair(theirs, bound), std::pair(bound, bound), std::pair(bound, theirs)}) {
        const auto refused = change_to(before, after);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == errc::not_found);
        CHECK(refused.error().object == "theirs1");
        CHECK(sw.vsctl({"list-ports", "br-int"}) == "own1\n");
    }
}

TEST_CASE("the controllers that somebody set on a bridge are read", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    REQUIRE(db.commit(add_bridge(bridge("br-ex"))).has_value());
    CHECK(db.snapshot().value()[0].controllers.empty());
    sw.vsctl({"set-controller", "br-ex", "tcp:127.0.0.1:6653", "ptcp:6654:127.0.0.1"});
    CHECK(db.snapshot().value()[0].controllers == std::set<std::string>{"tcp:127.0.0.1:6653", "ptcp:6654:127.0.0.1"});
    sw.vsctl({"del-controller", "br-ex"});
    CHECK(db.snapshot().value()[0].controllers.empty());
}

TEST_CASE("tunnels, patch pairs and a missing device", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    auto changes = add_bridge(bridge("br-int"));
    changes.bridges.push_back({std::nullopt, bridge("br-tun")});
    changes.ports.push_back({"br-int", std::nullopt, port("patch-tun", "patch", {{"peer", "patch-int"}})});
    changes.ports.push_back({"br-tun", std::nullopt, port("patch-int", "patch", {{"peer", "patch-tun"}})});
    for (const char* type : {"vxlan", "gre", "geneve"}) {
        changes.ports.push_back({"br-tun", std::nullopt, port(std::string(type) + "-0a141435", type,
            {{"remote_ip", "10.20.20.53"}, {"local_ip", "10.20.20.52"}, {"in_key", "flow"}, {"out_key", "flow"}, {"df_default", "true"}})});
    }
    changes.ports.push_back({"br-int", std::nullopt, port("nosuchdev", "")});
    auto dead = port("dead", "internal");
    dead.tag = 4095;
    changes.ports.push_back({"br-int", std::nullopt, dead});
    const auto outcomes = db.commit(changes).value();
    for (const char* name : {"patch-tun", "patch-int", "vxlan-0a141435", "gre-0a141435", "geneve-0a141435", "dead"}) {
        INFO(name);
        REQUIRE(outcome_of(outcomes, name));
        CHECK(outcome_of(outcomes, name)->error == "");
        CHECK(outcome_of(outcomes, name)->ofport.value_or(-1) > 0);
    }
    REQUIRE(outcome_of(outcomes, "nosuchdev"));
    CHECK(outcome_of(outcomes, "nosuchdev")->ofport == -1);
    CHECK_FALSE(outcome_of(outcomes, "nosuchdev")->error.empty());

    // A port that moves to another bridge leaves and arrives in one transaction.
    ovs::change_set move;
    move.ports.push_back({"br-int", dead, std::nullopt});
    move.ports.push_back({"br-tun", std::nullopt, dead});
    CHECK(outcome_of(db.commit(move).value(), "dead")->ofport.value_or(-1) > 0);
    CHECK(sw.vsctl({"port-to-br", "dead"}) == "br-tun\n");

    auto nowhere = db.commit(add_port("br-none", port("x", "internal")));
    REQUIRE(nowhere.has_error());
    CHECK(nowhere.error().code == errc::not_found);
    auto refused = port("y", "internal");
    refused.vlan_mode = "no-such-mode";
    auto answer = db.commit(add_port("br-int", refused));
    REQUIRE(answer.has_error());
    CHECK(answer.error().code == errc::protocol_error);
    CHECK(answer.error().detail.find("no-such-mode") != std::string::npos);
    // The connection is good for more afterwards.
    CHECK(why(db.commit(add_port("br-int", port("y", "internal")))) == "");
}

namespace {

// Of the cases of a failure that is told late: a port that can be opened, and that it was at last.
ovs::change_set tap1_on_br_int() {
    auto changes = add_bridge(bridge("br-int"));
    changes.ports.push_back({"br-int", std::nullopt, port("tap1", "internal")});
    return changes;
}

void check_tap1_is_open(const result<std::vector<ovs::port_outcome>>& outcomes) {
    REQUIRE(outcomes.has_value());
    REQUIRE(outcome_of(*outcomes, "tap1"));
    CHECK(outcome_of(*outcomes, "tap1")->error == "");
    CHECK(outcome_of(*outcomes, "tap1")->ofport.value_or(-1) > 0);
}

}  // namespace

TEST_CASE("a failure that the switch wrote of a configuration before is not taken for one of this transaction", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    db.commit(tap1_on_br_int()).value();
    // What ovs-vswitchd had sent when it took up the rows, and not yet seen, it does not clear: here its part is played while it stands still,
    // as no one can make it do so at a moment of choice.
    ::kill(sw.switchd_pid(), SIGSTOP);
    const auto number = [&] { return std::stoll(sw.vsctl({"--no-wait", "get", "open_vswitch", ".", "next_cfg"})); };
    const auto known = number();
    std::optional<result<std::vector<ovs::port_outcome>>> outcomes;
    std::thread committing([&] {
        auto tagged = port("tap1", "internal");
        tagged.tag = 7;
        ovs::change_set change;
        change.ports.push_back({"br-int", port("tap1", "internal"), tagged});
        outcomes = db.commit(change, 10s);
    });
    for (int i = 0; number() == known && i < 200; ++i) std::this_thread::sleep_for(10ms);
    CHECK(number() == known + 1);
    sw.vsctl({"--no-wait", "set", "interface", "tap1", "error=of_before", "--", "set", "open_vswitch", ".", "cur_cfg=" + std::to_string(known + 1)});
    for (int i = 0; number() == known + 1 && i < 200; ++i) std::this_thread::sleep_for(10ms);
    CHECK(number() == known + 2);
    ::kill(sw.switchd_pid(), SIGCONT);
    committing.join();
    check_tap1_is_open(outcomes.value());
}

TEST_CASE("a failure that stood before a transaction that changes nothing is asked about once more", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    db.commit(tap1_on_br_int()).value();
    // As where a device has just come back: its row says still that it is not there.
    ::kill(sw.switchd_pid(), SIGSTOP);
    sw.vsctl({"--no-wait", "set", "interface", "tap1", "error=of_before", "ofport=-1"});
    std::optional<result<std::vector<ovs::port_outcome>>> outcomes;
    std::thread committing([&] { outcomes = db.commit(tap1_on_br_int(), 10s); });
    std::this_thread::sleep_for(200ms);
    ::kill(sw.switchd_pid(), SIGCONT);
    committing.join();
    check_tap1_is_open(outcomes.value());
}

TEST_CASE("no server is unavailable at once, and a restarted one works again", "[ovs]") {
    NEEDS_SWITCH();
    const auto start = std::chrono::steady_clock::now();
    auto none = ovs::database::connect("/nonexistent/run");
    REQUIRE(none.has_error());
    CHECK(none.error().code == errc::unavailable);

    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    REQUIRE(why(db.commit(add_bridge(bridge("br0")))) == "");
    sw.stop_server();
    const auto stopped = std::chrono::steady_clock::now();
    auto gone = db.snapshot();
    REQUIRE(gone.has_error());
    CHECK(gone.error().code == errc::unavailable);
    auto refused = db.commit(add_bridge(bridge("br1")));
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::unavailable);
    CHECK(std::chrono::steady_clock::now() - stopped < 500ms);

    sw.start_server(false);
    CHECK(db.snapshot().value().size() == 1);
    // Without asking in between: the view must not be the old one.
    sw.stop_server();
    sw.start_server(true);
    CHECK(db.snapshot().value().empty());
    CHECK(why(db.commit(add_bridge(bridge("br2")))) == "");
    CHECK(db.snapshot().value().size() == 1);
    CHECK(std::chrono::steady_clock::now() - start < 20s);
}

TEST_CASE("neither a missing switch daemon nor a stopped server holds a caller longer than its deadline", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw(false);
    auto db = ovs::database::connect(sw.rundir()).value();
    auto late = db.commit(add_bridge(bridge("br0")), 300ms);
    REQUIRE(late.has_error());
    CHECK(late.error().code == errc::timed_out);
    CHECK(db.snapshot().value().size() == 1);

    ::kill(sw.server_pid(), SIGSTOP);
    auto silent = db.commit(add_bridge(bridge("br1")), 300ms);
    REQUIRE(silent.has_error());
    CHECK(silent.error().code == errc::timed_out);  // nothing had been sent
    ::kill(sw.server_pid(), SIGCONT);
    CHECK(db.snapshot().value().size() == 1);
}

TEST_CASE("a server killed under a commit never looks like success", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    REQUIRE(why(db.commit(add_bridge(bridge("br0")))) == "");
    std::vector<std::string> done;
    std::optional<error> failure;
    std::thread writer([&] {
        for (int i = 0; !failure && i < 5000; i++) {
            auto p = port("p" + std::to_string(i), "internal");
            if (auto r = db.commit(add_port("br0", p)); r) {
                done.push_back(p.name);
            } else {
                failure = r.error();
            }
        }
    });
    std::this_thread::sleep_for(100ms);
    sw.stop_server();
    writer.join();
    REQUIRE(failure);
    CHECK((failure->code == errc::unavailable || failure->code == errc::outcome_unknown));
    sw.start_server(false);
    // All that was reported as done stands; at most the last one, whose outcome was not known, stands beside.
    const auto ports = db.snapshot().value()[0].ports.size();
    CHECK((ports == done.size() || ports == done.size() + 1));
}

TEST_CASE("two databases at once, from many threads", "[ovs]") {
    NEEDS_SWITCH();
    private_switch one, two(true, true);  // the second with a path longer than a socket address
    auto a = ovs::database::connect(one.rundir()).value();
    auto b = ovs::database::connect(two.rundir()).value();
    REQUIRE(why(a.commit(add_bridge(bridge("br0")))) == "");
    REQUIRE(why(b.commit(add_bridge(bridge("br0")))) == "");
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 6; t++) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5; i++) {
                auto p = port("p" + std::to_string(t) + "x" + std::to_string(i), "internal");
                auto& db = t % 2 ? a : b;
                good += db.commit(add_port("br0", p)).has_value() && db.snapshot().has_value();
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    CHECK(good == 30);
    CHECK(a.snapshot().value()[0].ports.size() == 15);
    CHECK(b.snapshot().value()[0].ports.size() == 15);

    // A database that hangs does not hold up the other.
    ::kill(one.server_pid(), SIGSTOP);
    std::thread slow([&] { CHECK_FALSE(a.commit(add_port("br0", port("late", "internal")), 1500ms).has_value()); });
    const auto start = std::chrono::steady_clock::now();
    CHECK(b.snapshot().has_value());
    CHECK(std::chrono::steady_clock::now() - start < 500ms);
    slow.join();
    ::kill(one.server_pid(), SIGCONT);
}

TEST_CASE("the program's signal handlers are left alone", "[ovs]") {
    (void)ovs::database::connect("/nonexistent/run");
    // Those two of the library's five that Catch2 does not take for itself.
    for (int s : {SIGHUP, SIGALRM}) {
        struct sigaction now {};
        ::sigaction(s, nullptr, &now);
        CHECK(now.sa_handler == SIG_DFL);
    }
}

TEST_CASE("a wait for a change ends with it, with the time, or with the server", "[ovs]") {
    NEEDS_SWITCH();
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    const auto before = db.snapshot().value();
    CHECK(db.wait_change(before, std::chrono::milliseconds(50)).value() == before);
    CHECK(db.wait_change({bridge("another")}, std::chrono::seconds(10)).value() == before);  // differs already

    using clock = std::chrono::steady_clock;
    auto start = clock::now();
    std::thread other([&] { sw.vsctl({"add-br", "br7", "--", "set", "bridge", "br7", "datapath_type=netdev"}); });
    const auto after = db.wait_change(before, std::chrono::seconds(10));
    other.join();
    REQUIRE(after.has_value());
    CHECK(after->size() == before.size() + 1);
    CHECK(clock::now() - start < std::chrono::seconds(5));

    start = clock::now();
    std::thread killer([&] { sw.stop_server(); });
    auto rows = db.snapshot();
    for (int i = 0; rows && i < 100; ++i) rows = db.wait_change(*rows, std::chrono::seconds(10));
    killer.join();
    REQUIRE(rows.has_error());
    CHECK(rows.error().code == errc::unavailable);
    CHECK(clock::now() - start < std::chrono::seconds(5));
}
