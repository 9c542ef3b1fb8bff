// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "model/marks.hpp"

#include <algorithm>

namespace weft {

bool is_ours(const link& l, const std::string& fabric) {
    // The alias follows the message that makes the link; one that has none yet is of a run that was cut short between the two.
    return l.group == weft_link_group && (l.alias.empty() || l.alias.starts_with("weft:" + fabric + "/"));
}

bool is_ours(const ovs::string_map& external_ids, const std::string& fabric) {
    const auto at = external_ids.find(ovs::mark_fabric);
    return at != external_ids.end() && at->second == fabric;
}

bool is_ours(const ovs::flow& f) {
    return (f.cookie & ovs::cookie_mask) == ovs::cookie_prefix && f.cookie != ovs::learned_cookie;
}

namespace_state ours_in(const namespace_state& seen, const std::string& fabric) {
    namespace_state ours = seen;
    std::erase_if(ours.links, [&](const link& l) { return !is_ours(l, fabric) && (l.name != "lo" || seen.name.empty()); });
    const auto another = [](const auto& one) { return one.protocol != weft_protocol; };
    std::erase_if(ours.addresses, another);
    std::erase_if(ours.nexthops, another);
    std::erase_if(ours.routes, another);
    std::erase_if(ours.rules, another);
    std::erase_if(ours.neighbours, another);
    std::erase_if(ours.tables, [](const nft::table& t) { return !t.marked; });
    return ours;
}

host_state ours_in(const host_state& seen, const std::string& fabric) {
    host_state ours;
    ours.fabric = fabric;
    for (const auto& n : seen.namespaces) {
        ours.namespaces.push_back(ours_in(n, fabric));
        // Which value of a setting was there before is not weft's doing; only a step says so.
        if (n.name.empty()) ours.namespaces.back().sysctls.clear();
    }
    for (const auto& b : seen.bridges) {
        if (!is_ours(b.external_ids, fabric)) continue;
        ours.bridges.push_back(b);
        std::erase_if(ours.bridges.back().ports, [&](const ovs::port_row& p) { return !is_ours(p.external_ids, fabric); });
        if (const auto flows = seen.flows.find(b.name); flows != seen.flows.end())
            std::copy_if(flows->second.begin(), flows->second.end(), std::back_inserter(ours.flows[b.name]), [](const ovs::flow& f) { return is_ours(f); });
    }
    ours.services = seen.services;
    return ours;
}

}  // namespace weft
