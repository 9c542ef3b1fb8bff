// SPDX-License-Identifier: Apache-2.0
// Tells that the flows of one bridge changed, and not how: for a caller who dumps them then, so that a lost event costs
// nothing. Flows that the switch learns (learned_cookie) are left out. May include: core, model.
#pragma once

#include <memory>

#include "weft/model/ovs.hpp"

namespace weft::ovs {

class flow_monitor {
public:
    // One connection to RUNDIR/BRIDGE.mgmt that stays. Waits for the switch's answer. Errors: unavailable (no such
    // bridge, no ovs-vswitchd), unsupported where the switch cannot tell: OpenFlow 1.4 or Open vSwitch's extension
    // of 1.3 has it. Equivalent to: ovs-ofctl -O OpenFlow14 monitor BRIDGE watch:!initial
    static result<flow_monitor> open(const std::string& rundir, const std::string& bridge);
    flow_monitor(flow_monitor&&) noexcept;
    flow_monitor& operator=(flow_monitor&&) noexcept;
    ~flow_monitor();

    int fd() const noexcept;  // readable when something was told, or the switch went
    // Whether any flow changed; reads all that is there and never waits. Errors: unavailable once the switch went.
    result<bool> changed();

private:
    struct impl;
    explicit flow_monitor(std::unique_ptr<impl>);
    std::unique_ptr<impl> impl_;
};

}  // namespace weft::ovs
