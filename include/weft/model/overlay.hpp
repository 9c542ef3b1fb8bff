// SPDX-License-Identifier: Apache-2.0
// What the overlay costs: the bytes that encapsulation adds to a tenant's packet, and the MTU that is left. Sources of
// the numbers: RFC 2784 and 2890 (GRE with key), RFC 7348 (VXLAN), RFC 8926 (Geneve without options). May include:
// core, model.
#pragma once

#include "weft/model/fabric.hpp"

namespace weft {

// The underlay networks that the fabric file's roles know by name; every other one is external.
inline constexpr const char* management_network = "management";
inline constexpr const char* tunnel_network = "vm-config";

// Whether the fabric's nodes speak as those of OpenStack Grizzly did: one table, and the sender's VLAN tag in the tunnel.
bool is_grizzly(const overlay_options&);
// Bytes from the outer IP header to the end of the inner Ethernet header: gre 42, vxlan and geneve 50; 20 more over
// IPv6, and 4 more for the tag in the tunnel of profile grizzly.
std::uint32_t overlay_overhead(const overlay_options&, bool v6_underlay);
// Whether the tunnels run between IPv6 addresses: what overlay.endpoints says, else the family of vm-config's cidr.
bool tunnels_over_ipv6(const fabric&);
// MTU of a tenant network: what the file says, else what the overlay leaves of vm-config's MTU. 0: no such network.
std::uint32_t network_mtu(const fabric&, const std::string& tenant, const std::string& network);

}  // namespace weft
