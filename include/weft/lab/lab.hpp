// SPDX-License-Identifier: Apache-2.0
// A fabric brought up on one machine: each node a small host of namespaces with its own Open vSwitch, VMs and the world
// outside as namespaces, cables that never pass the root namespace. May include: everything but roles.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/host_state.hpp"

#include <functional>

namespace weft::lab {

// How a node's wanted state comes about; the caller passes roles::compile.
using compiler = std::function<result<host_state>(const fabric&, const std::string& node, const host_facts&)>;

// Brings the whole lab up; on failure or SIGINT/SIGTERM takes down what it made. Errors: already_exists.
// The fabric must be complete. `name` "" means the fabric's name.
result<void> up(const fabric&, const compiler&, const std::string& name = {});
// Takes a lab down, also one half made or left by kill -9. Errors: not_found.
result<void> down(const std::string& name);

struct member { std::string name, kind; /* node, vm, host, router, cables */ int pid = 0; bool alive = false; std::string netns; };
struct lab_info { std::string name, fabric_file; std::vector<member> members; };
result<std::vector<lab_info>> list();
result<lab_info> status(const std::string& name);

// Becomes the command on a node, VM ("tenant/port" or unique short name) or outside host: enters its namespaces and execs.
// Returns only on failure. An empty argv gives a shell with a prompt that names the node.
error exec(const std::string& name, const std::string& member, const std::vector<std::string>& argv);

struct cell { std::string from, to, via; bool expected = true, observed = false; std::string detail; bool ok() const { return expected == observed; } };
// Sends the packets of every expectation.
result<std::vector<cell>> test(const fabric&, const std::vector<expectation>&, const std::string& name = {});

}  // namespace weft::lab
