// SPDX-License-Identifier: Apache-2.0
// Faults that others had in what a tenant's port may do, one test each and named after it, by what happens to packets in a lab. What
// holds each row of the list is in docs/security.md; the faults around a port are in cve_around.cpp. These tests stay forever: one of
// the faults came back after ten years.
#include "shell.hpp"
#include "spoofing.hpp"

#include <atomic>
#include <future>
#include <thread>

using namespace weft;
using namespace weft::test;

namespace {

using std::chrono::milliseconds;

std::string changed_once(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

// Those of the forgeries that are about one matter; of the others nothing is said. Some of them must pass.
std::vector<attempt> about(const std::vector<attempt>& all, const std::vector<std::string>& words) {
    std::vector<attempt> some;
    for (const auto& a : all)
        if (std::any_of(words.begin(), words.end(), [&](const auto& w) { return a.name.find(w) != std::string::npos; })) some.push_back(a);
    CHECK(std::any_of(some.begin(), some.end(), [](const auto& a) { return a.passes; }));
    CHECK(std::count_if(some.begin(), some.end(), [](const auto& a) { return !a.passes; }) >= 2);
    return some;
}

void forge(stage& s, const std::vector<std::string>& words) {
    for (const char* peer : {"near", "far"}) {
        run(s, "pinned", peer, about(forgeries(s, "pinned", peer, true), words));
        // Sound frames, for who may send them.
        auto free = forgeries(s, "loose", peer, false);
        std::erase_if(free, [&](const auto& a) {
            return std::none_of(words.begin(), words.end(), [&](const auto& w) { return a.name.find(w) != std::string::npos; });
        });
        run(s, "loose", peer, free);
    }
}

}  // namespace

TEST_CASE("CVE-2015-5240, CVE-2026-50266: nothing that a tenant sets in its port makes it trusted") {
    if (!can_run() || !has_program()) return;
    stage s;
    const fabric_file file(small_cloud_text("gre", spoofing_tenants));
    const auto id = object_uuid(s.f.name, "one/ports/pinned");
    const auto tap = said("ovs-vsctl --bare --columns=name find interface external_ids:iface-id=" + id, s.lab.name, "compute1");
    const auto name = tap.substr(0, tap.find('\n'));
    REQUIRE_FALSE(name.empty());
    // All that whoever plugs the port can write beside its id, and what marks trusted ports elsewhere; then apply again.
    const auto peer = s.mac_of("near").to_string();
    said("ovs-vsctl set interface " + name + " external_ids:device_owner=network:router_interface external_ids:port_security=false "
         "external_ids:attached-mac=\\\"" + peer + "\\\" external_ids:owner=network:dhcp external_ids:trusted=true other_config:trusted=true "
         "-- set port " + name + " other_config:device_owner=network:dhcp other_config:port-security=false external_ids:device_owner=network:dhcp",
         s.lab.name, "compute1");
    const auto applied = weft_on("compute1", s.lab.name, "apply", file);
    INFO(applied.text);
    CHECK(applied.status == 0);
    run(s, "pinned", "near", forgeries(s, "pinned", "near", true));
    run(s, "pinned", "far", forgeries(s, "pinned", "far", true));
}

TEST_CASE("CVE-2016-5362: a DHCP discovery is no way around the pins") {
    if (!can_run()) return;
    stage s;
    forge(s, {"DHCP"});
    // The discovery itself, from another address than none, and to one host instead of all.
    const auto me = s.mac_of("pinned"), peer = s.mac_of("near");
    std::vector<attempt> all;
    const auto add = [&](const std::string& what, bool passes, const mac_address& to, const ip_address& from, const ip_address& target) {
        const auto tag = tag_of(all.size());
        all.push_back({what, passes, ethernet(to, me, 0x0800, udp(from, target, 68, 67, tag)), tag});
    };
    add("discovery of its own", true, everybody, s.ip_of("pinned"), ip("255.255.255.255"));
    add("discovery from another address", false, everybody, ip("50.50.1.77"), ip("255.255.255.255"));
    add("discovery from another address to one host", false, peer, ip("50.50.1.77"), s.ip_of("near"));
    add("discovery from the peer's own address", false, peer, s.ip_of("near"), s.ip_of("near"));
    run(s, "pinned", "near", all);
}

TEST_CASE("CVE-2016-5363: no MAC but its own, by DHCP, by ARP and by what is not IP") {
    if (!can_run()) return;
    stage s;
    forge(s, {"its own addresses", "another MAC", "another Ethernet source", "another sender MAC", "ethertype", "RARP", "LLDP", "MPLS", "PPPoE"});
}

TEST_CASE("CVE-2015-8914: ICMPv6 comes from the port's own addresses only, link-local ones too") {
    if (!can_run()) return;
    stage s;
    forge(s, {"ICMPv6", "neighbour", "duplicate", "router", "redirect"});
}

TEST_CASE("CVE-2021-20267: no port speaks for another's IPv6 address") {
    if (!can_run()) return;
    stage s;
    forge(s, {"IPv6", "neighbour advertisement", "duplicate"});
}

TEST_CASE("CVE-2021-38598: the filter of ARP does what it says") {
    if (!can_run()) return;
    stage s;
    forge(s, {"ARP"});
}

TEST_CASE("os-vif bug 1734320: a port is shut until its rules stand, however early it sends") {
    if (!can_run() || !has_program()) return;
    stage s;
    // The port comes with a later file; its device is there, plugged and sending, before weft has heard of it.
    const std::string line = "      shut:";
    const fabric_file file(small_cloud_text("gre", changed_once(spoofing_tenants, line,
        "      early: { node: compute1, network: net1, address: 50.50.1.30, mac: \"02:00:00:00:30:30\" }\n" + line)));
    const auto id = object_uuid(s.f.name, "one/ports/early");
    const auto me = mac("02:00:00:00:30:30");
    said("ip link add early0 type veth peer name early1 && ip link set early0 up && ip link set early1 up", s.lab.name, "compute1");
    const wire out(s.lab.at("compute1"), "early1");
    const wire near(s.lab.at("one/near"), "eth0"), far(s.lab.at("one/far"), "eth0"), guest(s.lab.at("one/guest"), "eth0");

    const auto right = tag_of(1), right_arp = tag_of(2);
    std::vector<bytes> frames;
    std::vector<bytes> wrong;
    const auto forged = [&](bytes frame, const bytes& tag) { frames.push_back(std::move(frame)), wrong.push_back(tag); };
    for (const char* to : {"near", "far", "guest"}) {
        frames.push_back(ethernet(s.mac_of(to), me, 0x0800, udp(ip("50.50.1.30"), s.ip_of(to), 777, 777, right)));
        forged(ethernet(s.mac_of(to), me, 0x0800, udp(ip("50.50.1.77"), s.ip_of(to), 777, 777, tag_of(3))), tag_of(3));
        forged(ethernet(s.mac_of(to), mac("02:00:00:00:99:99"), 0x0800, udp(ip("50.50.1.30"), s.ip_of(to), 777, 777, tag_of(4))), tag_of(4));
    }
    frames.push_back(ethernet(everybody, me, 0x0806, arp(1, me, ip("50.50.1.30"), ip("50.50.1.14"), right_arp)));
    forged(ethernet(everybody, me, 0x0806, arp(2, me, ip("50.50.1.1"), ip("50.50.1.14"), tag_of(5))), tag_of(5));
    forged(ethernet(everybody, me, 0x0800, udp(ip("50.50.1.30"), ip("255.255.255.255"), 67, 68, tag_of(6))), tag_of(6));
    forged(ethernet(everybody, me, 0x88b5, tag_of(7)), tag_of(7));

    std::atomic<bool> stop{false};
    std::atomic<std::size_t> sent{0};
    std::thread sender([&] {
        while (!stop && sent < 200000) {
            for (const auto& f : frames) sent += out.try_send(f);
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
    });
    struct joined {
        std::atomic<bool>& stop;
        std::thread& thread;
        ~joined() { stop = true, thread.join(); }
    } const end{stop, sender};
    const auto silent = [&](const wire& at, milliseconds time) {
        const auto seen = at.collect([](const bytes&) { return false; }, time);
        return std::none_of(seen.begin(), seen.end(), [&](const bytes& f) {
            return holds(f, right) || holds(f, right_arp) || std::any_of(wrong.begin(), wrong.end(), [&](const bytes& t) { return holds(f, t); });
        });
    };
    // Plugged while it sends, as a hypervisor does; and left so for a while.
    said("ovs-vsctl add-port br-int early0 -- set interface early0 external_ids:iface-id=" + id, s.lab.name, "compute1");
    for (const auto* at : {&near, &far, &guest}) CHECK(silent(*at, milliseconds(400)));
    const auto before = sent.load();
    CHECK(before > 100);

    auto applied = std::async(std::launch::async, [&] {
        return run_inside(s.lab.name, "compute1", {program, "apply", file.path.string(), "--node", "compute1"});
    });
    for (const auto* at : {&near, &far, &guest}) {
        bool arrived = false;
        for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10); !arrived && std::chrono::steady_clock::now() < until;) {
            const auto seen = at->collect([&](const bytes& f) { return holds(f, right); }, milliseconds(500));
            for (const auto& f : seen) {
                arrived = arrived || holds(f, right);
                for (std::size_t i = 0; i < wrong.size(); ++i) {
                    INFO("forged frame " << i << " after " << sent - before << " more");
                    CHECK_FALSE(holds(f, wrong[i]));
                }
            }
        }
        CHECK(arrived);
    }
    CHECK(applied.get() == 0);
    CHECK(hears(near, right_arp));
    for (const auto* at : {&near, &far, &guest}) {
        const auto seen = at->collect([](const bytes&) { return false; }, milliseconds(200));
        for (const auto& t : wrong) CHECK(std::none_of(seen.begin(), seen.end(), [&](const bytes& f) { return holds(f, t); }));
    }
}
