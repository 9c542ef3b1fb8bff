// SPDX-License-Identifier: Apache-2.0
// Links that stand on links of the same plan, on a real kernel: the guest bridges of a CloudStack host (DATAPLANE section 11), over a VXLAN
// on the bridge of a NIC, and over a VLAN of that NIC, which this machine's kernel may lack and the guest tier's has.
//
//   [peer ns "…w"] eth0 ──veth── eth0 [host ns "…h"] ── cloudbr1 ── vxlan5001 ── brvx-5001 ── vnet9 (somebody else's)
//                                  └── eth0.100 ── breth0-100
#include "kernel/private_run.hpp"
#include "netns_fixture.hpp"
#include "weft/apply/apply.hpp"

#include <catch2/catch.hpp>

using namespace weft;
using test::make_link;

namespace {

struct cloud_host {
    test::scoped_namespace ns{"ch"}, wire{"cw"};
    apply::place place{ns.name, "/nonexistent/openvswitch"};

    cloud_host() { ns.session().run_one({netlink::verb::add, make_link("eth0", veth_options{"eth0", wire.name, {}, {}})}).value(); }
    ~cloud_host() { (void)apply::remove(place, "unit", "n"); }

    static weft::link ours(const std::string& name, link_options options, std::optional<std::uint32_t> mtu, const std::string& master = {}) {
        auto l = make_link(name, std::move(options));
        l.mtu = mtu;
        l.master = master;
        l.group = weft_link_group;
        l.alias = "weft:unit/" + name;
        l.up = true;
        return l;
    }

    host_state wanted(bool with_vlan) const {
        host_state w;
        w.fabric = "unit";
        w.node = "n";
        namespace_state root;
        bridge_options bridge;
        bridge.stp = false;
        bridge.forward_delay = 0;
        auto nic = make_link("eth0", physical_options{});
        nic.up = true;
        nic.mtu = 1500;
        nic.master = "cloudbr1";
        // In name order, as compile gives them: each device comes before what it stands on.
        if (with_vlan) root.links.push_back(ours("breth0-100", bridge, 1500));
        root.links.push_back(ours("brvx-5001", bridge, 1450));
        root.links.push_back(ours("cloudbr1", bridge, 1500));
        root.links.push_back(nic);
        if (with_vlan) root.links.push_back(ours("eth0.100", vlan_options{100, "eth0"}, 1500, "breth0-100"));
        // A device that comes before its lower one by name, too.
        root.links.push_back(ours("a5002", vxlan_options{5002, {}, parse_ip("239.0.19.138").value(), 8472, 10, true, "brvx-5001"}, 1400));
        root.links.push_back(ours("vxlan5001", vxlan_options{5001, {}, parse_ip("239.0.19.137").value(), 8472, 10, true, "cloudbr1"}, 1450, "brvx-5001"));
        std::sort(root.links.begin(), root.links.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
        root.addresses.push_back({"cloudbr1", *parse_prefix("10.20.20.61/24"), 0, std::nullopt, weft_protocol, 0});
        w.namespaces.push_back(root);
        return w;
    }
};

bool knows(const test::scoped_namespace& ns, const std::string& kind, link_options options) {
    auto s = ns.session();
    s.run_one({netlink::verb::add, make_link("probe", bridge_options{})}).value();
    const auto made = s.run_one({netlink::verb::add, make_link("probed", std::move(options))});
    const bool unknown = test::unknown_kind(made, kind);
    if (!unknown) made.value();
    if (!unknown) s.run_one({netlink::verb::remove, s.get_link("probed").value()}).value();
    s.run_one({netlink::verb::remove, make_link("probe", bridge_options{})}).value();
    return !unknown;
}

}  // namespace

TEST_CASE("guest bridges over VXLAN and VLAN come by one plan, stay, and go without what others plugged in", "[rtnl]") {
    if (!test::may_make_namespaces()) return;
    const test::private_run mounts;  // the guest tier has its root file system to read only
    cloud_host h;
    if (!knows(h.ns, "vxlan", vxlan_options{1, {}, {}, {}, {}, {}, ""})) return;
    const bool with_vlan = knows(h.ns, "vlan", vlan_options{1, "probe"});
    const auto wanted = h.wanted(with_vlan);
    auto s = h.ns.session();
    const auto before = s.links().value().size();

    const auto first = apply::apply(h.place, wanted);
    INFO((first ? std::string("ok") : first.error().message()));
    REQUIRE(first.has_value());
    CHECK(apply::apply(h.place, wanted).value().steps == 0);
    for (const auto& w : wanted.namespaces[0].links) {
        const auto seen = s.get_link(w.name).value();
        INFO(w.name);
        CHECK(seen.up);
        CHECK(seen.mtu == w.mtu);
        CHECK(seen.master == w.master);
    }
    CHECK(std::get<vxlan_options>(s.get_link("vxlan5001").value().options).device == "cloudbr1");
    if (with_vlan) CHECK(std::get<vlan_options>(s.get_link("eth0.100").value().options) == vlan_options{100, "eth0"});

    // A VM's device, and a bridge of others under a name like ours.
    auto tap = make_link("vnet9", veth_options{"vnet9x", "", {}, {}});
    tap.master = "brvx-5001";
    s.run_one({netlink::verb::add, tap}).value();
    s.run_one({netlink::verb::add, make_link("brvx-9", bridge_options{})}).value();
    CHECK(apply::apply(h.place, wanted).value().steps == 0);
    CHECK(s.get_link("vnet9").value().master == "brvx-5001");

    apply::remove(h.place, "unit", "n").value();
    CHECK(s.links().value().size() == before + 3);
    CHECK(s.get_link("vnet9").value().master.empty());
    CHECK(s.get_link("brvx-9").has_value());
}
