// SPDX-License-Identifier: Apache-2.0
// Implements quarantine.hpp: a flow's cookie says which port it serves, the marks of the rows say what that port is called. Pure.
#include "apply/quarantine.hpp"

#include "weft/model/fabric.hpp"

#include <algorithm>
#include <map>

namespace weft::apply {
namespace {

// "proj_one/vm1", for "proj_one/ports/vm1".
std::string short_name(std::string path) {
    if (const auto at = path.find("/ports/"); at != std::string::npos) path.erase(at, 6);
    return path;
}

std::map<std::uint64_t, std::string> ports_by_cookie(const host_state& s) {
    std::map<std::uint64_t, std::string> names;
    for (const auto& b : s.bridges)
        for (const auto& p : b.ports)
            if (const auto mark = p.external_ids.find(ovs::mark_object); mark != p.external_ids.end())
                names.emplace(ovs::port_cookie(port_register(s.fabric, mark->second)), short_name(mark->second));
    return names;
}

}  // namespace

bool quarantine(host_state& wanted, const std::vector<ovs::refused_flow>& refused) {
    const auto names = ports_by_cookie(wanted);
    std::map<std::uint64_t, std::string> reasons;  // the first for each port
    for (const auto& r : refused) {
        if (!ovs::is_port_cookie(r.flow.cookie) || !names.contains(r.flow.cookie)) return false;
        reasons.emplace(r.flow.cookie, r.why.message());
    }
    std::size_t erased = 0;
    for (auto& [bridge, flows] : wanted.flows) erased += std::erase_if(flows, [&](const auto& f) { return reasons.contains(f.cookie); });
    if (erased == 0) return false;
    for (const auto& [cookie, reason] : reasons) wanted.quarantined.push_back({names.at(cookie), reason});
    std::sort(wanted.quarantined.begin(), wanted.quarantined.end(), [](const auto& a, const auto& b) { return a.port < b.port; });
    return true;
}

}  // namespace weft::apply
