// SPDX-License-Identifier: Apache-2.0
// OpenFlow (1.3 to 1.5 with the Nicira extensions) to one bridge, over its management socket RUNDIR/BRIDGE.mgmt: dump, and
// change in one atomic bundle. Encoding and decoding are libopenvswitch's pure functions. May include: core, model.
#pragma once

#include "weft/model/ovs.hpp"

#include <chrono>
#include <span>

namespace weft::ovs {

using port_numbers = std::map<std::string, std::uint32_t>;  // port name → ofport

// The one spelling of a flow: parsed and printed by libopenvswitch, port names where the number is known, without counters.
// Pure. Errors: invalid_input with the parser's words. A named port that `ports` lacks gives not_found.
// libopenvswitch quotes a name that is not letters and digits alone (in_port="patch-int"); both spellings parse.
result<flow> canonical(const flow&, const port_numbers& ports);
// The same for many, at much less cost than one by one where a bridge has many ports; one result per flow.
std::vector<result<flow>> canonical(std::span<const flow>, const port_numbers& ports);

// All flows of a bridge in canonical form. Equivalent to: ovs-ofctl -O OpenFlow14 dump-flows BRIDGE.
result<std::vector<flow>> dump_flows(const std::string& rundir, const std::string& bridge, const port_numbers& ports,
                                     std::chrono::milliseconds deadline = std::chrono::seconds(5));

struct flow_change {
    std::vector<flow> remove;  // strict: same table, priority and match (and cookie)
    std::vector<flow> add;     // replaces one with the same table, priority and match
    bool empty() const { return remove.empty() && add.empty(); }
};
struct refused_flow {
    ovs::flow flow;
    error why;
};
// One ordered, atomic bundle (OpenFlow 1.4) and a barrier: all or none. Error texts name the flow that the switch refused; `refused`, where given, gets
// every flow that the parser or the switch refuses, if that was the cause.
// Equivalent to: ovs-ofctl --bundle add-flows BRIDGE FILE.
result<void> apply_flows(const std::string& rundir, const std::string& bridge, const flow_change&, const port_numbers& ports,
                         std::chrono::milliseconds deadline = std::chrono::seconds(10), std::vector<refused_flow>* refused = nullptr);
std::uint64_t flow_writes() noexcept;  // flow-mods sent by this process

}  // namespace weft::ovs
