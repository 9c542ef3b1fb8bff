// SPDX-License-Identifier: Apache-2.0
// Follows the ports that libvirt, Nova or a person plug into br-int: when one comes, goes, or has another number, the
// node's state is applied anew, and a VM is bound without anybody's asking. May include: core, model.
#pragma once

#include "weft/apply/apply.hpp"

namespace weft::apply {

struct follower {
    // Compiles and applies the node's state; false when there is nothing to follow any more. Called once at the start
    // of each connection to the database, and after each change.
    std::function<result<bool>()> apply;
    // One line per port that was bound, unbound or left alone, and per failure of another kind than the last one.
    std::function<void(const std::string&)> tell;
};

// Returns when `apply` says false. Changes that come together are applied together. A failure is tried again after a
// pause that grows from 100 ms to 5 s where the switch is not there, and to 60 s where a run was undone; between two runs
// it waits for as long as a run takes, so that half the time is left to others.
void follow(const place&, const follower&);

}  // namespace weft::apply
