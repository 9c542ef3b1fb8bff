// SPDX-License-Identifier: Apache-2.0
// The ordered steps from one host_state to another. A step holds the object before and after, so that its inverse is itself
// turned round. Pure. May include: core, model.
#pragma once

#include "weft/model/host_state.hpp"

#include <optional>
#include <variant>

namespace weft {

// In a step that removes a namespace, `contents` is what weft had made in it, which goes with it and comes back with it.
struct namespace_object {
    std::string name;
    std::optional<namespace_state> contents;
    friend bool operator==(const namespace_object&, const namespace_object&) = default;
};
struct sysctl_object { std::string key, value; friend bool operator==(const sysctl_object&, const sysctl_object&) = default; };

using state_object = std::variant<namespace_object, sysctl_object, link, address_entry, nexthop_object, route, rule, neighbour,
                                  nft::table, ovs::bridge_row, ovs::port_row, ovs::flow, service>;

enum class step_kind { create, change, remove };

struct step {
    std::string scope;                    // a namespace's name (a service's: the one it runs in), or for ports and flows the bridge's
    std::optional<state_object> before, after;
    std::string bounces;                  // the link that loses traffic for a moment, and why; "" = none
    std::string no_inverse = {};          // what an undo, or a later removal, does not bring back; "" = nothing, all comes back

    step_kind kind() const { return !before ? step_kind::create : !after ? step_kind::remove : step_kind::change; }
    step inverse() const { return {scope, after, before, bounces, no_inverse}; }
    std::string object_kind() const;      // "link", "route", "flow", …
    std::string object_name() const;
    std::string to_string() const;        // one line for people
    std::vector<std::string> details() const;  // for people too, where a line cannot hold it: which nft rules go and come
};

struct plan {
    std::string fabric, node;
    std::vector<step> steps;              // in the order of execution
    std::vector<std::string> pending;
    std::vector<quarantined_port> quarantined;
    std::vector<moved_object> taken, given_back;  // to be remembered with this plan, and to be forgotten
    bool empty() const { return steps.empty(); }
};

// Only what `wanted` names, or what bears our mark in `seen`, takes part; flows must be canonical on both sides.
// Errors: foreign_object where a wanted name is taken by an object without our mark; with `others` each of these stands there instead, and
// the plan does nothing to such an object, nor to what is on a link or bridge of others.
result<plan> diff(const host_state& seen, const host_state& wanted, std::vector<error>* others = nullptr);

}  // namespace weft
