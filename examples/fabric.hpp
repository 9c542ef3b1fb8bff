// SPDX-License-Identifier: Apache-2.0
// The small cloud that the node examples share, built as values where a deployment would read a fabric file: one
// controller, one network node, one compute node, one tenant. Pure. Includes weft headers only.
#pragma once

#include <weft/model/fabric.hpp>

inline weft::fabric example_fabric() {
    using namespace weft;
    fabric f;
    f.name = "example";
    f.networks["management"] = {.cidr = parse_prefix("10.10.10.0/24").value()};
    f.networks["vm-config"] = {.cidr = parse_prefix("10.20.20.0/24").value()};
    f.networks["external"] = {
        .cidr = parse_prefix("192.168.100.0/24").value(),
        .gateway = parse_ip("192.168.100.1").value(),
        .floating = address_range{parse_ip("192.168.100.102").value(), parse_ip("192.168.100.126").value()}};

    const auto on = [](const char* network, const char* address) {
        nic n{.network = network};
        if (*address) n.address = parse_ip(address).value();
        return n;
    };
    f.nodes["controller"] = {
        .roles = {"controller"},
        .nics = {{"eth0", on("management", "10.10.10.51")}, {"eth1", on("external", "192.168.100.51")}}};
    f.nodes["network"] = {.roles = {"network"},
                          .nics = {{"eth0", on("management", "10.10.10.52")},
                                   {"eth1", on("vm-config", "10.20.20.52")},
                                   {"eth2", on("external", "")}}};
    f.nodes["compute1"] = {
        .roles = {"compute"},
        .nics = {{"eth0", on("management", "10.10.10.53")}, {"eth1", on("vm-config", "10.20.20.53")}}};

    tenant& t = f.tenants["proj_one"];
    t.networks["net1"] = {.cidr = parse_prefix("50.50.1.0/24").value()};
    t.routers["router1"] = {.external = "external", .networks = {"net1"}};
    t.ports["vm1"] = {.node = "compute1", .network = "net1", .floating_auto = true};
    return f;
}
