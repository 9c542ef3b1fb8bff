// SPDX-License-Identifier: Apache-2.0
// What a host has on one device, which of it is the host's own, and how it reads on another device. Pure; private to model. May include: core, model.
#pragma once

#include "weft/model/host_state.hpp"

#include <set>

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

// The object as text of one line (moved_object::was), and all of such texts; one that cannot be read is left out.
std::string kept_text(const address_entry&);
std::string kept_text(const nexthop_object&);
std::string kept_text(const route&);
std::string kept_text(const rule&);
std::string kept_text(const neighbour&);
held_objects from_kept(const std::vector<std::string>&);

// What was moved from the NIC and went with the bridge, as it was on the NIC, where the bridge has no device any more: another database was put
// in the place of Open vSwitch's, or somebody deleted it. Nothing where the host has set its NIC up meanwhile; and what is missing on a device
// that is there its owner took away.
held_objects lost_with(const std::string& bridge, const std::string& nic, const namespace_state& root, const std::set<moved_object>& moved);

// What tells it from others of its kind, without `device`: of one line, and without '=' or '|'.
std::string identity(const address_entry&, const std::string& device);
std::string identity(const nexthop_object&, const std::string& device);
std::string identity(const route&, const std::string& device);
std::string identity(const rule&, const std::string& device);
std::string identity(const neighbour&, const std::string& device);

}  // namespace weft
