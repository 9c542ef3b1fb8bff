// SPDX-License-Identifier: Apache-2.0
// Puts two flows on a bridge in one atomic bundle, dumps them in the one spelling that weft compares, and takes them
// away. Usage: flows NAMESPACE RUNDIR, where the switch of RUNDIR lives in NAMESPACE. Includes weft headers only; says
// why it fails.
#include <cstdio>
#include <weft/ovs/database.hpp>
#include <weft/ovs/flows.hpp>

int main(int argc, char** argv) try {
    if (argc != 3) return std::fprintf(stderr, "usage: flows NAMESPACE RUNDIR\n"), 2;
    using namespace weft;
    const std::string rundir = argv[2];
    auto database = ovs::database::connect(rundir).value();
    const ovs::bridge_row bridge{.name = "br-demo", .datapath_type = "netdev", .fail_mode = "secure"};
    const ovs::port_row port{.name = "demo-in", .interfaces = {{.name = "demo-in", .type = "internal"}}};
    const auto outcome =
        database.commit({.bridges = {{std::nullopt, bridge}}, .ports = {{"br-demo", std::nullopt, port}}}).value();

    ovs::port_numbers ports;
    for (const ovs::port_outcome& o : outcome)
        if (o.ofport && *o.ofport > 0) ports[o.interface] = static_cast<std::uint32_t>(*o.ofport);

    const ovs::flow_change change{
        .add = {{.cookie = ovs::flow_cookie, .priority = 10, .match = "in_port=demo-in,arp", .actions = "NORMAL"},
                {.cookie = ovs::flow_cookie, .priority = 0, .actions = "drop"}}};
    ovs::apply_flows(rundir, "br-demo", change, ports).value();
    for (const ovs::flow& f : ovs::dump_flows(rundir, "br-demo", ports).value())
        std::printf("table=%d priority=%d %s actions=%s\n", f.table, f.priority, f.match.c_str(), f.actions.c_str());

    database.commit({.bridges = {{bridge, std::nullopt}}, .ports = {{"br-demo", port, std::nullopt}}}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "flows: %s\n", e.what()), 1;
}
