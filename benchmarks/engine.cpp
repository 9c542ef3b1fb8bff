// SPDX-License-Identifier: Apache-2.0
// What the pure parts cost per object on inputs that grow tenfold: where work is linear, the columns stay level. Prints
// a table of medians; touches nothing outside the process. May include: weft's public headers, std, fmt. A fault ends
// it with status 1.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>

#include "weft/model/fabric_file.hpp"
#include "weft/model/plan.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/roles/roles.hpp"

using namespace weft;

namespace {

constexpr int runs = 7;

void need(bool held, const std::string& what) {
    if (held) return;
    fmt::print(stderr, "bench_engine: {}\n", what);
    std::exit(1);
}

double median_ns(const std::function<void()>& work) {
    std::vector<double> took;
    for (int i = 0; i < runs; ++i) {
        const auto start = std::chrono::steady_clock::now();
        work();
        took.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(took.begin(), took.begin() + runs / 2, took.end());
    return took[runs / 2];
}

void row(const std::string& what, std::size_t count, const std::string& unit, const std::function<void()>& work) {
    const double ns = median_ns(work);
    fmt::print("{:<44} {:>7} {:<8} {:>12.0f} us {:>10.0f} ns each\n", what, count, unit, ns / 1000,
               ns / static_cast<double>(count));
    std::fflush(stdout);
}

constexpr std::size_t objects_per_port = 6;  // the port, its flow, a link, an address, a route and a neighbour

host_state host_with(std::size_t ports) {
    host_state s;
    s.fabric = "bench";
    s.node = "n";
    namespace_state root;
    ovs::bridge_row bridge{"br-int", "system", "secure", {}, {}, {{ovs::mark_fabric, "bench"}}, {}};
    auto& flows = s.flows["br-int"];
    for (std::size_t i = 0; i < ports; ++i) {
        const auto name = fmt::format("tap{:08}", i);
        const auto address = advance(*parse_ip("10.0.0.0"), static_cast<std::int64_t>(i));
        weft::link l;
        l.name = name;
        l.options = tun_options{};
        l.group = weft_link_group;
        l.alias = "weft:bench/" + name;
        l.up = true;
        root.links.push_back(l);
        root.addresses.push_back({name, {address, 32}, 0, std::nullopt, weft_protocol, 0});
        weft::route r;
        r.destination = {address, 32};
        r.nexthops = {{std::nullopt, name, 0, false}};
        root.routes.push_back(r);
        root.neighbours.push_back({name, address, mac_address{{2, 0, 0, 0, 0, 1}}});
        ovs::port_row p;
        p.name = name;
        p.tag = 1;
        p.external_ids = {{ovs::mark_fabric, "bench"}};
        p.interfaces.emplace_back().name = name;
        bridge.ports.push_back(p);
        flows.push_back({ovs::flow_cookie, 0, 10, 0, 0, "in_port=" + name, "NORMAL"});
    }
    s.namespaces.push_back(root);
    s.bridges.push_back(bridge);
    return s;
}

void bench_diff() {
    host_state nothing;
    nothing.fabric = "bench";
    nothing.namespaces.emplace_back();
    for (const std::size_t ports : {100, 1'000, 10'000}) {
        const auto full = host_with(ports);
        const auto count = ports * objects_per_port;
        const auto steps = [&](const host_state& seen, const host_state& wanted) {
            const auto p = diff(seen, wanted);
            need(p.has_value(), "diff failed");
            return p->steps.size();
        };
        row("diff + order, all is new", count, "objects",
            [&] { need(steps(nothing, full) >= count, "too few steps"); });
        row("diff + order, all is in place", count, "objects",
            [&] { need(steps(full, full) == 0, "steps where all is in place"); });
        row("diff + order, all goes", count, "objects", [&] { need(steps(full, nothing) > 0, "no steps"); });
    }
}

void bench_flows() {
    for (const std::size_t count : {100, 1'000, 10'000}) {
        const auto flows = host_with(count).flows["br-int"];
        ovs::port_numbers numbers;
        for (std::size_t i = 0; i < count; ++i) numbers[fmt::format("tap{:08}", i)] = static_cast<std::uint32_t>(i + 1);
        row("canonical flows, as many ports", count, "flows", [&] {
            for (const auto& f : ovs::canonical(flows, numbers)) need(f.has_value(), "a flow does not parse");
        });
    }
}

std::string fabric_text(std::size_t vms) {
    std::string text = R"(version: 1
name: bench
networks:
  management: { cidr: 10.10.0.0/16 }
  vm-config: { cidr: 10.20.0.0/16 }
  external: { cidr: 192.168.0.0/16, gateway: 192.168.0.1, floating: 192.168.1.0-192.168.100.0 }
nodes:
  network:
    roles: [network]
    nics:
      eth0: { network: management, address: 10.10.0.2 }
      eth1: { network: vm-config, address: 10.20.0.2 }
      eth2: { network: external }
  compute:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.0.3 }, eth1: { network: vm-config, address: 10.20.0.3 } }
tenants:
  t:
    networks: { net: { cidr: 50.50.0.0/16 } }
    routers: { r: { external: external, networks: [net] } }
    ports:
)";
    for (std::size_t i = 0; i < vms; ++i)
        text += fmt::format("      vm{}: {{ node: compute, network: net, floating: auto }}\n", i);
    return text;
}

void bench_fabric() {
    for (const std::size_t vms : {10, 100, 1'000}) {
        const auto text = fabric_text(vms);
        const auto parsed = parse_fabric(text, "bench.yaml");
        need(parsed.ok(), "the fabric does not parse");
        row(fmt::format("parse a fabric of {} VMs", vms), text.size() / 1024 + 1, "KiB",
            [&] { need(parse_fabric(text, "").ok(), "parse"); });
        row(fmt::format("validate it"), vms, "VMs", [&] { (void)roles::validate(parsed.fabric); });
        row(fmt::format("allocate it"), vms, "VMs",
            [&] { need(roles::allocate(parsed.fabric, {}).has_value(), "allocate"); });
        const auto complete = roles::allocate(parsed.fabric, {}).value().fabric;
        host_facts facts;
        facts.datapath = "netdev";
        for (const auto* nic : {"eth0", "eth1", "eth2"}) facts.nic_macs[nic] = mac_address{{2, 0, 0, 0, 0, 1}};
        for (const auto* node : {"network", "compute"}) {
            row(fmt::format("compile its {} node", node), vms, "VMs",
                [&] { need(roles::compile(complete, node, facts).has_value(), "compile failed"); });
        }
    }
}

// What security groups cost in flows: n ports that all have m rules, each rule for the members of their own group, which is where the
// product of members and rules would show. Level last column: linear in ports times rules.
void bench_firewall() {
    for (const std::size_t vms : {50, 200, 800})
        for (const std::size_t rules : {5, 20, 80}) {
            auto text = fabric_text(vms);
            std::string list;
            for (std::size_t i = 0; i < rules; ++i)
                list += fmt::format("{}{{ protocol: tcp, ports: {}, remote: {} }}", i ? ", " : "", 1000 + i, i % 2 ? "default" : "192.168.0.0/16");
            text += fmt::format("    security-groups: {{ default: {{ ingress: [ {} ] }} }}\n", list);
            const auto parsed = parse_fabric(text, "bench.yaml");
            need(parsed.ok(), "the fabric with rules does not parse");
            const auto complete = roles::allocate(parsed.fabric, {}).value().fabric;
            host_facts facts;
            facts.datapath = "system";
            for (const auto* nic : {"eth0", "eth1"}) facts.nic_macs[nic] = mac_address{{2, 0, 0, 0, 0, 1}};
            for (std::size_t i = 0; i < vms; ++i)
                facts.present_ports[object_uuid("bench", fmt::format("t/ports/vm{}", i))] = fmt::format("tap{:08}", i);
            std::size_t flows = 0;
            const double ns = median_ns([&] { flows = roles::compile(complete, "compute", facts).value().flows.at("br-int").size(); });
            fmt::print("{:<44} {:>7} {:<8} {:>12.0f} us {:>10.2f} flows per port and rule\n",
                       fmt::format("firewall of {} ports with {} rules", vms, rules), flows, "flows", ns / 1000,
                       static_cast<double>(flows) / static_cast<double>(vms * rules));
        }
}

}  // namespace

int main() {
    bench_diff();
    bench_flows();
    bench_fabric();
    bench_firewall();
}
