// SPDX-License-Identifier: Apache-2.0
// A namespace as it is once some of its devices have gone. Pure. May include: model.
#pragma once

#include <set>

#include "weft/model/host_state.hpp"

namespace weft {

// What goes with a device comes back with it only if it is planned: its addresses, neighbours, routes, settings and
// ingress hooks. The links themselves stay in the value.
namespace_state without_devices(namespace_state, const std::set<std::string>& names);

}  // namespace weft
