// SPDX-License-Identifier: Apache-2.0
// Security groups: which flows a port gets from its rules, and which rows of the matrix follow. That the flows do to
// packets what they say is proved in tests/lab/groups.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;

namespace {

constexpr const char* first_rules = "[ { protocol: icmp }, { protocol: tcp, ports: 22 } ] } }\n    ports:\n      vm1: { node: compute1, network: net1, address: 50.50.1.11";

std::string register_of(const std::string& port) {
    return "reg5=0x" + object_uuid("grizzly", port).substr(0, 8);
}

fabric with_rules(const std::string& ingress, const std::string& more = "") {
    const std::string ports = "\n    ports:\n      vm1: { node: compute1, network: net1, address: 50.50.1.11";
    return roles::allocate(parsed(changed(grizzly_text(), first_rules, ingress + " }" + more + " }" + ports)), {}).value().fabric;
}

host_state compute1(const fabric& f) {
    auto facts = facts_of();
    facts.present_ports = {{object_uuid("grizzly", "proj_one/ports/vm1"), "tapone"},
                           {object_uuid("grizzly", "proj_two/ports/vm1"), "taptwo"}};
    return roles::compile(f, "compute1", facts).value();
}

// The rest of the matches of proj_one/vm1's flows in a table of br-int.
std::set<std::string> matches(const host_state& s, int table, int priority) {
    std::set<std::string> out;
    const auto own = register_of("proj_one/ports/vm1") + ",";
    for (const auto& f : s.flows.at("br-int"))
        if (f.table == table && f.priority == priority && f.match.rfind(own, 0) == 0) out.insert(f.match.substr(own.size()));
    return out;
}
const ovs::flow& flow(const host_state& s, int table, const std::string& match) {
    const auto& all = s.flows.at("br-int");
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.table == table && f.match == match; });
    INFO(match);
    REQUIRE(found != all.end());
    return *found;
}

// How the matrix sees a row, with its reason when it is blocked.
std::string seen(const fabric& f, const std::string& from, const std::string& to, const std::string& via) {
    for (const auto& e : roles::expectations(f))
        if (e.from == from && e.to == to && e.via == via && !e.planted_gateway && e.protocol == "icmp")
            return e.reachable ? "reachable" : e.why;
    return "no row";
}

using names = std::set<std::string>;

std::string clone_to(int table, const std::string& port) {
    return fmt::format("clone(load:0x{:x}->NXM_NX_REG5[],resubmit(,{}))", port_register("grizzly", port), table);
}

}  // namespace

TEST_CASE("a range of ports becomes masked matches that cover it and nothing else", "[roles][groups]") {
    for (const auto& [first, last] : std::vector<std::pair<int, int>>{{1, 65535}, {22, 22}, {1000, 1999}, {7, 8}, {32768, 65535}}) {
        const auto s = compute1(with_rules("[ { protocol: udp, ports: " + std::to_string(first) + "-" + std::to_string(last) + " } ]"));
        std::set<int> covered;
        std::size_t flows = 0;
        for (const auto& match : matches(s, 82, 70)) {
            if (match.rfind("udp,tp_dst=", 0) != 0) continue;
            ++flows;
            const auto text = match.substr(11);
            const auto slash = text.find('/');
            const int value = std::stoi(text.substr(0, slash), nullptr, 0);
            const int mask = slash == std::string::npos ? 0xffff : std::stoi(text.substr(slash + 1), nullptr, 0);
            for (int port = 0; port <= 0xffff; ++port)
                if ((port & mask) == value) CHECK(covered.insert(port).second);
        }
        CHECK(covered.size() == static_cast<std::size_t>(last - first + 1));
        CHECK(*covered.begin() == first);
        CHECK(flows <= 30);
    }
}

TEST_CASE("a rule's protocol, family, type and remote end in its match", "[roles][groups]") {
    const auto s = compute1(with_rules(
        "[ { protocol: icmp, type: 8, code: 0 }, { protocol: icmpv6 }, { protocol: 47, family: ipv4 }, { remote: 10.9.0.0/16 },"
        " { protocol: tcp, ports: 80, remote: \"fd00::/8\" }, { protocol: sctp, ports: 5, family: ipv6 } ]"));
    CHECK(matches(s, 82, 70) == names{"ct_state=+trk-inv,ipv6,nw_frag=later,ct_nw_proto=58", "icmp,icmp_type=8,icmp_code=0,nw_frag=no", "icmp6", "ip,nw_proto=47", "ip,nw_src=10.9.0.0/16",
                                      "tcp6,tp_dst=80,ipv6_src=fd00::/8", "sctp6,tp_dst=5"});
    // Without an egress list everything goes out.
    CHECK(matches(s, 72, 70) == names{"ip", "ipv6"});
}

TEST_CASE("an egress list is all that goes out, and an empty one is nothing", "[roles][groups]") {
    const auto some = compute1(with_rules("[], egress: [ { protocol: udp, ports: 53, remote: 8.8.8.8/32 } ]"));
    CHECK(matches(some, 72, 70) == names{"udp,tp_dst=53,nw_dst=8.8.8.8/32"});
    CHECK(matches(some, 82, 70).empty());
    CHECK(matches(compute1(with_rules("[], egress: []")), 72, 70).empty());
}

TEST_CASE("a port that names no group has the tenant's default, or no way in", "[roles][groups]") {
    auto f = complete_grizzly();
    auto& one = f.tenants["proj_one"];
    one.ports["vm1"].security_groups.clear();
    CHECK(matches(compute1(f), 82, 70) == names{"icmp", "tcp,tp_dst=22", "tcp6,tp_dst=22"});
    one.security_groups["web"] = one.security_groups["default"];
    one.security_groups.erase("default");
    for (auto& [name, p] : one.ports) p.security_groups.clear();
    CHECK(matches(compute1(f), 82, 70).empty());
    CHECK(matches(compute1(f), 72, 70) == names{"ip", "ipv6"});
    CHECK(seen(f, "lan1", "proj_one/vm1", "floating") == "no ingress rule of the receiver's groups");
}

TEST_CASE("a remote group is one conjunction of its members and its rules", "[roles][groups]") {
    const auto f = with_rules("[ { protocol: tcp, ports: 22, remote: default }, { protocol: tcp, ports: 80, remote: default }, { protocol: icmp } ]");
    const auto s = compute1(f);
    CHECK(matches(s, 82, 70) == names{"icmp"});
    CHECK(matches(s, 82, 60) == names{"tcp,tp_dst=22", "tcp,tp_dst=80", "tcp6,tp_dst=22", "tcp6,tp_dst=80"});
    names addresses;
    std::string id;
    for (const auto& each : s.flows.at("br-int")) {
        if (each.table != 82 || each.priority != 60) continue;
        if (each.match.rfind("reg6=0x1,ip,nw_src=", 0) == 0) {
            addresses.insert(each.match.substr(19));
            id = each.actions.substr(0, each.actions.find(','));
            CHECK(each.actions == id + ",1/2)");
        }
    }
    REQUIRE(id.rfind("conjunction(", 0) == 0);
    CHECK(flow(s, 82, register_of("proj_one/ports/vm1") + ",tcp,tp_dst=22").actions == id + ",2/2)");
    CHECK(flow(s, 82, "conj_id=" + id.substr(12) + ",ip").actions == "resubmit(,83)");
    // All members that reach it: of its own network and, by the router, of the other.
    names members;
    for (const auto& [name, p] : f.tenants.at("proj_one").ports) members.insert(p.address->to_string() + "/32");
    CHECK(addresses == members);
    // By a floating address nobody is a member: the router's translation has taken the sender's address.
    auto only = with_rules("[ { remote: default } ]");
    CHECK(seen(only, "proj_one/vm2", "proj_one/vm1", "fixed") == "reachable");
    CHECK(seen(only, "proj_one/vm2", "proj_one/vm1", "floating") == "no ingress rule of the receiver's groups");
    only.tenants["proj_one"].routers.clear();
    only.expectations.clear();
    for (auto& [name, p] : only.tenants["proj_one"].ports) p.floating.reset(), p.floating_auto = false;
    const auto alone = compute1(only);
    const auto& flows = alone.flows.at("br-int");
    const auto far = "ip,nw_src=" + only.tenants["proj_one"].ports["vm3"].address->to_string() + "/32";
    CHECK(std::none_of(flows.begin(), flows.end(), [&](const auto& each) { return each.match.find(far) != std::string::npos; }));
}

TEST_CASE("the members of a remote group stand once for all ports of a network", "[roles][groups]") {
    auto f = with_rules("[ { protocol: tcp, ports: 22, remote: default } ]");
    auto facts = facts_of();
    for (int i = 0; i < 50; ++i) {
        const auto name = "many" + std::to_string(i);
        auto& p = f.tenants["proj_one"].ports[name] = {.node = "compute1", .network = "net1"};
        p.mac = object_mac("grizzly", "proj_one/ports/" + name);
        p.address = advance(parse_ip("50.50.1.100").value(), i);
        facts.present_ports[object_uuid("grizzly", "proj_one/ports/" + name)] = "tap" + std::to_string(i) + "x";
    }
    std::size_t flows = 0;
    const auto s = roles::compile(f, "compute1", facts).value();
    for (const auto& each : s.flows.at("br-int")) flows += each.table == 82 && each.priority == 60;
    // 53 members by IPv4, 52 by IPv6 (one is of the other network), 2 conjunctions; of each of 50 ports one rule in two families.
    CHECK(flows == 53 + 52 + 2 + 50 * 2);
}

TEST_CASE("the matrix follows the rules of both ends, and knows the translated source", "[roles][groups]") {
    const auto from_lan = with_rules("[ { protocol: icmp, remote: 192.168.100.200/32 } ]");
    CHECK(seen(from_lan, "lan1", "proj_one/vm1", "floating") == "reachable");
    CHECK(seen(from_lan, "controller", "proj_one/vm1", "floating") == "no ingress rule of the receiver's groups");
    CHECK(seen(from_lan, "proj_one/vm2", "proj_one/vm1", "fixed") == "no ingress rule of the receiver's groups");
    // proj_one/vm3 comes with its own floating address, vm2 with its router's.
    const auto f = complete_grizzly();
    const auto own = f.tenants.at("proj_one").ports.at("vm3").floating->to_string();
    const auto by_floating = with_rules("[ { protocol: icmp, remote: " + own + "/32 } ]");
    CHECK(seen(by_floating, "proj_one/vm3", "proj_one/vm1", "floating") == "reachable");
    CHECK(seen(by_floating, "proj_one/vm2", "proj_one/vm1", "floating") == "no ingress rule of the receiver's groups");
    const auto by_router = with_rules("[ { protocol: icmp, remote: " + f.tenants.at("proj_one").routers.at("router1").address->to_string() + "/32 } ]");
    CHECK(seen(by_router, "proj_one/vm2", "proj_one/vm1", "floating") == "reachable");
    CHECK(seen(by_router, "proj_one/vm3", "proj_one/vm1", "floating") == "no ingress rule of the receiver's groups");

    const auto closed = with_rules("[ { protocol: icmp } ], egress: [ { protocol: icmp, remote: 192.168.100.200/32 } ]");
    CHECK(seen(closed, "proj_one/vm1", "lan1", "external") == "reachable");
    CHECK(seen(closed, "proj_one/vm1", "internet1", "external") == "no egress rule of the sender's groups");
    CHECK(seen(closed, "proj_one/vm1", "proj_two/vm1", "floating") == "no egress rule of the sender's groups");
    CHECK(seen(closed, "lan1", "proj_one/vm1", "floating") == "reachable");
}

TEST_CASE("port-security: false lifts the filter and the pins of that port alone", "[roles][groups]") {
    auto f = with_rules("[]");
    f.tenants["proj_one"].ports["vm1"].port_security = false;
    f.tenants["proj_one"].ports["vm1"].security_groups.clear();
    const auto s = compute1(f);
    CHECK(flow(s, 60, "in_port=tapone").actions == "load:0x1->NXM_NX_REG6[],resubmit(,73)");
    for (const auto& each : s.flows.at("br-int")) CHECK(each.match.find(register_of("proj_one/ports/vm1")) == std::string::npos);
    CHECK(flow(s, 74, "reg6=0x1,reg7=0").actions.find("output:tapone") != std::string::npos);
    CHECK(flow(s, 60, "in_port=taptwo").actions.find("resubmit(,71)") != std::string::npos);
    CHECK(seen(f, "lan1", "proj_one/vm1", "floating") == "reachable");
    CHECK(seen(f, "lan1", "proj_one/vm3", "floating") == "no ingress rule of the receiver's groups");
}

TEST_CASE("an allowed address may be sent from, and its own MAC is reached at every port of the network", "[roles][groups]") {
    auto f = complete_grizzly();
    f.tenants["proj_one"].ports["vm1"].allowed_addresses = {{parse_prefix("50.50.1.100").value(), parse_mac("00:00:5e:00:01:07").value(), {}},
                                                            {parse_prefix("50.50.9.0/24").value(), {}, {}}};
    const auto s = compute1(f);
    const auto mac = f.tenants["proj_one"].ports["vm1"].mac->to_string();
    CHECK(matches(s, 71, 65).count("ip,dl_src=00:00:5e:00:01:07,nw_src=50.50.1.100/32"));
    CHECK(matches(s, 71, 65).count("ip,dl_src=" + mac + ",nw_src=50.50.9.0/24"));
    CHECK(matches(s, 71, 95).count("arp,dl_src=00:00:5e:00:01:07,arp_sha=00:00:5e:00:01:07,arp_spa=50.50.1.100/32"));
    // The pairs do not mix: neither address goes with the other's MAC.
    CHECK(matches(s, 71, 65).count("ip,dl_src=" + mac + ",nw_src=50.50.1.100/32") == 0);
    CHECK(flow(s, 73, "reg6=0x1,dl_dst=00:00:5e:00:01:07").actions == "resubmit(,74)");
}

TEST_CASE("a packet that asks goes through the rules of the port whose prefix is the longest, and through nobody's where two ports hold it", "[roles][groups]") {
    auto f = complete_grizzly();
    auto& ports = f.tenants["proj_one"].ports;
    ports["vm1"].allowed_addresses = {{parse_prefix("50.50.1.0/24").value(), {}, {}}, {parse_prefix("50.50.1.99").value(), {}, {}}};
    ports["vm9"] = {.node = "compute1", .network = "net1"};
    ports["vm9"].mac = object_mac("grizzly", "proj_one/ports/vm9");
    ports["vm9"].address = *parse_ip("50.50.1.19");
    ports["vm9"].allowed_addresses = {{parse_prefix("50.50.1.99").value(), {}, {}}};
    auto facts = facts_of();
    facts.present_ports = {{object_uuid("grizzly", "proj_one/ports/vm1"), "tapone"}, {object_uuid("grizzly", "proj_one/ports/vm9"), "tapnine"}};
    const auto s = roles::compile(f, "compute1", facts).value();
    const auto& wide = flow(s, 80, "reg6=0x1,ip,nw_dst=50.50.1.0/24");
    const auto& own = flow(s, 80, "reg6=0x1,ip,nw_dst=50.50.1.19/32");
    CHECK(own.priority > wide.priority);
    CHECK(own.actions == fmt::format("load:0x{:x}->NXM_NX_REG5[],resubmit(,82)", port_register("grizzly", "proj_one/ports/vm9")));
    CHECK(flow(s, 70, "reg6=0x1,ip,nw_src=50.50.1.19/32").actions.find("resubmit(,72)") != std::string::npos);
    CHECK(flow(s, 80, "reg6=0x1,ip,nw_dst=50.50.1.99/32").actions == "drop");
    CHECK(flow(s, 80, "reg6=0x1,ip,nw_dst=50.50.1.99/32").priority > wide.priority);
}

TEST_CASE("br-int names every output: NORMAL is nowhere, and what is unknown goes to the tunnels alone", "[roles][groups]") {
    const auto s = compute1(complete_grizzly());
    for (const auto& f : s.flows.at("br-int")) CHECK(f.actions.find("NORMAL") == std::string::npos);
    CHECK(flow(s, 94, "reg6=0x1,reg7=0").actions == "push_vlan:0x8100,set_field:4097->vlan_vid,output:patch-tun");
    CHECK(flow(s, 94, "reg6=0x1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,reg7=0").actions ==
          clone_to(92, "proj_one/ports/vm1") + ",push_vlan:0x8100,set_field:4097->vlan_vid,output:patch-tun");
}

// What quarantine rests on: without the flows of its cookie a port has no way in or out.
TEST_CASE("every flow that takes from a port's device or gives to it bears the port's cookie, and no other port's flow does", "[roles][groups]") {
    const auto s = compute1(complete_grizzly());
    const auto cookie = ovs::port_cookie(port_register("grizzly", "proj_one/ports/vm1"));
    std::size_t named = 0;
    for (const auto& f : s.flows.at("br-int")) {
        const bool device = f.match.find("in_port=tapone") != std::string::npos || f.actions.find("output:tapone") != std::string::npos;
        named += device;
        if (device) CHECK(f.cookie == cookie);
        if (f.cookie == cookie) CHECK((f.match + f.actions).find("taptwo") == std::string::npos);
    }
    CHECK(named == 4);  // two gates, the beginning, the delivery
}

TEST_CASE("a network of more ports than one flow can name is flooded by several, each of them once", "[roles][groups]") {
    auto f = complete_grizzly();
    auto facts = facts_of();
    auto& ports = f.tenants["proj_two"].ports;
    f.tenants["proj_two"].networks["net1"].cidr = parse_prefix("50.50.0.0/16").value();
    for (int i = 0; i < 600; ++i) {
        const auto name = "many" + std::to_string(i);
        ports[name] = {.node = "compute1", .network = "net1"};
        ports[name].mac = object_mac("grizzly", "proj_two/ports/" + name);
        ports[name].address = advance(parse_ip("50.50.2.0").value(), i);
        facts.present_ports[object_uuid("grizzly", "proj_two/ports/" + name)] = "tap" + std::to_string(i) + "x";
    }
    const auto s = roles::compile(f, "compute1", facts).value();
    std::string all;
    std::size_t parts = 0;
    for (const auto& each : s.flows.at("br-int"))
        if (each.table == 94 && each.match.rfind("reg6=0x2,dl_dst=01:", 0) == 0) {
            all += each.actions + ",";
            ++parts;
            std::size_t clones = 0;
            for (auto at = each.actions.find("clone("); at != std::string::npos; at = each.actions.find("clone(", at + 1)) ++clones;
            CHECK(clones <= 256);
        }
    CHECK(parts == 3);
    for (int i = 0; i < 600; ++i) {
        const auto output = clone_to(92, "proj_two/ports/many" + std::to_string(i)) + ",";
        const auto at = all.find(output);
        CHECK(at != std::string::npos);
        CHECK(all.find(output, at + 1) == std::string::npos);
    }
}

TEST_CASE("of two ports of a node whose registers are the same one is quarantined, and the other has all its flows", "[roles][groups]") {
    // Found by search: some pair of names among a few hundred thousand shares 32 bits.
    std::map<std::string, std::string> by_start;
    std::string one, two;
    for (int i = 0; i < 400000 && one.empty(); ++i) {
        const auto name = "p" + std::to_string(i);
        const auto [other, is_new] = by_start.emplace(object_uuid("grizzly", "proj_two/ports/" + name).substr(0, 8), name);
        if (!is_new) one = other->second, two = name;
    }
    REQUIRE_FALSE(two.empty());
    auto f = complete_grizzly();
    auto facts = facts_of();
    auto& ports = f.tenants["proj_two"].ports;
    for (const auto& name : {one, two}) {
        ports[name] = ports.at("vm1");
        ports[name].floating.reset();
        ports[name].floating_auto = false;
        ports[name].mac = object_mac("grizzly", "proj_two/ports/" + name);
        ports[name].address = *parse_ip(name == one ? "50.50.1.98" : "50.50.1.99");
        facts.present_ports[object_uuid("grizzly", "proj_two/ports/" + name)] = "tap" + name;
    }
    const auto s = roles::compile(f, "compute1", facts).value();
    const auto good = std::min(one, two), poisoned = std::max(one, two);
    REQUIRE(s.quarantined.size() == 1);
    CHECK(s.quarantined[0].port == "proj_two/" + poisoned);
    CHECK(s.quarantined[0].reason.find("proj_two/" + good) != std::string::npos);
    std::size_t of_good = 0;
    for (const auto& each : s.flows.at("br-int")) {
        CHECK((each.match + each.actions).find("tap" + poisoned) == std::string::npos);
        of_good += (each.match + each.actions).find("tap" + good) != std::string::npos;
    }
    CHECK(of_good == 4);
}
