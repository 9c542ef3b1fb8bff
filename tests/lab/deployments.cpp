// SPDX-License-Identifier: Apache-2.0
// Every deployment of examples/fabrics that is not plan 1 itself, brought up from its file, and its whole matrix by
// packets; and what sharing a segment or a machine must not break.
#include <algorithm>
#include <sstream>

#include "lab_fixture.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"

using namespace weft;

namespace {

fabric example(const std::string& name) {
    std::ifstream in(std::string(WEFT_SOURCE_DIR) + "/examples/fabrics/" + name + ".yaml");
    REQUIRE(in.good());
    std::ostringstream text;
    text << in.rdbuf();
    auto parsed = parse_fabric(text.str(), name + ".yaml");
    for (const auto& d : parsed.diagnostics)
        if (d.severity == severity::error) FAIL(d.to_string());
    return roles::allocate(parsed.fabric, {}).value().fabric;
}

void check_matrix(const test::standing_lab& lab) {
    const auto expectations = roles::expectations(lab.fabric);
    const auto cells = lab::test(lab.fabric, expectations, lab.name).value();
    REQUIRE(cells.size() == expectations.size());
    std::size_t reachable = 0, blocked = 0;
    for (const auto& c : cells) {
        INFO(c.from << " -> " << c.to << " via " << c.via << ": " << c.detail);
        CHECK(c.ok());
        ++(c.expected ? reachable : blocked);
    }
    CHECK(reachable > 20);
    CHECK(blocked > 20);
}

}  // namespace

TEST_CASE("all-in-one: every role on one machine, every cell of the matrix as expected") {
    if (!test::can_run()) return;
    const test::standing_lab lab(example("all-in-one"));
    check_matrix(lab);
    // No tunnel, so that the tenants have the whole MTU of an Ethernet, to the byte.
    const auto vm2 = *lab.fabric.tenants.at("proj_one").ports.at("vm2").address;
    CHECK(probe::icmp(lab.at("proj_one/vm1"), vm2, 1500 - 28, true).value().replied);
    CHECK(probe::icmp(lab.at("proj_one/vm1"), parse_ip("192.168.100.200").value(), 1500 - 28, true).value().replied);
}

TEST_CASE("two servers: guests on a hypervisor's bridges, every cell of the matrix as expected") {
    if (!test::can_run()) return;
    const test::standing_lab lab(example("two-servers"));
    check_matrix(lab);
    const auto ask = [&](const char* from, const char* to) {
        return probe::icmp(lab.at(from), parse_ip(to).value(), 56, false, std::chrono::milliseconds(1500)).value();
    };

    // The network node's eth2 is a port of br-ex; its own Internet is eth3's.
    CHECK(ask("network", "203.0.113.10").replied);

    // One answer for each address of the shared segment, whoever has NICs on it twice.
    struct asked {
        const char *from, *device, *address;
    };
    const auto answers = [&](const asked& a) {
        return probe::arp(lab.at(a.from), a.device, parse_ip(a.address).value()).value().macs.size();
    };
    for (const asked& a : {asked{"controller", "eth0", "10.10.10.52"},
                           {"controller", "eth0", "10.20.20.52"},
                           {"controller", "eth0", "10.10.10.54"},
                           {"controller", "eth0", "10.20.20.54"},
                           {"controller", "eth0", "10.10.10.50"},
                           {"server-b", "eth0", "10.10.10.51"},
                           {"server-b", "eth0", "10.20.20.52"},
                           {"controller", "eth1", "192.168.100.52"},
                           {"vpn", "eth0", "192.168.100.51"},
                           {"lan1", "eth0", "192.168.100.52"}}) {
        INFO(a.address << " asked from " << a.from);
        CHECK(answers(a) == 1);
    }
    // What it would be without the cure: both NICs answer, each with its own MAC.
    const auto server_b = lab.at("server-b");
    REQUIRE(netlink::write_sysctl(server_b, "net/ipv4/conf/all/arp_ignore", "0").has_value());
    CHECK(answers({"controller", "eth0", "10.20.20.54"}) == 2);
    REQUIRE(netlink::write_sysctl(server_b, "net/ipv4/conf/all/arp_ignore", "1").has_value());
}

TEST_CASE("two servers: on the shared segment a route across opens nothing as long as the target's own rules stand") {
    if (!test::can_run()) return;
    const test::standing_lab lab(example("two-servers"));
    const auto controller = lab.at("controller");
    const auto endpoint = parse_ip("10.20.20.54").value();
    const auto reach = [&] {
        return probe::icmp(controller, endpoint, 56, false, std::chrono::milliseconds(1000)).value();
    };
    CHECK(reach().no_route == false);  // the LAN's default route takes it, and there it ends

    // A host of management that says VM-config is on its own wire: the segment is the same, so its packets arrive.
    auto session = std::move(netlink::session::open(controller).value());
    route across;
    across.destination = {endpoint, 32};
    across.nexthops.push_back({std::nullopt, "eth0"});
    REQUIRE(session.run_one({netlink::verb::add, across}).has_value());
    const auto blocked = reach();
    CHECK(blocked.sent > 0);
    CHECK_FALSE(blocked.replied);
    CHECK(probe::icmp(controller, parse_ip("10.10.10.54").value()).value().replied);

    // The asker's own rules, which refuse the answer, are no part of this; without the target's it comes.
    const auto open_up = [&](const char* node) {
        const auto at = lab.at(node);
        auto tables = netlink::nft_tables(at).value();
        std::erase_if(tables, [](const nft::table& t) { return t.family != nft::family::inet; });
        REQUIRE(tables.size() == 1);
        for (auto& c : tables[0].chains) c.rules.clear();
        REQUIRE(netlink::nft_apply(at, {tables, {}}).has_value());
    };
    open_up("controller");
    CHECK_FALSE(reach().replied);
    open_up("server-b");
    CHECK(reach().replied);
}

TEST_CASE("two servers: the hypervisor's bridges pass the guests' frames and hold its own address") {
    if (!test::can_run()) return;
    const test::standing_lab lab(example("two-servers"));
    const auto links = std::move(netlink::session::open(lab.at("server-a")).value()).links().value();
    std::map<std::string, std::multiset<std::string>> ports;
    for (const auto& l : links)
        if (!l.master.empty()) ports[l.master].insert(l.name.starts_with("vnet") ? "guest" : l.name);
    CHECK(ports == std::map<std::string, std::multiset<std::string>>{
                       {"bridge-int", {"eth0", "guest", "guest", "guest"}},
                       {"bridge-ext", {"eth1", "guest", "guest", "guest", "guest"}}});
    for (const auto& l : links)
        if (ports.contains(l.name)) {
            CHECK(l.alias == "weft:two-servers/nodes/server-a/" + l.name);
            CHECK(l.up);
        }
    const auto addresses = std::move(netlink::session::open(lab.at("server-a")).value()).addresses().value();
    CHECK(std::any_of(addresses.begin(), addresses.end(), [](const auto& a) {
        return a.device == "bridge-int" && a.address.to_string() == "10.10.10.50/24";
    }));
    CHECK(std::none_of(addresses.begin(), addresses.end(), [](const auto& a) { return a.device == "bridge-ext"; }));
}

TEST_CASE("three tenants on six nodes, the same subnets thrice: every cell of the matrix as expected") {
    if (!test::can_run()) return;
    const test::standing_lab lab(example("three-tenants"));
    check_matrix(lab);
    // Equal addresses in all three, and no way from one tenant's into another's.
    const auto address = [&](const char* tenant) { return *lab.fabric.tenants.at(tenant).ports.at("batch1").address; };
    CHECK(address("red") == address("green"));
    CHECK(address("red") == address("blue"));
}
