// SPDX-License-Identifier: Apache-2.0
// diff, order and JSON on plain values: what becomes a step, in which order, and what is never touched. Longer than
// the guide, as diff.cpp is: each kind of object has its cases.
#include "weft/model/json.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace weft;

namespace {

host_state wanted_with_veth() {
    host_state w;
    w.fabric = "f";
    w.node = "n";
    namespace_state root;
    weft::link nic{};
    nic.name = "eth0";
    nic.up = true;
    root.links.push_back(nic);
    weft::link tap{};
    tap.name = "tap1";
    tap.options = veth_options{"qr-1", "qrouter-1", mac_address{{2, 0, 0, 0, 0, 1}}, 1458};
    tap.mtu = 1458;
    tap.group = weft_link_group;
    tap.alias = "weft:f/router";
    tap.up = true;
    root.links.push_back(tap);
    nft::table guard;
    guard.family = nft::family::netdev;
    guard.name = "weft";
    root.tables.push_back(guard);
    root.addresses.push_back({"eth0", *parse_prefix("10.10.10.52/24"), 0, std::nullopt, weft_protocol, 0});
    w.namespaces.push_back(root);
    namespace_state inside;
    inside.name = "qrouter-1";
    weft::link qr{};
    qr.name = "qr-1";
    qr.options = veth_options{"tap1", "", std::nullopt, std::nullopt};
    qr.mtu = 1458;
    qr.group = weft_link_group;
    qr.alias = "weft:f/router";
    qr.up = true;
    inside.links.push_back(qr);
    w.namespaces.push_back(inside);
    return w;
}

host_state seen_with_nic() {
    host_state s;
    namespace_state root;
    weft::link nic{};
    nic.name = "eth0";
    root.links.push_back(nic);
    s.namespaces.push_back(root);
    return s;
}

std::size_t index_of(const plan& p, const std::string& text) {
    for (std::size_t i = 0; i < p.steps.size(); ++i) {
        if (p.steps[i].to_string().find(text) != std::string::npos) return i;
    }
    FAIL("no step says " << text);
    return 0;
}

}  // namespace

TEST_CASE("nothing is raised before its guard stands") {
    const auto p = diff(seen_with_nic(), wanted_with_veth()).value();
    REQUIRE(index_of(p, "+ namespace qrouter-1") < index_of(p, "+ link tap1"));
    REQUIRE(index_of(p, "+ link tap1") < index_of(p, "+ nft table netdev weft"));
    REQUIRE(index_of(p, "+ nft table netdev weft") < index_of(p, "~ link tap1"));
    REQUIRE_FALSE(std::get<weft::link>(*p.steps[index_of(p, "+ link tap1")].after).up);
}

TEST_CASE("links that stand on links of the same plan come after these, and go before them") {
    host_state bare;
    bare.fabric = "f";
    bare.node = "n";
    bare.namespaces.emplace_back();
    auto w = bare;
    const auto add = [&](const char* name, link_options options, const char* master = "") {
        weft::link l{};
        l.name = name;
        l.options = std::move(options);
        l.master = master;
        l.group = weft_link_group;
        l.alias = std::string("weft:f/") + name;
        l.up = true;
        w.namespaces[0].links.push_back(std::move(l));
    };
    // In name order, which is that of a compiled state, each one stands on a later one.
    add("a100", vlan_options{100, "b5001"});
    add("b5001", vxlan_options{5001, {}, {}, {}, {}, {}, "c200"}, "z-guests");
    add("c200", vlan_options{200, "y-host"});
    add("y-host", bridge_options{});
    add("z-guests", bridge_options{});
    const auto up = diff(bare, w).value();
    for (const std::string verb : {"+", "~"}) {
        CHECK(index_of(up, verb + " link y-host") < index_of(up, verb + " link c200"));
        CHECK(index_of(up, verb + " link c200") < index_of(up, verb + " link b5001"));
        CHECK(index_of(up, verb + " link z-guests") < index_of(up, verb + " link b5001"));
        CHECK(index_of(up, verb + " link b5001") < index_of(up, verb + " link a100"));
    }
    const auto down = diff(w, bare).value();
    CHECK(index_of(down, "- link a100") < index_of(down, "- link b5001"));
    CHECK(index_of(down, "- link b5001") < index_of(down, "- link c200"));
    CHECK(index_of(down, "- link b5001") < index_of(down, "- link z-guests"));
    CHECK(index_of(down, "- link c200") < index_of(down, "- link y-host"));
}

TEST_CASE("a veth pair is created by one step, and its other end only raised") {
    const auto p = diff(seen_with_nic(), wanted_with_veth()).value();
    for (const auto& s : p.steps) {
        if (s.object_name() == "qr-1") REQUIRE(s.kind() == step_kind::change);
    }
}

TEST_CASE("a link that pauses or changes its address says so in its step, and one that only gets another MTU does not") {
    const auto text_of_change = [](auto change) {
        auto w = wanted_with_veth(), s = w;
        change(w.namespaces[0].links[1]);
        const auto p = diff(s, w).value();
        REQUIRE(p.steps.size() == 1);
        return p.steps[0].to_string();
    };
    using Catch::Matchers::EndsWith;
    CHECK_THAT(text_of_change([](weft::link& l) { l.up = false; }), EndsWith("  [tap1 goes down]"));
    CHECK_THAT(text_of_change([](weft::link& l) { l.mac = mac_address{{2, 0, 0, 0, 0, 9}}; }),
               EndsWith("  [tap1 changes its MAC address: neighbours learn it anew]"));
    CHECK_THAT(text_of_change([](weft::link& l) { l.mtu = 1400; }), !Catch::Matchers::Contains("["));
}

TEST_CASE("a state that is as wanted gives an empty plan") {
    const auto w = wanted_with_veth();
    REQUIRE(diff(w, w).value().empty());
}

TEST_CASE("a link of a wanted name without our mark is an error that names it") {
    auto s = seen_with_nic();
    weft::link other{};
    other.name = "tap1";
    other.options = bridge_options{};
    s.namespaces[0].links.push_back(other);
    const auto p = diff(s, wanted_with_veth());
    REQUIRE(p.has_error());
    REQUIRE(p.error().code == errc::foreign_object);
    REQUIRE(p.error().object.find("tap1") != std::string::npos);
}

TEST_CASE("what others have of the wanted names is left to them on demand, with all that would be on it, and everything else is planned") {
    auto s = seen_with_nic();
    weft::link other{};
    other.name = "tap1";
    other.options = bridge_options{};
    s.namespaces[0].links.push_back(other);
    nft::table guard;
    guard.family = nft::family::inet;
    guard.name = "weft";
    guard.marked = false;
    s.namespaces[0].tables.push_back(guard);
    s.bridges.push_back({"br-int", "netdev", "", {}, {}, {}, {}});
    auto w = wanted_with_veth();
    auto& root = w.namespaces[0];
    guard.marked = true;
    root.tables.push_back(guard);
    root.addresses.push_back({"tap1", *parse_prefix("192.0.2.9/24"), 0, std::nullopt, weft_protocol, 0});
    root.sysctls["net/ipv4/conf/tap1/rp_filter"] = "0";
    root.sysctls["net/ipv4/ip_forward"] = "1";
    weft::link above{};
    above.name = "above1";
    above.options = macvlan_options{"tap1", 4};
    above.alias = "weft:f/above";
    root.links.push_back(above);
    const auto bridge = [](const char* name) {
        ovs::bridge_row b;
        b.name = name;
        b.datapath_type = "netdev";
        ovs::port_row port;
        port.name = std::string("port-of-") + name;
        port.interfaces.push_back({port.name});
        b.ports.push_back(port);
        return b;
    };
    w.bridges = {bridge("br-int"), bridge("br-ext")};
    // The device of a bridge of others is theirs too.
    weft::link local{};
    local.name = "br-int";
    s.namespaces[0].links.push_back(local);
    local.up = true;
    root.links.push_back(local);
    root.addresses.push_back({"br-int", *parse_prefix("192.0.2.10/24"), 0, std::nullopt, weft_protocol, 0});
    REQUIRE(diff(s, w).has_error());

    std::vector<error> others;
    const auto p = diff(s, w, &others).value();
    std::vector<std::string> names;
    for (const auto& o : others) names.push_back(o.object);
    CHECK(names == std::vector<std::string>{"link tap1", "nft table inet weft", "bridge br-int in Open vSwitch"});
    std::set<std::string> touched;
    for (const auto& step : p.steps) touched.insert(step.object_name());
    for (const auto* left : {"tap1", "qr-1", "above1", "inet weft", "br-int", "port-of-br-int", "net/ipv4/conf/tap1/rp_filter"}) {
        CAPTURE(left);
        CHECK(!touched.contains(left));
    }
    for (const auto& name : touched) {
        CHECK(name.find("tap1") == std::string::npos);
        CHECK(name.find("dev br-int") == std::string::npos);
    }
    for (const auto* done : {"br-ext", "port-of-br-ext", "net/ipv4/ip_forward", "netdev weft", "10.10.10.52/24 dev eth0", "qrouter-1"}) {
        CAPTURE(done);
        CHECK(touched.contains(done));
    }
}

namespace {

// Names of what a plan that leaves to others what they have touches, and what it leaves.
std::pair<std::set<std::string>, std::vector<std::string>> beside_others(const host_state& seen, const host_state& wanted) {
    std::vector<error> others;
    const auto p = diff(seen, wanted, &others).value();
    std::set<std::string> touched;
    for (const auto& step : p.steps) touched.insert(step.object_name());
    std::vector<std::string> left;
    for (const auto& o : others) left.push_back(o.object);
    return {touched, left};
}

}  // namespace

TEST_CASE("a namespace of others under a wanted name is left to them on demand, with both ends of what leads into it and what runs there") {
    auto s = seen_with_nic();
    s.foreign_namespaces = {"qrouter-1"};
    auto w = wanted_with_veth();
    service served{};
    served.name = "dns";
    served.space = "qrouter-1";
    w.services.push_back(served);
    served.name = "other";
    served.space = "";
    w.services.push_back(served);
    const auto refused = diff(s, w);
    REQUIRE(refused.has_error());
    CHECK(refused.error().object == "namespace qrouter-1");
    CHECK(refused.error().detail == "the name is taken by a namespace that weft did not make; nothing was changed");

    auto [touched, left] = beside_others(s, w);
    CHECK(left == std::vector<std::string>{"namespace qrouter-1"});
    CHECK(touched == std::set<std::string>{"eth0", "netdev weft", "10.10.10.52/24 dev eth0", "other"});
    // An end that outlived its namespace waits as it is.
    s.namespaces[0].links.push_back(w.namespaces[0].links[1]);
    s.namespaces[0].links.back().mtu = 1300;
    CHECK(beside_others(s, w).first == touched);
}

TEST_CASE("the place of a veth's inner end in the hands of others keeps the outer one from being made, and nothing else") {
    auto s = seen_with_nic();
    namespace_state inside;
    inside.name = "qrouter-1";
    weft::link theirs{};
    theirs.name = "qr-1";
    theirs.options = bridge_options{};
    inside.links.push_back(theirs);
    s.namespaces.push_back(inside);
    const auto w = wanted_with_veth();
    const auto [touched, left] = beside_others(s, w);
    CHECK(left == std::vector<std::string>{"link qr-1 in qrouter-1"});
    CHECK(touched == std::set<std::string>{"eth0", "netdev weft", "10.10.10.52/24 dev eth0"});
    // Where nobody is in the way, the pair is made.
    s.namespaces[1].links.clear();
    CHECK(beside_others(s, w).first.contains("tap1"));
}

TEST_CASE("a device that went is plugged anew where the switch believes to have it open, and with its number") {
    auto s = seen_with_nic();
    auto w = wanted_with_veth();
    ovs::bridge_row b;
    b.name = "br-int";
    b.datapath_type = "netdev";
    b.external_ids[ovs::mark_fabric] = "f";
    ovs::port_row port;
    port.name = "tap1";
    port.external_ids[ovs::mark_fabric] = "f";
    port.interfaces.push_back({"tap1"});
    b.ports.push_back(port);
    w.bridges.push_back(b);
    const auto of_the_port = [&](std::int64_t ofport) {
        b.ports[0].interfaces[0].ofport = ofport;
        s.bridges = {b};
        std::vector<step> steps;
        for (const auto& one : diff(s, w).value().steps)
            if (one.object_kind() == "port") steps.push_back(one);
        return steps;
    };
    const auto steps = of_the_port(7);
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].kind() == step_kind::remove);
    CHECK(std::get<ovs::port_row>(*steps[1].after).interfaces[0].ofport_request == 7u);
    // It has seen it go, and will see it come: the row stays, and the run waits for the number.
    REQUIRE(of_the_port(-1).size() == 1);
    CHECK(of_the_port(-1)[0].kind() == step_kind::change);
}

TEST_CASE("a missing NIC is an error that names it") {
    const auto p = diff(host_state{}, wanted_with_veth());
    REQUIRE(p.has_error());
    REQUIRE(p.error().object.find("eth0") != std::string::npos);
}

TEST_CASE("addresses, routes, ports and flows of others stay, ours that left the file go") {
    auto s = seen_with_nic();
    auto& root = s.namespaces[0];
    root.addresses.push_back({"eth0", *parse_prefix("192.0.2.1/24"), 0, std::nullopt, 0, 0});
    root.addresses.push_back({"eth0", *parse_prefix("192.0.2.2/24"), 0, std::nullopt, weft_protocol, 0});
    route foreign_route{};
    foreign_route.destination = *parse_prefix("198.51.100.0/24");
    foreign_route.protocol = 3;
    root.routes.push_back(foreign_route);
    s.bridges.push_back({"br-foreign", "netdev", "", {}, {}, {}, {}});
    host_state w;
    w.fabric = "f";
    w.namespaces.push_back({});
    w.namespaces[0].links.push_back(root.links[0]);
    const auto p = diff(s, w).value();
    REQUIRE(p.steps.size() == 1);
    REQUIRE(p.steps[0].to_string() == "- address 192.0.2.2/24 dev eth0");
}

TEST_CASE("routes that the kernel drops with a device's last IPv4 address go and come as steps of their own, so that an undo has them") {
    auto s = seen_with_nic();
    auto& root = s.namespaces[0];
    root.addresses.push_back({"eth0", *parse_prefix("192.0.2.1/24"), 0, std::nullopt, weft_protocol, 0});
    route def{};
    def.destination = *parse_prefix("0.0.0.0/0");
    def.nexthops = {{*parse_ip("192.0.2.254"), "eth0", 0, false}};
    root.routes.push_back(def);
    auto elsewhere = def;
    elsewhere.destination = *parse_prefix("198.51.100.0/24");
    elsewhere.nexthops[0].device = "eth1";
    root.routes.push_back(elsewhere);
    auto w = s;
    w.fabric = "f";
    w.namespaces[0].addresses[0].address = *parse_prefix("192.0.2.9/24");
    const auto texts = [&] {
        std::vector<std::string> out;
        for (const auto& each : diff(s, w).value().steps) out.push_back(each.to_string());
        return out;
    };
    const std::string route_text = "route default via 192.0.2.254 dev eth0";
    CHECK(texts() == std::vector<std::string>{"- " + route_text, "- address 192.0.2.1/24 dev eth0", "+ address 192.0.2.9/24 dev eth0", "+ " + route_text});
    // As long as another address stays, so do the routes.
    root.addresses.push_back({"eth0", *parse_prefix("203.0.113.1/24"), 0, std::nullopt, 0, 0});
    CHECK(texts() == std::vector<std::string>{"- address 192.0.2.1/24 dev eth0", "+ address 192.0.2.9/24 dev eth0"});
}

TEST_CASE("a bridge asks for the MTU that is wanted, and keeps what others ask for where none is") {
    host_state s, w;
    w.fabric = s.fabric = "f";
    ovs::bridge_row bridge{"br-ex", "netdev", "standalone", {}, {}, {{ovs::mark_fabric, "f"}}, {}};
    s.bridges = w.bridges = {bridge};
    s.bridges[0].mtu_request = 1400;
    CHECK(diff(s, w).value().steps.empty());
    w.bridges[0].mtu_request = 1500;
    const auto p = diff(s, w).value();
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].to_string() == "~ bridge br-ex mtu_request 1400 → 1500");
    s.bridges[0].mtu_request = 1500;
    CHECK(diff(s, w).value().steps.empty());
}

TEST_CASE("flows: learned and foreign ones are never part of a plan, changed actions are one step") {
    host_state s, w;
    w.fabric = s.fabric = "f";
    ovs::bridge_row bridge{"br-tun", "netdev", "secure", {}, {}, {{ovs::mark_fabric, "f"}}, {}};
    s.bridges = w.bridges = {bridge};
    s.flows["br-tun"] = {{ovs::flow_cookie, 0, 1, 0, 0, "in_port=1", "drop"},
                         {ovs::learned_cookie, 20, 1, 0, 300, "dl_vlan=1", "output:1"},
                         {0x1234, 0, 5, 0, 0, "ip", "drop"},
                         {ovs::flow_cookie, 3, 1, 0, 0, "tun_id=0x1", "drop"}};
    w.flows["br-tun"] = {{ovs::flow_cookie, 0, 1, 0, 0, "in_port=1", "goto_table:2"}};
    const auto p = diff(s, w).value();
    REQUIRE(p.steps.size() == 2);
    REQUIRE(p.steps[0].kind() == step_kind::change);
    REQUIRE(p.steps[1].kind() == step_kind::remove);
    REQUIRE(std::get<ovs::flow>(*p.steps[1].before).table == 3);
}

TEST_CASE("all flows of one bridge follow each other, whichever way they change, so that they go out in one bundle") {
    host_state s, w;
    w.fabric = s.fabric = "f";
    for (const char* name : {"br-int", "br-tun"}) {
        ovs::bridge_row bridge{name, "netdev", "secure", {}, {}, {{ovs::mark_fabric, "f"}}, {}};
        s.bridges.push_back(bridge);
        w.bridges.push_back(bridge);
        s.flows[name] = {{ovs::flow_cookie, 1, 1, 0, 0, "ip", "drop"}, {ovs::flow_cookie, 2, 1, 0, 0, "ip", "drop"}};
        w.flows[name] = {{ovs::flow_cookie, 1, 1, 0, 0, "ip", "NORMAL"}, {ovs::flow_cookie, 3, 1, 0, 0, "ip", "drop"}};
    }
    std::vector<std::string> bridges;
    for (const auto& step : diff(s, w).value().steps) bridges.push_back(step.scope);
    REQUIRE(bridges == std::vector<std::string>{"br-int", "br-int", "br-int", "br-tun", "br-tun", "br-tun"});
}

TEST_CASE("a port that vswitchd could not open is work to do, even where its rows are right") {
    host_state s, w;
    w.fabric = "f";
    ovs::port_row port{"eth9", {}, {}, "", {}, {{ovs::mark_fabric, "f"}}, {{"eth9", "", {}, {}, {}, {}, {}, {}, ""}}};
    ovs::bridge_row bridge{"br-ex", "netdev", "", {}, {}, {{ovs::mark_fabric, "f"}}, {port}};
    w.bridges = s.bridges = {bridge};
    REQUIRE(diff(s, w).value().empty());
    s.bridges[0].ports[0].interfaces[0].ofport = -1;
    s.bridges[0].ports[0].interfaces[0].error = "could not open network device eth9 (No such device)";
    REQUIRE(diff(s, w).value().steps.size() == 1);
}

namespace {

service dnsmasq() {
    return {"dnsmasq-1", "dnsmasq", "qdhcp-1", {"dnsmasq", "--no-hosts"}, {{"hosts", {"a", true}}, {"conf", {"b", false}}}};
}

// The plan from `have` to `want`, as text.
std::vector<std::string> service_steps(std::vector<service> have, std::vector<service> want) {
    host_state seen, wanted;
    seen.services = std::move(have);
    wanted.services = std::move(want);
    std::vector<std::string> out;
    for (const auto& s : diff(seen, wanted).value().steps) out.push_back(s.to_string());
    return out;
}

}  // namespace

TEST_CASE("a service that runs as wanted is no step, one that does not live is started, one that is not named is ended") {
    CHECK(service_steps({dnsmasq()}, {dnsmasq()}).empty());
    CHECK(service_steps({}, {dnsmasq()}) == std::vector<std::string>{"+ service dnsmasq-1 (qdhcp-1)"});
    CHECK(service_steps({dnsmasq()}, {}) == std::vector<std::string>{"- service dnsmasq-1 (qdhcp-1)"});
}

TEST_CASE("a service is reloaded when only files that it reads again changed, else restarted") {
    auto host = dnsmasq(), option = dnsmasq(), moved = dnsmasq(), file = dnsmasq(), argv = dnsmasq();
    host.files["hosts"].text = "c";
    option.files["conf"].text = "c";
    moved.space = "qdhcp-2";
    file.files["more"] = {"", true};
    argv.argv.push_back("--no-resolv");
    CHECK(service_steps({dnsmasq()}, {host}) == std::vector<std::string>{"~ service dnsmasq-1 (qdhcp-1) reloaded"});
    for (const auto& other : {option, file, argv})
        CHECK(service_steps({dnsmasq()}, {other}) == std::vector<std::string>{"~ service dnsmasq-1 (qdhcp-1) restarted"});
    CHECK(service_steps({dnsmasq()}, {moved}) == std::vector<std::string>{"~ service dnsmasq-1 (qdhcp-2) in qdhcp-1 → qdhcp-2 restarted"});
    CHECK_FALSE(reload_is_enough(dnsmasq(), moved));
}

TEST_CASE("a service starts after the addresses of its namespace, and ends before they go") {
    auto w = wanted_with_veth();
    w.services.push_back(dnsmasq());
    const auto p = diff(seen_with_nic(), w).value();
    CHECK(p.steps.back().object_kind() == "service");
    host_state seen = w, nothing;
    nothing.fabric = w.fabric;
    nothing.namespaces.push_back({});
    const auto removal = diff(seen, nothing).value();
    REQUIRE(removal.steps.size() > 1);
    CHECK(removal.steps.front().object_kind() == "service");
}

TEST_CASE("an inverse turns a step round") {
    const auto p = diff(seen_with_nic(), wanted_with_veth()).value();
    for (const auto& s : p.steps) {
        const auto back = s.inverse();
        REQUIRE(back.before == s.after);
        REQUIRE(back.after == s.before);
    }
}

TEST_CASE("JSON of a host_state reads back to the same value, and a wrong field is named") {
    auto w = wanted_with_veth();
    w.services.push_back({"dnsmasq-1", "dnsmasq", "qdhcp-1", {"dnsmasq", ""}, {{"hosts", {"a\nb", true}}}});
    REQUIRE(host_state_from_json(to_json(w)).value() == w);
    const auto bad = host_state_from_json(R"({"fabric":"f","namespaces":[{"links":[{"nmae":"x"}]}]})");
    REQUIRE(bad.has_error());
    REQUIRE(bad.error().object.find("/namespaces/0/links/0") != std::string::npos);
}

TEST_CASE("binding a port keeps every key that its owner wrote") {
    host_state s, w;
    w.fabric = "f";
    const ovs::string_map marks = {{ovs::mark_fabric, "f"}};
    ovs::port_row plugged{"tap1", 4095, {}, "", {{"theirs", "1"}}, {}, {{"tap1", "", {}, {{"iface-id", "u"}}, {}, {}, {}, 7, ""}}};
    ovs::port_row bound{"tap1", 2, {}, "", {{"weft-bound", "true"}}, marks, {{"tap1", "", {}, {}, {}, {}, {}, {}, ""}}};
    s.bridges = {{"br-int", "netdev", "secure", {}, {{"theirs", "1"}}, marks, {plugged}}};
    w.bridges = {{"br-int", "netdev", "secure", {"OpenFlow14"}, {{"ours", "1"}}, marks, {bound}}};
    const auto p = diff(s, w).value();
    REQUIRE(p.steps.size() == 2);
    const auto& bridge = std::get<ovs::bridge_row>(*p.steps[0].after);
    REQUIRE(bridge.other_config == ovs::string_map{{"ours", "1"}, {"theirs", "1"}});
    const auto& port = std::get<ovs::port_row>(*p.steps[1].after);
    REQUIRE(port.tag == 2);
    REQUIRE(port.other_config == ovs::string_map{{"theirs", "1"}, {"weft-bound", "true"}});
    REQUIRE(port.interfaces[0].external_ids == ovs::string_map{{"iface-id", "u"}});
}

TEST_CASE("a bridge that goes takes bound ports along without a step of their own") {
    host_state s, w;
    w.fabric = "f";
    const ovs::string_map marks = {{ovs::mark_fabric, "f"}};
    ovs::port_row bound{"tap1", 2, {}, "", {{"weft-bound", "true"}}, marks, {{"tap1", "", {}, {{"iface-id", "u"}}, {}, {}, {}, 7, ""}}};
    ovs::port_row patch{"patch-tun", {}, {}, "", {}, marks, {{"patch-tun", "patch", {}, {}, {}, {}, {}, 1, ""}}};
    s.bridges = {{"br-int", "netdev", "secure", {}, {}, marks, {patch, bound}}};
    const auto p = diff(s, w).value();
    REQUIRE(p.steps.size() == 2);
    REQUIRE(p.steps[0].object_name() == "patch-tun");
    REQUIRE(p.steps[1].object_name() == "br-int");
}

TEST_CASE("a NIC is in a bridge of ours as long as it is wanted there, and stays in a bridge of others") {
    const auto seen_in = [](bool ours) {
        host_state seen = seen_with_nic();
        auto& links = seen.namespaces[0].links;
        links[0].up = true;
        links[0].master = "bridge-int";
        weft::link bridge{};
        bridge.name = "bridge-int";
        bridge.options = bridge_options{};
        bridge.up = true;
        if (ours) bridge.group = weft_link_group, bridge.alias = "weft:f/nodes/n/bridge-int";
        links.push_back(bridge);
        return seen;
    };
    host_state want;
    want.fabric = "f";
    namespace_state root;
    weft::link nic{};
    nic.name = "eth0";
    nic.up = true;
    root.links.push_back(nic);
    want.namespaces.push_back(root);

    CHECK(diff(seen_in(false), want).value().steps.empty());
    const auto released = diff(seen_in(true), want).value();
    CHECK(released.steps.size() == 2);
    // In this order, so that an undo makes the bridge first and then puts the NIC in again.
    CHECK(index_of(released, "~ link eth0 master bridge-int →") < index_of(released, "- link bridge-int"));

    weft::link bridge{};
    bridge.name = "bridge-int";
    bridge.options = bridge_options{};
    bridge.group = weft_link_group;
    bridge.alias = "weft:f/nodes/n/bridge-int";
    bridge.up = true;
    want.namespaces[0].links.push_back(bridge);
    CHECK(diff(seen_in(true), want).value().steps.size() == 1);  // the bridge stays, the NIC leaves it
    want.namespaces[0].links[0].master = "bridge-int";
    CHECK(diff(seen_in(true), want).value().steps.empty());
    // What others put there stays as long as the bridge does, and a changed option makes no new bridge.
    auto shared = seen_in(true);
    weft::link guest{};
    guest.name = "vnet0";
    guest.master = "bridge-int";
    shared.namespaces[0].links.push_back(guest);
    CHECK(diff(shared, want).value().steps.empty());
    auto other = want;
    other.namespaces[0].links[1].options = bridge_options{.stp = false, .forward_delay = {}, .ageing_time = {}, .vlan_filtering = {}, .mcast_snooping = {}};
    const auto changed = diff(shared, other).value();
    REQUIRE(changed.steps.size() == 1);
    CHECK(changed.steps[0].kind() == step_kind::change);
    other.namespaces[0].links.pop_back();
    other.namespaces[0].links[0].master.clear();
    const auto removed = diff(shared, other).value();
    CHECK(index_of(removed, "~ link vnet0 master bridge-int →") < index_of(removed, "- link bridge-int"));

    // On a host without the bridge it is made first, and the NIC joins it then.
    host_state bare = seen_with_nic();
    const auto made = diff(bare, want).value();
    CHECK(index_of(made, "+ link bridge-int") < index_of(made, "~ link eth0"));
    CHECK(diff(seen_in(false), want).has_error());  // the name is taken by somebody else's bridge
}

TEST_CASE("a veth end whose peer's namespace is not there by name is made anew, with its settings, its guard and its port's number") {
    auto want = wanted_with_veth();
    auto& root = want.namespaces[0];
    root.sysctls["net/ipv6/conf/tap1/disable_ipv6"] = "1";
    root.tables[0].chains = {nft::chain{"guard-tap1", "filter", 0, 0, 0, {"tap1"}, {}}};
    ovs::bridge_row bridge;
    bridge.name = "br-int";
    bridge.external_ids = {{ovs::mark_fabric, "f"}};
    ovs::port_row port;
    port.name = "tap1";
    port.external_ids = {{ovs::mark_fabric, "f"}};
    port.interfaces = {ovs::interface_row{.name = "tap1"}};
    bridge.ports = {port};
    want.bridges = {bridge};
    auto seen = want;
    seen.bridges[0].ports[0].interfaces[0].ofport = 7;
    CHECK(diff(seen, want).value().steps.empty());

    seen.namespaces.pop_back();  // somebody deleted it; a process within keeps the peer alive
    const auto p = diff(seen, want).value();
    const auto port_goes = index_of(p, "- port tap1"), link_goes = index_of(p, "- link tap1"), link_comes = index_of(p, "+ link tap1"),
               up = index_of(p, "~ link tap1"), port_comes = index_of(p, "+ port tap1");
    CHECK(port_goes < link_goes);
    CHECK(link_goes < index_of(p, "+ namespace qrouter-1"));
    CHECK(index_of(p, "+ namespace qrouter-1") < link_comes);
    CHECK(link_comes < index_of(p, "nft table netdev weft"));
    CHECK(index_of(p, "nft table netdev weft") < up);
    CHECK(index_of(p, "sysctl net/ipv6/conf/tap1/disable_ipv6") < up);
    CHECK(up < port_comes);
    CHECK(std::get<ovs::port_row>(*p.steps[port_comes].after).interfaces[0].ofport_request == 7U);
}
