// SPDX-License-Identifier: Apache-2.0
// What steps bring with them that is no object of its own: connections that must be forgotten since an address means
// something else now, and addresses that the neighbours must be told of. Pure, and the same for a run and for its undo,
// whose steps are turned round. May include: model.
#pragma once

#include "weft/model/plan.hpp"

namespace weft {

struct step_effects {
    std::string scope;               // the namespace; "", the host's own, is only announced in
    std::vector<ip_address> forget;  // whatever was begun to these, or translated to them
    std::vector<address_entry> announce;
};

// By scope, in name order; scopes without any effect are left out.
std::vector<step_effects> effects_of(const std::vector<step>&);

}  // namespace weft
