// SPDX-License-Identifier: Apache-2.0
// Ports with `attach: tap`, from the file to the plan, and which of several devices is a port. Needs nothing but the
// example.
#include <algorithm>

#include "apply/plugged.hpp"
#include "roles_fixture.hpp"
#include "weft/model/plan.hpp"

using namespace weft;
using namespace weft::test;

namespace {

fabric with_tap(const std::string& keys = "attach: tap, user: 64055") {
    return roles::allocate(
               parsed(changed(grizzly_text(), "vm1: { node: compute1", "vm1: { " + keys + ", node: compute1")), {})
        .value()
        .fabric;
}
const std::string id = object_uuid("grizzly", "proj_one/ports/vm1");
const std::string device = device_name("tap", id);

const weft::link& tap_of(const host_state& s) {
    const auto& links = s.namespaces.front().links;
    const auto at = std::find_if(links.begin(), links.end(), [](const auto& l) { return l.name == device; });
    REQUIRE(at != links.end());
    return *at;
}
const ovs::port_row& row_of(const host_state& s) {
    for (const auto& b : s.bridges)
        for (const auto& p : b.ports)
            if (b.name == "br-int" && p.name == device) return p;
    FAIL("no row");
    throw;
}

// The wanted state as it would be seen when all of it stands.
host_state standing(const host_state& wanted) { return wanted; }

}  // namespace

TEST_CASE("a tap is made for its user alone, with the MTU of its network and the row that a hypervisor would write",
          "[roles][taps]") {
    for (const char* datapath : {"netdev", "system"}) {
        const auto s = roles::compile(with_tap(), "compute1", facts_of(datapath)).value();
        const auto& tap = tap_of(s);
        CHECK(tap.options == link_options(tun_options{true, 64055, {}, false}));
        CHECK(tap.mtu == 1458);
        CHECK(tap.group == weft_link_group);
        CHECK(tap.alias == "weft:grizzly/proj_one/ports/vm1");
        CHECK(tap.up);
        const auto& row = row_of(s);
        CHECK(row.tag);
        CHECK_FALSE(row.other_config.count("weft-bound"));
        const auto& ids = row.interfaces.at(0).external_ids;
        CHECK(ids.at("iface-id") == id);
        CHECK(ids.at("iface-status") == "active");
        CHECK(ids.at("attached-mac") == with_tap().tenants["proj_one"].ports["vm1"].mac->to_string());
        CHECK(ids.at("vm-uuid") == object_uuid("grizzly", "proj_one/ports/vm1/vm"));
        CHECK(ids.at("vm-id") == ids.at("vm-uuid"));
        CHECK(std::count_if(s.flows.at("br-int").begin(), s.flows.at("br-int").end(),
                            [](const auto& f) { return f.match.find("in_port=" + device) != std::string::npos; }) >= 2);
        CHECK(std::find(s.pending.begin(), s.pending.end(), "proj_one/vm1") == s.pending.end());
        CHECK(s.namespaces.front().sysctls.at("net/ipv6/conf/" + device + "/disable_ipv6") == "1");
    }
}

TEST_CASE("a tap without a user is root's, for a tap of nobody is anybody's", "[roles][taps]") {
    const auto s = roles::compile(with_tap("attach: tap"), "compute1", facts_of()).value();
    CHECK(std::get<tun_options>(tap_of(s).options).owner == 0U);
}

TEST_CASE("the name of a tap's user is what the node says, and one that it does not know is an error",
          "[roles][taps]") {
    auto facts = facts_of();
    const auto f = with_tap("attach: tap, user: libvirt-qemu, vm-uuid: 6f1c1b5e-0b6f-4b52-9e57-776566742026");
    const auto unknown = roles::compile(f, "compute1", facts);
    REQUIRE(unknown.has_error());
    CHECK(unknown.error().code == errc::not_found);
    CHECK(unknown.error().message().find("libvirt-qemu") != std::string::npos);
    facts.users["libvirt-qemu"] = 64055;
    const auto s = roles::compile(f, "compute1", facts).value();
    CHECK(std::get<tun_options>(tap_of(s).options).owner == 64055U);
    CHECK(row_of(s).interfaces.at(0).external_ids.at("vm-uuid") == "6f1c1b5e-0b6f-4b52-9e57-776566742026");
    CHECK(roles::compile(f, "compute2", facts_of()).has_value());  // which has no such tap
}

TEST_CASE("another user changes the tap in place; a foreign device of its name is refused", "[taps][diff]") {
    const auto before = roles::compile(with_tap(), "compute1", facts_of()).value();
    const auto after = roles::compile(with_tap("attach: tap, user: 1000"), "compute1", facts_of()).value();
    CHECK(diff(standing(before), before).value().steps.empty());
    const auto p = diff(standing(before), after).value();
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].to_string().find("link " + device + " owner 64055 → 1000") != std::string::npos);
    auto foreign = standing(before);
    for (auto& l : foreign.namespaces.front().links)
        if (l.name == device) l.group.reset();
    CHECK(diff(foreign, before).error().code == errc::foreign_object);
}

TEST_CASE("a port that is somebody else's to plug again loses its tap and the row with it", "[taps][diff]") {
    const auto with = roles::compile(with_tap(), "compute1", facts_of()).value();
    auto facts = facts_of();
    facts.present_ports = apply::chosen_ports(apply::announced_ports(with.bridges));
    CHECK(facts.present_ports.empty());  // our own rows announce nothing
    const auto without = roles::compile(complete_grizzly(), "compute1", facts).value();
    bool link_goes = false, row_goes = false;
    for (const auto& s : diff(standing(with), without).value().steps)
        if (s.kind() == step_kind::remove && s.object_name() == device)
            (s.object_kind() == "link" ? link_goes : row_goes) = true;
    CHECK(link_goes);
    CHECK(row_goes);
}

TEST_CASE("of several devices with one port's id the one that is bound stays it, while it lives", "[apply][taps]") {
    const auto row = [](const std::string& name, std::optional<std::int64_t> number, bool bound) {
        ovs::port_row p;
        p.name = name;
        if (bound) p.other_config["weft-bound"] = "true", p.external_ids[ovs::mark_fabric] = "grizzly";
        p.interfaces = {ovs::interface_row{.name = name, .external_ids = {{"iface-id", id}}}};
        p.interfaces[0].ofport = number;
        return p;
    };
    const auto chosen = [&](std::vector<ovs::port_row> ports, const std::string& bridge = "br-int") {
        ovs::bridge_row b;
        b.name = bridge;
        b.ports = std::move(ports);
        const auto all = apply::chosen_ports(apply::announced_ports({b}));
        return all.count(id) ? all.at(id) : "";
    };
    CHECK(chosen({row("tapa", 5, false)}) == "tapa");
    CHECK(chosen({row("tapa", 5, false), row("tapb", 6, true)}) == "tapb");
    CHECK(chosen({row("tapa", 5, true), row("tapb", 6, false)}) == "tapa");
    CHECK(chosen({row("tapb", 6, false), row("tapa", 7, false)}) == "tapa");
    // A row whose device went, of a guest that was killed, holds nothing up; one not tried yet is as good as any.
    CHECK(chosen({row("tapa", -1, true), row("tapb", 6, false)}) == "tapb");
    CHECK(chosen({row("tapa", -1, true)}) == "");
    CHECK(chosen({row("tapa", std::nullopt, false)}) == "tapa");
    CHECK(chosen({row("tapa", 5, false)}, "br-ex") == "");  // a VM's port is a port of br-int
}
