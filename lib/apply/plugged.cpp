// SPDX-License-Identifier: Apache-2.0
// Reads the announcements off the rows. Pure. May include: core, model.
#include "apply/plugged.hpp"

#include <algorithm>

namespace weft::apply {

std::vector<announced_port> announced_ports(const std::vector<ovs::bridge_row>& bridges) {
    std::vector<announced_port> out;
    for (const auto& b : bridges) {
        if (b.name != "br-int") continue;
        for (const auto& p : b.ports) {
            const bool by_others = p.other_config.contains(ovs::mark_bound);
            if (p.external_ids.contains(ovs::mark_fabric) && !by_others) continue;
            // One that is held on the dead VLAN (profile grizzly) carries no port, and must not be chosen before one that does.
            const bool bound = by_others && p.tag != ovs::dead_vlan;
            for (const auto& i : p.interfaces)
                if (const auto id = i.external_ids.find("iface-id"); id != i.external_ids.end())
                    out.push_back({p.name, id->second, bound, i.ofport != -1 && i.error.empty(), i.ofport, i.type});
        }
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::map<std::string, std::string> chosen_ports(const std::vector<announced_port>& all) {
    std::map<std::string, std::string> chosen;
    for (const bool bound : {true, false})
        for (const auto& p : all)
            if (p.open && p.bound == bound) chosen.emplace(p.iface_id, p.device);
    return chosen;
}

}  // namespace weft::apply
