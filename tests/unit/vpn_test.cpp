// SPDX-License-Identifier: Apache-2.0
// The VPN gateway in the fabric file: what is refused and where; what is compiled for the gateway and for the routers behind it.
#include <algorithm>

#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const std::string gateway_key = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", laptop_key = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=";
const std::string peer_line = "        laptop: { public-key-file: /var/lib/weft/keys/laptop.pub, address: 10.8.0.2, keepalive: 25 }\n";

std::string servers() { return example_text("two-servers"); }
std::string with_peer(const std::string& more) { return changed(servers(), peer_line, peer_line + "        " + more + "\n"); }

void refused(const std::string& text, const std::string& path, const std::string& problem) {
    const auto all = roles::validate(parsed(text, "two-servers.yaml"));
    std::string told;
    for (const auto& d : all) told += d.to_string() + "\n";
    INFO(problem << "\n" << told);
    CHECK(std::any_of(all.begin(), all.end(), [&](const diagnostic& d) {
        return d.severity == severity::error && d.path == path && d.place.line > 30 && d.place.column > 0 && !d.allowed.empty() && d.problem.find(problem) != std::string::npos;
    }));
}

host_facts gateway_facts() {
    host_facts facts;
    facts.nic_macs = {{"eth0", *parse_mac("02:00:00:00:00:10")}};
    facts.public_keys = {{"/var/lib/weft/keys/vpn.key", gateway_key}, {"/var/lib/weft/keys/laptop.pub", laptop_key}};
    return facts;
}

fabric complete(const std::string& text) { return roles::allocate(parsed(text, "two-servers.yaml"), {}).value().fabric; }

const namespace_state& root_of(const host_state& s) { return s.namespaces.at(0); }
const weft::link& device_of(const host_state& s) {
    const auto& links = root_of(s).links;
    const auto at = std::find_if(links.begin(), links.end(), [](const weft::link& l) { return l.name == "wg0"; });
    REQUIRE(at != links.end());
    return *at;
}

}  // namespace

TEST_CASE("faults of a VPN gateway are refused with their place", "[vpn][validate]") {
    const auto pool = [](const std::string& p) { return changed(servers(), "pool: 10.8.0.0/24", "pool: " + p); };
    const std::string at = "nodes.vpn.vpn.pool";
    refused(pool("192.168.100.128/25"), at, "overlaps networks.external");
    refused(pool("10.10.10.0/25"), at, "overlaps networks.management");
    refused(pool("10.20.0.0/16"), at, "overlaps networks.vm-config");
    refused(pool("50.50.2.0/25"), at, "overlaps tenants.proj_one.networks.net2");
    refused(pool("203.0.113.0/26"), at, "overlaps lab.router.internet");
    refused(pool("169.254.0.0/24"), at, "overlaps link-local");
    refused(pool("10.8.0.1/24"), at, "host bits");
    refused(pool("2001:db8::/64"), at, "is not IPv4");
    for (const auto* nowhere : {"127.0.0.0/24", "224.0.0.0/24", "239.1.1.0/24", "0.0.0.0/24", "240.0.0.0/24", "255.255.255.0/24"}) refused(pool(nowhere), at, "not a unicast subnet");
    for (const auto* length : {"10.0.0.0/7", "10.8.0.0/7", "10.8.0.0/31", "10.8.0.1/32"}) refused(pool(length), at, "no fitting length");
    const auto beside = [](const std::string& from, const std::string& to) { return changed(servers(), from, to); };
    refused(beside("cidr: 50.50.1.0/24", "routes: [ { to: 10.8.0.0/16, via: 50.50.1.9 } ], cidr: 50.50.1.0/24"), at, "overlaps a route of tenants.proj_one.networks.net1");
    refused(beside("cidr: 50.50.1.0/24", "dns: [ 10.8.0.9 ], cidr: 50.50.1.0/24"), at, "a name server of tenants.proj_one.networks.net1");
    refused(beside("external: external, networks", "metadata: { address: 10.8.0.9, port: 80 }, external: external, networks"), at, "the metadata of tenants.proj_one.routers");
    refused(beside("vm1: { ", "vm1: { allowed-addresses: [ { address: 10.8.0.0/25 } ], "), at, "an allowed address of tenants.proj_one.ports.vm1");
    for (const auto* nobody : {"0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "127.0.0.1:1", "'[fe80::1]:1'", "'[::ffff:192.0.2.1]:1'"})
        refused(beside("pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      endpoint: " + std::string(nobody)), "nodes.vpn.vpn.endpoint", "no address of a host");
    refused(beside("pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      endpoint: 10.8.0.7:51820"), "nodes.vpn.vpn.endpoint", "in the pool");
    // A pool that cannot be is told alone, not at each address that would be in it.
    const auto alone = roles::validate(parsed(changed(pool("0.0.0.0/0"), "keepalive: 25", "keepalive: 25, endpoint: '192.0.2.1:1'"), "two-servers.yaml"));
    CHECK(std::count_if(alone.begin(), alone.end(), [](const diagnostic& d) { return d.severity == severity::error; }) == 1);
    for (const auto& [type, port] : {std::pair("vxlan", "4789"), std::pair("geneve", "6081")})
        refused(changed(beside("pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      port: " + std::string(port)), "type: gre", "type: " + std::string(type)), "nodes.vpn.vpn.port",
                "port of the fabric's tunnels");
    refused(beside("nics: { eth0: { network: external, address: 192.168.100.53", "nics: { wg0: { network: external, address: 192.168.100.53"), "nodes.vpn.nics.wg0", "VPN's own device");
    const std::string second = "  vpn2:\n    roles: [vpn-gateway]\n    nics: { eth0: { network: external, address: 192.168.100.54 } }\n    vpn: { key-file: /k, pool: 10.9.0.0/24 }\n  server-b:\n";
    const auto both = roles::validate(parsed(beside("  server-b:\n", second), "two-servers.yaml"));
    CHECK(std::count_if(both.begin(), both.end(), [](const diagnostic& d) { return d.path.ends_with(".vpn.port") && d.problem.find("behind the same router") != std::string::npos; }) == 1);
    refused(changed(servers(), "key-file: /var/lib", "key-file: var/lib"), "nodes.vpn.vpn.key-file", "is not the path");
    refused(changed(servers(), "roles: [vpn-gateway]", "roles: [vpn-gateway, compute]"), "nodes.vpn.vpn", "not a VPN gateway alone");
    refused(changed(servers(), "pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      fixed: true"), "nodes.vpn.vpn.fixed", "which overlap");
}

TEST_CASE("faults of VPN peers are refused with their place", "[vpn][validate]") {
    const std::string at = "nodes.vpn.vpn.peers.";
    refused(with_peer("other: { public-key-file: /var/lib/weft/keys/laptop.pub, address: 10.8.0.3 }"), at + "other.public-key-file", "also the key of peer laptop");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.2 }"), at + "other.address", "");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.1 }"), at + "other.address", "");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.9.0.2 }"), at + "other.address", "");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.255 }"), at + "other.address", "");
    refused(with_peer("other: { address: 10.8.0.3 }"), at + "other", "needs a key");
    refused(with_peer("other: { public-key-file: /var/lib/weft/keys/vpn.key, address: 10.8.0.3 }"), at + "other.public-key-file", "is the file of the gateway's private key");
    refused(with_peer("other: { public-key-file: /psk, preshared-key-file: /psk, address: 10.8.0.3 }"), at + "other.public-key-file", "is the file of the preshared key of peer other");
    refused(with_peer("other: { public-key: " + laptop_key + ", preshared-key-file: /var/lib/weft/keys/vpn.key, address: 10.8.0.3 }"), at + "other.preshared-key-file",
            "is the file of the gateway's private key");
    refused(with_peer("other: { public-key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, address: 10.8.0.3 }"), at + "other.public-key", "is no public key");
    refused(with_peer("other: { public-key: " + laptop_key + ", public-key-file: /k, address: 10.8.0.3 }"), at + "other", "needs a key");
    refused(with_peer("other: { public-key: short, address: 10.8.0.3 }"), at + "other.public-key", "is no public key");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.3, endpoint: 192.0.2.1 }"), at + "other.endpoint", "is no endpoint");
    refused(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.3, preshared-key-file: k }"), at + "other.preshared-key-file", "is not the path");
    refused(changed(servers(), "vpn: laptop }", "vpn: nobody }"), "lab.hosts.road1.vpn", "unknown peer");
}

TEST_CASE("what stands where a public key should is not told, as it may be a private one", "[vpn][validate]") {
    const std::string text = with_peer("other: { public-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC, address: 10.8.0.3 }");
    for (const auto& d : roles::validate(parsed(text, "two-servers.yaml"))) CHECK(d.to_string().find("dwdtCnMY") == std::string::npos);
}

TEST_CASE("the gateway's link, addresses and forwarding", "[vpn][compile]") {
    const auto state = roles::compile(complete(servers()), "vpn", gateway_facts()).value();
    const auto& device = device_of(state);
    CHECK(device.mtu == 1420U);
    const auto& o = std::get<wireguard_options>(device.options);
    CHECK(o.public_key == gateway_key);
    CHECK(o.port == 51820);
    CHECK(!o.userspace);
    REQUIRE(o.peers.size() == 1);
    CHECK(o.peers[0].public_key == laptop_key);
    CHECK(o.peers[0].keepalive == 25);
    CHECK(o.peers[0].allowed == std::vector<ip_prefix>{*parse_prefix("10.8.0.2/32")});
    CHECK(root_of(state).sysctls.at("net/ipv4/ip_forward") == "1");
    CHECK(std::any_of(root_of(state).addresses.begin(), root_of(state).addresses.end(), [](const auto& a) { return a.address == *parse_prefix("10.8.0.1/24"); }));
    for (const auto& t : root_of(state).tables)
        for (const auto& c : t.chains)
            if (c.name == "forward") {
                CHECK(c.policy == 0);  // all else is dropped
                CHECK(c.rules.size() == 2);
            }
    auto facts = gateway_facts();
    facts.kernel_wireguard = false;
    CHECK(std::get<wireguard_options>(device_of(roles::compile(complete(servers()), "vpn", facts).value()).options).userspace);
}

TEST_CASE("a peer with the gateway's own key, or with another peer's by another file, is refused", "[vpn][compile]") {
    auto facts = gateway_facts();
    facts.public_keys["/var/lib/weft/keys/laptop.pub"] = gateway_key;
    const auto own = roles::compile(complete(servers()), "vpn", facts);
    REQUIRE(!own);
    CHECK_THAT(own.error().message(), Catch::Contains("laptop") && Catch::Contains("gateway itself"));
    const auto twice = roles::compile(complete(with_peer("other: { public-key: " + laptop_key + ", address: 10.8.0.3 }")), "vpn", gateway_facts());
    REQUIRE(!twice);
    CHECK_THAT(twice.error().message(), Catch::Contains("peer laptop"));
}

TEST_CASE("routers have a route back to the pool, or need none", "[vpn][compile]") {
    const auto routes_back = [](const std::string& text) {
        host_facts facts;
        for (const char* nic : {"eth0", "eth1", "eth2", "eth3"}) facts.nic_macs[nic] = *parse_mac("02:00:00:00:00:10");
        const auto state = roles::compile(complete(text), "network", facts).value();
        std::size_t n = 0;
        for (const auto& space : state.namespaces)
            for (const auto& r : space.routes)
                if (r.destination == *parse_prefix("10.8.0.0/24")) {
                    CHECK(r.nexthops.at(0).gateway == parse_ip("192.168.100.53").value());
                    ++n;
                }
        return n;
    };
    CHECK(routes_back(servers()) == 2);
    CHECK(routes_back(changed(servers(), "pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      return: masquerade")) == 0);
}

TEST_CASE("a client sends the external network into the tunnel, and tenants' networks where the file asks for them, whatever other legs the gateway has", "[vpn]") {
    const auto sent = [](const std::string& text, const std::string& node) {
        std::string out;
        for (const auto& p : roles::vpn_client_prefixes(complete(text), node)) out += p.to_string() + " ";
        return out;
    };
    const std::string leg = "eth0: { network: external, address: 192.168.100.53 }";
    CHECK(sent(servers(), "vpn") == "192.168.100.0/24 ");
    // "a0" comes before "eth0".
    const auto two_legs = changed(servers(), leg, "a0: { network: management, address: 10.10.10.59 }, " + leg);
    CHECK(sent(two_legs, "vpn") == "192.168.100.0/24 ");
    CHECK(sent(changed(servers(), "pool: 10.8.0.0/24", "pool: 10.8.0.0/24\n      fixed: true"), "vpn").find(" 50.50.1.0/24 ") != std::string::npos);
    CHECK(sent(servers(), "no such node").empty());
}

TEST_CASE("the matrix has the client's rows", "[vpn][expectations]") {
    const auto rows = roles::expectations(complete(servers()));
    const auto said = [&](const std::string& from, const std::string& to, const std::string& via) -> std::optional<bool> {
        for (const auto& r : rows)
            if (r.from == from && r.to == to && r.via == via) return r.reachable;
        return std::nullopt;
    };
    CHECK(said("road1", "proj_one/vm1", "floating") == true);
    CHECK(said("road1", "proj_one/vm1", "fixed") == false);
    CHECK(said("road1", "controller", "management") == false);
    CHECK(said("road1", "network", "vm-config") == false);
    CHECK(said("road1", "controller", "external") == true);
    CHECK(said("road1", "lan1", "external") == true);
    CHECK(said("vpn", "road1", "vpn") == true);
    CHECK(said("proj_one/vm1", "road1", "vpn") == false);
    CHECK(said("lan1", "road1", "vpn") == false);
}
