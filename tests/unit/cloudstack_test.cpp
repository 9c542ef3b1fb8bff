// SPDX-License-Identifier: Apache-2.0
// Hosts of CloudStack: the bridges and devices of their guest networks by CloudStack's own names (DATAPLANE section 11), and what a fabric file may
// not ask of such a host.
#include <algorithm>

#include "roles_fixture.hpp"
#include "weft/model/host_state.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const std::string example = "cloudstack";

const weft::link* find(const host_state& s, const std::string& name) {
    for (const auto& l : s.namespaces.at(0).links)
        if (l.name == name) return &l;
    return nullptr;
}

std::vector<std::string> names(const host_state& s) {
    std::vector<std::string> all;
    for (const auto& l : s.namespaces.at(0).links) all.push_back(l.name);
    return all;
}

std::vector<std::string> comments(const host_state& s) {
    std::vector<std::string> all;
    for (const auto& t : s.namespaces.at(0).tables)
        for (const auto& c : t.chains)
            for (const auto& r : c.rules) all.push_back(r.comment);
    return all;
}

// '@' in `to` stands before the place that must be named.
struct fault {
    std::string from, to, path, value, allowed;
};

}  // namespace

TEST_CASE("a host has cloud0 and, for each network with guests on it, a bridge over a VXLAN with the network's group", "[roles][cloudstack]") {
    const auto f = complete_example(example);
    const auto s = roles::compile(f, "kvm1", facts_of()).value();
    CHECK(names(s) == std::vector<std::string>{"brvx-101", "brvx-102", "cloud0", "cloudbr0", "cloudbr1", "eth0", "eth1", "vxlan101", "vxlan102"});
    CHECK(s.namespaces.size() == 1);
    CHECK(s.bridges.empty());
    const auto* device = find(s, "vxlan101");
    REQUIRE(device);
    CHECK(std::get<vxlan_options>(device->options) ==
          vxlan_options{101, parse_ip("10.20.20.61").value(), parse_ip("239.0.0.101").value(), 8472, 10, std::nullopt, "cloudbr1"});
    CHECK(device->master == "brvx-101");
    CHECK(device->mtu == 1450);
    const auto* bridge = find(s, "brvx-101");
    CHECK(bridge->mtu == 1450);
    CHECK(bridge->mac);
    CHECK(std::get<bridge_options>(bridge->options).forward_delay == 0);
    CHECK(std::get<bridge_options>(bridge->options).stp == false);
    CHECK(bridge->mac != find(roles::compile(f, "kvm2", facts_of()).value(), "brvx-101")->mac);
    for (const char* name : {"brvx-101", "vxlan101", "cloud0"})
        CHECK(s.namespaces[0].sysctls.at(std::string("net/ipv6/conf/") + name + "/disable_ipv6") == "1");
    const auto& addresses = s.namespaces[0].addresses;
    CHECK(std::any_of(addresses.begin(), addresses.end(), [](const auto& a) { return a.device == "cloud0" && a.address.to_string() == "169.254.0.1/16"; }));
    const auto& routes = s.namespaces[0].routes;
    CHECK(std::count_if(routes.begin(), routes.end(), [](const auto& r) { return r.destination.to_string() == "239.0.0.101/32" && r.nexthops[0].device == "cloudbr1"; }) == 1);
    const auto said = comments(s);
    for (const char* wanted : {"guests on brvx-101", "guests on cloud0", "vxlan from kvm2", "vxlan from kvm3", "vxlan from anybody else",
                               "CloudStack's control network, but not through cloud0"})
        CHECK(std::find(said.begin(), said.end(), wanted) != said.end());
}

TEST_CASE("a network's group bears all three bytes of its id, and many of them raise what the kernel lets a host join", "[roles][cloudstack]") {
    auto text = changed(example_text(example), "id: 101", "id: 74565");  // 0x012345
    text = changed(text, "ids: 1-1000", "ids: 1-100000");
    auto f = parsed(text, "cloudstack.yaml");
    const auto few = roles::compile(roles::allocate(f, {}).value().fabric, "kvm1", facts_of()).value();
    CHECK(std::get<vxlan_options>(find(few, "vxlan74565")->options).remote == parse_ip("239.1.35.69").value());
    CHECK_FALSE(few.namespaces[0].sysctls.contains("net/ipv4/igmp_max_memberships"));
    auto& acme = f.tenants["acme"];
    for (std::uint32_t i = 0; i < 20; ++i) {
        const auto name = "n" + std::to_string(i);
        acme.networks[name] = acme.networks["web"];
        acme.networks[name].id = 500 + i;
        acme.ports[name] = acme.ports["web1"];
        acme.ports[name].network = name;
    }
    const auto many = roles::compile(roles::allocate(f, {}).value().fabric, "kvm1", facts_of()).value();
    CHECK(many.namespaces[0].sysctls.at("net/ipv4/igmp_max_memberships") == "42");
}

TEST_CASE("with VLANs the bridge stands over a VLAN device of the guest NIC, costs nothing of the MTU and needs no address there", "[roles][cloudstack]") {
    auto text = changed(example_text(example), "type: vxlan", "type: vlan");
    text = changed(text, "eth1: { network: vm-config, address: 10.20.20.61 }", "eth1: { network: vm-config }");
    const auto f = roles::allocate(parsed(text, "cloudstack.yaml"), {}).value().fabric;
    CHECK(network_mtu(f, "acme", "web") == 1500);
    const auto s = roles::compile(f, "kvm1", facts_of()).value();
    const auto* device = find(s, "eth1.101");
    REQUIRE(device);
    CHECK(std::get<vlan_options>(device->options) == vlan_options{101, "eth1"});
    CHECK(device->master == "breth1-101");
    CHECK(find(s, "breth1-101")->mtu == 1500);
    CHECK(find(s, "vxlan101") == nullptr);
    for (const auto& comment : comments(s)) CHECK(comment.find("anybody else") == std::string::npos);
}

TEST_CASE("what such a host cannot carry, or leaves to CloudStack, is refused at its place", "[roles][cloudstack][validate]") {
    const auto good = example_text(example);
    for (const auto& e : std::vector<fault>{
             {"    profile: cloudstack", "    profile: @openstack", "nodes.kvm1.profile", "openstack", "cloudstack"},
             {"roles: [controller]", "profile: cloudstack\n    roles: [controller]", "nodes.controller.profile", "cloudstack", "roles: [hypervisor]"},
             {"roles: [controller]", "roles: [compute]", "nodes.kvm1.profile", "cloudstack", "fabrics of their own"},
             {"type: vxlan", "type: gre", "overlay.type", "gre", "vxlan, vlan"},
             {"type: vxlan, ids: 1-1000", "type: vlan, ids: @1-4095", "overlay.ids", "1-4095", "within 1-4094"},
             {"id: 101", "id: @16777216", "tenants.acme.networks.web.id", "16777216", "1-16777215"},
             {"web: { cidr: 10.1.1.0/24, id: 101, dhcp: false }", "web: { cidr: 10.1.1.0/24, id: 101 }", "tenants.acme.networks.web.dhcp", "true", "dhcp: false"},
             {"web1: { node: kvm1, network: web, port-security: false }", "web1: { node: kvm1, network: web }", "tenants.acme.ports.web1.port-security", "true",
              "port-security: false"},
             {"web1: { node: kvm1, network: web,", "web1: { attach: tap, node: kvm1, network: web,", "tenants.acme.ports.web1.attach", "tap", "attach: plugged"},
             {"bridges: { cloudbr0: [eth0], cloudbr1: [eth1] }", "bridges: { cloudbr0: [eth0] }", "nodes.kvm1.bridges", "", "a bridge over a NIC on vm-config that has an address"},
             {"bridges: { cloudbr0: [eth0], cloudbr1: [eth1] }", "bridges: { cloud0: [eth0], cloudbr1: [eth1] }", "nodes.kvm1.bridges.cloud0", "cloud0", "cloudbr0, cloudbr1"},
         }) {
        auto text = changed(good, e.from, e.to);
        const auto mark = text.find('@');
        int line = 0;
        if (mark != std::string::npos) {
            text.erase(mark, 1);
            line = static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(mark), '\n')) + 1;
        }
        INFO(e.path << " " << e.to);
        const auto p = parse_fabric(text, "cloudstack.yaml");
        const auto all = roles::validate(p.fabric, p.diagnostics);
        const auto told = std::find_if(all.begin(), all.end(), [&](const auto& d) { return d.severity == severity::error && d.path == e.path; });
        for (const auto& d : all) UNSCOPED_INFO(d.to_string());
        CHECK(told != all.end());
        if (told == all.end()) continue;
        CHECK(told->value == e.value);
        CHECK(told->to_string().find(e.allowed) != std::string::npos);
        if (line != 0) CHECK(told->place.line == line);
    }
    auto long_name = changed(changed(good, "type: vxlan", "type: vlan"), "eth1: { network: vm-config, address: 10.20.20.61 }", "enp129s0f1: { network: vm-config }");
    const auto p = parse_fabric(changed(long_name, "cloudbr1: [eth1]", "cloudbr1: [enp129s0f1]"), "cloudstack.yaml");
    std::string all;
    for (const auto& d : roles::validate(p.fabric, p.diagnostics)) all += d.to_string() + "\n";
    CHECK(all.find("at most 8 bytes") != std::string::npos);
}
