// SPDX-License-Identifier: Apache-2.0
// The text of steps: each kind of object with old and new values, and what no undo brings back.
#include <catch2/catch.hpp>

#include "model/no_inverse.hpp"
#include "weft/model/json.hpp"
#include "weft/model/nft.hpp"

using namespace weft;

namespace {

template <class T> std::string line(const std::optional<T>& before, const std::optional<T>& after, const std::string& scope = "") {
    step s{scope, {}, {}, ""};
    if (before) s.before = *before;
    if (after) s.after = *after;
    return s.to_string();
}
template <class T> std::string change(const T& before, const T& after, const std::string& scope = "") { return line<T>(before, after, scope); }
template <class T> std::string create(const T& after, const std::string& scope = "") { return line<T>(std::nullopt, after, scope); }
template <class T> std::string removal(const T& before, const std::string& scope = "") { return line<T>(before, std::nullopt, scope); }

weft::link a_nic(const std::string& name = "eth0") {
    weft::link l;
    l.name = name;
    l.mtu = 1500;
    l.index = 2;
    return l;
}

template <class T> std::string lost(std::optional<T> before, std::optional<T> after, const std::string& scope = "", std::vector<step> others = {}) {
    plan p;
    p.steps = std::move(others);
    step s{scope, {}, {}, ""};
    if (before) s.before = *before;
    if (after) s.after = *after;
    p.steps.push_back(s);
    say_no_inverse(p);
    return p.steps.back().no_inverse;
}

}  // namespace

TEST_CASE("a WireGuard device that goes says which of its keys are in no file", "[model]") {
    auto known = a_nic("wg0");
    known.group = weft_link_group;
    known.options = wireguard_options{"public", "/k/vpn.key", 51820, {{"peer", "", {}, 0, "fingerprint", "/k/peer.psk"}}, false};
    auto no_key = known, no_preshared = known, other_key = known, no_peer = known;
    std::get<wireguard_options>(no_key.options).key_file = "";
    std::get<wireguard_options>(no_preshared.options).peers[0].preshared_file = "";
    std::get<wireguard_options>(other_key.options).public_key = "another";
    std::get<wireguard_options>(no_peer.options).peers.clear();
    const std::string key = "its private key is lost: no file is known that has it";
    const std::string preshared = "the preshared key of peer peer is lost: no file is known that has it";
    const auto said = [](const weft::link& before, std::optional<weft::link> after) { return lost<weft::link>(before, after); };
    CHECK(said(known, std::nullopt).find("is lost:") == std::string::npos);
    CHECK(said(known, other_key) == "");
    CHECK(said(known, no_peer) == "");
    CHECK(said(no_key, std::nullopt).find(key) == 0);
    CHECK(said(no_key, other_key) == key);
    CHECK(said(no_key, no_peer) == "");
    CHECK(said(no_preshared, std::nullopt).find(preshared) == 0);
    CHECK(said(no_preshared, no_peer) == preshared);
    CHECK(said(no_preshared, known) == "");
}

TEST_CASE("a step of each kind says its old and its new value", "[model]") {
    CHECK(change(sysctl_object{"net/ipv4/ip_forward", "0"}, sysctl_object{"net/ipv4/ip_forward", "1"}) == "~ sysctl net/ipv4/ip_forward = 0 → 1");
    CHECK(create(sysctl_object{"a", "1"}) == "+ sysctl a = 1");

    auto up = a_nic();
    up.up = true;
    up.mtu = 1400;
    up.promiscuous = true;
    up.features["tx-checksum-ip-generic"] = false;
    CHECK(change(a_nic(), up) == "~ link eth0 mtu 1500 → 1400 state down → up promiscuous none → on tx-checksum-ip-generic none → off");
    auto bridge = a_nic("br0"), other = bridge;
    bridge.options = bridge_options{.stp = true};
    other.options = bridge_options{.stp = false};
    CHECK(change(bridge, other) == "~ link br0 stp on → off");
    CHECK(removal(up) == "- link eth0 mtu 1400 state up promiscuous on tx-checksum-ip-generic off");

    address_entry a{"eth0", *parse_prefix("192.0.2.2/24"), 0, std::nullopt, weft_protocol, 0}, wide = a;
    wide.broadcast = *parse_ip("192.0.2.255");
    CHECK(create(a) == "+ address 192.0.2.2/24 dev eth0");
    CHECK(change(a, wide) == "~ address 192.0.2.2/24 dev eth0 broadcast none → 192.0.2.255");

    route r;
    r.destination = *parse_prefix("0.0.0.0/0");
    r.nexthops = {{*parse_ip("192.0.2.1"), "eth0", 0, false}};
    auto moved = r;
    moved.nexthops[0].gateway = *parse_ip("192.0.2.9");
    moved.mtu = 1400;
    CHECK(create(r, "ns") == "+ route default via 192.0.2.1 dev eth0 (ns)");
    CHECK(change(r, moved) == "~ route default via 192.0.2.9 dev eth0 way via 192.0.2.1 dev eth0 → via 192.0.2.9 dev eth0 mtu none → 1400");
    moved.table = 7;
    moved.metric = 50;
    CHECK(removal(moved) == "- route default via 192.0.2.9 dev eth0 mtu 1400 metric 50 table 7");

    rule policy;
    policy.priority = 100;
    policy.from = *parse_prefix("192.0.2.0/24");
    policy.table = 7;
    CHECK(create(policy) == "+ rule priority 100 from 192.0.2.0/24 table 7");
    CHECK(create(nexthop_object{7, {*parse_ip("192.0.2.1"), "eth0", 0, false}, {}, false, weft_protocol}) == "+ nexthop 7 via 192.0.2.1 dev eth0");
    neighbour n;
    n.device = "eth0";
    n.address = *parse_ip("192.0.2.1");
    n.mac = mac_address{{2, 0, 0, 0, 0, 1}};
    auto other_mac = n;
    other_mac.mac = mac_address{{2, 0, 0, 0, 0, 2}};
    CHECK(change(n, other_mac) == "~ neighbour 192.0.2.1 dev eth0 mac 02:00:00:00:00:01 → 02:00:00:00:00:02");

    ovs::bridge_row b{"br-int", "netdev", "secure", {"OpenFlow14"}, {{"hwaddr", "02:00:00:00:00:01"}}, {}, {}}, open = b;
    open.fail_mode = "standalone";
    open.other_config["hwaddr"] = "02:00:00:00:00:02";
    CHECK(create(b, "br-int") == "+ bridge br-int datapath netdev fail_mode secure protocols OpenFlow14");
    CHECK(change(b, open) == "~ bridge br-int fail_mode secure → standalone other_config:hwaddr 02:00:00:00:00:01 → 02:00:00:00:00:02");
    b.ports = {ovs::port_row{.name = "vm1"}, ovs::port_row{.name = "vm2"}};
    CHECK(removal(b, "br-int") == "- bridge br-int datapath netdev fail_mode secure protocols OpenFlow14 with the ports of others vm1, vm2");

    ovs::port_row port{.name = "gre-1", .tag = 3};
    port.interfaces = {ovs::interface_row{.name = "gre-1", .type = "gre", .options = {{"remote_ip", "10.0.0.1"}}}};
    auto elsewhere = port;
    elsewhere.tag.reset();
    elsewhere.interfaces[0].options["remote_ip"] = "10.0.0.2";
    CHECK(create(port, "br-tun") == "+ port gre-1 (br-tun) tag 3 type gre options:remote_ip 10.0.0.1");
    CHECK(change(port, elsewhere, "br-tun") == "~ port gre-1 (br-tun) tag 3 → none options:remote_ip 10.0.0.1 → 10.0.0.2");

    const ovs::flow f{ovs::flow_cookie, 5, 10, 0, 0, "ip", "drop"};
    auto normal = f;
    normal.actions = "NORMAL";
    CHECK(change(f, normal, "br-int") == "~ flow table=5,priority=10,ip (br-int) actions=drop → NORMAL");
    CHECK(removal(f, "br-int") == "- flow table=5,priority=10,ip (br-int) actions=drop");
}

TEST_CASE("a table of rules says how many it has, and which rules go and come", "[model]") {
    const auto rule = [](std::uint8_t protocol, const std::string& comment) { return nft::rule_builder().l4proto(protocol).drop(comment); };
    nft::table old{nft::family::inet, "weft", {{"forward", "filter", 2, 0, 0, {}, {}}, {"input", "filter", 1, 0, 1, {}, {}}}};
    old.chains[1].rules = {rule(1, "first"), rule(2, "second"), rule(3, "third")};
    auto now = old;
    now.chains[0].policy = 1;
    now.chains[1].rules = {rule(1, "first"), rule(3, "third"), rule(4, ""), rule(2, "second")};
    now.chains.push_back({"output", "filter", 3, 0, 1, {}, {rule(1, "x")}});
    const step s{"", old, now, ""};
    CHECK(s.to_string() == "~ nft table inet weft with 2 chains, 3 rules → 3 chains, 5 rules");
    CHECK(s.details() == std::vector<std::string>{"chain forward: policy drop → accept", "~ input: third (moved)",
                                                  "+ input: rule of meta cmp immediate", "~ input: second (moved)",
                                                  "+ chain output with 1 rules"});
    CHECK(create(old) == "+ nft table inet weft with 2 chains, 3 rules");
    CHECK(step{"", std::nullopt, old, ""}.details().empty());
    auto less = old;
    less.chains[1].rules.erase(less.chains[1].rules.begin() + 1);
    less.chains.erase(less.chains.begin());
    CHECK(step{"", old, less, ""}.details() == std::vector<std::string>{"- chain forward with 0 rules", "- input: second"});
}

TEST_CASE("a service says what changed of it and whether it restarts", "[model]") {
    service old{"dnsmasq-1", "dnsmasq", "qdhcp-1", {"dnsmasq", "--a", "--b"}, {{"hosts", {"one\ntwo\n", true}}, {"old", {"", false}}}, "", ""};
    auto now = old;
    now.files["hosts"].text = "one\nthree\ntwo\n";
    CHECK(change(old, now) == "~ service dnsmasq-1 reloaded");
    CHECK(step{"", old, now, ""}.details() == std::vector<std::string>{"+ hosts: three"});
    now.argv[1] = "--c";
    now.space = "qdhcp-2";
    now.files.erase("old");
    now.files["new"] = {"", false};
    CHECK(change(old, now) == "~ service dnsmasq-1 in qdhcp-1 → qdhcp-2 restarted");
    CHECK(step{"", old, now, ""}.details() ==
          std::vector<std::string>{"- argument --a", "+ argument --c", "- file old", "+ hosts: three", "+ file new"});
}

TEST_CASE("each step says what no undo brings back, and nothing where all comes back", "[model]") {
    const auto none = [](const auto& created) {
        using T = std::decay_t<decltype(created)>;
        return lost<T>(std::nullopt, created);
    };
    CHECK(lost<namespace_object>(namespace_object{"ns"}, std::nullopt, "ns").find("connections that it tracks") != std::string::npos);
    CHECK(none(namespace_object{"ns"}) == "");
    CHECK(lost<sysctl_object>(sysctl_object{"net/ipv4/ip_forward", "1"}, sysctl_object{"net/ipv4/ip_forward", "0"}).find("every device") != std::string::npos);
    const std::string v6 = "net/ipv6/conf/eth0/disable_ipv6";
    CHECK(lost<sysctl_object>(sysctl_object{v6, "0"}, sysctl_object{v6, "1"}).find("IPv6 addresses") != std::string::npos);
    CHECK(lost<sysctl_object>(sysctl_object{v6, "1"}, sysctl_object{v6, "0"}) == "");
    CHECK(lost<sysctl_object>(sysctl_object{"net/ipv4/conf/all/arp_ignore", "0"}, sysctl_object{"net/ipv4/conf/all/arp_ignore", "1"}) == "");

    auto up = a_nic(), small = a_nic();
    up.up = true;
    small.mtu = 1000;
    CHECK(lost<weft::link>(a_nic(), up).find("leaves it up") != std::string::npos);
    CHECK(lost<weft::link>(up, a_nic()).find("routes that others have through it") != std::string::npos);
    CHECK(lost<weft::link>(a_nic(), small).find("below 1280") != std::string::npos);
    auto ours = up;
    ours.group = weft_link_group;
    ours.options = veth_options{"b", "", std::nullopt, std::nullopt};
    auto down = ours;
    down.up = false;
    CHECK(none(ours) == "");
    CHECK(lost<weft::link>(down, ours) == "");
    CHECK(lost<weft::link>(ours, std::nullopt).find("what others set on it") != std::string::npos);
    ours.options = tun_options{};
    CHECK(lost<weft::link>(ours, std::nullopt).find("guest") != std::string::npos);

    const address_entry a{"qg-1", *parse_prefix("192.0.2.2/24"), 0, std::nullopt, weft_protocol, 0};
    CHECK(lost<address_entry>(a, std::nullopt, "qrouter-1") == "tracked connections of 192.0.2.2 are forgotten");
    CHECK(lost<address_entry>(std::nullopt, a, "qrouter-1") == "tracked connections of 192.0.2.2 are forgotten");
    // A namespace that is made by the same plan has tracked nothing.
    CHECK(lost<address_entry>(std::nullopt, a, "qrouter-1", {{"qrouter-1", std::nullopt, namespace_object{"qrouter-1"}, ""}}) == "");
    CHECK(lost<address_entry>(a, std::nullopt).find("prefer 192.0.2.2 as their source, and with the last address of qg-1 all") != std::string::npos);
    CHECK(none(a) == "");

    nft::table nat{nft::family::ipv4, "weft", {{"pre", "nat", 0, -100, 1, {}, {}}}};
    auto floating = nat;
    floating.chains[0].rules = {nft::rule_builder(nft::family::ipv4).daddr(*parse_prefix("192.0.2.7/32")).dnat(*parse_ip("10.0.0.7")).done()};
    CHECK(lost<nft::table>(floating, nat, "qrouter-1") == "tracked connections of 192.0.2.7 are forgotten");
    CHECK(lost<nft::table>(nat, std::nullopt) == "");

    CHECK(lost<ovs::bridge_row>(ovs::bridge_row{.name = "br"}, std::nullopt).find("flows and settings") != std::string::npos);
    CHECK(lost<ovs::port_row>(ovs::port_row{.name = "p"}, std::nullopt).find("QoS") != std::string::npos);
    const ovs::flow rule{ovs::flow_cookie, ovs::receiver_rules_table, 10, 0, 0, "ip", "drop"};
    auto plain = rule;
    plain.table = 0;
    CHECK(lost<ovs::flow>(rule, std::nullopt, "br-int").find("are cut") != std::string::npos);
    CHECK(lost<ovs::flow>(plain, std::nullopt, "br-int") == "");
    CHECK(none(rule) == "");

    const service dhcp{"dnsmasq-1", "dnsmasq", "", {"dnsmasq"}, {}, "", ""};
    auto other = dhcp;
    other.argv.push_back("--x");
    CHECK(lost<service>(dhcp, std::nullopt).find("DHCP leases") != std::string::npos);
    CHECK(lost<service>(dhcp, other).find("restart") != std::string::npos);
    CHECK(lost<service>(dhcp, dhcp) == "");
    CHECK(lost<route>(route{}, std::nullopt) == "");
}

TEST_CASE("diff says it, and JSON has it as a field of its own", "[model]") {
    host_state seen, wanted;
    seen.namespaces = {{}, {"old", {}, {}, {}, {}, {}, {}, {}, {}}};
    wanted.namespaces = {{}};
    const auto p = diff(seen, wanted).value();
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].no_inverse != "");
    CHECK(p.steps[0].inverse().no_inverse == p.steps[0].no_inverse);
    CHECK(to_json(p).find("\"no_inverse\":\"what others put into the namespace") != std::string::npos);
}
