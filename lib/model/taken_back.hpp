// SPDX-License-Identifier: Apache-2.0
// Taking steps back by what the host is now, not by what was done: it serves whether a step took effect, did so in part or
// never ran, and however often it is tried. Pure; private to the library. May include: core, model.
#pragma once

#include "weft/model/plan.hpp"

#include <set>

namespace weft {

// All objects that the steps name, on either side: what must be observed before they can be taken back.
host_state named_by(const std::vector<step>&, const std::string& fabric, const std::string& node);

// Of the steps of a plan those that may have had an effect once the ones that `begun` says were begun. A namespace that is yet to be removed
// is among them: what stood in it may have gone with the other ends of its links. So is an end of a veth pair that is yet to be removed, when
// the removal of the other was begun, and each setting of a device that may have gone. So are flows: those that no step has reached yet name
// ports by numbers, and a port that was plugged anew has another one.
std::vector<step> affected(const std::vector<step>&, const std::set<std::size_t>& begun);

// The plan from the host as it is to the host without these steps: what they made goes, what they removed comes, and of what they
// changed only that is put back which they changed. What somebody else did since to the same objects stays as far as that goes. `seen`
// must cover named_by(steps); `flows` are those of bridges that the steps removed, which went with them.
// An empty plan: nothing of the steps is left.
result<plan> take_back(const host_state& seen, const std::vector<step>& steps, const std::map<std::string, std::vector<ovs::flow>>& flows,
                       const std::string& fabric, const std::string& node);
// The same, but an object whose name others took since is left out, with what lies on it, and told: a line for each, behind those in `told`.
result<plan> take_back_beside_others(const host_state& seen, std::vector<step> steps, const std::map<std::string, std::vector<ovs::flow>>& flows,
                                     const std::string& fabric, const std::string& node, std::string& told);

// NIC and bridge of every port that a step plugs or unplugs: what had moved from the one to the other may go back with it, and what moved
// with no step of these stays where it is.
std::set<std::pair<std::string, std::string>> plugged_by(const std::vector<step>&);

// Whether it is of Open vSwitch's database or flows.
bool in_switch(const step&);
// The devices that an object of the kernel is, or lies on.
std::vector<std::string> devices_of(const step&);
// Steps as they can be taken back while Open vSwitch cannot be asked. What lies on a NIC that is a port in the kernel, or on its bridge, goes
// back with the port only: the host hears nothing on the NIC before. On one of a userspace bridge it does, and so goes back at once.
struct parts_of_undo {
    std::vector<step> kernel, rest;
    std::set<std::string> userspace;  // bridges
};
parts_of_undo without_switch(const std::vector<step>&, const std::vector<moved_object>& moved);

}  // namespace weft
