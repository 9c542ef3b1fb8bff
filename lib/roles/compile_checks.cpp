// SPDX-License-Identifier: Apache-2.0
// The node's checks: where each probe is sent from, and how large a full packet is. A node without an address on the target's network
// asks from a router of its own that has a leg there, as the node itself has no way. Pure.
#include <algorithm>

#include "roles/compile.hpp"

namespace weft::roles {
namespace {

bool is_on(const placed_nic& nic, const ip_address& target) {
    if (!nic.network) return false;
    const auto subnets = subnets_of(*nic.network);
    return std::any_of(subnets.begin(), subnets.end(), [&](const ip_prefix& subnet) { return subnet.contains(target); });
}
bool has_address(const placed_nic& nic, const ip_address& target) {
    const auto& own = *nic.nic;
    return (own.address && own.address->is_v6() == target.is_v6()) || (own.address6 && target.is_v6());
}

// The NIC on the segment of the address, one with an address of its own first; null if the node has none there.
const placed_nic* nic_towards(const compilation& c, const ip_address& target) {
    const placed_nic* found = nullptr;
    for (const auto& nic : c.nics)
        if (is_on(nic, target) && (!found || (!has_address(*found, target) && has_address(nic, target)))) found = &nic;
    return found;
}

// The first of the node's routers, by name, with an address of the target's family on that network; "" if there is none.
std::string router_space(const compilation& c, const std::string& network, bool ipv6) {
    if (router_node(c.f, network) != c.name) return {};
    for (const auto& [tenant_name, tenant] : c.f.tenants)
        for (const auto& [name, router] : tenant.routers)
            if (router.external == network && (!ipv6 || router.address6)) return "qrouter-" + object_uuid(c.f.name, router_path(tenant_name, name));
    return {};
}

}  // namespace

void compile_checks(const compilation& c, host_state& state) {
    const auto at = c.f.checks.find(c.name);
    if (at == c.f.checks.end()) return;
    for (const auto& wanted : at->second) {
        host_check check{wanted.kind, wanted.target, wanted.port, "", "", wanted.full_mtu, 0};
        const auto* nic = nic_towards(c, wanted.target);
        if (nic && wanted.kind == "arp") check.device = nic->holder;  // an answer needs no address of its own
        else if (nic && !has_address(*nic, wanted.target)) check.space = router_space(c, nic->nic->network, wanted.target.is_v6());
        if (nic && wanted.full_mtu) check.mtu = nic->network->mtu;
        state.checks.push_back(std::move(check));
    }
}

}  // namespace weft::roles
