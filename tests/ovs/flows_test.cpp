// SPDX-License-Identifier: Apache-2.0
// The flow driver: canonical text, and what a real, private switch shows after a bundle. The pipeline is the tunnel bridge of the
// data plane, with its learn action. Skips where no switch can be started.
#include "ovs/switch_fixture.hpp"
#include "ovs/test_rows.hpp"
#include "skip.hpp"
#include "weft/ovs/flows.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

using namespace weft;
using namespace weft::test;
using ovs::flow;

namespace {

flow make(int table, int priority, std::string match, std::string actions) {
    flow f;
    f.cookie = ovs::flow_cookie;
    f.table = static_cast<std::uint8_t>(table);
    f.priority = static_cast<std::uint16_t>(priority);
    f.match = std::move(match);
    f.actions = std::move(actions);
    return f;
}

// The pipeline of br-tun, and some of what other bridges use.
std::vector<flow> pipeline() {
    const std::string learn = "learn(table=20,hard_timeout=300,priority=1,cookie=0x7765667400006c6e,NXM_OF_VLAN_TCI[0..11],"
                              "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],"
                              "output:OXM_OF_IN_PORT[]),output:patch-int";
    const std::string answer = "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:fa:16:3e:00:00:01,load:0x2->NXM_OF_ARP_OP[],"
                               "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
                               "load:0xfa163e000001->NXM_NX_ARP_SHA[],load:0xa0a0a03->NXM_OF_ARP_SPA[],in_port";
    return {
        make(0, 1, "in_port=patch-int", "goto_table:2"),
        make(0, 1, "in_port=vxlan-0a141435", "goto_table:4"),
        make(0, 1, "in_port=gre-0a141435", "resubmit(,3)"),
        make(0, 0, "", "drop"),
        make(2, 1, "arp,dl_dst=ff:ff:ff:ff:ff:ff", "goto_table:21"),
        make(2, 0, "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", "goto_table:20"),
        make(2, 0, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "goto_table:22"),
        make(3, 0, "", "drop"),
        make(4, 1, "tun_id=0x3e9", "push_vlan:0x8100,set_field:4097->vlan_vid,goto_table:10"),
        make(3, 1, "tun_id=1001", "mod_vlan_vid:1,resubmit(,10)"),
        make(10, 1, "", learn),
        make(10, 2, "icmp6,icmp_type=136,icmp_code=0", "output:patch-int"),
        make(10, 2, "arp,arp_tha=ff:ff:ff:ff:ff:ff", "output:patch-int"),
        make(20, 2, "dl_vlan=1,dl_dst=fa:16:3e:00:00:02", "strip_vlan,set_tunnel:0x3e9,output:vxlan-0a141435"),
        make(20, 0, "", "resubmit(,22)"),
        make(21, 1, "arp,dl_vlan=1,arp_tpa=10.10.10.3", answer),
        make(21, 0, "", "goto_table:22"),
        make(22, 1, "dl_vlan=1", "pop_vlan,set_field:0x3e9->tun_id,output:gre-0a141435,output:vxlan-0a141435"),
        make(22, 0, "", "drop"),
        make(60, 90, "ct_state=-trk,ip,reg5=0x5", "ct(table=61,zone=NXM_NX_REG6[0..15])"),
        make(61, 90, "ct_state=+new-est,ip,reg5=0x5", "ct(commit,zone=NXM_NX_REG6[0..15]),normal"),
        make(61, 80, "ct_state=+est-rel+rpl,ipv6,reg5=5", "ct(commit,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark)),LOCAL"),
        make(62, 73, "tcp,reg5=0x5,nw_src=10.0.0.0/24,tp_dst=0x50/0xfff0", "conjunction(8,1/2)"),
        make(62, 73, "conj_id=8,ip", "load:0x5->NXM_NX_REG7[0..15],output:NXM_NX_REG5[]"),
        make(63, 40000, "udp,udp_dst=67,dl_src=fa:16:3e:00:00:02", "ct(commit,nat(src=10.0.0.1-10.0.0.9)),NORMAL"),
        make(64, 32768, "vlan_tci=0x0000/0x1fff", "note:01.02,CONTROLLER:65535"),
        make(65, 7, "ipv6_src=fe80::/10,icmp6,icmp_type=135,nd_target=fe80::1,icmp_code=0",
             "set_field:02:00:00:00:00:01->eth_dst,dec_ttl,write_metadata:0x5,goto_table:66"),
    };
}

const ovs::port_numbers numbers = {{"patch-int", 1}, {"vxlan-0a141435", 2}, {"gre-0a141435", 3}};

std::vector<flow> canonical_of(const std::vector<flow>& all, const ovs::port_numbers& ports) {
    std::vector<flow> out;
    for (const auto& f : all) {
        INFO(f.match << " actions=" << f.actions);
        auto c = ovs::canonical(f, ports);
        CHECK(why(c) == "");
        if (c) {
            out.push_back(*c);
        }
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::string print(const std::vector<flow>& all) {
    std::string s;
    for (const auto& f : all) {
        s += std::to_string(f.cookie) + " t" + std::to_string(f.table) + " p" + std::to_string(f.priority) + " h" +
             std::to_string(f.hard_timeout) + " " + f.match + " => " + f.actions + "\n";
    }
    return s;
}

std::vector<flow> sorted(std::vector<flow> v) {
    std::sort(v.begin(), v.end());
    return v;
}

}  // namespace

TEST_CASE("canonical text is a fixed point and names its ports", "[ovs][flows]") {
    const auto once = canonical_of(pipeline(), numbers);
    CHECK(print(canonical_of(once, numbers)) == print(once));
    const auto all = pipeline();
    std::vector<flow> together;
    for (auto& f : ovs::canonical(std::span<const flow>(all), numbers)) {
        together.push_back(f.value());
    }
    CHECK(print(sorted(together)) == print(once));
    // A bad flow among many is one bad result.
    const std::vector<flow> mixed = {make(0, 1, "in_port=nobody", "drop"), make(0, 1, "in_port=1", "drop")};
    const auto each = ovs::canonical(std::span<const flow>(mixed), numbers);
    CHECK(each[0].error().code == errc::not_found);
    CHECK(each[1].has_value());
    CHECK(print({ovs::canonical(make(0, 1, "in_port=1", "output:2"), numbers).value()}) ==
          print({make(0, 1, "in_port=\"patch-int\"", "output:\"vxlan-0a141435\"")}));
    CHECK(ovs::canonical(make(0, 1, "in_port=9", "output:8"), numbers).value() == make(0, 1, "in_port=9", "output:8"));
    CHECK(ovs::canonical(make(0, 1, " nw_dst=10.0.0.1/24 , ip", ""), numbers).value() == make(0, 1, "ip,nw_dst=10.0.0.0/24", "drop"));
    CHECK(ovs::canonical(make(0, 1, "in_port=nobody", "drop"), numbers).error().code == errc::not_found);
    CHECK(ovs::canonical(make(0, 1, "", "output:nobody"), numbers).error().code == errc::not_found);
    CHECK(ovs::canonical(make(0, 1, "tcp_dst=99999", "drop"), numbers).error().code == errc::invalid_input);
    CHECK(ovs::canonical(make(0, 1, "", "frobnicate"), numbers).error().code == errc::invalid_input);
    CHECK(ovs::canonical(make(0, 1, "ip,priority=9", "drop"), numbers).error().code == errc::invalid_input);
    CHECK(ovs::canonical(make(5, 1, "", "goto_table:4"), numbers).error().code == errc::invalid_input);
}

TEST_CASE("canonical text from many threads", "[ovs][flows]") {
    const auto flows = pipeline();
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&] {
            for (int i = 0; i < 50; i++) {
                for (const auto& f : flows) {
                    good += ovs::canonical(f, numbers).has_value();
                }
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    CHECK(good == static_cast<int>(4 * 50 * flows.size()));
}

TEST_CASE("a bundle installs the pipeline, and the dump equals its canonical form", "[ovs][flows]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    const bool long_path = GENERATE(false, true);
    private_switch sw(true, long_path);
    auto db = ovs::database::connect(sw.rundir()).value();
    auto tun = bridge("br-tun");
    tun.protocols = {"OpenFlow13", "OpenFlow14"};
    auto changes = add_bridge(tun);
    for (const auto& [name, number] : numbers) {
        auto p = name == "patch-int" ? port(name, "internal")
                                     : port(name, name.substr(0, name.find('-')), {{"remote_ip", "10.20.20.53"}, {"key", "flow"}});
        p.interfaces[0].ofport_request = number;
        changes.ports.push_back({"br-tun", std::nullopt, p});
    }
    ovs::port_numbers ports;
    for (const auto& o : db.commit(changes).value()) {
        CHECK(o.error == "");
        ports[o.interface] = static_cast<std::uint32_t>(o.ofport.value_or(-1));
    }
    CHECK(ports["patch-int"] == 1);
    CHECK(ovs::dump_flows(sw.rundir(), "br-tun", ports).value().empty());

    const auto before = ovs::flow_writes();
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br-tun", {{}, pipeline()}, ports)) == "");
    CHECK(ovs::flow_writes() - before == pipeline().size());
    const auto wanted_flows = canonical_of(pipeline(), ports);
    auto seen = ovs::dump_flows(sw.rundir(), "br-tun", ports);
    REQUIRE(why(seen) == "");
    CHECK(print(sorted(*seen)) == print(wanted_flows));
    CHECK(print(canonical_of(*seen, ports)) == print(wanted_flows));

    // One bad flow, and nothing of the bundle stands; the error names it.
    auto bad = make(30, 9, "ip", "ct(commit,table=31),group:77");
    auto refused = ovs::apply_flows(sw.rundir(), "br-tun", {{pipeline()[0]}, {make(30, 1, "", "drop"), bad, make(30, 2, "", "drop")}}, ports);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::protocol_error);
    CHECK(refused.error().object == "table=30,priority=9,ip in br-tun");
    INFO(refused.error().message());
    CHECK(refused.error().detail.find("GROUP") != std::string::npos);
    auto unparsed = ovs::apply_flows(sw.rundir(), "br-tun", {{}, {make(30, 1, "", "drop"), make(30, 9, "", "frobnicate")}}, ports);
    REQUIRE(unparsed.has_error());
    CHECK(unparsed.error().code == errc::invalid_input);
    CHECK(print(sorted(ovs::dump_flows(sw.rundir(), "br-tun", ports).value())) == print(wanted_flows));

    // A removal is strict, with its cookie: another's flow of the same match stays.
    auto foreign = pipeline()[3];
    foreign.cookie = 0x1234;
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br-tun", {{foreign}, {}}, ports)) == "");
    CHECK(ovs::dump_flows(sw.rundir(), "br-tun", ports).value().size() == wanted_flows.size());
    auto changed = pipeline()[0];
    changed.actions = "goto_table:3";
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br-tun", {*seen, {changed}}, ports)) == "");
    seen = ovs::dump_flows(sw.rundir(), "br-tun", ports);
    CHECK(print(*seen) == print(canonical_of({changed}, ports)));
    CHECK(ovs::apply_flows(sw.rundir(), "br-tun", {}, ports).has_value());
    CHECK(ovs::dump_flows(sw.rundir(), "br-none", ports).error().code == errc::unavailable);
}

TEST_CASE("learned flows and a large table come back whole", "[ovs][flows]") {
    if (const auto reason = no_switch_because(); !reason.empty()) {
        skip(reason);
        return;
    }
    private_switch sw;
    auto db = ovs::database::connect(sw.rundir()).value();
    auto changes = add_bridge(bridge("br-tun"));
    auto inner = port("patch-int", "patch", {{"peer", "patch-tun"}});
    inner.interfaces[0].ofport_request = 1;
    changes.ports.push_back({"br-tun", std::nullopt, inner});
    REQUIRE(why(db.commit(changes)) == "");
    const ovs::port_numbers ports = {{"patch-int", 1}};
    std::vector<flow> many;
    for (int i = 0; i < 20000; i++) {
        char mac[18];
        std::snprintf(mac, sizeof mac, "fa:16:3e:00:%02x:%02x", i >> 8, i & 255);
        many.push_back(make(20, 2, std::string("dl_vlan=1,dl_dst=") + mac, "strip_vlan,set_tunnel:0x3e9,output:patch-int"));
    }
    auto learn = pipeline()[10];
    learn.table = 0;
    many.push_back(learn);
    REQUIRE(why(ovs::apply_flows(sw.rundir(), "br-tun", {{}, many}, ports, std::chrono::seconds(30))) == "");
    auto seen = ovs::dump_flows(sw.rundir(), "br-tun", ports);
    REQUIRE(why(seen) == "");
    CHECK((sorted(*seen) == canonical_of(many, ports)));

    // A packet from the tunnel teaches the bridge where its sender is.
    sw.ofctl({"packet-out", sw.rundir() + "/br-tun.mgmt", "in_port=local,packet=fa163e000001fa163e0f0f0f81000001080000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,actions=table"});
    seen = ovs::dump_flows(sw.rundir(), "br-tun", ports);
    const auto learned = std::find_if(seen->begin(), seen->end(), [](const flow& f) { return f.cookie == ovs::learned_cookie; });
    REQUIRE(learned != seen->end());
    CHECK(learned->hard_timeout == 300);
    CHECK(learned->match == "vlan_tci=0x0001/0x0fff,dl_dst=fa:16:3e:0f:0f:0f");
    CHECK(ovs::canonical(*learned, ports).value() == *learned);

    // A dead switch is said to be so, at once.
    sw.stop_switchd();
    auto gone = ovs::dump_flows(sw.rundir(), "br-tun", ports);
    REQUIRE(gone.has_error());
    CHECK(gone.error().code == errc::unavailable);
    CHECK(ovs::apply_flows(sw.rundir(), "br-tun", {{}, {learn}}, ports).error().code == errc::unavailable);
}
