// SPDX-License-Identifier: Apache-2.0
// The pure middle: validate a fabric, fill what it leaves open, compile one node's wanted state, derive the reachability
// matrix. No I/O; same input, same output on every node. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/host_state.hpp"

namespace weft::roles {

// What the lock file remembers: object path → value. "proj_one/networks/net1/id" → "1", "proj_one/ports/vm2/address" → "50.50.1.12", …
using lock = std::map<std::string, std::string>;

// All faults at once, cross-node ones included; warnings name keys that are understood but not yet enforced.
std::vector<diagnostic> validate(const fabric&);
// The same together with the faults of form that parse_fabric found, without what only follows from one of those.
std::vector<diagnostic> validate(const fabric&, const std::vector<diagnostic>& of_form);

struct allocation { weft::fabric fabric; roles::lock lock; };
// What the file leaves open is filled: values in the file win, then the lock, then the first free one in name order.
// Values of the lock whose object is gone are dropped. Errors: invalid_input when a range is exhausted.
result<allocation> allocate(const fabric&, const lock& remembered);
bool is_complete(const fabric&);
// What a lock would have to remember so that the open values of the same file come out as they stand in `complete`.
lock lock_of(const fabric& complete);

// The wanted state of one node. The fabric must be complete. Errors: not_found (no such node), invalid_input.
result<host_state> compile(const fabric&, const std::string& node, const host_facts&);

// Local VLANs of the node's networks: the remembered ones stay, new ones get the first free of 1..4094 (profile grizzly: 1..4093) in
// name order.
std::map<std::string, std::uint16_t> local_vlans(const fabric&, const std::string& node, const host_facts&);

// What a client of this node's VPN gateway sends into the tunnel: the external network behind it and, where the file asks for fixed
// addresses, the tenants' networks there. None where the node is no gateway with a leg.
std::vector<ip_prefix> vpn_client_prefixes(const fabric&, const std::string& node);
// The MTU of this gateway's device, in bytes: that of the external network without the outer packet's headers, of IPv6 since they are the
// longer ones. 0 where the node is no gateway with a leg.
std::uint32_t vpn_mtu(const fabric&, const std::string& node);

// The matrix of the roles (DATAPLANE section 12) and the file's own rows, with addresses resolved.
std::vector<expectation> expectations(const fabric&);

}  // namespace weft::roles
