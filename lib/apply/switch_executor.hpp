// SPDX-License-Identifier: Apache-2.0
// The part of the executor that speaks to Open vSwitch. Private to apply. May include: core, model, ovs.
// Errors are those of ovs::database and ovs::apply_flows, and `open port` where vswitchd could not open a device.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "weft/model/plan.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flows.hpp"

namespace weft::apply {

using indexes = std::vector<std::size_t>;

class switch_executor {
public:
    explicit switch_executor(std::string rundir) : rundir_(std::move(rundir)) {}
    // Steps [first, last), all of bridges and ports; `done` gets those that took effect.
    result<void> rows(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done);
    // Steps [first, last), all flows of one bridge: all or none, then the connections that they do not allow any more. Where these cannot be
    // cut the flows stand all the same, and `left_out` gets the reason.
    result<void> flows(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done, std::vector<error>* left_out);
    // Before links of these names are made: that ovs-vswitchd has no device of such a name open. Error: stale, where it has.
    result<void> before_links(const std::set<std::string>& names);
    // The flows that were refused, of all that failed so far.
    const std::vector<ovs::refused_flow>& refused() const { return refused_; }

private:
    error silent(error why);
    result<void> keep_flows(ovs::database&, const std::string& bridge);
    result<const std::vector<ovs::bridge_row>*> read_rows();
    result<void> cut_denied(const std::string& bridge, const std::vector<ovs::flow>& gone, const std::vector<ovs::bridge_row>&);
    result<void> put_kept_flows(const std::string& bridge, const std::vector<ovs::flow>&, const std::vector<ovs::bridge_row>&);
    result<void> put_flows(const std::string& bridge, ovs::flow_change, const std::vector<ovs::bridge_row>&);

    std::string rundir_;
    std::vector<ovs::refused_flow> refused_;
    std::set<std::string> made_;  // bridges of this run that have had no flows from it yet
    std::map<std::string, std::vector<ovs::flow>> kept_flows_;  // of bridges that this run removed
    std::optional<std::vector<ovs::bridge_row>> seen_;          // as read after the last transaction
    std::optional<error> silent_;                               // what a daemon that did not answer in time was asked for
    bool no_database_ = false;                                  // it was the database
};

}  // namespace weft::apply
