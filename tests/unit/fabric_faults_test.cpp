// SPDX-License-Identifier: Apache-2.0
// Every kind of bad input that a fabric file is refused for, of form and of meaning alike: one row per fault, each of
// which must point at the bad value's own line and column, name the value and say what is allowed. Needs nothing but
// the example.
#include <algorithm>
#include <set>

#include "roles_fixture.hpp"
#include "weft/model/json.hpp"

using namespace weft;
using namespace weft::test;

namespace {

// `from` of the example becomes `to`, where '@' stands right before the place that must be named. `value` must be in
// the message; `allowed` must be in what it says is allowed.
struct row {
    std::string name, from, to, value, problem, allowed;
};

const std::vector<row> rows = {
    {"unknown key", "mtu: 1500", "@mut: 1500", "mut", "unknown key", "mtu"},
    {"unknown key at the top", "expectations:  ", "@expectation:  ", "expectation", "unknown key", "expectations"},
    {"duplicate key", "overlay: { type: gre,", "overlay: { type: gre, @type: gre,", "type", "duplicate key",
     "each key once"},
    {"duplicate name", "      vm2: { node: compute2, network: net1, address",
     "      @vm1: { node: compute2, network: net1, address", "vm1", "duplicate key", "each key once"},
    {"anchor", "{ cidr: 50.50.2.0/24", "@&a { cidr: 50.50.2.0/24", "&", "anchor", "write the value out"},
    {"misaligned CIDR", "cidr: 10.10.10.0/24", "cidr: @10.10.10.1/24", "10.10.10.1/24", "misaligned", "10.10.10.0/24"},
    {"misaligned CIDR of a tenant", "net2: { cidr: 50.50.2.0/24", "net2: { cidr: @50.50.2.7/24", "50.50.2.7/24",
     "misaligned", "50.50.2.0/24"},
    {"overlapping CIDR", "  external:   {", "  other: { cidr: @10.10.0.0/16 }\n  external:   {", "10.10.0.0/16",
     "overlaps networks.management", "apart from 10.10.10.0/24"},
    {"overlap on one router",
     "net2: { cidr: 50.50.2.0/24, dns: [8.8.8.8] }\n    routers:  { router1: { external: external, networks: [net1, "
     "net2]",
     "net2: { cidr: 50.50.1.0/25, dns: [8.8.8.8] }\n    routers:  { router1: { external: external, networks: [net1, "
     "@net2]",
     "net2", "overlaps net1", "subnets apart"},
    {"tenant network over an underlay network", "net2: { cidr: 50.50.2.0/24", "net2: { cidr: @10.10.10.0/25",
     "10.10.10.0/25", "overlaps networks.management", "apart from 10.10.10.0/24"},
    {"duplicate address of a node", "address: 10.10.10.54", "address: @10.10.10.53", "10.10.10.53",
     "duplicate address: nodes.compute1.nics.eth0.address has it", "of its own"},
    {"duplicate address of a VM", "address: 50.50.1.22", "address: @50.50.1.21", "50.50.1.21", "duplicate address",
     "of its own"},
    {"duplicate address of a host of the lab", "address: 192.168.100.200", "address: @192.168.100.51", "192.168.100.51",
     "duplicate address", "of its own"},
    {"unknown network of a NIC", "eth1: { network: external", "eth1: { network: @outside", "outside", "unknown network",
     "external, management, vm-config"},
    {"unknown network of a router", "networks: [net1, net2]", "networks: [net1, net2, @net3]", "net3",
     "unknown network", "net1, net2"},
    {"unknown external network", "router2: { external: external", "router2: { external: @extrenal", "extrenal",
     "unknown network", "external, management"},
    {"unknown network of a port", "vm3: { node: compute2, network: net2, floating: auto",
     "vm3: { node: compute2, network: @netx", "netx", "unknown network", "net1, net2"},
    {"unknown node", "vm2: { node: compute2, network: net1, sec", "vm2: { node: @compute9, network: net1, sec",
     "compute9", "unknown node", "compute1, compute2, controller, network"},
    {"unknown node of a check", "  network: [ { ping", "  @netwrok: [ { ping", "netwrok", "unknown node",
     "compute1, compute2, controller, network"},
    {"unknown role", "  compute2:\n    roles: [compute]", "  compute2:\n    roles: [compute, @storage]", "storage",
     "not one of the choices", "controller, network, compute"},
    {"VM on a node that is no compute node", "vm3: { node: compute2", "vm3: { node: @controller", "controller",
     "not a compute node", "role compute"},
    {"interface name of 16 bytes", "eth2: { network: external }", "@sixteen-bytes-xx: { network: external }",
     "sixteen-bytes-xx", "not an interface name", "1 to 15 bytes"},
    {"interface name with a slash", "eth2: { network: external }", "@eth/2: { network: external }", "eth/2",
     "not an interface name", "without '/'"},
    {"id of 0", "net2: { cidr", "net2: { id: @0, cidr", "0", "out of range", "1-4294967295"},
    {"id too large", "net2: { cidr", "net2: { id: @4294967296, cidr", "4294967296", "out of range", "1-4294967295"},
    {"id too large for VXLAN", "type: gre, ids: 1-1000", "type: vxlan, ids: @1-16777216", "1-16777216", "out of range",
     "1-16777215"},
    {"pool of ids that starts at 0", "ids: 1-1000", "ids: @0-1000", "0-1000", "not a range of numbers", "1-4294967295"},
    {"floating range outside the external network", "192.168.100.102-192.168.100.126",
     "@192.168.100.102-192.168.101.126", "192.168.100.102-192.168.101.126", "outside the network", "192.168.100.0/24"},
    {"floating address outside the range", "address: 50.50.1.21, floating: auto",
     "address: 50.50.1.21, floating: @192.168.100.50", "192.168.100.50", "outside the floating range",
     "192.168.100.102-192.168.100.126"},
    {"MTU too small", "mtu: 1500", "mtu: @575", "575", "out of range", "576-65535"},
    {"MTU too small for IPv6", "overlay:", "  six: { cidr: \"fd00:6::/64\", mtu: @1279 }\noverlay:", "1279",
     "out of range", "1280-65535"},
    {"MTU of a tenant network too small", "net2: { cidr", "net2: { mtu: @100, cidr", "100", "out of range",
     "576-65535"},
    {"user of a port that is plugged by others", "vm3: { node: compute2", "vm3: { user: @nobody, node: compute2",
     "nobody", "of a tap", "attach: tap"},
    {"user's name with a blank", "vm3: { node: compute2", "vm3: { attach: tap, user: @no body, node: compute2",
     "no body", "not a user's name", "at most 32 letters"},
    {"user's name of 33 letters", "vm3: { node: compute2",
     "vm3: { attach: tap, user: @abcdefghijklmnopqrstuvwxyzabcdefg, node: compute2", "abcdefghijklmnopqrstuvwxyzabcdefg",
     "not a user's name", "at most 32 letters"},
    {"user's number out of range", "vm3: { node: compute2", "vm3: { attach: tap, user: @4294967295, node: compute2",
     "4294967295", "out of range", "0-4294967294"},
    {"way of attaching that is none", "vm3: { node: compute2", "vm3: { attach: @vhost-user, node: compute2",
     "vhost-user", "not one of the choices", "plugged, tap"},
    {"VM of a port that is plugged by others", "vm3: { node: compute2",
     "vm3: { vm-uuid: @6f1c1b5e-0b6f-4b52-9e57-776566742026, node: compute2", "6f1c1b5e-0b6f-4b52-9e57-776566742026",
     "of a tap", "attach: tap"},
    {"VM that is no UUID", "vm3: { node: compute2", "vm3: { attach: tap, vm-uuid: @instance-00000042, node: compute2",
     "instance-00000042", "not a UUID", "6f1c1b5e"},
    {"MTU of a tenant network too large for the overlay", "net2: { cidr", "net2: { mtu: @1459, cidr", "1459",
     "does not fit", "at most 1458"},
};

// Faults of form at values that much else rests on.
const std::vector<row> roots = {
    {"subnet without a length", "cidr: 192.168.100.0/24", "cidr: @192.168.100.0", "192.168.100.0", "not a subnet",
     "ADDRESS/LENGTH"},
    {"floating range of one end", "192.168.100.102-192.168.100.126", "@192.168.100.102", "192.168.100.102",
     "not a range", "FIRST-LAST"},
    {"gateway that is no address", "gateway: 192.168.100.1,", "gateway: @192.168.100,", "192.168.100",
     "not an IP address", "10.0.0.1"},
    {"role of the network node misspelt", "roles: [network]", "roles: [@netwrok]", "netwrok", "not one of the choices",
     "controller, network, compute"},
    {"role of a compute node misspelt", "roles: [compute]", "roles: [@computer]", "computer", "not one of the choices",
     "controller, network, compute"},
    {"Internet of the lab that is no subnet", "internet: 203.0.113.0/24", "internet: @203.0.113.0", "203.0.113.0",
     "not a subnet", "ADDRESS/LENGTH"},
    {"role of the controller misspelt", "roles: [controller]", "roles: [@contrller]", "contrller",
     "not one of the choices", "controller, network, compute"},
};

// Faults of machines within machines, in the example of two servers.
const std::vector<row> hypervisor_rows = {
    {"NIC in two bridges", "bridge-ext: [eth1] }", "bridge-ext: [eth1], bridge-two: [@eth1] }", "eth1",
     "in bridge-ext already", "one bridge per NIC"},
    {"two NICs in one bridge", "bridge-int: [eth0], bridge-ext: [eth1]", "bridge-int: [eth0, @eth1]", "eth1", "loop",
     "one NIC per bridge"},
    {"two bridges on one segment", "eth1: { network: external } }\n    bridges: { ",
     "eth1: { network: external }, eth2: { network: vm-config } }\n    bridges: { bridge-two: [@eth2], ", "eth2",
     "on segment inner, where bridge-int is already", "one bridge per segment"},
    {"NIC that the hypervisor lacks", "bridge-ext: [eth1] }", "bridge-ext: [eth1], bridge-two: [@eth9] }", "eth9",
     "no NIC of server-a", "eth0, eth1"},
    {"bridge without a NIC", "bridge-ext: [eth1] }", "bridge-ext: [eth1], @bridge-two: [] }", "bridge-two", "no NIC",
     "eth0, eth1"},
    {"bridge with the name of a NIC", "bridge-int: [eth0]", "@eth1: [eth0]", "eth1", "name of a NIC", "of its own"},
    {"bridge with a bad name", "bridge-int: [eth0]", "@sixteen-bytes-xx: [eth0]", "sixteen-bytes-xx",
     "not an interface name", "1 to 15 bytes"},
    {"NIC without address or bridge", "eth1: { network: external } }",
     "eth1: { network: external }, @eth2: { network: external } }", "", "missing", "a bridge that holds the NIC"},
    {"guest on a host that is no hypervisor", "host: server-a\n    nics: { eth0: { network: external",
     "host: @server-b\n    nics: { eth0: { network: external", "server-b", "no hypervisor", "server-a"},
    {"guest on an unknown host", "host: server-a\n    nics: { eth0: { network: external",
     "host: @server-c\n    nics: { eth0: { network: external", "server-c", "unknown node", "server-a"},
    {"guest's NIC where its host has no bridge", "nics: { eth0: { network: external, address: 192.168.100.53 }",
     "nics: { eth1: { network: @storage, address: 10.30.0.53 }, eth0: { network: external, address: 192.168.100.53 }",
     "storage", "no bridge on server-a", "external, management, vm-config"},
    {"bridges of a node that is no hypervisor", "roles: [compute]", "roles: [compute]\n    @bridges: { bridge-x: [eth0] }",
     "bridge-x", "needs role hypervisor", "roles: [hypervisor]"},
    {"hypervisor that switches", "roles: [compute]", "roles: [compute, @hypervisor]", "hypervisor", "that switches",
     "hypervisor alone"},
    {"hypervisor that is a guest", "roles: [hypervisor]", "roles: [hypervisor]\n    host: @server-a", "server-a",
     "a hypervisor for a guest", "other roles"},
    {"second uplink", "eth3: { network: external, address: 192.168.100.52 }", "@eth3: { network: external }", "",
     "missing", "192.168.100.0/24"},
    {"segment with the name of a network that is elsewhere", "gateway: 192.168.100.1,",
     "segment: @vm-config, gateway: 192.168.100.1,", "vm-config", "another switch", "of its own"},
};

// Faults of what a router does beside joining networks, in the text of routed_text().
const std::vector<row> router_rows = {
    {"next hop on no network of the router", "via: 50.50.2.9", "via: @50.50.3.9", "50.50.3.9", "on none of the router's networks",
     "a host of 50.50.1.0/24, 50.50.2.0/24, 192.168.100.0/24"},
    {"next hop that is a broadcast address", "via: 50.50.2.9", "via: @50.50.2.255", "50.50.2.255", "first or last address",
     "a host of 50.50.2.0/24"},
    {"next hop that is the router's gateway address", "via: 50.50.2.9", "via: @50.50.2.1", "50.50.2.1", "the router itself",
     "another host of 50.50.2.0/24"},
    {"next hop that is the router's address outside", "routes: [", "address: 192.168.100.110, routes: [ { to: 10.8.0.0/16, via: @192.168.100.110 },",
     "192.168.100.110", "the router itself", "another host of 192.168.100.0/24"},
    {"next hop of IPv6", "via: 50.50.2.9", "via: @\"fd00::9\"", "fd00::9", "is of another family", "an IPv4 address"},
    {"the same next hop twice", "via: 50.50.2.9", "via: @50.50.1.9", "50.50.1.9", "a next hop to 10.9.0.0/16 already: routes[0] has it",
     "each next hop once"},
    {"route to one of the router's networks", "[ { to: 10.9.0.0/16", "[ { to: @50.50.2.0/24", "50.50.2.0/24", "is in net2",
     "a prefix elsewhere"},
    {"route to a part of one of the router's networks", "[ { to: 10.9.0.0/16", "[ { to: @50.50.2.128/25", "50.50.2.128/25",
     "is in net2", "a prefix elsewhere"},
    {"route to the external network", "[ { to: 10.9.0.0/16", "[ { to: @192.168.100.0/24", "192.168.100.0/24",
     "is in networks.external", "a prefix elsewhere"},
    {"route with host bits", "[ { to: 10.9.0.0/16", "[ { to: @10.9.0.1/16", "10.9.0.1/16", "misaligned", "10.9.0.0/16"},
    {"route of IPv6 by a next hop of IPv4", "[ { to: 10.9.0.0/16, via: 50.50.1.9", "[ { to: \"fd00:9::/64\", via: @50.50.1.9", "50.50.1.9", "is of another family", "an IPv6 address"},
    {"second default route", "[ { to: 10.9.0.0/16", "[ { to: @0.0.0.0/0", "0.0.0.0/0", "the default route", "a smaller prefix"},
    {"route to link-local addresses", "[ { to: 10.9.0.0/16", "[ { to: @169.254.0.0/16", "169.254.0.0/16", "not routed", "unicast"},
    {"metadata without a port", "{ address: 10.10.10.51, port: 8775 }", "@{ address: 10.10.10.51 }", "port", "missing", "TCP"},
    {"metadata on port 0", "port: 8775", "port: @0", "0", "out of range", "1-65535"},
    {"metadata at no address", "{ address: 10.10.10.51, port", "{ address: @metadata, port", "metadata", "not an IP address", ""},
    {"metadata at itself", "{ address: 10.10.10.51, port", "{ address: @169.254.169.254, port", "169.254.169.254",
     "no address of a server", "node reaches"},
    {"metadata at a tenant's machine", "{ address: 10.10.10.51, port", "{ address: @50.50.1.11, port", "50.50.1.11",
     "in tenant network net1", "node reaches"},
    {"metadata where the node has no way", "{ address: 10.10.10.51, port", "{ address: @172.16.0.1, port", "172.16.0.1",
     "nothing that node network", "a host of one of its networks"},
    {"metadata with a key of its own", "port: 8775", "port: 8775, @secret: x", "secret", "unknown key", "address, port"},
    {"metadata over a network that holds its address", "net2: { cidr: 50.50.2.0/24, dns: [8.8.8.8] }\n    routers:  { router1: { external: external, networks: [net1, net2], routes: [ { to: 10.9.0.0/16, via: 50.50.1.9 }, { to: 10.9.0.0/16, via: 50.50.2.9 } ], metadata:",
     "net2: { cidr: 169.254.0.0/16, dns: [8.8.8.8] }\n    routers:  { router1: { external: external, networks: [net1, net2], @metadata:", "", "net2 holds 169.254.169.254",
     "networks apart from it"},
    {"source NAT that is neither true nor false", "routes: [", "snat: @maybe, routes: [", "maybe", "not", "true"},
    {"floating address of two ports", "net2, floating: auto", "net2, floating: @192.168.100.120", "192.168.100.120", "duplicate address",
     "of its own"},
    {"floating address that is a router's", "router2: { external: external", "router2: { address: @192.168.100.120, external: external",
     "192.168.100.120", "duplicate address", "of its own"},
};

std::string routed_text() {
    auto text = changed(grizzly_text(), "networks: [net1, net2] }",
                        "networks: [net1, net2], routes: [ { to: 10.9.0.0/16, via: 50.50.1.9 }, { to: 10.9.0.0/16, via: 50.50.2.9 } ], "
                        "metadata: { address: 10.10.10.51, port: 8775 } }");
    return changed(text, "address: 50.50.1.11, floating: auto", "address: 50.50.1.11, floating: 192.168.100.120");
}

struct expected {
    std::string text;
    std::vector<source_place> places;
};

// Takes the '@' out of a text and tells where they were.
expected unmarked(const std::string& marked) {
    expected e;
    int line = 1, column = 1;
    for (const char c : marked) {
        if (c == '@') {
            e.places.push_back({line, column});
            continue;
        }
        e.text += c;
        column = c == '\n' ? 1 : column + 1;
        line += c == '\n';
    }
    return e;
}

std::vector<diagnostic> errors_of(const std::string& text) {
    const auto p = parse_fabric(text, "f.yaml");
    auto all = roles::validate(p.fabric, p.diagnostics);
    std::erase_if(all, [](const auto& d) { return d.severity != severity::error; });
    return all;
}

std::string listing(const std::vector<diagnostic>& all) {
    std::string text;
    for (const auto& d : all) text += d.to_string() + "\n";
    return text;
}

bool at(const diagnostic& d, const source_place& place) {
    return d.place.line == place.line && d.place.column == place.column;
}

// The row's fault is told at its place, and nothing that only follows from it.
void told_alone(const row& r, const std::string& text = grizzly_text()) {
    const auto e = unmarked(changed(text, r.from, r.to));
    REQUIRE(e.places.size() == 1);
    const auto errors = errors_of(e.text);
    INFO(r.name << ", wanted at " << e.places[0].line << ":" << e.places[0].column << "\n" << listing(errors));
    const auto found = std::find_if(errors.begin(), errors.end(), [&](const auto& d) { return at(d, e.places[0]); });
    REQUIRE(found != errors.end());
    CHECK(found->problem.find(r.problem) != std::string::npos);
    CHECK(found->allowed.find(r.allowed) != std::string::npos);
    const auto prefix =
        "f.yaml:" + std::to_string(e.places[0].line) + ":" + std::to_string(e.places[0].column) + ": error: ";
    CHECK(found->to_string().starts_with(prefix));
    CHECK(found->to_string().find(r.value, prefix.size()) != std::string::npos);
    CHECK(found->to_string().find(r.allowed, prefix.size()) != std::string::npos);
    CHECK(errors.size() == 1);
}

}  // namespace

TEST_CASE("each bad value is refused where it stands, by name, with what is allowed", "[roles][faults]") {
    for (const auto& r : rows) told_alone(r);
}

TEST_CASE("bridges, guests and segments that cannot be are refused where they stand", "[roles][faults]") {
    const auto text = changed(example_text("two-servers"), "  external:   {", "  storage: { cidr: 10.30.0.0/24 }\n  external:   {");
    REQUIRE(errors_of(text).empty());
    for (const auto& r : hypervisor_rows) told_alone(r, text);
}

TEST_CASE("routes, metadata and floating addresses that cannot be are refused where they stand", "[roles][faults]") {
    REQUIRE(errors_of(routed_text()).empty());
    for (const auto& r : router_rows) told_alone(r, routed_text());
}

TEST_CASE("what only follows from a fault of form is not told", "[roles][faults]") {
    for (const auto& r : roots) told_alone(r);
}

TEST_CASE("text that is no YAML is refused where it breaks, and nothing else is made up about it", "[roles][faults]") {
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"overlay: { type: gre, ids: 1-1000 }", "overlay: { type: gre, ids: 1-1000 ]@"},
             {"roles: [compute]\n", "roles: [compute]]@\n"},
             {"name: grizzly\n", "name: grizzly\n  @oops: 1\n"}}) {
        const auto e = unmarked(changed(grizzly_text(), from, to));
        const auto errors = errors_of(e.text);
        INFO(to << "\n" << listing(errors));
        REQUIRE(errors.size() == 1);
        CHECK(errors[0].problem.find("is not YAML") != std::string::npos);
        CHECK(errors[0].place.line == e.places[0].line);
    }
}

TEST_CASE("faults of form and of meaning of one file come in one run, in file order", "[roles][faults]") {
    auto text = grizzly_text();
    // Rows that spoil the same words exclude each other, the first one wins; and these need what another row spoils.
    const std::set<std::string> alone = {"unknown network of a NIC", "floating address outside the range",
                                         "id too large for VXLAN", "duplicate name"};
    for (const auto& r : rows)
        if (const auto where = text.find(r.from); where != std::string::npos && !alone.contains(r.name))
            text.replace(where, r.from.size(), r.to);
    const auto e = unmarked(text);
    CHECK(e.places.size() == 20);
    const auto errors = errors_of(e.text);
    INFO(e.text << "\n" << listing(errors));
    CHECK(std::is_sorted(errors.begin(), errors.end(), [](const auto& a, const auto& b) {
        return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    }));
    for (const auto& place : e.places) {
        INFO(place.line << ":" << place.column);
        CHECK(std::any_of(errors.begin(), errors.end(), [&](const auto& d) { return at(d, place); }));
    }
}

TEST_CASE("places are no part of a fabric's value, and a fabric built in code has none", "[roles][faults]") {
    const auto f = grizzly();
    auto in_code = f;
    in_code.places = {};
    CHECK(in_code == f);
    CHECK(to_json(in_code) == to_json(f));
    CHECK(fabric_from_json(to_json(f)).value().places.by_path.empty());
    CHECK(f.places.by_path.at("tenants.proj_one.ports.vm1.node").column == 20);
    in_code.tenants.at("proj_one").ports.at("vm1") = {.node = "nowhere", .network = "net1"};
    const auto all = roles::validate(in_code);
    const auto found = std::find_if(all.begin(), all.end(), [](const auto& d) { return d.value == "nowhere"; });
    REQUIRE(found != all.end());
    CHECK(found->place.line == 0);
}
