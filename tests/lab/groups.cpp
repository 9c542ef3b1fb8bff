// SPDX-License-Identifier: Apache-2.0
// Security groups by packets through a lab: what the rules let through and what not, for each protocol, on one node and across
// two. Every blocked cell has a reachable one beside it that differs in one thing.
#include "lab_fixture.hpp"

#include <algorithm>

using namespace weft;

namespace {

// web and client are on two nodes, client2 shares web's node; quiet lets nobody in and nothing out but ICMP to web.
const std::string tenants = R"(tenants:
  one:
    networks: { net1: { cidr: 50.50.1.0/24 }, net2: { cidr: 50.50.2.0/24 } }
    routers: { router1: { external: external, networks: [net1, net2] } }
    security-groups:
      clients: { ingress: [] }
      servers:
        ingress:
          - { protocol: tcp, ports: 8000-8010, remote: clients }
          - { protocol: udp, ports: 5300 }
          - { protocol: tcp, ports: 9000, remote: 192.168.100.200/32 }
          - { protocol: icmp, remote: 50.50.1.12/32 }
      quiet: { ingress: [], egress: [ { protocol: icmp, remote: 50.50.1.11/32 }, { protocol: tcp, ports: 22 } ] }
    ports:
      web:     { node: compute1, network: net1, address: 50.50.1.11, floating: auto, security-groups: [servers] }
      client:  { node: compute2, network: net1, address: 50.50.1.12, floating: auto, security-groups: [clients] }
      client2: { node: compute1, network: net1, address: 50.50.1.13, security-groups: [clients] }
      far:     { node: compute2, network: net2, address: 50.50.2.14, security-groups: [clients] }
      quiet:   { node: compute1, network: net1, address: 50.50.1.15, security-groups: [quiet] }
      open:    { node: compute2, network: net1, address: 50.50.1.16, port-security: false }
)";

void expect(std::vector<expectation>& rows, const std::string& from, const std::string& to, const std::string& protocol,
            std::uint16_t port, bool reachable, const ip_address& address) {
    expectation e;
    e.from = from;
    e.to = to;
    e.via = address.to_string();
    e.protocol = protocol;
    e.port = port;
    e.reachable = reachable;
    e.address = address;
    rows.push_back(std::move(e));
}

}  // namespace

TEST_CASE("the rules of security groups decide each cell, and the matrix foretells it") {
    if (!test::can_run()) return;
    const auto fabric = test::small_cloud("gre", tenants);
    const auto& ports = fabric.tenants.at("one").ports;
    auto rows = roles::expectations(fabric);
    // The derived rows are of ICMP; among them are some that only a group blocks.
    CHECK(std::count_if(rows.begin(), rows.end(), [](const auto& e) { return e.why.find("rule of the") != std::string::npos; }) > 10);

    const auto web = *ports.at("web").address, outside = *ports.at("web").floating;
    for (const char* client : {"one/client", "one/client2", "one/far"}) {  // another node, the same, another network
        expect(rows, client, "one/web", "tcp", 8000, true, web);
        expect(rows, client, "one/web", "tcp", 8010, true, web);
        expect(rows, client, "one/web", "tcp", 8011, false, web);
        expect(rows, client, "one/web", "tcp", 7999, false, web);
        expect(rows, client, "one/web", "udp", 5300, true, web);
        expect(rows, client, "one/web", "udp", 5301, false, web);
        expect(rows, client, "one/web", "tcp", 5300, false, web);
    }
    expect(rows, "one/open", "one/web", "tcp", 8000, false, web);  // no member
    expect(rows, "one/open", "one/web", "udp", 5300, true, web);
    expect(rows, "lan1", "one/web", "tcp", 9000, true, outside);
    expect(rows, "controller", "one/web", "tcp", 9000, false, outside);
    expect(rows, "one/web", "one/client", "tcp", 8000, false, *ports.at("client").address);
    expect(rows, "one/web", "one/open", "tcp", 8000, true, *ports.at("open").address);
    expect(rows, "one/quiet", "one/open", "tcp", 22, true, *ports.at("open").address);
    expect(rows, "one/quiet", "one/open", "tcp", 23, false, *ports.at("open").address);
    expect(rows, "one/quiet", "one/open", "udp", 22, false, *ports.at("open").address);

    test::standing_lab lab(fabric);
    const auto cells = lab::test(fabric, rows, lab.name).value();
    REQUIRE(cells.size() == rows.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
        INFO(rows[i].from << " -> " << rows[i].to << " via " << rows[i].via << " " << rows[i].protocol << "/" << rows[i].port << " ("
                          << rows[i].why << "): expected " << rows[i].reachable << ", " << cells[i].detail);
        CHECK(cells[i].ok());
    }
}
