// SPDX-License-Identifier: Apache-2.0
// Makes a bridge with an internal port in the Open vSwitch of a run directory, shows what the switch made of it,
// removes it. Usage: ovs_bridge NAMESPACE RUNDIR, where the switch of RUNDIR lives in NAMESPACE. Includes weft headers
// only; says why it fails.
#include <cstdio>
#include <weft/netlink/session.hpp>
#include <weft/ovs/database.hpp>

int main(int argc, char** argv) try {
    if (argc != 3) return std::fprintf(stderr, "usage: ovs_bridge NAMESPACE RUNDIR\n"), 2;
    using namespace weft;
    auto database = ovs::database::connect(argv[2]).value();

    const ovs::bridge_row bridge{.name = "br-demo", .datapath_type = "netdev", .fail_mode = "secure"};
    const ovs::port_row port{.name = "demo-in", .tag = 7, .interfaces = {{.name = "demo-in", .type = "internal"}}};
    ovs::change_set made{.bridges = {{std::nullopt, bridge}}, .ports = {{"br-demo", std::nullopt, port}}};
    for (const ovs::port_outcome& o : database.commit(made).value())
        std::printf("%s: ofport %lld %s\n", o.interface.c_str(), o.ofport ? static_cast<long long>(*o.ofport) : 0LL,
                    o.error.c_str());

    // The port is a device of the namespace in which the switch runs.
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    std::printf("device %s\n", netlink::session::open(ns).value().get_link("demo-in").value().name.c_str());

    for (const ovs::bridge_row& b : database.snapshot().value())
        std::printf("bridge %s, %zu ports\n", b.name.c_str(), b.ports.size());
    database.commit({.bridges = {{bridge, std::nullopt}}, .ports = {{"br-demo", port, std::nullopt}}}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "ovs_bridge: %s\n", e.what()), 1;
}
