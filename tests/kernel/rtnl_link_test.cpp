// SPDX-License-Identifier: Apache-2.0
// Links against the running kernel: each kind is made by one message, comes back as it was wanted, is changed and removed.
// Kinds this kernel lacks skip. libnl-route decodes the same links as a second opinion. May include: the library, libnl.
#include "netns_fixture.hpp"

#include <catch2/catch.hpp>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/route/route.h>

#include <algorithm>

using namespace weft;
using namespace weft::netlink;
using test::make_link;

namespace {
const mac_address mac_a = parse_mac("02:00:00:00:00:0a").value();
const mac_address mac_b = parse_mac("02:00:00:00:00:0b").value();
ip_address ip(const char* text) { return parse_ip(text).value(); }
}  // namespace

TEST_CASE("a bridge comes back as it was wanted", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto l = make_link("br0", bridge_options{false, 1500, 30000, true, false});
    l.mac = mac_a, l.mtu = 1400, l.group = weft_link_group, l.alias = "weft:f/br0", l.up = true;
    auto made = s.run_one({verb::add, l});
    if (!made && made.error().code == errc::unsupported) {
        test::skip("this kernel's bridges cannot filter VLANs");
        std::get<bridge_options>(l.options).vlan_filtering.reset();
        made = s.run_one({verb::add, l});
    }
    made.value();
    const auto seen = s.get_link("br0").value();
    const auto& options = std::get<bridge_options>(seen.options);
    const auto& wanted = std::get<bridge_options>(l.options);
    CHECK(options.stp == wanted.stp);
    CHECK(options.forward_delay == wanted.forward_delay);
    CHECK(options.ageing_time == wanted.ageing_time);
    if (wanted.vlan_filtering) CHECK(options.vlan_filtering == wanted.vlan_filtering);
    CHECK(options.mcast_snooping == wanted.mcast_snooping);
    CHECK(seen.mac == l.mac);
    CHECK(seen.mtu == l.mtu);
    CHECK(seen.group == l.group);
    CHECK(seen.alias == l.alias);
    CHECK(seen.up);
    CHECK(seen.index != 0);

    const auto again = s.run_one({verb::add, l});
    REQUIRE(again.has_error());
    CHECK(again.error().code == errc::already_exists);
    CHECK(again.error().object == "br0 in " + ns.name);

    l.mtu = 1450, l.alias = "weft:f/other", l.up = false, l.mac = mac_b;
    std::get<bridge_options>(l.options).stp = true;
    s.run_one({verb::change, l}).value();
    const auto changed = s.get_link("br0").value();
    CHECK(changed.mtu == 1450u);
    CHECK(changed.alias == "weft:f/other");
    CHECK(changed.mac == mac_b);
    CHECK_FALSE(changed.up);
    CHECK(std::get<bridge_options>(changed.options).stp == true);

    CHECK(s.run_one({verb::remove, make_link("br0", vxlan_options{})}).error().code == errc::foreign_object);
    s.run_one({verb::remove, l}).value();
    s.run_one({verb::remove, l}).value();  // removing the absent succeeds
    CHECK(s.get_link("br0").error().code == errc::not_found);
}

TEST_CASE("a failed creation leaves a foreign link alone", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto foreign = make_link("x0", bridge_options{});
    foreign.alias = "somebody's";
    s.run_one({verb::add, foreign}).value();
    auto ours = make_link("x0", veth_options{"x1", "", {}, {}});
    ours.alias = "weft:f/x0", ours.up = true;
    CHECK(s.run_one({verb::add, ours}).error().code == errc::already_exists);
    const auto seen = s.get_link("x0").value();
    CHECK(seen.alias == "somebody's");
    CHECK_FALSE(seen.up);
}

TEST_CASE("veth ends are born with their settings in their namespaces", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns, peer_ns;
    auto s = ns.session();
    auto l = make_link("v0", veth_options{"v1", peer_ns.name, mac_b, 1300});
    l.mac = mac_a, l.mtu = 1300, l.group = weft_link_group, l.master = "br0", l.alias = "weft:f/v0", l.up = true;
    const auto results = s.run(std::vector<change>{{verb::add, make_link("br0", bridge_options{})}, {verb::add, l}});
    REQUIRE(results.size() == 2);
    results[0].value(), results[1].value();
    const auto seen = s.get_link("v0").value();
    CHECK(seen.mac == mac_a);
    CHECK(seen.mtu == 1300u);
    CHECK(seen.master == "br0");
    CHECK(seen.alias == l.alias);
    CHECK(seen.up);
    CHECK(seen.peer_namespace_id >= 0);
    CHECK(seen.peer_namespace_id == s.namespace_id(peer_ns.handle()).value());
    auto p = peer_ns.session();
    const auto other = p.get_link("v1").value();
    CHECK(other.mac == mac_b);
    CHECK(other.mtu == 1300u);
    CHECK(other.group == weft_link_group);
    CHECK(other.index == seen.link_index);

    auto detached = l;
    detached.master.clear();
    s.run_one({verb::change, detached}).value();
    CHECK(s.get_link("v0").value().master.empty());

    // Both ends in one namespace: the peer is known by name.
    s.run_one({verb::add, make_link("w0", veth_options{"w1", "", {}, {}})}).value();
    CHECK(std::get<veth_options>(s.get_link("w0").value().options).peer == "w1");
    CHECK(s.run_one({verb::add, make_link("u0", veth_options{"u1", "weft-none-such", {}, {}})}).error().code == errc::not_found);
}

TEST_CASE("vxlan, ifb and tap come back as they were wanted", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    const vxlan_options v4{42, ip("192.0.2.1"), ip("192.0.2.2"), 4789, 64, false, ""};
    const vxlan_options v6{43, ip("2001:db8::1"), ip("2001:db8::2"), 4790, 64, true, ""};
    for (const auto& o : {v4, v6}) {
        const auto name = "vx" + std::to_string(o.id);
        const auto made = s.run_one({verb::add, make_link(name, o)});
        if (test::unknown_kind(made, "vxlan")) break;
        made.value();
        CHECK(std::get<vxlan_options>(s.get_link(name).value().options) == o);
    }
    if (const auto made = s.run_one({verb::add, make_link("ifb7", ifb_options{})}); !test::unknown_kind(made, "ifb")) {
        made.value();
        CHECK(std::holds_alternative<ifb_options>(s.get_link("ifb7").value().options));
    }
    if (access("/dev/net/tun", R_OK | W_OK) != 0) return test::skip("no /dev/net/tun");
    auto tap = make_link("tap0", tun_options{true, 1000, 1001, false});
    tap.mac = mac_a, tap.mtu = 1400, tap.group = weft_link_group, tap.alias = "weft:f/tap0", tap.up = true;
    auto tun = make_link("tun0", tun_options{false, {}, {}, true});
    for (const auto& r : s.run(std::vector<change>{{verb::add, tap}, {verb::add, tun}})) r.value();
    const auto seen = s.get_link("tap0").value();
    CHECK(seen.options == tap.options);
    CHECK(seen.mac == tap.mac);
    CHECK(seen.mtu == tap.mtu);
    CHECK(seen.group == tap.group);
    CHECK(seen.alias == tap.alias);
    CHECK(seen.up);
    CHECK(s.get_link("tun0").value().options == tun.options);
    CHECK(s.run_one({verb::add, tap}).error().code == errc::already_exists);
    s.run_one({verb::remove, tap}).value();
    CHECK(s.get_link("tap0").error().code == errc::not_found);
}

TEST_CASE("a vxlan stands on the device below it, in a group there", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto below = make_link("br0", bridge_options{});
    below.up = true;
    s.run_one({verb::add, below}).value();
    // A group without a device below is refused by the kernel, so that this is seen to be written.
    const vxlan_options o{5001, {}, ip("239.0.19.137"), 8472, 10, true, "br0"};
    auto l = make_link("vxlan5001", o);
    l.up = true;
    const auto made = s.run_one({verb::add, l});
    if (test::unknown_kind(made, "vxlan")) return;
    made.value();
    CHECK(std::get<vxlan_options>(s.get_link("vxlan5001").value().options) == o);
    const auto listed = s.links().value();
    const auto seen = std::find_if(listed.begin(), listed.end(), [](const auto& x) { return x.name == "vxlan5001"; });
    REQUIRE(seen != listed.end());
    CHECK(std::get<vxlan_options>(seen->options).device == "br0");
}

TEST_CASE("kinds that depend on the kernel come back as they were wanted", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto base = make_link("base0", veth_options{"base1", "", {}, {}});
    base.up = true;
    s.run_one({verb::add, base}).value();
    const std::vector<weft::link> wanted{
        make_link("k0", gretap_options{ip("192.0.2.1"), ip("192.0.2.2"), 7, 64}),
        make_link("k1", geneve_options{5, ip("192.0.2.2"), 6081, 64}),
        make_link("k2", vlan_options{100, "base0"}),
        make_link("k3", dummy_options{}),
        make_link("k4", bond_options{1, 100}),
        make_link("k5", macvlan_options{"base0", 4}),
        make_link("k6", vrf_options{1000}),
        make_link("k7", wireguard_options{}),
        make_link("k8", gretap_options{ip("2001:db8::1"), ip("2001:db8::2"), 7, 64}),
    };
    for (const auto& l : wanted) {
        const auto made = s.run_one({verb::add, l});
        if (test::unknown_kind(made, kind_name(l.options))) continue;
        made.value();
        CHECK(s.get_link(l.name).value().options == l.options);
        s.run_one({verb::remove, l}).value();
    }
}

TEST_CASE("features are set and read by name", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto l = make_link("v0", veth_options{"v1", "", {}, {}});
    l.features = {{"tx-checksum-ip-generic", false}, {"tx-tcp-segmentation", false}};
    s.run_one({verb::add, l}).value();
    const auto find = [&] {
        const auto links = s.links(true).value();
        return *std::find_if(links.begin(), links.end(), [](const auto& x) { return x.name == "v0"; });
    };
    CHECK(find().features.at("tx-checksum-ip-generic") == false);
    l.features = {{"tx-checksum-ip-generic", true}};
    s.run_one({verb::change, l}).value();
    CHECK(find().features.at("tx-checksum-ip-generic") == true);
    // An undo gives back all that was read, features among it that the kernel holds fixed and refuses to be asked for.
    l.features = find().features;
    s.run_one({verb::change, l}).value();
    CHECK(find().features == l.features);
    l.features = {{"no-such-feature", true}};
    CHECK(s.run_one({verb::change, l}).error().code == errc::unsupported);
}

TEST_CASE("libnl-route sees the same links and routes", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns;
    auto s = ns.session();
    auto br = make_link("br0", bridge_options{});
    br.mac = mac_a, br.mtu = 1400, br.group = weft_link_group, br.alias = "weft:f/br0", br.up = true;
    auto vx = make_link("vx0", vxlan_options{42, ip("192.0.2.1"), ip("192.0.2.2"), 4789, 64, false, ""});
    vx.master = "br0";
    route r;
    r.destination = parse_prefix("198.51.100.0/24").value();
    r.nexthops = {{ip("192.0.2.254"), "br0", 0, true}};
    r.metric = 77;
    // The kernel judges gateways only once the namespace has an address.
    const address_entry a{"br0", parse_prefix("203.0.113.1/24").value(), 0, {}, weft_protocol, 0};
    for (const auto& x : s.run(std::vector<change>{{verb::add, br}, {verb::add, vx}, {verb::add, a}, {verb::add, r}})) x.value();
    run_in(ns.handle(), [&]() -> result<void> {
        std::unique_ptr<nl_sock, decltype(&nl_socket_free)> sock(nl_socket_alloc(), nl_socket_free);
        REQUIRE(nl_connect(sock.get(), NETLINK_ROUTE) == 0);
        nl_cache* links = nullptr;
        REQUIRE(rtnl_link_alloc_cache(sock.get(), AF_UNSPEC, &links) == 0);
        auto* b = rtnl_link_get_by_name(links, "br0");
        auto* v = rtnl_link_get_by_name(links, "vx0");
        REQUIRE(b != nullptr);
        REQUIRE(v != nullptr);
        CHECK(std::string(rtnl_link_get_type(b)) == "bridge");
        CHECK(rtnl_link_get_mtu(b) == 1400);
        CHECK(rtnl_link_get_group(b) == weft_link_group);
        CHECK(std::string(rtnl_link_get_ifalias(b)) == br.alias);
        std::uint32_t id = 0, port = 0;
        CHECK(rtnl_link_vxlan_get_id(v, &id) == 0);
        CHECK(rtnl_link_vxlan_get_port(v, &port) == 0);
        CHECK(id == 42);
        CHECK(port == 4789);
        CHECK(rtnl_link_vxlan_get_learning(v) == 0);
        CHECK(rtnl_link_get_master(v) == rtnl_link_get_ifindex(b));
        nl_cache* routes = nullptr;
        REQUIRE(rtnl_route_alloc_cache(sock.get(), AF_INET, 0, &routes) == 0);
        int found = 0;
        for (auto* o = nl_cache_get_first(routes); o != nullptr; o = nl_cache_get_next(o)) {
            auto* x = reinterpret_cast<rtnl_route*>(o);
            if (rtnl_route_get_protocol(x) != weft_protocol) continue;
            ++found;
            char text[64];
            CHECK(std::string(nl_addr2str(rtnl_route_get_dst(x), text, sizeof text)) == "198.51.100.0/24");
            CHECK(rtnl_route_get_priority(x) == 77);
            auto* hop = rtnl_route_nexthop_n(x, 0);
            CHECK(std::string(nl_addr2str(rtnl_route_nh_get_gateway(hop), text, sizeof text)) == "192.0.2.254");
        }
        CHECK(found == 1);
        nl_cache_free(routes);
        rtnl_link_put(b), rtnl_link_put(v);
        nl_cache_free(links);
        return {};
    }).value();
}
