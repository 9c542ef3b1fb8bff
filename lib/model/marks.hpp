// SPDX-License-Identifier: Apache-2.0
// By which marks an object is known to be weft's, or one fabric's of weft. Pure; private to model. May include: core, model.
#pragma once

#include "weft/model/host_state.hpp"

namespace weft {

bool is_ours(const link&, const std::string& fabric);
bool is_ours(const ovs::string_map& external_ids, const std::string& fabric);
bool is_ours(const ovs::flow&);  // what the switch learnt by a flow of ours is not
// The part of a namespace that weft made. Its loopback is in it, as whoever made the namespace raised it; the host's own has none.
namespace_state ours_in(const namespace_state&, const std::string& fabric);
// The same of a whole host: what is nobody's or another's is left out, but for the rows of ports that are bound.
host_state ours_in(const host_state&, const std::string& fabric);

}  // namespace weft
