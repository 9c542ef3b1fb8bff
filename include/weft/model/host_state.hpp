// SPDX-License-Identifier: Apache-2.0
// Everything one host should be, or is: the value between compile and diff, and between observe and diff.
// May include: core and the other values of model.
#pragma once

#include "weft/model/host_check.hpp"
#include "weft/model/link.hpp"
#include "weft/model/nft.hpp"
#include "weft/model/ovs.hpp"
#include "weft/model/route.hpp"
#include "weft/model/service.hpp"

#include <compare>
#include <map>
#include <tuple>

namespace weft {

// One network namespace. The name "" is the host's own.
struct namespace_state {
    std::string name;
    std::vector<link> links;
    std::vector<address_entry> addresses;
    std::vector<nexthop_object> nexthops;
    std::vector<route> routes;
    std::vector<rule> rules;
    std::vector<neighbour> neighbours;
    std::map<std::string, std::string> sysctls;  // slash form below /proc/sys: "net/ipv4/ip_forward" → "1"
    std::vector<nft::table> tables;
    friend bool operator==(const namespace_state&, const namespace_state&) = default;
};

// A tenant port that got none of its flows, because one of them cannot be had: it neither sends nor receives. Others do not
// suffer for it.
struct quarantined_port {
    std::string port;    // "proj_one/vm1"
    std::string reason;  // with the words of whoever refused the flow
    friend bool operator==(const quarantined_port&, const quarantined_port&) = default;
};

// What weft moved from a NIC to the bridge that the NIC is a port of, and moves back when it is one no longer: an address, route, rule,
// neighbour or nexthop object of the host's own, by what tells it from others of its kind.
struct moved_object {
    std::string nic, bridge;
    std::string what;  // "address 192.168.100.52/24", without the device
    // The object as it was on the NIC, to be put back where the bridge's device went with it: JSON of a host_state that has nothing else.
    // "" where it is not known. One object is the same whatever it was.
    std::string was = {};
    friend bool operator==(const moved_object& a, const moved_object& b) { return (a <=> b) == 0; }
    friend std::strong_ordering operator<=>(const moved_object& a, const moved_object& b) {
        return std::tie(a.nic, a.bridge, a.what) <=> std::tie(b.nic, b.bridge, b.what);
    }
};

struct host_state {
    std::string fabric;  // the mark's first part; empty in a seen state
    std::string node;
    std::vector<namespace_state> namespaces;  // "" first, then by name
    std::vector<ovs::bridge_row> bridges;     // by name
    std::map<std::string, std::vector<ovs::flow>> flows;  // bridge → flows
    // By name. In a seen state those that live, with their files as they stand now, and dead ones that nothing wants any more.
    std::vector<service> services;
    // Objects that are declared but whose device or row does not exist yet, e.g. "proj_one/vm1"; told, not an error.
    std::vector<std::string> pending;
    std::vector<quarantined_port> quarantined;  // told, and no error of the node
    std::vector<host_check> checks;  // in the order of the file; what is seen of a host has none
    std::vector<moved_object> moved;  // seen only
    std::vector<std::string> foreign_namespaces;  // seen only: names that are wanted and that somebody else has
    friend bool operator==(const host_state&, const host_state&) = default;
};

}  // namespace weft
