// SPDX-License-Identifier: Apache-2.0
// A NIC that holds addresses joins a Linux bridge of weft's on a real kernel: what the kernel has before and after is compared whole.
//
//   [peer ns] eth0 ──veth── eth0 [host ns] → br0
#include "weft/apply/apply.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"

#include "kernel/netns_fixture.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

#include <algorithm>

using namespace weft;
using namespace weft::test;

namespace {

constexpr std::uint8_t boot = 3, link_scope = 253;

struct kernel_state {
    std::vector<address_entry> addresses;
    std::vector<route> routes;
    std::vector<rule> rules;
    std::vector<neighbour> neighbours;
    std::vector<nexthop_object> nexthops;
};

template <class T> bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::is_permutation(a.begin(), a.end(), b.begin());
}

struct uplink_host {
    scoped_namespace host{"uph"}, wire{"upw"};
    apply::place place{host.name, "/nonexistent/openvswitch"};
    netlink::session session = host.session();

    uplink_host() {
        auto nic = make_link("eth0", veth_options{"eth0", wire.name, std::nullopt, std::nullopt});
        nic.mac = mac_address{{2, 0, 0, 0, 0, 7}};
        nic.up = true;
        add(nic);
        weft::link up{};
        up.name = "eth0";
        up.up = true;
        wire.session().run_one({netlink::verb::change, up}).value();
        auto other = make_link("eth1", veth_options{"eth1", wire.name, std::nullopt, std::nullopt});
        other.up = true;
        add(other);

        address("eth0", "192.0.2.52/24");
        address("eth0", "192.0.2.53/24", [](auto& a) { a.label = "eth0:1"; });
        address("eth0", "198.51.100.1/32", [](auto& a) { a.peer = *parse_ip("198.51.100.9"); });
        address("eth0", "203.0.113.52/24", [](auto& a) { a.flags = 0x200; });  // IFA_F_NOPREFIXROUTE
        address("eth0", "10.4.0.1/16", [](auto& a) { a.metric = 400; });
        address("eth0", "2001:db8::52/64", [](auto& a) { a.flags = 0x02; });  // IFA_F_NODAD, so that it can be used now
        address("eth1", "10.5.0.1/16");

        put("203.0.113.0/24", "", [](auto& r) { r.protocol = 2, r.scope = link_scope, r.metric = 100; });  // as a network manager does
        put("10.9.9.0/24", "", [](auto& r) { r.scope = link_scope; });
        put("0.0.0.0/0", "192.0.2.1", [](auto& r) { r.metric = 50; });
        put("10.8.8.0/24", "10.9.9.1");
        put("10.8.9.0/24", "172.31.0.1", [](auto& r) { r.nexthops[0].onlink = true; });
        put("10.7.0.0/16", "192.0.2.1", [](auto& r) { r.table = 77, r.tos = 0x10, r.preferred_source = *parse_ip("192.0.2.53"), r.mtu = 1300; });
        put("10.6.0.0/16", "192.0.2.1", [](auto& r) { r.nexthops.push_back(nexthop{*parse_ip("10.5.0.9"), "eth1", 3, false, {}}); });
        put("2001:db8:1::/48", "2001:db8::1");
        // RTA_METRICS with RTAX_ADVMSS 1300, which the model has no field for.
        put("10.3.0.0/16", "192.0.2.1", [](auto& r) { r.rest = {12, 0, 8, 0, 8, 0, 8, 0, 0x14, 0x05, 0, 0}; });
        put("10.2.0.0/16", "10.5.0.9", [](auto& r) { r.nexthops[0].device = "eth1"; });

        rule in{};
        in.priority = 1000;
        in.input_device = "eth0";
        in.table = 77;
        in.protocol = 0;
        in.rest = {5, 0, 22, 0, 6, 0, 0, 0};  // FRA_IP_PROTO tcp
        add(in);
        rule out = in;
        out.priority = 1001;
        out.input_device = "eth1";
        out.output_device = "eth0";
        out.rest.clear();
        add(out);
        neighbour fixed{};
        fixed.device = "eth0";
        fixed.address = *parse_ip("192.0.2.9");
        fixed.mac = mac_address{{2, 0, 0, 0, 0, 9}};
        fixed.protocol = 0;
        add(fixed);
        nexthop_object object{};
        object.id = 9;
        object.hop = {*parse_ip("192.0.2.1"), "eth0", 0, false, {}};
        object.protocol = 0;
        add(object);
        route through{};
        through.destination = *parse_prefix("10.1.0.0/16");
        through.protocol = boot;
        through.nexthop_id = 9;
        add(through);
    }
    ~uplink_host() { (void)apply::remove(place, "uplink-kernel", "n"); }

    template <class T> void add(const T& one) { session.run_one({netlink::verb::add, one}).value(); }
    template <class F = void (*)(address_entry&)>
    void address(const std::string& device, const std::string& text, F more = [](address_entry&) {}) {
        address_entry a;
        a.device = device;
        a.address = *parse_prefix(text);
        more(a);
        add(a);
    }
    template <class F = void (*)(route&)>
    void put(const std::string& destination, const std::string& gateway, F more = [](route&) {}) {
        route r;
        r.destination = *parse_prefix(destination);
        r.protocol = boot;
        r.nexthops = {nexthop{gateway.empty() ? std::nullopt : std::optional(*parse_ip(gateway)), "eth0", 0, false, {}}};
        more(r);
        add(r);
    }

    kernel_state seen() {
        kernel_state s{session.addresses().value(), session.routes().value(), session.rules().value(), session.neighbours().value(),
                       session.nexthops().value()};
        // Link-local ones come and go with IPv6 of the device, at the kernel's leisure.
        std::erase_if(s.addresses, [](const auto& a) { return a.passing; });
        std::erase_if(s.routes, [](const auto& r) { return r.destination.is_v6() && r.destination.address.to_v6().is_link_local(); });
        std::erase_if(s.neighbours, [](const auto& n) { return n.fdb; });
        return s;
    }

    static host_state wanted() {
        host_state w;
        w.fabric = "uplink-kernel";
        w.node = "n";
        namespace_state root;
        weft::link nic{};
        nic.name = "eth0";
        nic.up = true;
        nic.master = "br0";
        auto bridge = make_link("br0", bridge_options{.stp = false, .forward_delay = {}, .ageing_time = {}, .vlan_filtering = {}, .mcast_snooping = {}});
        bridge.mac = mac_address{{2, 0, 0, 0, 0, 7}};
        bridge.mtu = 1500;
        bridge.group = weft_link_group;
        bridge.alias = "weft:uplink-kernel/nodes/n/br0";
        bridge.up = true;
        root.links = {nic, bridge};
        root.sysctls = {{"net/ipv6/conf/eth0/disable_ipv6", "1"}, {"net/ipv6/conf/br0/disable_ipv6", "1"}};
        w.namespaces = {root};
        return w;
    }
};

void check_same(const kernel_state& a, const kernel_state& b) {
    CHECK(same(a.addresses, b.addresses));
    CHECK(same(a.routes, b.routes));
    CHECK(same(a.rules, b.rules));
    CHECK(same(a.neighbours, b.neighbours));
    CHECK(same(a.nexthops, b.nexthops));
}

// The state as it should be with br0 in eth0's place.
kernel_state on_bridge(kernel_state s) {
    const auto rename = [](std::string& name) {
        if (name == "eth0") name = "br0";
    };
    for (auto& a : s.addresses) {
        rename(a.device);
        if (a.label == "eth0:1") a.label = "br0:1";
    }
    for (auto& r : s.routes)
        for (auto& hop : r.nexthops) rename(hop.device);
    for (auto& r : s.rules) rename(r.input_device), rename(r.output_device);
    for (auto& n : s.neighbours) rename(n.device);
    for (auto& n : s.nexthops) rename(n.hop.device);
    return s;
}

}  // namespace

TEST_CASE("all that a host has on its NIC moves to the bridge as it is, stays through further runs, and comes back as it was") {
    if (!may_make_namespaces()) return;
    uplink_host h;
    const auto before = h.seen();
    REQUIRE(before.routes.size() >= 15);
    const auto first = apply::apply(h.place, h.wanted());
    INFO((first ? std::string("ok") : first.error().message()));
    REQUIRE(first.has_value());
    check_same(h.seen(), on_bridge(before));
    CHECK(h.session.get_link("eth0").value().master == "br0");
    for (int again = 0; again < 2; ++again) {
        const auto writes = netlink::session::writes() + netlink::nft_writes();
        CHECK(apply::apply(h.place, h.wanted()).value().steps == 0);
        CHECK(netlink::session::writes() + netlink::nft_writes() == writes);
    }
    apply::remove(h.place, "uplink-kernel", "n").value();
    check_same(h.seen(), before);
    CHECK(h.session.get_link("br0").has_error());
}

TEST_CASE("a step that fails after the move brings all back to the NIC") {
    if (!may_make_namespaces()) return;
    uplink_host h;
    const auto before = h.seen();
    auto wanted = h.wanted();
    route nowhere{};
    nowhere.destination = *parse_prefix("172.20.0.0/16");
    nowhere.nexthops.push_back({parse_ip("172.30.0.1").value(), "br0", 0, false, {}});  // no such neighbour network
    wanted.namespaces[0].routes.push_back(nowhere);
    const auto failed = apply::apply(h.place, wanted);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().message().find("all earlier steps were undone") != std::string::npos);
    check_same(h.seen(), before);
    CHECK(h.session.get_link("br0").has_error());
    CHECK(h.session.get_link("eth0").value().master.empty());
    // Nothing is remembered of it: an address that somebody puts on a bridge later is not taken for one that was the NIC's.
    CHECK(apply::observe(h.place, h.wanted()).value().moved.empty());
}

TEST_CASE("a NIC that is somebody else's port is refused before anything is written") {
    if (!may_make_namespaces()) return;
    uplink_host h;
    h.add(make_link("theirs", bridge_options{}));
    weft::link joined{};
    joined.name = "eth0";
    joined.master = "theirs";
    joined.up = true;
    h.session.run_one({netlink::verb::change, joined}).value();
    const auto before = h.seen();
    const auto writes = netlink::session::writes() + netlink::nft_writes();
    const auto refused = apply::apply(h.place, h.wanted());
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::foreign_object);
    CHECK(refused.error().detail.find("theirs (bridge)") != std::string::npos);
    CHECK(netlink::session::writes() + netlink::nft_writes() == writes);
    check_same(h.seen(), before);
}
