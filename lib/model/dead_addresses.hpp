// SPDX-License-Identifier: Apache-2.0
// Refuses a plan that would cut a host off: an address on a NIC is dead once the NIC is a port of a bridge. Pure. May
// include: core, model.
#pragma once

#include "weft/model/host_state.hpp"

namespace weft {

// Errors: foreign_object, with the address and the bridge, where a NIC that joins a bridge has an IPv4 address that is
// not ours. Ours moves to the bridge; what others gave is theirs to take off.
result<void> no_address_dies(const host_state& seen, const host_state& wanted);

}  // namespace weft
