// SPDX-License-Identifier: Apache-2.0
// Takes out what bears a device's name. Pure.
#include "model/without_devices.hpp"

#include <algorithm>

namespace weft {

namespace_state without_devices(namespace_state s, const std::set<std::string>& names) {
    const auto on = [&](const auto& object) { return names.contains(object.device); };
    std::erase_if(s.addresses, on);
    std::erase_if(s.neighbours, on);
    std::erase_if(s.routes, [&](const route& r) { return std::any_of(r.nexthops.begin(), r.nexthops.end(), on); });
    std::erase_if(s.sysctls, [&](const auto& pair) {
        return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            return pair.first.starts_with("net/ipv4/conf/" + name + "/") ||
                   pair.first.starts_with("net/ipv6/conf/" + name + "/");
        });
    });
    for (auto& table : s.tables)
        for (auto& chain : table.chains)
            std::erase_if(chain.devices, [&](const std::string& name) { return names.contains(name); });
    return s;
}

}  // namespace weft
