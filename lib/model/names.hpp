// SPDX-License-Identifier: Apache-2.0
// By which names objects stand on each other, and are told from others of their kind. Pure; private to model. May include: core, model.
#pragma once

#include "weft/model/link.hpp"
#include "weft/model/route.hpp"

#include <string>
#include <variant>

namespace weft {

// A veth end outside the host's own namespace is made, and made again, by the message that makes the other end there.
inline bool made_with_its_peer(const std::string& scope, const link& l) {
    const auto* veth = std::get_if<veth_options>(&l.options);
    return veth != nullptr && !scope.empty() && veth->peer_namespace.empty();
}

// The link below one of this kind; "" where there is none.
inline std::string parent_of(const link_options& options) {
    if (const auto* vlan = std::get_if<vlan_options>(&options)) return vlan->device;
    if (const auto* macvlan = std::get_if<macvlan_options>(&options)) return macvlan->device;
    const auto* vxlan = std::get_if<vxlan_options>(&options);
    return vxlan != nullptr ? vxlan->device : "";
}

// A route by what tells it from others: its destination, and table and metric where they are not the usual ones.
inline std::string name_of(const route& r) {
    return r.destination.to_string() + (r.table == 254 ? "" : " table " + std::to_string(r.table)) + (r.metric == 0 ? "" : " metric " + std::to_string(r.metric)) +
           (r.tos == 0 ? "" : " tos " + std::to_string(r.tos));
}

}  // namespace weft
