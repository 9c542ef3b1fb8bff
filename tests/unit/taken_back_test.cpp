// SPDX-License-Identifier: Apache-2.0
// Steps taken back by what a host is now: what they made goes, what they removed comes, and of what they changed only that.
#include "model/taken_back.hpp"

#include "weft/model/json.hpp"

#include <catch2/catch.hpp>

using namespace weft;

namespace {

const std::string of_fabric = "f";

weft::link tap(const std::string& name) {
    weft::link l{};
    l.name = name;
    l.options = veth_options{"qr-" + name, "qrouter-1", std::nullopt, std::nullopt};
    l.group = weft_link_group;
    l.alias = "weft:f/" + name;
    return l;
}

ovs::port_row port(const std::string& name, std::optional<std::uint16_t> tag) {
    ovs::port_row p;
    p.name = name;
    p.tag = tag;
    p.external_ids[ovs::mark_fabric] = of_fabric;
    p.interfaces.emplace_back();
    p.interfaces[0].name = name;
    return p;
}

ovs::bridge_row bridge(std::vector<ovs::port_row> ports) {
    ovs::bridge_row b;
    b.name = "br-int";
    b.external_ids[ovs::mark_fabric] = of_fabric;
    b.ports = std::move(ports);
    return b;
}

ovs::flow flow(const std::string& match, std::uint64_t cookie = ovs::flow_cookie) {
    ovs::flow f;
    f.cookie = cookie;
    f.match = match;
    f.actions = "drop";
    return f;
}

host_state host() {
    host_state s;
    s.namespaces.emplace_back();
    return s;
}

std::vector<std::string> names(const plan& p) {
    std::vector<std::string> all;
    for (const auto& s : p.steps)
        all.push_back((s.kind() == step_kind::create ? "+ " : s.kind() == step_kind::remove ? "- " : "~ ") + s.object_kind() + " " + s.object_name());
    return all;
}

plan back(const host_state& seen, const std::vector<step>& steps, const std::map<std::string, std::vector<ovs::flow>>& flows = {}) {
    return take_back(seen, steps, flows, of_fabric, "n").value();
}

}  // namespace

TEST_CASE("what a step made goes, and one that never ran, or is taken back already, is nothing to do") {
    const std::vector<step> steps = {{"", std::nullopt, tap("tap1"), {}}, {"br-int", std::nullopt, flow("tcp"), {}}};
    auto seen = host();
    seen.bridges = {bridge({})};
    seen.flows["br-int"] = {flow("udp")};
    CHECK(back(seen, steps).empty());
    seen.namespaces[0].links = {tap("tap1")};
    seen.flows["br-int"].push_back(flow("tcp"));
    CHECK(names(back(seen, steps)) == std::vector<std::string>{"- link tap1", "- flow table=0,priority=32768,tcp"});
}

TEST_CASE("a row that was plugged anew for its device is as it was although the device is still away") {
    auto before = port("tap1", 5);
    before.interfaces[0].ofport = 7;  // the switch had not seen it go
    auto now = before, after = port("tap1", 5);
    now.interfaces[0].ofport = -1;
    now.interfaces[0].error = "could not open network device tap1 (No such device)";
    const std::vector<step> steps = {{"br-int", before, std::nullopt, {}}, {"br-int", std::nullopt, after, {}}};
    auto seen = host();
    seen.bridges = {bridge({now})};
    CHECK(names(back(seen, steps)).empty());
}

TEST_CASE("what a step removed comes again, and what others made under its name is left alone and said") {
    route gone{};
    gone.destination = *parse_prefix("10.9.0.0/16");
    gone.nexthops.push_back({std::nullopt, "eth0", 0, false});
    const std::vector<step> steps = {{"", gone, std::nullopt, {}}};
    auto seen = host();
    CHECK(names(back(seen, steps)) == std::vector<std::string>{"+ route 10.9.0.0/16 dev eth0"});
    auto theirs = gone;
    theirs.protocol = 4;
    theirs.nexthops[0].device = "eth1";
    seen.namespaces[0].routes = {theirs};
    const auto refused = take_back(seen, steps, {}, of_fabric, "n");
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::foreign_object);
}

TEST_CASE("a name that others took since is left to them with what lay on it, and all else is taken back") {
    route gone{};
    gone.destination = *parse_prefix("10.9.0.0/16");
    gone.nexthops.push_back({std::nullopt, "eth0", 0, false});
    auto other = gone;
    other.destination = *parse_prefix("10.8.0.0/16");
    auto on_tap = other;
    on_tap.destination = *parse_prefix("10.7.0.0/16");
    on_tap.nexthops[0].device = "tap1";
    const auto was = tap("tap1");
    const std::vector<step> steps = {{"", on_tap, std::nullopt, {}}, {"", gone, std::nullopt, {}}, {"", other, std::nullopt, {}}, {"", was, std::nullopt, {}},
                                     {"", std::nullopt, tap("tap2"), {}}};
    auto seen = host();
    auto theirs = gone;
    theirs.protocol = 4;
    theirs.nexthops[0].device = "eth1";
    seen.namespaces[0].routes = {theirs};
    weft::link dummy{};
    dummy.name = "tap1";
    dummy.options = dummy_options{};
    seen.namespaces[0].links = {dummy, tap("tap2")};
    std::string told;
    const auto p = take_back_beside_others(seen, steps, {}, of_fabric, "n", told).value();
    CHECK(names(p) == std::vector<std::string>{"- link tap2", "+ route 10.8.0.0/16 dev eth0"});
    CHECK(told.find("not undone: + link tap1") != std::string::npos);
    CHECK(told.find("not undone: + route 10.9.0.0/16 dev eth0: the name is taken") != std::string::npos);
}

TEST_CASE("with a link that others took the name of go its row, the flows that name it and the links that stand on it, and no others") {
    auto on = tap("tap3");
    on.options = vlan_options{7, "tap1"};
    weft::link free{};
    free.name = "eth9";
    auto enslaved = free;
    enslaved.master = "tap1";
    const std::vector<step> steps = {{"br-int", flow("in_port=tap10"), std::nullopt, {}}, {"br-int", flow("in_port=tap1,tcp"), std::nullopt, {}},
                                     {"br-int", port("tap1", 5), std::nullopt, {}},       {"br-int", port("tap10", 6), std::nullopt, {}},
                                     {"", on, std::nullopt, {}},                          {"", enslaved, free, {}},
                                     {"", tap("tap1"), std::nullopt, {}}};
    auto seen = host();
    seen.bridges = {bridge({})};
    seen.flows["br-int"] = {};
    weft::link dummy{};
    dummy.name = "tap1";
    dummy.options = dummy_options{};
    seen.namespaces[0].links = {dummy, free};
    std::string told;
    const auto p = take_back_beside_others(seen, steps, {}, of_fabric, "n", told).value();
    CHECK(names(p) == std::vector<std::string>{"+ port tap10", "+ flow table=0,priority=32768,in_port=tap10"});
    CHECK(told == "\n  not undone: + link tap1: the name is taken by an object that bears no mark of weft");
}

TEST_CASE("a route in the way is one of the same table and metric, and one of another table comes back") {
    route first{};
    first.destination = *parse_prefix("10.9.0.0/16");
    first.nexthops.push_back({std::nullopt, "eth0", 0, false});
    auto second = first, third = first, theirs = first;
    second.table = 77;
    third.metric = 30;
    theirs.protocol = 4;
    theirs.nexthops[0].device = "eth1";
    const std::vector<step> steps = {{"", first, std::nullopt, {}}, {"", second, std::nullopt, {}}, {"", third, std::nullopt, {}}};
    for (const auto* taken : {&first, &second, &third}) {
        auto way = theirs;
        way.table = taken->table;
        way.metric = taken->metric;
        auto seen = host();
        seen.namespaces[0].routes = {way};
        std::string told;
        CHECK(names(take_back_beside_others(seen, steps, {}, of_fabric, "n", told).value()).size() == 2);
        CHECK(told.find('\n', 1) == std::string::npos);
        CHECK(told.find("+ route 10.9.0.0/16") != std::string::npos);
    }
}

TEST_CASE("with a device go its settings, so that they are taken back although their own step never began, and no other's are") {
    const auto key = [](const std::string& device) { return sysctl_object{"net/ipv6/conf/" + device + "/disable_ipv6", "1"}; };
    auto row = bridge({});
    row.name = "br-ex";
    const std::vector<step> steps = {{"", tap("tap1"), std::nullopt, {}},   {"br-ex", row, std::nullopt, {}},         {"", tap("tap2"), std::nullopt, {}},
                                     {"", key("tap1"), std::nullopt, {}},   {"", key("br-ex"), std::nullopt, {}},     {"", key("tap2"), std::nullopt, {}},
                                     {"other", key("tap1"), std::nullopt, {}}, {"", sysctl_object{"net/ipv4/ip_forward", "0"}, std::nullopt, {}}};
    CHECK(affected(steps, {}).empty());
    const auto hit = affected(steps, {0, 1});
    REQUIRE(hit.size() == 4);
    CHECK(hit[2].before == steps[3].before);
    CHECK(hit[2].scope.empty());
    CHECK(hit[3].before == steps[4].before);
}

TEST_CASE("with an end of a veth pair goes the other one, and its settings, so that both are taken back although only one removal had begun") {
    auto outer = tap("tap1"), inner = tap("qr-1");
    outer.options = veth_options{"qr-1", "qrouter-1"};
    inner.options = veth_options{"tap1", ""};
    const sysctl_object setting{"net/ipv6/conf/qr-1/disable_ipv6", "1"};
    const std::vector<step> steps = {{"", outer, std::nullopt, {}},
                                     {"qrouter-1", inner, std::nullopt, {}},
                                     {"qrouter-1", setting, std::nullopt, {}},
                                     {"qrouter-2", inner, std::nullopt, {}},
                                     {"", tap("tap2"), std::nullopt, {}}};
    for (const std::size_t first : {0u, 1u}) {
        const auto hit = affected(steps, {first});
        REQUIRE(hit.size() == 3);
        CHECK(hit[0].before == state_object(outer));
        CHECK(hit[1].scope == "qrouter-1");
        CHECK(hit[1].before == state_object(inner));
        CHECK(hit[2].before == state_object(setting));
    }
}

TEST_CASE("the devices that an object lies on are known of every kind that has some") {
    weft::address_entry address{};
    address.device = "br-ex";
    CHECK(devices_of({"", std::nullopt, address, {}}) == std::vector<std::string>{"br-ex"});
    CHECK(devices_of({"", std::nullopt, sysctl_object{"net/ipv6/conf/br-ex/disable_ipv6", "1"}, {}}) == std::vector<std::string>{"br-ex"});
    CHECK(devices_of({"", std::nullopt, sysctl_object{"net/ipv4/ip_forward", "1"}, {}}).empty());
    CHECK(devices_of({"br-int", std::nullopt, flow("tcp"), {}}).empty());
    CHECK(in_switch({"br-int", std::nullopt, flow("tcp"), {}}));
    CHECK_FALSE(in_switch({"", address, std::nullopt, {}}));
}

TEST_CASE("without the switch the kernel's part is taken back, but for what hangs on a port in the kernel") {
    weft::address_entry forth{}, elsewhere{};
    forth.device = "br-ex";
    elsewhere.device = "eth0";
    for (const std::string datapath : {"netdev", "system"}) {
        auto row = bridge({});
        row.name = "br-ex";
        row.datapath_type = datapath;
        const std::vector<step> steps = {{"br-ex", std::nullopt, row, {}}, {"", std::nullopt, forth, {}}, {"", std::nullopt, elsewhere, {}},
                                         {"br-ex", std::nullopt, flow("tcp"), {}}};
        const auto parts = without_switch(steps, {{"eth2", "br-ex", "an address"}});
        CHECK(parts.rest.size() == (datapath == "netdev" ? 2U : 3U));
        CHECK(parts.kernel.back().after == steps[2].after);
        CHECK(parts.userspace.contains("br-ex") == (datapath == "netdev"));
        CHECK(without_switch(steps, {}).rest.size() == 2);
    }
}

TEST_CASE("the ports that steps plug or unplug are known with their bridges, and what only changes a port or a link is none") {
    weft::link nic{};
    nic.name = "eth2";
    auto in = nic, raised = nic;
    in.master = "br-ex";
    raised.up = true;
    auto gone = bridge({port("theirs", {})});
    gone.name = "br-old";
    const auto untagged = port("vm1", {}), tagged = port("vm1", 7);
    const std::vector<step> steps = {{"", nic, in, {}},
                                     {"", nic, raised, {}},
                                     {"br-int", std::nullopt, port("eth1", {}), {}},
                                     {"br-tun", port("eth3", {}), std::nullopt, {}},
                                     {"br-int", untagged, tagged, {}},
                                     {"br-old", gone, std::nullopt, {}},
                                     {"", sysctl_object{"net/ipv4/ip_forward", "0"}, sysctl_object{"net/ipv4/ip_forward", "1"}, {}}};
    using pair = std::pair<std::string, std::string>;
    CHECK(plugged_by(steps) == std::set<pair>{{"eth2", ""}, {"eth2", "br-ex"}, {"eth1", "br-int"}, {"eth3", "br-tun"}, {"theirs", "br-old"}});
}

TEST_CASE("of a row only the columns and keys come back that the step changed; a key that it added goes, one that others set since stays") {
    auto before = port("tap1", std::nullopt), after = port("tap1", 7);
    before.other_config["theirs"] = "old";
    after.other_config = {{"theirs", "old"}, {"net_uuid", "u"}};
    const std::vector<step> steps = {{"br-int", before, after, {}}};
    auto seen = host();
    seen.bridges = {bridge({after})};
    seen.bridges[0].ports[0].other_config["theirs"] = "new";
    seen.bridges[0].ports[0].vlan_mode = "access";
    const auto p = back(seen, steps);
    REQUIRE(p.steps.size() == 1);
    const auto& row = std::get<ovs::port_row>(*p.steps[0].after);
    CHECK_FALSE(row.tag);
    CHECK(row.other_config == ovs::string_map{{"theirs", "new"}});
    CHECK(row.vlan_mode == "access");
}

TEST_CASE("a NIC of the host gets back what a step changed of it, and nothing else") {
    weft::link before{};
    before.name = "eth0";
    before.mtu = 1500;
    before.promiscuous = false;
    before.up = true;
    auto after = before;
    after.promiscuous = true;
    auto seen = host();
    seen.namespaces[0].links = {after};
    seen.namespaces[0].links[0].mtu = 9000;  // somebody else, since
    const auto p = back(seen, {{"", before, after, {}}});
    REQUIRE(p.steps.size() == 1);
    const auto& nic = std::get<weft::link>(*p.steps[0].after);
    CHECK(nic.promiscuous == false);
    CHECK(nic.mtu == 9000U);
    CHECK(back(host(), {{"", before, after, {}}}).empty());  // the NIC has gone since
}

TEST_CASE("a bridge that was removed comes with its flows, and its device is raised") {
    weft::link up{};
    up.name = "br-int";
    up.up = true;
    auto down = up;
    down.up = false;
    const std::vector<step> steps = {{"", up, down, {}}, {"br-int", bridge({}), std::nullopt, {}}};
    const auto p = back(host(), steps, {{"br-int", {flow("tcp"), flow("udp", 0x12)}}});
    CHECK(names(p) == std::vector<std::string>{"+ bridge br-int", "+ flow table=0,priority=32768,tcp", "+ flow table=0,priority=32768,udp",
                                               "~ link br-int"});
}

TEST_CASE("what stood in a namespace comes back although its removal had not begun, and is not asked for where nothing was") {
    namespace_state inside;
    inside.name = "qrouter-1";
    address_entry address{};
    address.device = "qr-tap1";
    address.address = *parse_prefix("50.50.1.1/24");
    address.protocol = weft_protocol;
    inside.addresses = {address};
    const std::vector<step> steps = {{"", tap("tap1"), std::nullopt, {}}, {"qrouter-1", namespace_object{"qrouter-1", inside}, std::nullopt, {}}};
    CHECK(affected(steps, {}).empty());
    REQUIRE(affected(steps, {0}).size() == 2);
    auto with_flow = steps;
    with_flow.push_back({"br-int", flow("tcp"), std::nullopt, {}});
    CHECK(affected(with_flow, {}).empty());
    CHECK(affected(with_flow, {0}).size() == 3);  // it may name the port of tap1, which gets another number
    auto seen = host();
    seen.namespaces.push_back({});
    seen.namespaces[1].name = "qrouter-1";
    CHECK(names(back(seen, affected(steps, {0}))) ==
          std::vector<std::string>{"+ link tap1", "+ address 50.50.1.1/24 dev qr-tap1"});
}

TEST_CASE("a plan as JSON is read again as it was") {
    plan p;
    p.fabric = of_fabric;
    p.node = "n";
    p.steps = {{"", std::nullopt, tap("tap1"), {}},
               {"br-int", port("tap1", 3), port("tap1", 4), "tap1 pauses"},
               {"br-int", flow("tcp"), std::nullopt, {}},
               {"", sysctl_object{"net/ipv4/ip_forward", "0"}, sysctl_object{"net/ipv4/ip_forward", "1"}, {}}};
    const auto again = plan_from_json(to_json(p)).value();
    REQUIRE(again.steps.size() == p.steps.size());
    for (std::size_t i = 0; i < p.steps.size(); ++i) {
        CHECK(again.steps[i].scope == p.steps[i].scope);
        CHECK(again.steps[i].before == p.steps[i].before);
        CHECK(again.steps[i].after == p.steps[i].after);
        CHECK(again.steps[i].bounces == p.steps[i].bounces);
    }
    CHECK(plan_from_json(R"({"fabric":"f","node":"n","steps":[{"scope":"","object":"dragon","after":{}}]})").has_error());
    CHECK(plan_from_json("[]").has_error());
}
