// SPDX-License-Identifier: Apache-2.0
// Answers to the questions of underlay.hpp. Pure, cannot fail.
#include "weft/model/underlay.hpp"

#include "weft/model/overlay.hpp"

#include <algorithm>

namespace weft {

std::string segment_of(const fabric& f, const std::string& network) {
    const auto found = f.networks.find(network);
    return found == f.networks.end() || found->second.segment.empty() ? network : found->second.segment;
}

std::uint32_t segment_mtu(const fabric& f, const std::string& segment) {
    std::uint32_t mtu = 0;
    for (const auto& [name, network] : f.networks)
        if (segment_of(f, name) == segment) mtu = std::max(mtu, network.mtu);
    return mtu;
}

std::string bridge_for(const fabric& f, const node& hypervisor, const std::string& network) {
    for (const auto& [bridge, nics] : hypervisor.bridges)
        for (const auto& name : nics)
            if (const auto nic = hypervisor.nics.find(name);
                nic != hypervisor.nics.end() && segment_of(f, nic->second.network) == segment_of(f, network))
                return bridge;
    return {};
}

std::string bridge_over_nic(const node& hypervisor, const std::string& nic) {
    for (const auto& [bridge, nics] : hypervisor.bridges)
        if (std::find(nics.begin(), nics.end(), nic) != nics.end()) return bridge;
    return {};
}

bool is_cloudstack(const node& n) { return n.roles.contains("hypervisor") && n.profile == "cloudstack"; }

guest_devices guest_devices_of(const fabric& f, const node& n, std::uint32_t id) {
    for (const auto& [bridge, nics] : n.bridges)
        for (const auto& name : nics) {
            const auto nic = n.nics.find(name);
            if (nic == n.nics.end() || nic->second.network != tunnel_network) continue;
            const auto number = std::to_string(id);
            if (f.overlay.type == "vlan") return {"br" + name + "-" + number, name + "." + number, name};
            return {"brvx-" + number, "vxlan" + number, bridge};
        }
    return {};
}

}  // namespace weft
