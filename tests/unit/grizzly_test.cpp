// SPDX-License-Identifier: Apache-2.0
// Profile grizzly: its flows to the last one (DATAPLANE section 5), its MTU and local VLANs, who is held on the dead VLAN, and
// what a fabric file may not ask of it.
#include <algorithm>

#include "apply/plugged.hpp"
#include "roles_fixture.hpp"
#include "weft/model/host_state.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/plan.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const std::string example = "grizzly-compat";

using line = std::tuple<int, int, std::string, std::string>;  // table, priority, match, actions

std::set<line> flows_of(const host_state& s, const std::string& bridge) {
    std::set<line> out;
    for (const auto& f : s.flows.at(bridge)) {
        CHECK(f.cookie == ovs::flow_cookie);
        CHECK(out.emplace(f.table, f.priority, f.match, f.actions).second);
    }
    return out;
}

const ovs::port_row* port(const host_state& s, const std::string& name) {
    for (const auto& b : s.bridges)
        for (const auto& p : b.ports)
            if (b.name == "br-int" && p.name == name) return &p;
    return nullptr;
}

host_facts facts_with(const std::map<std::string, std::string>& ports) {
    auto facts = facts_of();
    for (const auto& [path, device] : ports) {
        facts.present_ports[object_uuid(example, path)] = device;
        facts.plugged_ports.insert(device);
    }
    return facts;
}

constexpr const char* many = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";

struct fault {
    std::string from, to;  // '@' stands before the place that must be named
    std::string path, value, allowed;
};

}  // namespace

TEST_CASE("a compute node has the one table of Grizzly, and no flow beside", "[roles][grizzly]") {
    auto facts = facts_with({{"proj_one/ports/vm1", "tapone"}, {"proj_two/ports/vm1", "7"}});
    facts.local_vlans = {{"proj_two/net1", 9}};
    const auto s = roles::compile(complete_example(example), "compute1", facts).value();
    const auto mac = [](const std::string& path) { return object_mac(example, path).to_string(); };
    CHECK(flows_of(s, "br-int") == std::set<line>{{0, 1, "", "NORMAL"}});
    CHECK(flows_of(s, "br-tun") ==
          std::set<line>{{0, 1, "", "drop"},
                         {0, 4, "in_port=patch-int,dl_vlan=1", "set_tunnel:0x1,NORMAL"},
                         {0, 4, "in_port=patch-int,dl_vlan=9", "set_tunnel:0x3,NORMAL"},
                         {0, 3, std::string("tun_id=0x1,") + many, "load:0x1001->NXM_OF_VLAN_TCI[0..12],output:patch-int"},
                         {0, 3, std::string("tun_id=0x3,") + many, "load:0x1009->NXM_OF_VLAN_TCI[0..12],output:patch-int"},
                         {0, 3, "tun_id=0x1,dl_dst=" + mac("proj_one/ports/vm1"), "load:0x1001->NXM_OF_VLAN_TCI[0..12],NORMAL"},
                         {0, 3, "tun_id=0x3,dl_dst=" + mac("proj_two/ports/vm1"), "load:0x1009->NXM_OF_VLAN_TCI[0..12],NORMAL"}});
}

TEST_CASE("routers, DHCP servers and taps are local to their node as VMs are", "[roles][grizzly]") {
    const auto f = complete_example(example);
    const auto macs = [](const host_state& s) {
        std::set<std::string> out;
        for (const auto& [table, priority, match, actions] : flows_of(s, "br-tun"))
            if (const auto at = match.find(",dl_dst="); at != std::string::npos && match.find(many) == std::string::npos)
                out.insert(match.substr(at + 8));
        return out;
    };
    std::set<std::string> expected;
    for (const char* path : {"proj_one/routers/router1/networks/net1", "proj_one/routers/router1/networks/net2", "proj_two/routers/router2/networks/net1",
                             "proj_one/networks/net1/dhcp", "proj_one/networks/net2/dhcp", "proj_two/networks/net1/dhcp"})
        expected.insert(object_mac(example, path).to_string());
    CHECK(macs(roles::compile(f, "network", facts_of()).value()) == expected);

    CHECK(macs(roles::compile(f, "compute1", facts_of()).value()).empty());  // nobody is plugged yet
    auto tapped = f;
    tapped.tenants["proj_one"].ports["vm1"].attach = "tap";
    CHECK(macs(roles::compile(tapped, "compute1", facts_of()).value()) == std::set<std::string>{object_mac(example, "proj_one/ports/vm1").to_string()});
}

TEST_CASE("who is plugged and is no port of the node is held on the dead VLAN, until it is one", "[roles][grizzly]") {
    const auto f = complete_example(example);
    auto facts = facts_with({{"proj_one/ports/vm1", "tapone"}});
    facts.plugged_ports.insert("stranger");
    facts.plugged_ports.insert("8");
    const auto s = roles::compile(f, "compute1", facts).value();
    CHECK(flows_of(s, "br-int") ==
          std::set<line>{{0, 1, "", "NORMAL"}, {0, 2, "in_port=stranger", "drop"}, {0, 2, "in_port=\"8\"", "drop"}});
    REQUIRE(port(s, "stranger"));
    CHECK(port(s, "stranger")->tag == 4095);
    CHECK(port(s, "tapone")->tag == 1);

    // A copy of a port's id that is held there is not chosen before the port itself; alone it becomes the port.
    auto row = *port(s, "stranger");
    row.interfaces[0].external_ids = {{"iface-id", object_uuid(example, "proj_one/ports/vm1")}};
    row.interfaces[0].ofport = 5;
    row.name = row.interfaces[0].name = "aaa";
    auto real = *port(s, "tapone");
    real.interfaces[0].external_ids = row.interfaces[0].external_ids;
    real.interfaces[0].ofport = 6;
    const auto chosen = [](std::vector<ovs::port_row> rows) {
        ovs::bridge_row bridge;
        bridge.name = "br-int";
        bridge.ports = std::move(rows);
        return apply::chosen_ports(apply::announced_ports({bridge})).at(object_uuid(example, "proj_one/ports/vm1"));
    };
    CHECK(chosen({row, real}) == "tapone");
    CHECK(chosen({row}) == "aaa");

    // The default profile's gates do this by themselves: no row of others is touched.
    auto other = complete_grizzly();
    CHECK(port(roles::compile(other, "compute1", facts).value(), "stranger") == nullptr);
}

TEST_CASE("the tag in the tunnel costs four bytes", "[roles][grizzly]") {
    const auto f = complete_example(example);
    CHECK(overlay_overhead(f.overlay, false) == 46);
    CHECK(overlay_overhead({}, false) == 42);
    CHECK(network_mtu(f, "proj_one", "net1") == 1454);
    const auto s = roles::compile(f, "network", facts_of()).value();
    std::size_t inside = 0;
    for (const auto& n : s.namespaces)
        for (const auto& l : n.links)
            if (l.name.starts_with("qr-") || l.name.starts_with("dh-")) {
                ++inside;
                CHECK(l.mtu == 1454);
            }
    CHECK(inside == 6);
}

TEST_CASE("local VLANs end at 4093", "[roles][grizzly]") {
    auto f = complete_example(example);
    host_facts facts;
    facts.local_vlans = {{"proj_one/net1", 4094}, {"proj_two/net1", 4093}};
    CHECK(roles::local_vlans(f, "compute1", facts) == std::map<std::string, std::uint16_t>{{"proj_one/net1", 1}, {"proj_two/net1", 4093}});
    f.overlay.profile = "default";
    CHECK(roles::local_vlans(f, "compute1", facts) == facts.local_vlans);
}

TEST_CASE("what the profile cannot do is refused at its place", "[roles][grizzly][validate]") {
    const auto text = example_text(example);
    CHECK(roles::validate(parsed(text)).empty());
    const std::string vm = "vm2: { node: compute2, network: net1, port-security: false }";
    for (const auto& e : std::vector<fault>{
             {"type: gre", "type: @vxlan", "overlay.type", "vxlan", "gre"},
             {"profile: grizzly", "profile: @havana", "", "havana", "default"},
             {"vm-config:  { cidr: 10.20.20.0/24", "vm-config:  { cidr: @\"fd00:20::/64\"", "networks.vm-config.cidr", "fd00:20::/64", "an IPv4 subnet"},
             {vm, "vm2: { node: compute2, network: net1, port-security: @true }", "tenants.proj_one.ports.vm2.port-security", "true", "port-security: false"},
             {vm, "@vm2: { node: compute2, network: net1 }", "tenants.proj_one.ports.vm2.port-security", "true", "port-security: false"},
             {"    routers: { router2", "    security-groups: { @web: {} }\n    routers: { router2", "tenants.proj_two.security-groups.web", "web", "no groups"},
             {"net2: { cidr: 50.50.2.0/24", "net2: { mtu: @1455, cidr: 50.50.2.0/24", "tenants.proj_one.networks.net2.mtu", "1455", "at most 1454"},
         }) {
        auto spoiled = changed(text, e.from, e.to);
        const auto at = spoiled.find('@');
        spoiled.erase(at, 1);
        const int row = 1 + static_cast<int>(std::count(spoiled.begin(), spoiled.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
        const auto start = spoiled.rfind('\n', at) + 1;
        const auto p = parse_fabric(spoiled, "f.yaml");
        const auto all = roles::validate(p.fabric, p.diagnostics);
        std::string told;
        for (const auto& d : all) told += d.to_string() + "\n";
        INFO(e.to << "\n" << told);
        CHECK(std::any_of(all.begin(), all.end(), [&](const diagnostic& d) {
            return d.severity == severity::error && d.place.line == row && d.place.column == static_cast<int>(at - start) + 1 && d.value == e.value &&
                   (e.path.empty() || d.path == e.path) && d.allowed.find(e.allowed) != std::string::npos;
        }));
    }
}

TEST_CASE("in the other profile a port that was held goes back to its owner", "[roles][grizzly][diff]") {
    auto f = complete_example(example);
    auto facts = facts_with({{"proj_one/ports/vm1", "tapone"}});
    facts.plugged_ports.insert("stranger");
    auto seen = roles::compile(f, "compute1", facts).value();
    for (auto& b : seen.bridges)
        for (auto& p : b.ports)
            if (p.other_config.count("weft-bound")) p.interfaces[0].external_ids["iface-id"] = p.name, p.interfaces[0].ofport = 9;
    CHECK(diff(seen, roles::compile(f, "compute1", facts).value()).value().empty());
    f.overlay.profile = "default";
    const auto plan = diff(seen, roles::compile(f, "compute1", facts).value()).value();
    std::size_t rows = 0;
    for (const auto& s : plan.steps)
        if (s.object_name() == "stranger") {
            ++rows;
            const auto& after = std::get<ovs::port_row>(s.after.value());
            CHECK(after.tag == 4095);
            CHECK(after.other_config.empty());
            CHECK(after.external_ids.empty());
        }
    CHECK(rows == 1);
    const auto flows = std::count_if(plan.steps.begin(), plan.steps.end(), [](const step& s) { return s.object_kind() == "flow" && s.kind() == step_kind::remove; });
    CHECK(static_cast<std::size_t>(flows) == seen.flows.at("br-int").size() + seen.flows.at("br-tun").size());
}
