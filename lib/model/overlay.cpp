// SPDX-License-Identifier: Apache-2.0
// The overlay's overhead as numbers; see the header. Pure, cannot fail.
#include "weft/model/overlay.hpp"

namespace weft {

bool is_grizzly(const overlay_options& overlay) { return overlay.profile == "grizzly"; }

std::uint32_t overlay_overhead(const overlay_options& overlay, bool v6_underlay) {
    if (overlay.type == "vlan") return 0;  // the tag is beside what an MTU counts
    constexpr std::uint32_t inner_ethernet = 14, vlan_tag = 4, ipv4 = 20, ipv6 = 40, gre_with_key = 8, udp = 8, vxlan_or_geneve = 8;
    return (v6_underlay ? ipv6 : ipv4) + (overlay.type == "gre" ? gre_with_key : udp + vxlan_or_geneve) + inner_ethernet +
           (is_grizzly(overlay) ? vlan_tag : 0);
}

bool tunnels_over_ipv6(const fabric& f) {
    if (!f.overlay.endpoints.empty()) return f.overlay.endpoints == "ipv6";
    const auto underlay = f.networks.find(tunnel_network);
    return underlay != f.networks.end() && underlay->second.cidr.is_v6();
}

std::uint32_t network_mtu(const fabric& f, const std::string& tenant, const std::string& network) {
    const auto t = f.tenants.find(tenant);
    if (t == f.tenants.end()) return 0;
    const auto n = t->second.networks.find(network);
    if (n == t->second.networks.end()) return 0;
    if (n->second.mtu) return *n->second.mtu;
    const auto underlay = f.networks.find(tunnel_network);
    // Without an underlay nothing is encapsulated (an all-in-one): the tenant has a plain Ethernet MTU.
    if (underlay == f.networks.end()) return 1500;
    const auto overhead = overlay_overhead(f.overlay, tunnels_over_ipv6(f));
    return underlay->second.mtu > overhead ? underlay->second.mtu - overhead : 0;
}

}  // namespace weft
