// SPDX-License-Identifier: Apache-2.0
// The addresses of a lab's VMs by DHCP: each VM runs a real client (busybox udhcpc), which stays to renew its lease.
// Its script is weft-node, so that what a lease says is done over netlink. May include: core, model, netlink.
#pragma once

#include "lab/process.hpp"
#include "lab/topology.hpp"

namespace weft::lab {

// Starts the client of every VM that asks, all side by side, and waits until each holds the address that the fabric
// says. Errors: timed_out, unavailable (no busybox), protocol_error (another address). `log` takes what the clients
// say.
result<void> lease_addresses(const topology&, const std::string& helper, const std::string& log);

// What a VM has on eth0: addresses of one family, without the link-local ones.
result<std::vector<ip_prefix>> addresses_of(const planned_member& vm, bool v6);

// A client in a VM's namespace; `log` takes what it says. Errors: unavailable tells that labs need the program.
result<child> start_in(const std::string& netns, const std::vector<std::string>& argv, const std::string& log);

// Whether this is what udhcpc calls its script with; and doing it in the namespace that the process is in, as the
// environment says. Gives the exit status.
bool is_lease_event(const std::string& word);
int on_lease_event(const std::string& word);

}  // namespace weft::lab
