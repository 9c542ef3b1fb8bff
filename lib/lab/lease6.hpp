// SPDX-License-Identifier: Apache-2.0
// The IPv6 addresses of a lab's VMs, as the fabric says that they come: the kernel makes them of router advertisements (SLAAC), or
// a real DHCPv6 client (ISC dhclient) asks for them and stays to renew. May include: core, model, netlink.
#pragma once

#include "lab/topology.hpp"

namespace weft::lab {

// Lets every VM that learns its address listen, all side by side, and waits until each holds the one that the fabric says. Errors:
// timed_out, unavailable (no dhclient), protocol_error (another address). The clients keep their files in `folder`.
result<void> lease_addresses6(const topology&, const std::string& helper, const std::string& folder);

// Whether the process was called as dhclient's script; and doing it in the namespace that it is in, as the environment says. Gives
// the exit status.
bool is_lease6_event(int argc);
int on_lease6_event();

}  // namespace weft::lab
