// SPDX-License-Identifier: Apache-2.0
// Questions about VPN gateways that validate, compile and expectations all ask. Pure. May include: core, model.
#pragma once

#include "roles/topology.hpp"

namespace weft::roles {

inline constexpr const char* vpn_device = "wg0";

// A gateway with its leg on the external network that its clients come to.
struct vpn_way {
    std::string node, nic, network;
    ip_address address;
    const vpn_gateway* gateway = nullptr;

    bool by_route() const { return gateway->return_path == "route"; }
    // The source that routers and VMs see of a client.
    ip_prefix seen_as() const { return by_route() ? gateway->pool : host_prefix(address); }
};
// Those that have a leg; validate refuses the others.
std::vector<vpn_way> vpn_gateways(const fabric&);

// The gateway and peer that a host of the lab comes in by and as.
struct vpn_client {
    vpn_way way;
    const vpn_peer* peer = nullptr;
};
std::optional<vpn_client> vpn_client_of(const fabric&, const lab_host&);

// The tenants' networks that a gateway's clients reach by fixed address, each by its router's address; none unless the file asks for it.
struct vpn_fixed {
    ip_prefix cidr;
    std::optional<ip_address> router;
    std::string path;  // "proj_one/networks/net1"
};
std::vector<vpn_fixed> vpn_fixed_networks(const fabric&, const vpn_way&);

}  // namespace weft::roles
