// SPDX-License-Identifier: Apache-2.0
// Brings a namespace to the state of a hypervisor: Linux bridges over its NICs, which its guests' NICs then join. Here
// the controller of the example's cloud becomes a guest. Usage: hypervisor_node NAMESPACE RUNDIR [--keep], with the
// node's NICs in place. Without --keep all is removed again. Includes weft headers only; a failed step is undone and
// told.
#include <cstdio>
#include <cstring>
#include <weft/apply/apply.hpp>
#include <weft/roles/roles.hpp>

#include "fabric.hpp"

int main(int argc, char** argv) try {
    if (argc < 3) return std::fprintf(stderr, "usage: hypervisor_node NAMESPACE RUNDIR [--keep]\n"), 2;
    using namespace weft;
    const apply::place place{.netns = argv[1], .ovs_rundir = argv[2]};
    const std::string node = "server";

    // A guest's NIC belongs in the bridge that is on its network's segment; that both of the controller's have one is
    // validated.
    fabric cloud = example_fabric();
    cloud.nodes[node] = {.roles = {"hypervisor"},
                         .nics = {{"eth0", {.network = "management", .address = parse_ip("10.10.10.50").value()}},
                                  {"eth1", {.network = "external"}}},
                         .bridges = {{"bridge-int", {"eth0"}}, {"bridge-ext", {"eth1"}}}};
    cloud.nodes["controller"].host = node;

    const fabric complete = roles::allocate(cloud, {}).value().fabric;
    const host_state wanted = roles::compile(complete, node, apply::facts(place, complete, node).value()).value();

    const plan steps = apply::make_plan(place, wanted).value();
    for (const step& s : steps.steps) std::printf("%s\n", s.to_string().c_str());
    std::printf("%zu steps done\n", apply::execute(place, steps).value().steps);

    // The second run finds nothing to do, and writes nothing.
    const plan again = apply::make_plan(place, wanted).value();
    std::printf("a second plan has %zu steps\n", again.steps.size());
    for (const step& s : again.steps) std::printf("again: %s\n", s.to_string().c_str());

    if (argc < 4 || std::strcmp(argv[3], "--keep") != 0)
        std::printf("removed in %zu steps\n", apply::remove(place, complete.name, node).value().steps);
    return again.empty() ? 0 : 1;
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "hypervisor_node: %s\n", e.what()), 1;
}
