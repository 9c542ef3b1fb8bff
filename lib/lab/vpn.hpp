// SPDX-License-Identifier: Apache-2.0
// A lab's VPN: throw-away keys where the files that the fabric names are not there, put where the gateway's node looks for them; and the
// hosts of the Internet that come in with them. May include: core, model, netlink.
#pragma once

#include "weft/core/secret.hpp"
#include "weft/model/fabric.hpp"

#include <map>
#include <vector>

namespace weft::lab {

struct gateway_leg {
    std::string node, network;
    ip_address address;
    const vpn_gateway* vpn = nullptr;
};
// The gateways and their address on an external network.
std::vector<gateway_leg> vpn_gateways(const fabric&);

struct planned_client {
    std::string member, netns, key_file, preshared_file, gateway_key, endpoint;
    ip_address address;
    std::vector<ip_prefix> routes;  // what it sends into the tunnel: also what the gateway must not let through
};
struct vpn_plan {
    bool kernel = true;
    std::map<std::string, std::string> public_keys, preshared_keys;  // by the files that the fabric names
    std::vector<planned_client> clients;
};
// Errors: invalid_input where a client cannot have the key that the fabric fixes, or a file is missing where the lab cannot put one.
result<vpn_plan> make_keys(const fabric&, const std::string& lab);

// What a node's private folders must hold, read before they hide where it is; and put there.
struct placed_key { std::string target; secret key; std::string text; };
result<std::vector<placed_key>> keys_of(const std::string& lab, const std::string& node);
result<void> place_keys(const std::vector<placed_key>&);

// Brings the clients' tunnels up, by weft-node in the namespace of each.
result<void> start_clients(const vpn_plan&, const std::string& helper, const std::string& log);
// What weft-node does for one: NETNS KEY-FILE PRESHARED-FILE|- GATEWAY-KEY ENDPOINT ADDRESS ROUTE...
result<void> become_client(const std::vector<std::string>& words);

}  // namespace weft::lab
