// SPDX-License-Identifier: Apache-2.0
// compile and expectations: the rules that a golden file would not explain. Golden files hold the whole states.
#include <algorithm>

#include "roles_fixture.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const namespace_state& space(const host_state& s, const std::string& name) {
    const auto found =
        std::find_if(s.namespaces.begin(), s.namespaces.end(), [&](const auto& n) { return n.name == name; });
    REQUIRE(found != s.namespaces.end());
    return *found;
}
const ovs::bridge_row* bridge(const host_state& s, const std::string& name) {
    const auto found = std::find_if(s.bridges.begin(), s.bridges.end(), [&](const auto& b) { return b.name == name; });
    return found == s.bridges.end() ? nullptr : &*found;
}
const ovs::port_row* port(const host_state& s, const std::string& bridge_name, const std::string& name) {
    const auto* b = bridge(s, bridge_name);
    if (!b) return nullptr;
    const auto found = std::find_if(b->ports.begin(), b->ports.end(), [&](const auto& p) { return p.name == name; });
    return found == b->ports.end() ? nullptr : &*found;
}
bool has_flow(const host_state& s, const std::string& bridge_name, int table, const std::string& match) {
    const auto flows = s.flows.find(bridge_name);
    return flows != s.flows.end() && std::any_of(flows->second.begin(), flows->second.end(),
                                                 [&](const auto& f) { return f.table == table && f.match == match; });
}

}  // namespace

TEST_CASE("a device whose MTU is too low for IPv6 has no settings of IPv6", "[roles][compile]") {
    auto f = complete_grizzly();
    const auto settings = [&](std::uint32_t mtu, const std::string& device) {
        f.networks.at("external").mtu = mtu;
        const auto root = space(roles::compile(f, "controller", facts_of()).value(), "");
        return std::count_if(root.sysctls.begin(), root.sysctls.end(), [&](const auto& s) { return s.first.starts_with("net/ipv6/conf/" + device + "/"); });
    };
    CHECK(settings(1280, "eth1") > 0);
    CHECK(settings(1279, "eth1") == 0);
    CHECK(settings(1279, "eth0") > 0);
}

TEST_CASE("compile refuses what it cannot know", "[roles][compile]") {
    CHECK(roles::compile(complete_grizzly(), "nowhere", facts_of()).error().code == errc::not_found);
    CHECK(roles::compile(grizzly(), "network", facts_of()).error().code == errc::invalid_input);
    CHECK(roles::compile(complete_grizzly(), "network", facts_of("dpdk")).error().code == errc::invalid_input);
    auto broken = complete_grizzly();
    broken.tenants["proj_one"].routers["router1"].networks.push_back("nowhere");
    CHECK(roles::compile(broken, "network", facts_of()).error().code == errc::invalid_input);
}

TEST_CASE("compile is a function: same input, same value", "[roles][compile]") {
    const auto f = complete_grizzly();
    for (const char* node : {"controller", "network", "compute1", "compute2"})
        CHECK(roles::compile(f, node, facts_of()).value() == roles::compile(f, node, facts_of()).value());
}

TEST_CASE("the two ends of a router's or DHCP's veth name each other", "[roles][compile]") {
    const auto s = roles::compile(complete_grizzly(), "network", facts_of()).value();
    std::size_t pairs = 0;
    for (const auto& l : space(s, "").links) {
        const auto* veth = std::get_if<veth_options>(&l.options);
        if (!veth) continue;
        ++pairs;
        CHECK(l.group == weft_link_group);
        const auto& inner = space(s, veth->peer_namespace).links;
        const auto peer =
            std::find_if(inner.begin(), inner.end(), [&](const auto& other) { return other.name == veth->peer; });
        REQUIRE(peer != inner.end());
        CHECK(std::get<veth_options>(peer->options) == veth_options{l.name, "", {}, {}});
        CHECK(peer->mac == veth->peer_mac);
        CHECK(peer->mtu == veth->peer_mtu);
        CHECK(peer->features.at("tx-checksum-ip-generic") == false);
        const bool outside = peer->name.rfind("qg-", 0) == 0;
        CHECK(l.mtu == (outside ? 1500u : 1458u));
        const auto* row = port(s, outside ? "br-ex" : "br-int", l.name);
        REQUIRE(row);
        CHECK(row->tag.has_value() == !outside);
        CHECK(row->interfaces.at(0).external_ids.at("attached-mac") == peer->mac->to_string());
    }
    CHECK(pairs == 5 + 3);
    // The userspace datapath needs no checksum offload in the way; the kernel's can, but for DHCP's guests.
    for (const auto& n : roles::compile(complete_grizzly(), "network", facts_of("system")).value().namespaces)
        for (const auto& l : n.links) CHECK(l.features.empty() == (l.name.rfind("dh-", 0) != 0));
}

TEST_CASE("overlapping tenants share nothing but br-int", "[roles][compile]") {
    const auto s = roles::compile(complete_grizzly(), "network", facts_of()).value();
    // Two ports of each network, its router's and its DHCP's, and of no other.
    std::map<std::uint16_t, std::multiset<std::string>> tags;
    for (const auto& p : bridge(s, "br-int")->ports)
        if (p.tag) tags[*p.tag].insert(p.other_config.at("weft-network"));
    CHECK(tags.size() == 3);
    for (const auto& [tag, networks] : tags) CHECK((networks.size() == 2 && networks.count(*networks.begin()) == 2));
    CHECK(has_flow(s, "br-tun", 3, "tun_id=0x1"));
    CHECK(has_flow(s, "br-tun", 3, "tun_id=0x3"));
    CHECK_FALSE(has_flow(s, "br-tun", 3, "tun_id=0x4"));
}

TEST_CASE("every system device that is an OVS port is guarded on the userspace datapath only", "[roles][compile]") {
    const auto f = complete_grizzly();
    auto facts = facts_of();
    facts.present_ports[object_uuid("grizzly", "proj_one/ports/vm1")] = "tapvm1";
    const auto s = roles::compile(f, "compute1", facts).value();
    const auto& tables = space(s, "").tables;
    const auto guard =
        std::find_if(tables.begin(), tables.end(), [](const auto& t) { return t.family == nft::family::netdev; });
    REQUIRE(guard != tables.end());
    std::set<std::string> devices;
    for (const auto& c : guard->chains) {
        CHECK(c.policy == 0);
        devices.insert(c.devices.begin(), c.devices.end());
    }
    CHECK(devices == std::set<std::string>{"eth1", "tapvm1"});
    CHECK(space(s, "").sysctls.at("net/ipv6/conf/tapvm1/disable_ipv6") == "1");
    CHECK(bridge(s, "br-eth1")->other_config.at("hwaddr") == "02:00:00:00:00:11");

    facts.datapath = "system";
    const auto k = roles::compile(f, "compute1", facts).value();
    for (const auto& t : space(k, "").tables) CHECK(t.family != nft::family::netdev);
    CHECK(bridge(k, "br-eth1") == nullptr);
    CHECK(bridge(k, "br-int")->datapath_type == "system");
}

TEST_CASE("a VM's port is pending until its row is there, and then only its tag is ours", "[roles][compile]") {
    const auto f = complete_grizzly();
    auto facts = facts_of();
    CHECK(roles::compile(f, "compute1", facts).value().pending ==
          std::vector<std::string>{"proj_one/vm1", "proj_two/vm1"});
    facts.present_ports[object_uuid("grizzly", "proj_one/ports/vm1")] = "7";
    facts.local_vlans["proj_one/net1"] = 42;
    const auto s = roles::compile(f, "compute1", facts).value();
    CHECK(s.pending == std::vector<std::string>{"proj_two/vm1"});
    const auto* row = port(s, "br-int", "7");
    REQUIRE(row);
    CHECK(row->tag == 42);
    CHECK(row->other_config.at("weft-network") == "proj_one/net1");
    CHECK(row->other_config.at("segmentation_id") == "1");
    CHECK(row->interfaces == std::vector{ovs::interface_row{.name = "7"}});
    // A name of digits would be read as a port number.
    CHECK(has_flow(s, "br-int", 0, "in_port=\"7\""));
    CHECK(has_flow(s, "br-tun", 22, "dl_vlan=42"));
}

TEST_CASE("local VLANs stay when networks come and go", "[roles][compile]") {
    auto f = complete_grizzly();
    auto facts = facts_of();
    facts.local_vlans = {{"proj_one/net2", 1}, {"proj_two/net1", 7}, {"gone/net", 2}};
    const std::map<std::string, std::uint16_t> expected = {
        {"proj_one/net1", 2}, {"proj_one/net2", 1}, {"proj_two/net1", 7}};
    CHECK(roles::local_vlans(f, "network", facts) == expected);
    facts.local_vlans = {{"proj_one/net1", 5}, {"proj_one/net2", 5}, {"proj_two/net1", 4095}};
    const auto vlans = roles::local_vlans(f, "network", facts);
    CHECK(vlans.at("proj_one/net1") == 5);
    CHECK(vlans.at("proj_one/net2") == 1);
    CHECK(vlans.at("proj_two/net1") == 2);
    // compute2 hosts three networks, compute1 two, the controller none.
    CHECK(roles::local_vlans(f, "compute1", {}).size() == 2);
    CHECK(roles::local_vlans(f, "controller", {}).empty());
}

TEST_CASE("VXLAN and Geneve have their own tables, ports and MTU", "[roles][compile]") {
    for (const auto& [type, table] : std::map<std::string, int>{{"vxlan", 4}, {"geneve", 6}}) {
        const auto open = parsed(changed(grizzly_text(), "type: gre", "type: " + type));
        const auto f = roles::allocate(open, {}).value().fabric;
        const auto s = roles::compile(f, "compute2", facts_of()).value();
        CHECK(network_mtu(f, "proj_one", "net1") == 1450);
        CHECK(has_flow(s, "br-tun", table, "tun_id=0x1"));
        const auto* row = port(s, "br-tun", type + "-0a141435");
        REQUIRE(row);
        CHECK(row->interfaces.at(0).type == type);
        CHECK(row->interfaces.at(0).options.at("remote_ip") == "10.20.20.53");
        CHECK(row->interfaces.at(0).options.at("local_ip") == "10.20.20.54");
    }
}

TEST_CASE("an external NIC with an address gives it to br-ex", "[roles][compile]") {
    const auto text =
        changed(grizzly_text(), "eth2: { network: external }", "eth2: { network: external, address: 192.168.100.52 }");
    const auto s = roles::compile(roles::allocate(parsed(text), {}).value().fabric, "network", facts_of()).value();
    const auto& root = space(s, "");
    CHECK(std::any_of(root.addresses.begin(), root.addresses.end(), [](const auto& a) { return a.device == "br-ex"; }));
    REQUIRE(root.routes.size() == 1);
    CHECK(root.routes[0].nexthops.at(0).device == "br-ex");
    CHECK(bridge(s, "br-ex")->other_config.at("hwaddr") == "02:00:00:00:00:12");
}

TEST_CASE("a NIC matched by MAC is found under the host's own name", "[roles][compile]") {
    auto f = complete_grizzly();
    f.nodes["compute1"].nics["eth1"].match_mac = *parse_mac("02:00:00:00:00:99");
    auto facts = facts_of("system");
    facts.nic_macs["enp3s0"] = *parse_mac("02:00:00:00:00:99");
    const auto s = roles::compile(f, "compute1", facts).value();
    const auto& addresses = space(s, "").addresses;
    CHECK(std::any_of(addresses.begin(), addresses.end(), [](const auto& a) { return a.device == "enp3s0"; }));
}

TEST_CASE("a row of the file gets full names, an address, and the last word", "[roles][expectations]") {
    auto f = complete_grizzly();
    f.expectations.push_back({.from = "lan1", .to = "vm3", .reachable = true});
    f.expectations.push_back({.from = "compute1", .to = "controller", .via = "management", .reachable = false});
    f.expectations.push_back({.from = "controller", .to = "network", .reachable = true});
    const auto rows = roles::expectations(f);
    const auto& last = rows.back();
    CHECK(last.via == "management");
    CHECK(last.address->to_string() == "10.10.10.52");
    const auto& short_name = rows[rows.size() - 3];
    CHECK(short_name.to == "proj_one/vm3");
    CHECK(short_name.via == "floating");
    CHECK(short_name.address == f.tenants["proj_one"].ports["vm3"].floating);
    CHECK(std::count_if(rows.begin(), rows.end(), [](const auto& e) {
              return e.from == "compute1" && e.to == "controller" && e.via == "management";
          }) == 1);
    for (const auto& e : rows) {
        INFO(e.from << " " << e.to << " " << e.via);
        CHECK(e.address.has_value());
    }
}

TEST_CASE("no row about another tenant's VM whose address the source's own tenant has", "[roles][expectations]") {
    auto f = complete_grizzly();
    f.tenants["proj_two"].ports["vm1"].address = f.tenants["proj_one"].ports["vm2"].address;
    for (const auto& e : roles::expectations(f))
        CHECK_FALSE((e.from == "proj_one/vm1" && e.to == "proj_two/vm1" && e.via == "fixed"));
}

TEST_CASE("every hop of a shared segment carries the largest MTU of its networks", "[roles][compile]") {
    const auto text = changed(example_text("two-servers"), "vm-config:  { cidr: 10.20.20.0/24,",
                              "vm-config:  { cidr: 10.20.20.0/24, mtu: 1600,");
    const auto f = roles::allocate(parsed(text, "two-servers.yaml"), {}).value().fabric;
    CHECK(segment_mtu(f, segment_of(f, "management")) == 1600);
    CHECK(segment_mtu(f, segment_of(f, "external")) == 1500);
    const auto server = roles::compile(f, "server-a", facts_of()).value();
    for (const auto& l : space(server, "").links) {
        INFO(l.name);
        CHECK(l.mtu == (l.name == "eth0" || l.name == "bridge-int" ? 1600U : 1500U));
    }
}

TEST_CASE("a network node's uplink is the NIC without an address, or the only one", "[roles][compile]") {
    const auto f = complete_example("two-servers");
    const auto two = roles::compile(f, "network", facts_of()).value();
    CHECK(port(two, "br-ex", "eth2"));
    CHECK_FALSE(port(two, "br-ex", "eth3"));  // a loop through the hypervisor's bridge
    const auto one = roles::compile(complete_example("all-in-one"), "cloud", facts_of()).value();
    CHECK(port(one, "br-ex", "eth1"));
    const auto& addresses = space(one, "").addresses;
    CHECK(std::any_of(addresses.begin(), addresses.end(), [](const auto& a) {
        return a.device == "br-ex" && a.address.to_string() == "192.168.100.51/24";
    }));
}

TEST_CASE("one node that switches needs no tunnel, also as a guest of another", "[roles][compile]") {
    auto f = complete_example("all-in-one");
    f.nodes["server"] = {.roles = {"hypervisor"},
                         .nics = {{"eth0", {.network = "management", .address = parse_ip("10.10.100.50").value()}},
                                  {"eth1", {.network = "external"}}},
                         .bridges = {{"bridge-int", {"eth0"}}, {"bridge-ext", {"eth1"}}}};
    f.nodes["cloud"].host = "server";
    REQUIRE(roles::compile(f, "cloud", facts_of()).has_value());
    CHECK(roles::compile(f, "cloud", facts_of()).value() ==
          roles::compile(complete_example("all-in-one"), "cloud", facts_of()).value());
    f.nodes["second"] = {.roles = {"compute"},
                         .nics = {{"eth0", {.network = "management", .address = parse_ip("10.10.100.52").value()}}}};
    CHECK(roles::compile(f, "cloud", facts_of()).error().detail.find("no tunnel") != std::string::npos);
}
