// SPDX-License-Identifier: Apache-2.0
// Brings a namespace to the state of a network node: allocate, compile, plan, apply, and a second plan that is empty.
// A network node has the routers, the way outside and the tunnels to the compute nodes.
// Usage: network_node NAMESPACE RUNDIR [--keep], with the node's NICs in place. Without --keep all is removed again.
// Includes weft headers only; a failed step is undone and told.
#include <cstdio>
#include <cstring>
#include <weft/apply/apply.hpp>
#include <weft/roles/roles.hpp>

#include "fabric.hpp"

int main(int argc, char** argv) try {
    if (argc < 3) return std::fprintf(stderr, "usage: network_node NAMESPACE RUNDIR [--keep]\n"), 2;
    using namespace weft;
    const apply::place place{.netns = argv[1], .ovs_rundir = argv[2]};
    const std::string node = "network";

    // What the fabric leaves open gets the first free value; a deployment keeps the returned lock beside its fabric
    // file.
    const fabric complete = roles::allocate(example_fabric(), {}).value().fabric;
    const host_state wanted = roles::compile(complete, node, apply::facts(place, complete, node).value()).value();

    const plan steps = apply::make_plan(place, wanted).value();
    for (const step& s : steps.steps) std::printf("%s\n", s.to_string().c_str());
    const apply::report done = apply::execute(place, steps).value();
    std::printf("%zu steps done\n", done.steps);
    for (const std::string& name : done.pending) std::printf("pending: %s\n", name.c_str());

    // The second run finds nothing to do, and writes nothing.
    const plan again = apply::make_plan(place, wanted).value();
    std::printf("a second plan has %zu steps\n", again.steps.size());
    for (const step& s : again.steps) std::printf("again: %s\n", s.to_string().c_str());

    if (argc < 4 || std::strcmp(argv[3], "--keep") != 0)
        std::printf("removed in %zu steps\n", apply::remove(place, complete.name, node).value().steps);
    return again.empty() ? 0 : 1;
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "network_node: %s\n", e.what()), 1;
}
