// SPDX-License-Identifier: Apache-2.0
// A NIC that becomes a port of a bridge loses the host's stack, and what the host had on it would be dead: its addresses, routes, rules,
// neighbours and nexthop objects move to the bridge as one operation, and back when the NIC is a port no longer. Pure; private to model.
// May include: core, model.
#pragma once

#include "weft/model/plan.hpp"

#include <optional>

namespace weft {

struct uplink {
    std::string nic, bridge;
    bool joins = false;      // it is no port of that bridge yet
    bool back = false;       // from the bridge to the NIC
    bool userspace = false;  // a bridge of Open vSwitch's userspace datapath: the host hears what its ports hear
    bool open_vswitch = false;
};

// `seen` as it is once all has moved, and `wanted` with what the moved addresses need; the steps of the moves, which are in
// neither; and what must be remembered and forgotten with them.
struct uplink_moves {
    host_state seen, wanted;
    std::vector<uplink> uplinks;
    std::vector<step> back, forth;
    std::vector<moved_object> taken, given_back;
};

// Nothing where nothing moves. Errors: foreign_object and unsupported for what cannot be carried, and for a host's path that would
// depend on somebody's flows; always before anything is written.
result<std::optional<uplink_moves>> move_uplinks(const host_state& seen, const host_state& wanted);
// Whether something may move, so that neighbours and nexthop objects must be read too.
bool uplinks_concerned(const host_state& seen, const host_state& wanted);

// Where the guard of a NIC's frames (an nft netdev chain) comes or goes together with other devices', the NIC's part becomes a step of its
// own.
void weave(plan&, const uplink_moves&);
// The rank of a step among others (model/order.hpp) that is bound to a move; nothing for all others.
std::optional<int> uplink_rank(const step&, const std::vector<uplink>&);
// The ranks of the moves themselves.
inline constexpr int back_move = -2, forth_move = 38;

}  // namespace weft
