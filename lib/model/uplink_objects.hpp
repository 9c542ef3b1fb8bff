// SPDX-License-Identifier: Apache-2.0
// What a host has on one device, which of it is the host's own, and how it reads on another device. Pure; private to model. May include: core, model.
#pragma once

#include "weft/model/host_state.hpp"

namespace weft {

struct held_objects {
    std::vector<address_entry> addresses;
    std::vector<nexthop_object> nexthops;
    std::vector<route> routes;
    std::vector<rule> rules;
    std::vector<neighbour> neighbours;
    bool empty() const { return addresses.empty() && nexthops.empty() && routes.empty() && rules.empty() && neighbours.empty(); }
};

// All on `device` that somebody put there. Not what the kernel makes by itself (link-local addresses, connected routes) or takes away
// again (what has a lifetime), and no FDB entries, which are the device's.
held_objects held_by(const namespace_state&, const std::string& device);

// The same object with `to` wherever it names `from`.
address_entry on_device(address_entry, const std::string& from, const std::string& to);
nexthop_object on_device(nexthop_object, const std::string& from, const std::string& to);
route on_device(route, const std::string& from, const std::string& to);
rule on_device(rule, const std::string& from, const std::string& to);
neighbour on_device(neighbour, const std::string& from, const std::string& to);

// What tells it from others of its kind, without `device`: of one line, and without '=' or '|'.
std::string identity(const address_entry&, const std::string& device);
std::string identity(const nexthop_object&, const std::string& device);
std::string identity(const route&, const std::string& device);
std::string identity(const rule&, const std::string& device);
std::string identity(const neighbour&, const std::string& device);

}  // namespace weft
