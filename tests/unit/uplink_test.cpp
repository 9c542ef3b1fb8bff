// SPDX-License-Identifier: Apache-2.0
// What a host has on a NIC that becomes a port of a bridge: which steps move it, in which order, what is remembered, what stays, and
// what is refused before anything is written. Longer than the guide, because all cases start from the one host that has everything.
#include "weft/model/plan.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace weft;

namespace {

const ovs::string_map ours = {{ovs::mark_fabric, "f"}, {ovs::mark_object, "nodes/n"}};
constexpr std::uint8_t boot = 3, kernel = 2;

weft::link nic(const std::string& name, std::uint32_t number) {
    weft::link l{};
    l.name = name;
    l.mac = mac_address{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(number)}};
    l.mtu = 1500;
    l.up = true;
    l.index = number;
    return l;
}

address_entry address(const std::string& device, const std::string& text, std::uint8_t protocol = 0) {
    address_entry a;
    a.device = device;
    a.address = *parse_prefix(text);
    a.protocol = protocol;
    return a;
}

route via(const std::string& destination, const std::string& gateway, const std::string& device) {
    route r;
    r.destination = *parse_prefix(destination);
    r.protocol = boot;
    r.nexthops = {nexthop{gateway.empty() ? std::nullopt : std::optional(*parse_ip(gateway)), device, 0, false, {}}};
    return r;
}

// A host with addresses, routes, a rule, a neighbour and a nexthop object on eth2, and some of each beside it.
host_state host() {
    host_state s;
    namespace_state root;
    root.links = {nic("eth0", 2), nic("eth2", 4)};
    root.addresses = {address("eth0", "10.10.10.52/24"), address("eth2", "192.168.100.52/24"), address("eth2", "192.168.100.53/24"),
                      address("eth2", "2001:db8::52/64")};
    root.addresses[2].label = "eth2:1";
    auto own = address("eth2", "fe80::ff:fe00:4/64");  // of the MAC, from a kernel that does not say so
    auto learnt = address("eth2", "2001:db8::4/64");
    learnt.passing = true;
    root.addresses.insert(root.addresses.end(), {own, learnt});
    auto connected = via("192.168.100.0/24", "", "eth2");
    connected.protocol = kernel;
    auto advertised = via("::/0", "fe80::1", "eth2");
    advertised.passing = true;
    auto elsewhere = via("10.11.0.0/16", "10.10.10.1", "eth0");
    auto both = via("10.7.0.0/16", "192.168.100.1", "eth2");
    both.nexthops.push_back(nexthop{*parse_ip("10.10.10.1"), "eth0", 0, false, {}});
    auto table = via("198.51.100.0/24", "192.168.100.1", "eth2");
    table.table = 77;
    root.routes = {via("0.0.0.0/0", "192.168.100.1", "eth2"), connected, advertised, elsewhere, both, table, via("10.9.9.0/24", "", "eth2")};
    rule named;
    named.priority = 1000;
    named.input_device = "eth2";
    named.table = 77;
    named.protocol = 0;
    rule other = named;
    other.priority = 1001;
    other.input_device = "eth0";
    root.rules = {named, other};
    neighbour fixed;
    fixed.device = "eth2";
    fixed.address = *parse_ip("192.168.100.9");
    fixed.mac = mac_address{{2, 0, 0, 0, 0, 9}};
    fixed.protocol = 0;
    root.neighbours = {fixed};
    nexthop_object object;
    object.id = 9;
    object.hop = {*parse_ip("192.168.100.1"), "eth2", 0, false, {}};
    object.protocol = 0;
    root.nexthops = {object};
    s.namespaces = {root};
    return s;
}

host_state nothing_wanted() {
    host_state w;
    w.fabric = "f";
    w.node = "n";
    w.namespaces = {namespace_state{}};
    return w;
}

host_state in_switch(const std::string& datapath = "netdev") {
    auto w = nothing_wanted();
    auto& root = w.namespaces[0];
    weft::link eth2{};
    eth2.name = "eth2";
    eth2.up = true;
    weft::link local{};
    local.name = "br-ex";
    local.mtu = 1500;
    local.up = true;
    root.links = {eth2, local};
    root.sysctls = {{"net/ipv6/conf/br-ex/disable_ipv6", "1"}, {"net/ipv6/conf/eth2/disable_ipv6", "1"}};
    if (datapath == "netdev") {
        nft::table guard{nft::family::netdev, "weft", {}};
        for (const char* device : {"eth2", "tap1"}) guard.chains.push_back({std::string("drop-") + device, "filter", 0, -300, 0, {device}, {}});
        root.tables = {guard};
    }
    ovs::bridge_row row;
    row.name = "br-ex";
    row.datapath_type = datapath;
    row.fail_mode = "standalone";
    row.external_ids = ours;
    ovs::port_row port;
    port.name = "eth2";
    port.external_ids = ours;
    port.interfaces.push_back(ovs::interface_row{.name = "eth2"});
    row.ports = {port};
    w.bridges = {row};
    return w;
}

host_state in_linux_bridge() {
    auto w = nothing_wanted();
    weft::link eth2{};
    eth2.name = "eth2";
    eth2.up = true;
    eth2.master = "br0";
    weft::link bridge{};
    bridge.name = "br0";
    bridge.options = bridge_options{};
    bridge.group = weft_link_group;
    bridge.alias = "weft:f/nodes/n/br0";
    bridge.up = true;
    w.namespaces[0].links = {eth2, bridge};
    return w;
}

std::vector<std::string> texts(const plan& p) {
    std::vector<std::string> out;
    for (const auto& s : p.steps) {
        std::string text = s.kind() == step_kind::create ? "+ " : s.kind() == step_kind::remove ? "- " : "~ ";
        text += s.object_kind() + " " + s.object_name();
        if (!s.scope.empty() && s.scope != s.object_name()) text += " (" + s.scope + ")";
        const auto* link_now = s.after ? std::get_if<weft::link>(&*s.after) : nullptr;
        const auto* link_was = s.before ? std::get_if<weft::link>(&*s.before) : nullptr;
        if (link_now && link_was && link_now->up != link_was->up) text += link_now->up ? " state down → up" : " state up → down";
        if (link_now && link_was && link_now->master != link_was->master) text += " master " + link_was->master + " → " + link_now->master;
        if (const auto* key = s.after ? std::get_if<sysctl_object>(&*s.after) : nullptr) text += " = " + key->value;
        if (s.kind() == step_kind::change && std::holds_alternative<route>(*s.after))
            if (const auto was = step{s.scope, s.before, std::nullopt, {}}.object_name(); was != s.object_name()) text += " (was: " + was + ")";
        out.push_back(text);
    }
    return out;
}

// The state after the steps, as far as the objects of these tests go.
host_state after(host_state s, const plan& p) {
    auto& root = s.namespaces[0];
    const auto replace = [](auto& list, const auto* before, const auto* now) {
        if (before) std::erase(list, *before);
        if (now) list.push_back(*now);
    };
    for (const auto& one : p.steps) {
        const auto put = [&](auto& list) {
            using T = typename std::decay_t<decltype(list)>::value_type;
            const auto* before = one.before ? std::get_if<T>(&*one.before) : nullptr;
            const auto* now = one.after ? std::get_if<T>(&*one.after) : nullptr;
            if constexpr (std::is_same_v<T, weft::link>) {
                if (before || now) std::erase_if(list, [&](const auto& l) { return l.name == (now ? now->name : before->name); });
                replace(list, static_cast<const T*>(nullptr), now);
            } else {
                replace(list, before, now);
            }
        };
        put(root.addresses);
        put(root.routes);
        put(root.rules);
        put(root.neighbours);
        put(root.nexthops);
        put(root.links);
        put(root.tables);
        if (const auto* now = one.after ? std::get_if<sysctl_object>(&*one.after) : nullptr) root.sysctls[now->key] = now->value;
        if (const auto* b = one.after ? std::get_if<ovs::bridge_row>(&*one.after) : nullptr) s.bridges = {*b};
        else if (one.before && std::holds_alternative<ovs::bridge_row>(*one.before)) s.bridges.clear();
        if (const auto* port = one.after ? std::get_if<ovs::port_row>(&*one.after) : nullptr) s.bridges[0].ports = {*port};
    }
    for (auto& t : root.tables) t.marked = true;
    s.moved.insert(s.moved.end(), p.taken.begin(), p.taken.end());
    for (const auto& m : p.given_back) std::erase(s.moved, m);
    std::sort(root.addresses.begin(), root.addresses.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
    return s;
}

template <class T> bool same(std::vector<T> a, const std::vector<T>& b) { return std::is_permutation(a.begin(), a.end(), b.begin(), b.end()); }

void check_same_objects(const host_state& a, const host_state& b) {
    CHECK(same(a.namespaces[0].addresses, b.namespaces[0].addresses));
    CHECK(same(a.namespaces[0].routes, b.namespaces[0].routes));
    CHECK(same(a.namespaces[0].rules, b.namespaces[0].rules));
    CHECK(same(a.namespaces[0].neighbours, b.namespaces[0].neighbours));
    CHECK(same(a.namespaces[0].nexthops, b.namespaces[0].nexthops));
}

const std::vector<std::string> moves = {"+ address 192.168.100.52/24 dev br-ex", "+ address 192.168.100.53/24 dev br-ex",
                                        "+ address 2001:db8::52/64 dev br-ex", "~ address 2001:db8::52/64 dev br-ex",
                                        "~ nexthop 9",
                                        "~ route 10.9.9.0/24 dev br-ex (was: 10.9.9.0/24 dev eth2)",
                                        "~ route default via 192.168.100.1 dev br-ex (was: default via 192.168.100.1 dev eth2)",
                                        "~ route 10.7.0.0/16 via 192.168.100.1 dev br-ex via 10.10.10.1 dev eth0 "
                                        "(was: 10.7.0.0/16 via 192.168.100.1 dev eth2 via 10.10.10.1 dev eth0)",
                                        "~ route 198.51.100.0/24 via 192.168.100.1 dev br-ex (was: 198.51.100.0/24 via 192.168.100.1 dev eth2)",
                                        "+ rule priority 1000", "- rule priority 1000",
                                        "+ neighbour 192.168.100.9 dev br-ex", "- neighbour 192.168.100.9 dev eth2",
                                        "- address 2001:db8::52/64 dev eth2", "- address 192.168.100.53/24 dev eth2",
                                        "- address 192.168.100.52/24 dev eth2"};

std::string refusal(const host_state& seen, const host_state& wanted) {
    const auto refused = diff(seen, wanted);
    return refused ? std::string("not refused") : refused.error().object + ": " + refused.error().detail;
}

}  // namespace

TEST_CASE("a NIC that holds addresses joins the userspace switch: port, guard, and then all that is the host's moves in one go") {
    const auto p = diff(host(), in_switch()).value();
    std::vector<std::string> expected = {"+ nft table netdev weft", "+ bridge br-ex", "+ sysctl net/ipv6/conf/br-ex/disable_ipv6 = 0",
                                         "+ port eth2 (br-ex)", "~ nft table netdev weft", "~ link br-ex state down → up"};
    expected.insert(expected.end(), moves.begin(), moves.end());
    expected.push_back("+ sysctl net/ipv6/conf/eth2/disable_ipv6 = 1");
    auto found = texts(p);
    for (auto& t : found)
        if (t.starts_with("+ port")) t = expected[3];
    CHECK(found == expected);
    // The NIC's frames are the host's until the switch has them, those of other ports never.
    const auto& first = std::get<nft::table>(*p.steps[0].after);
    REQUIRE(first.chains.size() == 1);
    CHECK(first.chains[0].devices == std::vector<std::string>{"tap1"});
    // It says which link loses traffic, and why, once.
    CHECK(std::count_if(p.steps.begin(), p.steps.end(), [](const auto& s) { return s.bounces.find("eth2 pauses") == 0; }) == 1);
    CHECK(p.taken.size() == 10);
}

namespace {

// Somebody put another database in the place of Open vSwitch's: the bridge's device went, and all on it but the rules, which name it on.
host_state bereft_of_bridge(host_state s) {
    auto& root = s.namespaces[0];
    const auto on = [](const auto& hop) { return hop.device == "br-ex"; };
    s.bridges.clear();
    std::erase_if(root.links, [](const auto& l) { return l.name == "br-ex"; });
    std::erase_if(root.addresses, [](const auto& a) { return a.device == "br-ex"; });
    std::erase_if(root.nexthops, [&](const auto& n) { return on(n.hop); });
    std::erase_if(root.routes, [&](const auto& r) { return std::any_of(r.nexthops.begin(), r.nexthops.end(), on); });
    std::erase_if(root.neighbours, [](const auto& n) { return n.device == "br-ex"; });
    root.sysctls.erase("net/ipv6/conf/br-ex/disable_ipv6");
    // Of the NIC's addresses the kernel's routes went with these.
    std::erase_if(root.routes, [](const auto& r) { return r.protocol == kernel; });
    return s;
}

}  // namespace

TEST_CASE("what had moved to a bridge and went with its device is put back, on the bridge that is made anew or on its NIC") {
    const auto moved = after(host(), diff(host(), in_switch()).value());
    const auto lost = bereft_of_bridge(moved);
    const auto again = diff(lost, in_switch()).value();
    const auto found = texts(again);
    // As at the first time, but that nothing is taken from the NIC.
    for (const char* step : {"+ address 192.168.100.52/24 dev br-ex", "+ address 2001:db8::52/64 dev br-ex", "+ nexthop 9", "+ neighbour 192.168.100.9 dev br-ex",
                             "+ route default via 192.168.100.1 dev br-ex", "+ route 198.51.100.0/24 via 192.168.100.1 dev br-ex",
                             "+ sysctl net/ipv6/conf/br-ex/disable_ipv6 = 0"})
        CHECK(std::find(found.begin(), found.end(), step) != found.end());
    CHECK(std::none_of(found.begin(), found.end(), [](const auto& t) { return t.find("dev eth2") != std::string::npos || t.find("rule") != std::string::npos; }));
    const auto place = [&](const char* step) { return std::find(found.begin(), found.end(), step) - found.begin(); };
    CHECK(place("+ address 192.168.100.52/24 dev br-ex") < place("+ address 192.168.100.53/24 dev br-ex"));  // the primary one
    CHECK(place("+ route 10.9.9.0/24 dev br-ex") < place("+ route default via 192.168.100.1 dev br-ex"));
    auto with_kernels = moved;
    std::erase_if(with_kernels.namespaces[0].routes, [](const auto& r) { return r.protocol == kernel; });
    check_same_objects(after(lost, again), with_kernels);
    // Nobody wants the bridge any more.
    const auto back = diff(lost, nothing_wanted()).value();
    auto as_found = host();
    std::erase_if(as_found.namespaces[0].routes, [](const auto& r) { return r.protocol == kernel; });
    check_same_objects(after(lost, back), as_found);
    CHECK(back.given_back.size() == 10);
}

TEST_CASE("what somebody took from a bridge that is there, or has put on the NIC since, is not put back") {
    const auto moved = after(host(), diff(host(), in_switch()).value());
    auto fewer = moved;
    std::erase_if(fewer.namespaces[0].addresses, [](const auto& a) { return a.address == *parse_prefix("192.168.100.53/24"); });
    CHECK(diff(fewer, in_switch()).value().steps.empty());
    auto set_up = bereft_of_bridge(moved);
    set_up.namespaces[0].addresses.push_back(address("eth2", "192.168.100.60/24"));
    auto found = texts(diff(set_up, in_switch()).value());
    CHECK(std::find(found.begin(), found.end(), "+ address 192.168.100.60/24 dev br-ex") != found.end());
    CHECK(std::none_of(found.begin(), found.end(), [](const auto& t) { return t.find("192.168.100.52") != std::string::npos; }));
    // A route that somebody has since put in its place is his.
    auto other = bereft_of_bridge(moved);
    other.namespaces[0].routes.push_back(via("0.0.0.0/0", "10.10.10.1", "eth0"));
    found = texts(diff(other, in_switch()).value());
    CHECK(std::none_of(found.begin(), found.end(), [](const auto& t) { return t.find("route default") != std::string::npos; }));
    // What an earlier weft remembered has no more than its name.
    auto earlier = bereft_of_bridge(moved);
    for (auto& m : earlier.moved) m.was = "1";
    found = texts(diff(earlier, in_switch()).value());
    CHECK(std::none_of(found.begin(), found.end(), [](const auto& t) { return t.starts_with("+ address"); }));
}

TEST_CASE("addresses of the host move beside nothing of others: a bridge of that name stops all") {
    auto s = host();
    ovs::bridge_row theirs;
    theirs.name = "br-ex";
    s.bridges.push_back(theirs);
    std::vector<error> others;
    const auto p = diff(s, in_switch(), &others);
    REQUIRE(p.has_error());
    CHECK(p.error().code == errc::foreign_object);
}

TEST_CASE("the label of an address names its device; IPv6 is there at once, and with its own flags then") {
    const auto p = diff(host(), in_switch()).value();
    const auto entry = [&](const std::string& text) -> const address_entry& {
        const auto all = texts(p);
        return std::get<address_entry>(*p.steps[static_cast<std::size_t>(std::find(all.begin(), all.end(), text) - all.begin())].after);
    };
    CHECK(entry(moves[1]).label == "br-ex:1");
    CHECK(entry(moves[2]).flags == 2U);
    CHECK(entry(moves[3]).flags == 0U);
}

TEST_CASE("on the kernel's datapath the bridge is up before it takes the NIC's frames") {
    auto want = in_switch("system");
    const auto all = texts(diff(host(), want).value());
    const auto at = [&](const std::string& head) {
        return std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.starts_with(head); }) - all.begin();
    };
    CHECK(at("+ bridge br-ex") < at("~ link br-ex"));
    CHECK(at("~ link br-ex") < at("+ port eth2"));
    CHECK(at("+ port eth2") + 1 == at("+ address 192.168.100.52/24 dev br-ex"));
}

TEST_CASE("a NIC that holds addresses joins a Linux bridge in the batch that moves them") {
    const auto found = texts(diff(host(), in_linux_bridge()).value());
    REQUIRE(found.size() == moves.size() + 3);
    CHECK(found[0] == "+ link br0");
    CHECK(found[1] == "~ link br0 state down → up");
    CHECK(found[2] == "~ link eth2 master  → br0");
    for (std::size_t i = 0; i < moves.size(); ++i) {
        auto expected = moves[i];
        for (auto place = expected.find("br-ex"); place != std::string::npos; place = expected.find("br-ex")) expected.replace(place, 5, "br0");
        CHECK(found[i + 3] == expected);
    }
}

TEST_CASE("what has moved is not weft's: a second run has nothing to do, and the last one gives everything back as it was") {
    const auto before = host();
    const auto want = in_switch();
    const auto p = diff(before, want).value();
    const auto stands = after(before, p);
    for (const auto& a : stands.namespaces[0].addresses) CHECK(a.protocol == 0);
    CHECK(texts(diff(stands, want).value()).empty());

    const auto back = diff(stands, nothing_wanted()).value();
    const auto all = texts(back);
    CHECK(all[0] == "+ address 192.168.100.52/24 dev eth2");
    const auto at = [&](const std::string& text) { return std::find(all.begin(), all.end(), text) - all.begin(); };
    CHECK(at("- address 192.168.100.52/24 dev br-ex") + 1 == at("~ link br-ex state up → down"));
    CHECK(at("~ link br-ex state up → down") + 1 == at("~ nft table netdev weft"));
    CHECK(at("~ nft table netdev weft") < at("- port eth2 (br-ex)"));
    CHECK(at("- port eth2 (br-ex)") < at("- nft table netdev weft"));
    // The guard of the others stays until their ports are gone.
    REQUIRE(at("~ nft table netdev weft") < static_cast<std::ptrdiff_t>(all.size()));
    CHECK(std::get<nft::table>(*back.steps[static_cast<std::size_t>(at("~ nft table netdev weft"))].after).chains.size() == 1);
    const auto gone = after(stands, back);
    check_same_objects(gone, before);
    CHECK(gone.moved.empty());
}

TEST_CASE("the undo of a move is the move back") {
    const auto before = host();
    const auto p = diff(before, in_switch()).value();
    plan undo;
    for (auto s = p.steps.rbegin(); s != p.steps.rend(); ++s) undo.steps.push_back(s->inverse());
    check_same_objects(after(after(before, p), undo), before);
}

TEST_CASE("what the kernel makes and takes away by itself does not move") {
    auto s = host();
    auto& root = s.namespaces[0];
    std::erase_if(root.addresses, [](const auto& a) { return a.device == "eth2" && !a.passing && !a.address.address.is_v6(); });
    std::erase_if(root.addresses, [](const auto& a) { return a.address == *parse_prefix("2001:db8::52/64"); });
    std::erase_if(root.routes, [](const auto& r) { return !r.passing && r.destination.length != 24; });
    std::erase_if(root.routes, [](const auto& r) { return r.protocol == boot && !r.passing; });
    root.rules.clear();
    root.neighbours.clear();
    root.nexthops.clear();
    root.routes[0].destination = *parse_prefix("fe80::/64");
    for (const auto& t : texts(diff(s, in_switch()).value())) CHECK((t.find("address") == std::string::npos && t.find("route") == std::string::npos));
}

TEST_CASE("a prefix route that a program made under the kernel's number, for an address that comes without, moves too") {
    auto s = host();
    s.namespaces[0].addresses[1].flags = s.namespaces[0].addresses[2].flags = 0x200;  // IFA_F_NOPREFIXROUTE
    const auto all = texts(diff(s, in_switch()).value());
    CHECK(std::count(all.begin(), all.end(), "~ route 192.168.100.0/24 dev br-ex (was: 192.168.100.0/24 dev eth2)") == 1);
}

TEST_CASE("an address that the fabric gives to the bridge is the wanted one already, and its route too") {
    auto want = in_switch();
    auto& root = want.namespaces[0];
    root.addresses = {address("br-ex", "192.168.100.52/24", weft_protocol)};
    root.routes = {via("0.0.0.0/0", "192.168.100.1", "br-ex")};
    root.routes[0].protocol = weft_protocol;
    const auto p = diff(host(), want).value();
    const auto all = texts(p);
    CHECK(std::count(all.begin(), all.end(), moves[0]) == 1);
    CHECK(diff(after(host(), p), want).value().empty());
    // To another gateway it is somebody else's route.
    root.routes[0].nexthops[0].gateway = *parse_ip("192.168.100.2");
    CHECK(refusal(host(), want).starts_with("route 0.0.0.0/0"));
}

TEST_CASE("what weft itself gave to the NIC moves with it where the bridge shall have it, and is not remembered") {
    host_state s = host();
    auto& root = s.namespaces[0];
    root.addresses = {address("eth2", "192.168.100.52/24", weft_protocol), address("eth2", "192.168.100.60/24", weft_protocol)};
    root.routes.clear();
    root.rules.clear();
    root.neighbours.clear();
    root.nexthops.clear();
    auto want = in_switch();
    want.namespaces[0].addresses = {address("br-ex", "192.168.100.52/24", weft_protocol)};
    const auto p = diff(s, want).value();
    const auto all = texts(p);
    CHECK(std::count(all.begin(), all.end(), "+ address 192.168.100.52/24 dev br-ex") == 1);
    CHECK(std::count(all.begin(), all.end(), "- address 192.168.100.52/24 dev eth2") == 1);
    CHECK(std::count(all.begin(), all.end(), "- address 192.168.100.60/24 dev eth2") == 1);
    CHECK(p.taken.empty());
    CHECK(diff(after(s, p), want).value().empty());
}

TEST_CASE("after a boot the host's own set-up is on the NIC again, which is a port since: it moves as it did") {
    auto s = host();
    const auto want = in_switch();
    s.bridges = want.bridges;
    const auto all = texts(diff(s, want).value());
    for (const auto& move : moves) CHECK(std::count(all.begin(), all.end(), move) == 1);
    CHECK(std::count_if(all.begin(), all.end(), [](const auto& t) { return t.starts_with("+ port"); }) == 0);
    // A lone lease there is its client's, and was dead before.
    s.namespaces[0].addresses = {address("eth2", "192.168.100.52/24")};
    s.namespaces[0].addresses[0].passing = true;
    CHECK(diff(s, want).has_value());
}

TEST_CASE("what cannot be carried is refused with the reason") {
    const auto want = in_switch();
    auto s = host();
    s.namespaces[0].addresses[1].passing = true;
    CHECK(refusal(s, want).find("has a lifetime") != std::string::npos);
    CHECK(diff(s, nothing_wanted()).has_value());

    s = host();
    auto bond = nic("bond0", 7);
    bond.options = bond_options{};
    s.namespaces[0].links.push_back(bond);
    s.namespaces[0].links[1].master = "bond0";
    for (const auto& w : {want, in_linux_bridge()}) CHECK(refusal(s, w).find("is one of bond0 (bond), which is not weft's") != std::string::npos);

    s = host();
    ovs::bridge_row theirs;
    theirs.name = "br-theirs";
    theirs.ports = want.bridges[0].ports;
    theirs.ports[0].external_ids.clear();
    s.bridges = {theirs};
    CHECK(refusal(s, want).find("is one of br-theirs") != std::string::npos);

    s = host();
    auto tagged = nic("eth2.100", 8);
    tagged.options = vlan_options{100, "eth2"};
    tagged.link_index = 4;
    s.namespaces[0].links.push_back(tagged);
    CHECK(refusal(s, want).find("eth2.100 (vlan) on it would hear nothing") != std::string::npos);
    CHECK(diff(s, in_linux_bridge()).has_value());  // the kernel gives tagged frames to it first

    s = host();
    s.namespaces[0].routes.push_back(via("0.0.0.0/0", "10.10.10.1", "eth0"));
    CHECK(refusal(s, want).find("of two routes") != std::string::npos);
}

TEST_CASE("the host's own address is never put on a bridge that passes nothing before somebody's flows are there") {
    auto want = in_switch();
    want.bridges[0].fail_mode = "secure";
    CHECK(refusal(host(), want).find("fail mode secure") != std::string::npos);
    auto bare = host();
    bare.namespaces[0].addresses = {address("eth0", "10.10.10.52/24")};
    bare.namespaces[0].routes.clear();
    bare.namespaces[0].rules.clear();
    bare.namespaces[0].neighbours.clear();
    bare.namespaces[0].nexthops.clear();
    CHECK(diff(bare, want).has_value());  // there is no path of the host's on it
    auto addressed = want;
    addressed.namespaces[0].addresses = {address("br-ex", "192.168.100.52/24", weft_protocol)};
    CHECK(refusal(bare, addressed).find("fail mode secure") != std::string::npos);

    // A controller is somebody else's word, on a bridge of ours too, and in force whether the address is there yet or not.
    const auto plain = in_switch();
    auto controlled = host();
    controlled.bridges = plain.bridges;
    controlled.bridges[0].ports.clear();
    controlled.bridges[0].controllers = {"tcp:192.0.2.1:6653"};
    const auto words = refusal(controlled, plain);
    CHECK(words.find("bridge br-ex: ") == 0);
    CHECK(words.find("tcp:192.0.2.1:6653") != std::string::npos);
    CHECK(words.find("ovs-vsctl del-controller br-ex") != std::string::npos);
    auto stands = after(host(), diff(host(), plain).value());
    stands.bridges[0].controllers = {"tcp:192.0.2.1:6653"};
    CHECK(refusal(stands, plain) == words);
    CHECK(diff(stands, nothing_wanted()).has_value());  // taking weft off is possible all the same
}
