// SPDX-License-Identifier: Apache-2.0
// Faults that others had around a tenant's port, one test each and named after it, by what happens to packets in a lab: bridges,
// the switch, router advertisements, floating addresses, and what belongs to others. The list is docs/security.md.
#include "shell.hpp"
#include "spoofing.hpp"

#include <sstream>
#include <thread>

using namespace weft;
using namespace weft::test;

namespace {

using std::chrono::milliseconds;

std::string vswitchd_of(const std::string& lab, const std::string& node) {
    // Its number, and since when it runs.
    return said("p=$(cat /run/openvswitch/ovs-vswitchd.pid) && echo $p && cut -d' ' -f22 /proc/$p/stat && test \"$(ps -o stat= -p $p | cut -c1)\" != Z",
                lab, node);
}

}  // namespace

TEST_CASE("CVE-2019-15753: a hypervisor's bridge learns, and floods no guest's frame to the others") {
    if (!can_run() || !has_program()) return;
    const std::string path = std::string(WEFT_SOURCE_DIR) + "/examples/fabrics/two-servers.yaml";
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    auto parsed = parse_fabric(text.str(), "two-servers.yaml");
    REQUIRE(parsed.ok());
    const auto f = roles::allocate(parsed.fabric, {}).value().fabric;
    const standing_lab lab(f);
    const auto effective = [&](const std::string& bridge, const std::string& what) {
        return said("cat /sys/class/net/" + bridge + "/bridge/" + what, lab.name, "server-a");
    };
    for (const char* bridge : {"bridge-int", "bridge-ext"}) {
        INFO(bridge);
        CHECK(effective(bridge, "ageing_time") == "30000\n");
        CHECK(effective(bridge, "stp_state") == "0\n");
        CHECK(effective(bridge, "multicast_snooping") == "0\n");
        CHECK(said("for p in /sys/class/net/" + std::string(bridge) + "/brif/*; do cat $p/learning $p/unicast_flood $p/hairpin_mode; done | sort | uniq -c | wc -l",
                   lab.name, "server-a") == "2\n");
    }
    // What somebody turned off is work to do, and done.
    said("echo 0 > /sys/class/net/bridge-int/bridge/ageing_time", lab.name, "server-a");
    const auto plan = shell(program + " plan " + path + " --node server-a", lab.name, "server-a");
    INFO(plan.text);
    CHECK(plan.status == 2);
    REQUIRE(shell(program + " apply " + path + " --node server-a", lab.name, "server-a").status == 0);
    CHECK(effective("bridge-int", "ageing_time") == "30000\n");

    // One guest to another: what is for a MAC that the bridge knows leaves by that guest's port alone, and what is for nobody by all.
    const auto mac_in = [&](const std::string& member, const std::string& device) {
        return mac(said("tr -d '\\n' < /sys/class/net/" + device + "/address", lab.name, member));
    };
    const auto controller = mac_in("controller", "eth0"), network = mac_in("network", "eth0");
    REQUIRE(probe::icmp(lab.at("network"), ip("10.10.10.51")).value().replied);
    const wire out(lab.at("network"), "eth0"), to(lab.at("controller"), "eth0"), beside(lab.at("server-b"), "eth0");
    const auto frame = [&](const mac_address& target, std::size_t n) {
        return ethernet(target, network, 0x0800, udp(ip("10.10.10.52"), ip("10.10.10.51"), 777, 777, tag_of(n)));
    };
    out.send(frame(controller, 1));
    CHECK(hears(to, tag_of(1)));
    out.send(frame(mac("02:00:00:00:99:99"), 2));
    const auto seen = beside.collect([&](const bytes& b) { return holds(b, tag_of(2)); });
    CHECK(std::any_of(seen.begin(), seen.end(), [](const bytes& b) { return holds(b, tag_of(2)); }));
    CHECK(std::none_of(seen.begin(), seen.end(), [](const bytes& b) { return holds(b, tag_of(1)); }));

    // And nothing of a tenant's comes to another's port, not even what is for nobody or for all.
    const wire vm(lab.at("proj_one/vm1"), "eth0"), mine(lab.at("proj_one/vm2"), "eth0"), theirs(lab.at("proj_two/vm1"), "eth0");
    const auto& ports = f.tenants.at("proj_one").ports;
    const auto me = *ports.at("vm1").mac;
    const auto here = *ports.at("vm1").address;
    vm.send(ethernet(mac("02:00:00:00:99:99"), me, 0x0800, udp(here, ip("50.50.1.99"), 777, 777, tag_of(3))));
    vm.send(ethernet(everybody, me, 0x0806, arp(1, me, here, ip("50.50.1.99"), tag_of(4))));
    CHECK(hears(mine, tag_of(4)));
    const auto other = theirs.collect([](const bytes&) { return false; }, milliseconds(300));
    CHECK(std::none_of(other.begin(), other.end(), [](const bytes& b) { return holds(b, tag_of(3)) || holds(b, tag_of(4)); }));
}

TEST_CASE("CVE-2023-1668, CVE-2023-5366: the switch under the tests matches protocol 0 and neighbour discovery as its flows say") {
    if (!can_run()) return;
    const standing_lab lab(small_cloud());
    // A bridge beside weft's, with the flows that go wrong where the switch is not mended; weft's own have none of this kind.
    said("ip link add ca0 type veth peer name ca1 && ip link add cb0 type veth peer name cb1 && for d in ca0 ca1 cb0 cb1; do ip link set $d up; done && "
         "ovs-vsctl add-br cve -- set bridge cve datapath_type=netdev fail_mode=secure -- add-port cve ca0 -- add-port cve cb0 && "
         "ovs-ofctl add-flow cve 'priority=9,in_port=ca0,ip,actions=mod_nw_dst:192.0.2.99,output:cb0' && "
         "ovs-ofctl add-flow cve 'priority=8,in_port=ca0,icmp6,icmp_type=136,nd_target=fe80::1,actions=output:cb0'",
         lab.name, "compute1");
    const wire in(lab.at("compute1"), "ca1"), out(lab.at("compute1"), "cb1");
    const auto me = mac("02:00:00:00:01:01"), peer = mac("02:00:00:00:01:02");
    const auto here = ip("192.0.2.1"), there = ip("192.0.2.2");
    // CVE-2023-1668: the flow that protocol 0 makes in the datapath must not be that of all protocols.
    for (int i = 0; i < 3; ++i) in.send(ethernet(peer, me, 0x0800, packet(here, there, 0, bytes(30), 28)));
    CHECK(out.collect([](const bytes& f) { return f[12] == 8 && f[23] == 0; }).size() > 0);
    in.send(ethernet(peer, me, 0x0800, udp(here, there, 777, 777, tag_of(1))));
    const auto frames = out.collect([](const bytes& f) { return holds(f, tag_of(1)); });
    const auto changed = std::find_if(frames.begin(), frames.end(), [](const bytes& f) { return holds(f, tag_of(1)); });
    REQUIRE(changed != frames.end());
    CHECK(bytes(changed->begin() + 30, changed->begin() + 34) == bytes{192, 0, 2, 99});
    // CVE-2023-5366: an advertisement of one target must not open the way for one of another.
    const auto advertisement = [&](const char* target, std::size_t n) {
        return ethernet(peer, me, 0x86dd, icmp6(ip("fe80::7"), ip("fe80::8"), 136, neighbour_body(true, ip(target), me, tag_of(n))));
    };
    in.send(advertisement("fe80::1", 2));
    CHECK(hears(out, tag_of(2)));
    in.send(advertisement("fe80::2", 3));
    in.send(advertisement("fe80::1", 4));
    const auto passed = out.collect([](const bytes& f) { return holds(f, tag_of(4)); });
    CHECK(std::any_of(passed.begin(), passed.end(), [](const bytes& f) { return holds(f, tag_of(4)); }));
    CHECK(std::none_of(passed.begin(), passed.end(), [](const bytes& f) { return holds(f, tag_of(3)); }));
}

TEST_CASE("CVE-2016-10377, CVE-2020-35498: no frame of a VM ends a switch or stops its neighbours, here and beyond the tunnel") {
    if (!can_run()) return;
    stage s;
    std::map<std::string, std::string> before;
    for (const char* node : {"network", "compute1", "compute2"}) before[node] = vswitchd_of(s.lab.name, node);
    for (const std::string from : {"pinned", "loose"}) {
        const wire out(s.lab.at("one/" + from), "eth0");
        const auto me = s.mac_of(from), stranger = mac("02:00:00:00:99:99");
        const auto here = s.ip_of(from), there = s.ip_of("far");
        std::vector<bytes> bodies;
        std::vector<unsigned> types;
        const auto add = [&](unsigned type, bytes body) { types.push_back(type), bodies.push_back(std::move(body)); };
        const auto whole = udp(here, there, 777, 777, tag_of(1));
        for (std::size_t cut = 0; cut <= whole.size(); ++cut) add(0x0800, bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut)));
        for (const int length : {0, 1, 4, 5, 6, 14, 15}) {  // the header's own length, in words
            auto b = whole;
            b[0] = static_cast<std::uint8_t>(0x40 | length);
            add(0x0800, b);
        }
        for (const unsigned total : {0U, 19U, 20U, 21U, 1500U, 0xffffU}) {
            auto b = whole;
            b[2] = static_cast<std::uint8_t>(total >> 8), b[3] = static_cast<std::uint8_t>(total);
            add(0x0800, b);
        }
        for (const unsigned offset : {0x2000U, 0x1fffU, 0x3fffU, 0x0001U}) {
            auto b = whole;
            b[6] = static_cast<std::uint8_t>(offset >> 8), b[7] = static_cast<std::uint8_t>(offset);
            add(0x0800, b);
        }
        for (const int proto : {0, 1, 2, 6, 47, 58, 132, 255}) add(0x0800, packet(here, there, static_cast<std::uint8_t>(proto), bytes(8), 0));
        for (const int words : {0, 1, 4, 6, 15}) {  // TCP whose header is longer than its packet
            auto b = tcp(here, there, 1, 2, {});
            b[32] = static_cast<std::uint8_t>(words << 4);
            add(0x0800, b);
        }
        // IPv6 packets shorter and longer than they say, with chains of headers that end nowhere. The length of CVE-2020-35498 is this.
        const auto six = udp(link_local(me), ip("fe80::99"), 777, 777, tag_of(2));
        for (std::size_t cut = 0; cut <= six.size(); ++cut) add(0x86dd, bytes(six.begin(), six.begin() + static_cast<std::ptrdiff_t>(cut)));
        for (const int type : {0, 43, 44, 51, 60, 135, 139}) {
            auto b = six;
            for (int i = 0; i < 12; ++i) b = behind(b, static_cast<std::uint8_t>(type), {1, 4, 0, 0, 0, 0});
            add(0x86dd, b);
            b.resize(40 + 8 * 3 + 3);
            add(0x86dd, b);
        }
        for (const unsigned size : {0U, 7U, 0xffffU}) {
            auto b = six;
            b[4] = static_cast<std::uint8_t>(size >> 8), b[5] = static_cast<std::uint8_t>(size);
            add(0x86dd, b);
        }
        for (const int type : {133, 134, 135, 136, 137})  // options of length 0, and longer than the packet
            for (const int length : {0, 1, 2, 255}) {
                bytes body(20);
                put(body, bytes{1, static_cast<std::uint8_t>(length), 1, 2});
                add(0x86dd, icmp6(link_local(me), ip("ff02::1"), static_cast<std::uint8_t>(type), body));
            }
        for (const unsigned type : {0x8847U, 0x8848U, 0x88ccU, 0x8809U, 0x88b7U, 0x894fU, 0x8902U, 0x8863U, 0x8035U, 0x0806U, 0x0000U, 0x05dcU})
            for (const int n : {0, 1, 3, 7, 28, 60, 300}) {
                bytes b(static_cast<std::size_t>(n));
                for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<std::uint8_t>(type == 0x8847U ? 0 : i * 37);  // labels that never end
                add(type, b);
            }
        bytes tags;  // tags upon tags
        for (int i = 0; i < 20; ++i) put16(tags, 1), put16(tags, i % 2 ? 0x8100 : 0x88a8);
        add(0x8100, tags), add(0x88a8, tags);
        for (std::size_t i = 0; i < bodies.size(); ++i)
            for (const auto& target : {s.mac_of("far"), s.mac_of("near"), stranger, everybody, mac("01:80:c2:00:00:00"), mac("01:80:c2:00:00:0e")}) {
                auto frame = ethernet(target, me, types[i], bodies[i]);
                CHECK(out.try_send(frame));
            }
        REQUIRE(bodies.size() > 200);
    }
    CHECK(probe::icmp(s.lab.at("one/pinned"), s.ip_of("guest")).value().replied);
    CHECK(probe::icmp(s.lab.at("one/near"), s.ip_of("far")).value().replied);
    for (const auto& [node, process] : before) {
        INFO(node);
        CHECK(vswitchd_of(s.lab.name, node) == process);
    }
}

TEST_CASE("CVE-2020-13401, CVE-2024-32473: a router advertisement of a VM or of the LAN gives no node and no namespace an address or a way out") {
    if (!can_run()) return;
    stage s;
    const auto advertise = [&](const std::string& member, const std::string& device, const char* prefix) {
        const auto me = mac(said("tr -d '\\n' < /sys/class/net/" + device + "/address", s.lab.name, member));
        bytes body = {64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0};
        put(body, bytes{0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0}), put(body, ip(prefix));
        body.push_back(1), body.push_back(1), put(body, me);
        const wire out(s.lab.at(member), device);
        for (int i = 0; i < 3; ++i)
            out.send(ethernet(mac("33:33:00:00:00:01"), me, 0x86dd, icmp6(link_local(me), ip("ff02::1"), 134, body)));
    };
    const auto captured = [&](const std::string& member, const std::string& netns = {}) {
        const auto in = netns.empty() ? std::string() : "ip netns exec " + netns + " ";
        return said(in + "ip -6 -o address show scope global; " + in + "ip -6 route show default", s.lab.name, member);
    };
    const std::string lan_host = "router";  // the lab's own, of which weft configures nothing: it believes what the LAN tells it
    advertise("one/pinned", "eth0", "fd00:bad1::");
    advertise("one/loose", "eth0", "fd00:bad2::");
    advertise("lan1", "eth0", "fd00:bad3::");
    // The advertisements are sound: who listens to them has an address of theirs, but for the pinned one's, who may not send any.
    const auto within = [&](const std::string& member, const char* text) {
        for (int i = 0; i < 100; ++i) {
            if (captured(member).find(text) != std::string::npos) return true;
            std::this_thread::sleep_for(milliseconds(30));
        }
        return false;
    };
    CHECK(within("one/guest", "fd00:bad2:"));
    CHECK(within(lan_host, "fd00:bad3:"));
    CHECK(captured("one/guest").find("fd00:bad1:") == std::string::npos);
    std::size_t spaces = 0;
    for (const std::string node : {"network", "compute1", "compute2"}) {
        INFO(node);
        CHECK(captured(node).empty());
        // No device of a node that is up has IPv6 at all, for none was asked for.
        CHECK(said("ip -6 -o address | grep -v ' lo ' | grep -v ' odd' || true", s.lab.name, node).empty());
        std::istringstream names(said("ip netns list | cut -d' ' -f1", s.lab.name, node));
        for (std::string name; names >> name; ++spaces) {
            INFO(name);
            CHECK(captured(node, name).empty());
            CHECK(said("ip netns exec " + name + " sh -c 'ip -6 -o address; cat /proc/sys/net/ipv6/conf/*/disable_ipv6 | sort -u'", s.lab.name, node) == "1\n");
        }
    }
    CHECK(spaces >= 1);
    CHECK(captured("controller").find("fd00:bad") == std::string::npos);  // its leg on the LAN is the host's own, and takes no advertisement
    CHECK(captured(lan_host).find("fd00:bad1:") == std::string::npos);
    CHECK(captured(lan_host).find("fd00:bad2:") == std::string::npos);
}

TEST_CASE("CNI plugins 9b3772e1: only what is for the floating address goes to its VM, not what passes by with the same port") {
    if (!can_run()) return;
    const standing_lab lab(small_cloud());
    const auto& ports = lab.fabric.tenants.at("one").ports;
    const auto floating = *ports.at("vm1").floating, router = *lab.fabric.tenants.at("one").routers.at("router1").address;
    const auto gateway = probe::arp(lab.at("lan1"), "eth0", floating).value().macs;
    REQUIRE(gateway.size() == 1);
    const auto lan_mac = mac(said("tr -d '\\n' < /sys/class/net/eth0/address", lab.name, "lan1"));
    const wire lan(lab.at("lan1"), "eth0"), vm1(lab.at("one/vm1"), "eth0"), vm2(lab.at("one/vm2"), "eth0"), internet(lab.at("internet1"), "eth0");
    std::size_t n = 0;
    for (const auto& target : {router, ip("203.0.113.10"), ip("192.168.100.120"), ip("192.168.100.51"), ip("8.8.8.8"), *ports.at("vm1").address, *ports.at("vm2").address})
        lan.send(ethernet(*gateway.begin(), lan_mac, 0x0800, tcp(ip("192.168.100.200"), target, 4000, 22, tag_of(++n))));
    lan.send(ethernet(*gateway.begin(), lan_mac, 0x0800, tcp(ip("192.168.100.200"), floating, 4000, 22, tag_of(100))));
    const auto seen = vm1.collect([](const bytes& f) { return holds(f, tag_of(100)); });
    CHECK(std::any_of(seen.begin(), seen.end(), [](const bytes& f) { return holds(f, tag_of(100)); }));
    const auto beside = vm2.collect([](const bytes&) { return false; }, milliseconds(200));
    for (std::size_t i = 1; i <= n; ++i) {
        INFO("destination " << i);
        CHECK(std::none_of(seen.begin(), seen.end(), [&](const bytes& f) { return holds(f, tag_of(i)); }));
        CHECK(std::none_of(beside.begin(), beside.end(), [&](const bytes& f) { return holds(f, tag_of(i)); }));
    }
    // The other way: a VM's own connections to the same port elsewhere go there, and not to the VM of the floating address.
    const auto& vm = ports.at("vm2");
    const auto inner = probe::arp(lab.at("one/vm2"), "eth0", ip("50.50.1.1")).value().macs;
    REQUIRE(inner.size() == 1);
    vm2.send(ethernet(*inner.begin(), *vm.mac, 0x0800, tcp(*vm.address, ip("192.168.100.200"), 4001, 22, tag_of(101))));
    vm2.send(ethernet(*inner.begin(), *vm.mac, 0x0800, tcp(*vm.address, ip("203.0.113.10"), 4002, 22, tag_of(102))));
    CHECK(hears(lan, tag_of(101)));
    CHECK(hears(internet, tag_of(102)));
    const auto again = vm1.collect([](const bytes&) { return false; }, milliseconds(200));
    CHECK(std::none_of(again.begin(), again.end(), [](const bytes& f) { return holds(f, tag_of(101)) || holds(f, tag_of(102)); }));
}

TEST_CASE("Datadog 2023-03-08: what bears no mark of weft's is nobody's to take, neither by apply nor by remove") {
    if (!can_run() || !has_program()) return;
    const standing_lab lab(small_cloud());
    const fabric_file file(small_cloud_text());
    const auto snapshot = [&](const std::string& node) {
        return said("ip rule show pref 1234; ip route show 198.51.100.0/24; ip route show table 99; ip neigh show 10.10.10.99; ip -o address show to 198.51.100.77; "
                    "ip -o link show foreign0 | cut -d@ -f1; nft list table inet other; ovs-vsctl br-exists foreign && echo bridge; "
                    "ovs-vsctl get bridge foreign external_ids; ovs-vsctl list-ports foreign; ovs-ofctl dump-flows --no-stats foreign; "
                    "ovs-vsctl get open_vswitch . external_ids other_config", lab.name, node);
    };
    for (const std::string node : {"network", "compute1"}) {
        INFO(node);
        said("ip link add foreign0 type veth peer name foreign1 && ip link set foreign0 up && ip address add 198.51.100.77/32 dev foreign0 && "
             "ip rule add pref 1234 from 198.51.100.7 lookup 99 && ip route add 198.51.100.0/24 dev foreign0 && ip route add 203.0.113.0/24 dev foreign0 table 99 && "
             "ip neigh add 10.10.10.99 lladdr 02:00:00:00:00:99 dev foreign0 && nft add table inet other && nft add chain inet other c && "
             "nft add rule inet other c tcp dport 22 accept && ovs-vsctl add-br foreign -- set bridge foreign datapath_type=netdev external_ids:theirs=1 "
             "-- add-port foreign foreign1 -- set open_vswitch . external_ids:theirs=2 other_config:theirs=3 && "
             "ovs-ofctl add-flow foreign 'cookie=0x12,priority=7,ip,nw_dst=198.51.100.9,actions=drop' && "
             "ovs-ofctl add-flow br-int 'cookie=0x12,table=250,priority=7,ip,nw_dst=198.51.100.9,actions=drop'",
             lab.name, node);
        const auto before = snapshot(node);
        // A real change of weft's own beside it: a gate of br-int is closed by hand and the address of a NIC is gone.
        said("ovs-ofctl del-flows br-int table=60 && ip address flush dev $(ip -o -4 address | grep 10.10.10 | cut -d' ' -f2) to 10.10.10.0/24", lab.name, node);
        const auto applied = weft_on(node, lab.name, "apply", file);
        INFO(applied.text);
        REQUIRE(applied.status == 0);
        CHECK(snapshot(node) == before);
        CHECK(said("ovs-ofctl dump-flows br-int table=250", lab.name, node).find("cookie=0x12") != std::string::npos);
        const auto removed = shell(program + " remove --node " + node, lab.name, node);
        INFO(removed.text);
        REQUIRE(removed.status == 0);
        CHECK(snapshot(node) == before);
    }
}
