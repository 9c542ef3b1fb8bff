// SPDX-License-Identifier: Apache-2.0
// Faults that others had, one test each, as far as values alone can show that weft has them not; the tests with packets are in
// tests/lab/cve.cpp and cve_around.cpp. That docs/security.md names no test that is not there is held here too.
#include <algorithm>
#include <filesystem>
#include <regex>

#include "roles/groups.hpp"
#include "roles/topology.hpp"
#include "roles_fixture.hpp"
#include "weft/ovs/version.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const std::string vm1 = "      vm1: { node: compute1, network: net1, address: 50.50.1.11, floating: auto, security-groups: [default] }\n";

std::vector<diagnostic> errors_of(const std::string& text) {
    auto p = parse_fabric(text, "f.yaml");
    auto all = roles::validate(p.fabric, p.diagnostics);
    std::erase_if(all, [](const diagnostic& d) { return d.severity != severity::error; });
    return all;
}

host_state on(const fabric& f, const std::string& node) {
    auto facts = facts_of();
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, p] : t.ports)
            facts.present_ports[object_uuid(f.name, roles::port_path(tenant_name, name))] = device_name("tap", object_uuid(f.name, roles::port_path(tenant_name, name)));
    return roles::compile(f, node, facts).value();
}

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("CVE-2014-3555: what a tenant may ask of a node is bounded, per port and per node", "[cve]") {
    const auto pairs = [](std::size_t n, unsigned base) {
        std::string list;
        for (std::size_t i = 0; i < n; ++i)
            list += (i ? ", " : "") + std::string("{ address: 10.") + std::to_string(base / 250) + "." + std::to_string(base % 250) + "." +
                    std::to_string(i + 1) + "/32 }";
        return ", allowed-addresses: [" + list + "]";
    };
    const auto with = [&](const std::string& ports, const std::string& groups = "default: { ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ] }") {
        auto text = changed(grizzly_text(), vm1, vm1 + ports);
        return changed(text, "default: { ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ] }", groups);
    };
    const auto port = [](const std::string& name, const std::string& more) {
        return "      " + name + ": { node: compute1, network: net1" + more + " }\n";
    };
    CHECK(errors_of(with(port("x", pairs(16, 0)))).empty());
    const auto one = errors_of(with(port("x", pairs(17, 0))));
    REQUIRE(one.size() == 1);
    CHECK(one[0].problem == "are too many");
    CHECK(one[0].path == "tenants.proj_one.ports.x.allowed-addresses");

    // 16 each: the node is full with 256 ports of one network and 1 more. The subnet is too small for as many addresses, which
    // allocation would say and validation does not.
    std::string many;
    for (unsigned i = 0; i < 256; ++i) many += port("x" + std::to_string(1000 + i), pairs(16, i));
    CHECK(errors_of(with(many)).empty());
    const auto node = errors_of(with(many + port("y", pairs(1, 300)) + port("z", pairs(1, 301))));
    REQUIRE(node.size() == 1);  // told once
    CHECK(node[0].path == "tenants.proj_one.ports.y.allowed-addresses");
    CHECK(node[0].value == "4097 allowed addresses");
    CHECK(node[0].allowed.find("4096") != std::string::npos);
    CHECK(node[0].place.line > 1);

    const auto rules = [](const std::string& name, std::size_t n) {
        std::string list;
        for (std::size_t i = 0; i < n; ++i) list += (i ? ", " : "") + std::string("{ protocol: tcp, ports: ") + std::to_string(i + 1) + " }";
        return name + ": { ingress: [" + list + "] }";
    };
    const auto five = "default: { ingress: [] }, " + rules("a", 256) + ", " + rules("b", 256) + ", " + rules("c", 256) + ", " + rules("d", 256) + ", " + rules("e", 1);
    CHECK(errors_of(with(port("x", ", security-groups: [a, b, c, d]"), five)).empty());
    const auto sum = errors_of(with(port("x", ", security-groups: [a, b, c, d, e]"), five));
    REQUIRE(sum.size() == 1);
    CHECK(sum[0].value == "1025 rules");
    CHECK(sum[0].path == "tenants.proj_one.ports.x.security-groups");
    many.clear();
    for (unsigned i = 0; i < 63; ++i) many += port("x" + std::to_string(100 + i), ", security-groups: [a, b, c, d]");
    many += port("x9", ", security-groups: [a, b, c]");
    CHECK(errors_of(with(many, five)).empty());
    const auto full = errors_of(with(many + port("y", ", security-groups: [d, e]"), five));
    REQUIRE(full.size() == 1);
    CHECK(full[0].value == "65537 rules");
}

TEST_CASE("CVE-2015-5240, CVE-2026-50266: no name and no group makes a port's flows others than a neighbour's", "[cve]") {
    // Two ports that differ in name only, one of them named as what is trusted elsewhere.
    const auto flows = [](const std::string& name) {
        const auto f = roles::allocate(parsed(changed(grizzly_text(), vm1, vm1 + "      " + name +
                           ": { node: compute1, network: net1, address: 50.50.1.77, mac: \"02:00:00:00:77:77\", security-groups: [default] }\n")), {}).value().fabric;
        const auto uuid = object_uuid(f.name, roles::port_path("proj_one", name));
        const auto device = device_name("tap", uuid);
        std::vector<std::string> out;
        const auto state = on(f, "compute1");
        for (const auto& flow : state.flows.at("br-int")) {
            auto text = std::to_string(flow.table) + " " + std::to_string(flow.priority) + " " + flow.match + " => " + flow.actions;
            for (const auto& [from, to] : {std::pair{std::string("0x") + uuid.substr(0, 8), std::string("ID")}, std::pair{device, std::string("DEVICE")}})
                for (auto at = text.find(from); at != std::string::npos; at = text.find(from)) text.replace(at, from.size(), to);
            if (flow.match.find("reg7") != std::string::npos) continue;  // the order of ports within a flood follows their names
            if (text.find("ID") != std::string::npos || text.find("DEVICE") != std::string::npos || text.find("77:77") != std::string::npos) out.push_back(text);
        }
        std::sort(out.begin(), out.end());
        return out;
    };
    const auto usual = flows("vm9");
    CHECK(usual.size() > 15);
    for (const char* name : {"network", "dhcp", "router_interface", "network-dhcp", "router", "floatingip", "compute1", "patch-tun", "trunk.parent"}) {
        INFO(name);
        CHECK(flows(name) == usual);
    }
    // What names the trusted ones elsewhere is no name here at all.
    for (const char* name : {"\"network:dhcp\"", "\"network:router_interface\"", "\"a,b\""})
        CHECK_FALSE(errors_of(changed(grizzly_text(), vm1, vm1 + "      " + name + ": { node: compute1, network: net1 }\n")).empty());
    CHECK_FALSE(errors_of(changed(grizzly_text(), vm1, vm1 + "      x: { node: compute1, network: net1, device_owner: \"network:dhcp\" }\n")).empty());
}

TEST_CASE("CVE-2021-40085: no text of a fabric is configuration for dnsmasq", "[cve][dhcp]") {
    const std::vector<std::string> hostile = {"a\ndhcp-script=/bin/sh", "a,ignore", "a#b", "a=b", "-a", "--conf-file=/x", "a b", "a\tb", "a\rb",
                                              "set:x", "tag:!known", "a\"b", "a'b", "a;b", "$(b)", "a\\nb", std::string("a\0b", 3), "a/b", "..", "*"};
    // A file cannot say them: each is refused where it stands, as the name of each object whose name could come there.
    const auto quoted = [](const std::string& text) {
        std::string out = "\"";
        for (const char c : text)
            if (c == '\n') out += "\\n";
            else if (c == '\t') out += "\\t";
            else if (c == '\r') out += "\\r";
            else if (c == '\0') out += "\\0";
            else if (c == '"' || c == '\\') out += std::string("\\") + c;
            else out += c;
        return out + "\"";
    };
    for (const auto& text : hostile) {
        INFO(text);
        for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
                 {"      vm2: {", "      " + quoted(text) + ": {"},                           // a host's name
                 {"name: grizzly", "name: " + quoted(text)},                                  // part of paths
                 {"  proj_two:\n", "  " + quoted(text) + ":\n"},                              // a tenant
                 {"networks: { net1: { cidr: 50.50.1.0/24 } }", "networks: { net1: { cidr: 50.50.1.0/24 }, " + quoted(text) + ": { cidr: 50.50.9.0/24 } }"},
                 {"dns: [8.8.8.8]", "dns: [" + quoted(text) + "]"},
                 {"dns: [8.8.8.8]", "routes: [ { to: " + quoted(text) + ", via: 50.50.1.9 } ]"},
                 {"dns: [8.8.8.8]", "routes: [ { to: 10.0.0.0/8, via: " + quoted(text) + " } ]"},
                 {"dns: [8.8.8.8]", "dhcp-address: " + quoted(text)},
                 {"dns: [8.8.8.8]", "mtu: " + quoted(text)},
                 {"address: 50.50.1.11", "address: 50.50.1.11, mac: " + quoted(text)}}) {
            INFO(to);
            const auto faults = errors_of(changed(grizzly_text(), from, to));
            REQUIRE_FALSE(faults.empty());
            CHECK(faults.front().place.line > 0);
        }
    }
    // Code can, past the file: what dnsmasq reads is the same lines of plain words all the same.
    const std::regex host("([0-9a-f]{2}:){5}[0-9a-f]{2},[0-9.]+,[a-z0-9-]+"), name("[0-9.]+ [a-z0-9-]+");
    for (const auto& text : hostile) {
        INFO(text);
        auto f = complete_grizzly();
        auto& t = f.tenants.at("proj_one");
        auto port = t.ports.at("vm2");
        t.ports.erase("vm2");
        t.ports.emplace(text, port);
        const auto state = roles::compile(f, "network", facts_of());
        if (!state) continue;  // refused is as good
        for (const auto& s : state->services) {
            for (const auto& [file, pattern] : {std::pair{"hosts", &host}, std::pair{"names", &name}}) {
                std::istringstream lines(s.files.at(file).text);
                std::size_t count = 0;
                for (std::string line; std::getline(lines, line); ++count) {
                    INFO(line);
                    CHECK(std::regex_match(line, *pattern));
                    CHECK(line.back() != '-');
                    CHECK(line.find(",-") == std::string::npos);
                }
                CHECK(count == (s.name == "dnsmasq-" + object_uuid("grizzly", "proj_one/networks/net2") ? 1 : 2));
            }
            for (const auto& argument : s.argv) CHECK((argument[0] == '/' || argument.compare(0, 2, "--") == 0));
        }
    }
    // Good names that mean something else in a line of the hosts file do not come there.
    for (const char* word : {"ignore", "infinite", "120", "45m", "1h", "10d", "2w", "90s"}) {
        INFO(word);
        const auto f = roles::allocate(parsed(changed(grizzly_text(), "      vm2: {", std::string("      \"") + word + "\": {")), {}).value().fabric;
        const auto state = roles::compile(f, "network", facts_of()).value();
        for (const auto& s : state.services) {
            CHECK(s.files.at("hosts").text.find(std::string(",") + word + "\n") == std::string::npos);
            CHECK(s.files.at("names").text.find(std::string(" ") + word + "\n") == std::string::npos);
        }
    }
}

TEST_CASE("CVE-2014-8153, CVE-2014-4167: what would keep a tenant's dnsmasq from starting is refused before", "[cve][dhcp]") {
    std::string servers, routes;
    for (int i = 1; i <= 64; ++i) servers += (i > 1 ? ", 9.9.9." : "9.9.9.") + std::to_string(i);
    for (int i = 1; i <= 25; ++i) routes += (i > 1 ? ", " : "") + std::string("{ to: 10.") + std::to_string(i) + ".0.0/16, via: 50.50.1.9 }";
    for (const auto& [value, problem] : std::vector<std::pair<std::string, std::string>>{
             {"dns: [\"2001:db8::1\"]", "is no server that the VMs can be told of"},
             {"dns: [0.0.0.0]", "is no server that the VMs can be told of"},
             {"dns: [224.0.0.1]", "is no server that the VMs can be told of"},
             {"dns: [" + servers + "]", "are too many for one DHCP option"},
             {"routes: [" + routes + "]", "are too many for one DHCP option"}}) {
        INFO(value);
        const auto faults = errors_of(changed(grizzly_text(), "net1: { cidr: 50.50.1.0/24, dns: [8.8.8.8]", "net1: { cidr: 50.50.1.0/24, " + value));
        REQUIRE(faults.size() == 1);
        CHECK(faults[0].problem == problem);
        CHECK(faults[0].place.line == 30);
    }
}

TEST_CASE("CVE-2023-1668, CVE-2023-5366: no flow of weft's changes an IP header, and each on neighbour discovery names its code", "[cve]") {
    std::size_t discovery = 0;
    for (const char* example : {"grizzly", "all-in-one", "two-servers", "three-tenants", "grizzly-compat"}) {
        const auto f = complete_example(example);
        for (const auto& [node, n] : f.nodes) {
            const auto facts = facts_of();
            const auto state = on(f, node);
            for (const auto& [bridge, flows] : state.flows)
                for (const auto& flow : flows) {
                    INFO(flow.match << " => " << flow.actions);
                    for (const char* action : {"mod_nw", "mod_tp", "dec_ttl", "NXM_OF_IP", "nw_tos", "nw_ttl", "ip_dscp", "ip_ecn"})
                        CHECK(flow.actions.find(action) == std::string::npos);
                    CHECK(flow.match.find("nw_proto=0") == std::string::npos);
                    if (flow.match.find("nd_") == std::string::npos) continue;
                    ++discovery;
                    CHECK(flow.match.find("icmp_code=0") != std::string::npos);
                }
        }
    }
    CHECK(discovery > 20);
}

TEST_CASE("CVE-2018-17205, CVE-2020-35498, CVE-2023-1668, CVE-2023-3966, CVE-2023-5366: a release of the switch is known by its faults", "[cve]") {
    using ids = std::vector<std::string>;
    CHECK(ovs::known_faults("3.1.0") == ids{"CVE-2023-1668", "CVE-2023-3966", "CVE-2023-5366"});
    CHECK(ovs::known_faults("3.1.1") == ids{"CVE-2023-3966", "CVE-2023-5366"});
    CHECK(ovs::known_faults("3.1.4").empty());
    CHECK(ovs::known_faults("2.17.9").empty());
    CHECK(ovs::known_faults("2.17.5") == ids{"CVE-2023-1668", "CVE-2023-3966", "CVE-2023-5366"});
    CHECK(ovs::known_faults("2.12.1").size() == 4);
    CHECK(ovs::known_faults("3.3.0").empty());
    CHECK(ovs::known_faults("unknown").empty());
    for (const char* old : {"1.4.6", "2.5.10", "2.10.7"}) CHECK(ovs::check_version(old).has_error());
    for (const char* good : {"2.11.0", "2.17.9", "3.1.0", "3.3.0", "unknown"}) CHECK(ovs::check_version(good).has_value());
}

TEST_CASE("CVE-2016-10377, CVE-2020-35498, CVE-2020-27827: weft reads no packet of a guest", "[cve][layering]") {
    // Packets are read by the probes alone, which send from namespaces of a lab or of weft's own, and look at answers to their own.
    const std::regex receives("AF_PACKET|ETH_P_ALL|pcap|TPACKET|SO_ATTACH_FILTER|NFQUEUE|nfnetlink_queue|PACKET_IN|ofputil_decode_packet_in");
    std::set<std::string> who;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(WEFT_SOURCE_DIR) + "/lib"))
        if (entry.is_regular_file() && std::regex_search(text_of(entry.path()), receives))
            who.insert(entry.path().parent_path().filename());
    CHECK(who == std::set<std::string>{"probe"});
}

TEST_CASE("every row of docs/security.md names tests that are there", "[cve]") {
    const auto root = std::filesystem::path(WEFT_SOURCE_DIR);
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "tests"))
        if (const auto extension = entry.path().extension(); extension == ".cpp" || extension == ".py") all += text_of(entry.path());
    std::istringstream lines(text_of(root / "docs" / "security.md"));
    std::size_t named = 0, rows = 0;
    std::set<std::string> ids;
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("| ", 0) != 0 || line.rfind("| fault", 0) == 0) continue;
        ++rows;
        INFO(line);
        bool held = line.find("does not apply") != std::string::npos;
        // A test is between backquotes and ends with its file: `name` (tests/…).
        const std::regex test("`([^`]+)` \\((tests/[a-z_/.]+)\\)");
        for (std::sregex_iterator at(line.begin(), line.end(), test), end; at != end; ++at) {
            ++named, held = true;
            const auto file = text_of(root / (*at)[2].str());
            INFO((*at)[1].str() << " in " << (*at)[2].str());
            CHECK((file.find("\"" + (*at)[1].str() + "\"") != std::string::npos || file.find("def " + (*at)[1].str() + "(") != std::string::npos));
        }
        CHECK(held);
        const std::regex id("CVE-[0-9]+-[0-9]+");
        for (std::sregex_iterator at(line.begin(), line.end(), id), end; at != end; ++at) ids.insert(at->str());
    }
    CHECK(rows >= 25);
    CHECK(named >= 20);
    for (const char* cve : {"CVE-2022-4968", "CVE-2015-5240", "CVE-2026-50266", "CVE-2016-5362", "CVE-2016-5363", "CVE-2015-8914", "CVE-2021-20267",
                            "CVE-2021-38598", "CVE-2014-0187", "CVE-2015-3221", "CVE-2019-9735", "CVE-2019-10876", "CVE-2014-3555", "CVE-2014-8153",
                            "CVE-2014-4167", "CVE-2021-40085", "CVE-2019-15753", "CVE-2023-1668", "CVE-2023-5366", "CVE-2023-3966", "CVE-2018-17205",
                            "CVE-2016-10377", "CVE-2020-35498", "CVE-2020-27827", "CVE-2020-10754", "CVE-2016-0764", "CVE-2018-15688", "CVE-2026-10805",
                            "CVE-2020-13401", "CVE-2024-32473", "CVE-2025-69233"}) {
        INFO(cve);
        CHECK(ids.count(cve) == 1);
    }
}
