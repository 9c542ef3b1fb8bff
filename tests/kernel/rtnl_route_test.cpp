// SPDX-License-Identifier: Apache-2.0
// Addresses, routes, nexthop objects, rules, neighbours, batches, the asynchronous driver and the monitor against the running
// kernel: what was written comes back equal. May include: the library.
#include "netns_fixture.hpp"
#include "weft/netlink/monitor.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <algorithm>

using namespace weft;
using namespace weft::netlink;
using test::make_link;

namespace {

ip_address ip(const char* text) { return parse_ip(text).value(); }
ip_prefix net(const char* text) { return parse_prefix(text).value(); }

template <class T>
bool has(const std::vector<T>& all, const T& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

std::vector<change> two_links() {
    auto a = make_link("v0", veth_options{"v1", "", {}, {}});
    auto b = make_link("v1", veth_options{"v0", "", {}, {}});
    a.up = b.up = true;
    return {{verb::add, a}, {verb::change, b}};
}

void all_good(const std::vector<result<void>>& results) {
    for (const auto& r : results) {
        if (!r) FAIL_CHECK(r.error().message());
    }
}

route make_route(const char* to, std::vector<nexthop> hops) {
    route r;
    r.destination = net(to);
    r.nexthops = std::move(hops);
    return r;
}

}  // namespace

TEST_CASE("addresses, routes, rules and neighbours come back equal", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    all_good(s.run(two_links()));

    const std::vector<address_entry> addresses{
        {"v0", net("192.0.2.1/24"), 0, ip("192.0.2.255"), weft_protocol, 0},
        {"v1", net("198.51.100.1/24"), 0, {}, weft_protocol, 0},
        {"v0", net("2001:db8::1/64"), 0, {}, weft_protocol, 0x02},
    };
    std::vector<route> routes{
        make_route("203.0.113.0/24", {{ip("192.0.2.2"), "v0", 0, false}}),
        make_route("0.0.0.0/0", {{ip("192.0.2.3"), "v0", 0, false}, {ip("198.51.100.2"), "v1", 5, false}}),
        make_route("2001:db8:1::/48", {{ip("2001:db8::2"), "v0", 0, false}}),
        make_route("::/0", {{ip("2001:db8::3"), "v0", 0, false}, {ip("2001:db8::4"), "v0", 0, false}}),
        make_route("10.1.0.0/16", {}),
        make_route("2001:db8:2::/48", {}),
        make_route("10.2.0.0/16", {}),
    };
    routes[0].metric = 50, routes[0].mtu = 1300, routes[0].preferred_source = ip("192.0.2.1");
    routes[4].type = 6, routes[4].table = 1000;
    routes[5].type = 7;
    routes[6].nexthop_id = 11;
    std::vector<nexthop_object> hops(3);
    hops[0].id = 11, hops[0].hop = {ip("192.0.2.9"), "v0", 0, false};
    hops[1].id = 12, hops[1].hop = {ip("198.51.100.9"), "v1", 0, false};
    hops[2].id = 13, hops[2].group = {11, 12};
    std::vector<rule> rules(3);
    rules[0].priority = 100, rules[0].from = net("10.0.0.0/8"), rules[0].table = 1000;
    rules[1].priority = 101, rules[1].v6 = true, rules[1].input_device = "v0", rules[1].invert = true;
    rules[2].priority = 102, rules[2].fwmark = 1, rules[2].fwmask = 0xff, rules[2].suppress_prefix_length = 0;
    std::vector<neighbour> neighbours(3);
    neighbours[0] = {"v0", ip("192.0.2.7"), parse_mac("02:00:00:00:00:07").value()};
    neighbours[1] = {"v0", ip("2001:db8::7"), parse_mac("02:00:00:00:00:07").value()};
    neighbours[2] = {"v1", ip("198.51.100.77"), {}, 0x80, 8};

    std::vector<change> changes;
    for (const auto& x : addresses) changes.push_back({verb::add, x});
    for (const auto& x : hops) changes.push_back({verb::add, x});
    for (const auto& x : routes) changes.push_back({verb::add, x});
    for (const auto& x : rules) changes.push_back({verb::add, x});
    for (const auto& x : neighbours) changes.push_back({verb::add, x});
    all_good(s.run(changes));

    const auto seen_addresses = s.addresses().value();
    const auto seen_routes = s.routes().value();
    const auto seen_hops = s.nexthops().value();
    const auto seen_rules = s.rules().value();
    const auto seen_neighbours = s.neighbours().value();
    for (const auto& x : addresses) CHECK(has(seen_addresses, x));
    for (std::size_t i = 0; i < routes.size(); ++i) {
        INFO("route " << i);
        CHECK(has(seen_routes, routes[i]));
    }
    for (const auto& x : hops) CHECK(has(seen_hops, x));
    for (const auto& x : rules) CHECK(has(seen_rules, x));
    for (const auto& x : neighbours) CHECK(has(seen_neighbours, x));

    // Again: each is there already. One by one, since a failure ends a run.
    for (const auto& c : changes) {
        const auto* n = std::get_if<neighbour>(&c.object);
        if (n != nullptr && n->flags == 8) continue;  // the kernel has no "must be new" for proxies
        const auto r = s.run_one(c);
        INFO((r ? std::string("no error") : r.error().message()) << " " << c.object.index());
        CHECK((!r && r.error().code == errc::already_exists));
    }

    routes[0].nexthops[0].gateway = ip("192.0.2.5");
    s.run_one({verb::change, routes[0]}).value();
    CHECK(has(s.routes().value(), routes[0]));
    changes[addresses.size() + hops.size()].object = routes[0];

    std::reverse(changes.begin(), changes.end());
    for (auto& c : changes) c.verb = verb::remove;
    all_good(s.run(changes));
    all_good(s.run(changes));  // removing the absent succeeds
    CHECK(s.nexthops().value().empty());
    for (const auto& r : s.routes().value()) CHECK(r.protocol != weft_protocol);
    for (const auto& r : s.rules().value()) CHECK(r.protocol != weft_protocol);
    CHECK(s.neighbours().value().empty());
}

TEST_CASE("the forwarding table of a VXLAN is written and read", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto vx = make_link("vx0", vxlan_options{42, ip("192.0.2.1"), {}, 4789, {}, false, ""});
    vx.group = weft_link_group;
    const auto made = s.run_one({verb::add, vx});
    if (test::unknown_kind(made, "vxlan")) return;
    std::vector<neighbour> entries(3);
    entries[0] = {"vx0", ip("192.0.2.2"), mac_address{}, 0x80, 2, true};
    entries[1] = {"vx0", ip("192.0.2.3"), mac_address{}, 0x80, 2, true};
    entries[2] = {"vx0", ip("192.0.2.3"), parse_mac("02:00:00:00:00:07").value(), 0x80, 2, true};
    for (const auto& e : entries) s.run_one({verb::add, e}).value();
    for (const auto& e : entries) CHECK(has(s.neighbours().value(), e));
    for (const auto& e : entries) s.run_one({verb::remove, e}).value();
    for (const auto& e : entries) s.run_one({verb::remove, e}).value();
    CHECK(s.neighbours().value().empty());
}

TEST_CASE("a run stops at the first failure and tells the kernel's words", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    all_good(s.run(two_links()));
    std::vector<change> changes{{verb::add, make_route("10.0.0.0/8", {{ip("192.0.2.2"), "v0", 0, false}})}};
    for (int i = 0; i < 200; ++i) changes.push_back({verb::add, make_link("b" + std::to_string(i), bridge_options{})});
    const auto before = session::writes();
    const auto results = s.run(changes);
    REQUIRE(results.size() == changes.size());
    REQUIRE(results[0].has_error());
    CHECK(results[0].error().detail.find("Nexthop has invalid gateway") != std::string::npos);
    CHECK(results.back().error().code == errc::outcome_unknown);
    CHECK(results.back().error().detail == "not sent");
    CHECK(session::writes() - before < 100);
    const auto absent = s.run_one({verb::add, make_route("10.0.0.0/8", {{{}, "none", 0, false}})});
    CHECK(absent.error().code == errc::not_found);
}

TEST_CASE("a thousand links in one run, blocking and on an executor", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    std::vector<change> changes{{verb::add, make_link("br0", bridge_options{})}};
    for (int i = 0; i < 250; ++i) {
        auto l = make_link("a" + std::to_string(i), veth_options{"z" + std::to_string(i), "", {}, {}});
        l.master = "br0", l.up = true, l.alias = "weft:f/" + l.name;
        changes.push_back({verb::add, l});
        changes.push_back({verb::add, address_entry{"z" + std::to_string(i), {advance(ip("10.0.0.1"), i), 32}, 0, {}, 87, 0}});
    }
    auto removals = changes;
    for (auto& c : removals) c.verb = verb::remove;
    std::reverse(removals.begin(), removals.end());

    all_good(s.run(changes));
    CHECK(s.links().value().size() == 502);
    CHECK(s.addresses().value().size() == 250);
    CHECK(s.get_link("a249").value().master == "br0");
    all_good(s.run(removals));
    CHECK(s.links().value().size() == 1);

    boost::asio::io_context io;
    int called = 0;
    s.async_run(io.get_executor(), changes, [&](std::vector<result<void>> results) {
        ++called;
        CHECK(results.size() == changes.size());
        all_good(results);
    });
    CHECK(called == 0);
    io.run();
    CHECK(called == 1);
    CHECK(s.links().value().size() == 502);
}

TEST_CASE("the monitor tells what changes, and that events were lost", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto m = monitor::open(ns.handle()).value();
    CHECK(m.poll(std::chrono::milliseconds(0)).value().empty());
    all_good(s.run(two_links()));
    s.run_one({verb::add, address_entry{"v0", net("192.0.2.1/24"), 0, {}, weft_protocol, 0}}).value();
    const auto events = m.poll(std::chrono::seconds(2)).value();
    bool link_seen = false, address_seen = false;
    for (const auto& e : events) {
        if (!e.object) continue;
        if (const auto* l = std::get_if<weft::link>(&*e.object)) link_seen |= l->name == "v0";
        if (const auto* a = std::get_if<address_entry>(&*e.object)) address_seen |= a->device == "v0";
    }
    CHECK(link_seen);
    CHECK(address_seen);

    boost::asio::io_context io;
    bool removed = false;
    m.async_poll(io.get_executor(), [&](result<std::vector<event>> r) {
        for (const auto& e : r.value()) removed |= e.kind == event_kind::removed;
    });
    s.run_one({verb::remove, make_link("v0", veth_options{})}).value();
    io.run();
    CHECK(removed);

    bool cancelled = false;
    (void)m.poll(std::chrono::milliseconds(50));
    io.restart();
    m.async_poll(io.get_executor(), [&](result<std::vector<event>> r) { cancelled = r.value().empty(); });
    io.poll();
    m.cancel();
    io.run();
    CHECK(cancelled);

    auto small = monitor::open(ns.handle(), 4096).value();
    std::vector<change> flood;
    for (int i = 0; i < 100; ++i) flood.push_back({verb::add, make_link("b" + std::to_string(i), bridge_options{})});
    all_good(s.run(flood));
    bool lost = false;
    const auto overflow = small.poll(std::chrono::seconds(2)).value();
    for (const auto& e : overflow) lost |= e.kind == event_kind::lost;
    CHECK(lost);
}
