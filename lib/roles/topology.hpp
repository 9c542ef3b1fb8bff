// SPDX-License-Identifier: Apache-2.0
// Questions that validate, allocate, compile and expectations all ask of a fabric: who hosts what, which paths and
// names objects have, which addresses are taken. Pure. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/overlay.hpp"

namespace weft::roles {

// Object paths, as UUIDs, MACs and marks are computed from: "proj_one/networks/net1".
std::string network_path(const std::string& tenant, const std::string& network);
std::string router_path(const std::string& tenant, const std::string& router);
std::string router_port_path(const std::string& tenant, const std::string& router, const std::string& network);
std::string gateway_port_path(const std::string& tenant, const std::string& router);
std::string dhcp_path(const std::string& tenant, const std::string& network);
std::string dhcp6_path(const std::string& tenant, const std::string& network);
std::string port_path(const std::string& tenant, const std::string& port);
std::string node_path(const std::string& node, const std::string& object);

// The UDP ports of tunnels by IANA's registry, and that of VXLAN in the Linux kernel, which CloudStack's modifyvxlan.sh leaves as it is.
inline constexpr std::uint16_t vxlan_port = 4789, geneve_port = 6081, linux_vxlan_port = 8472;

bool has_role(const node&, const std::string& role);
// Whether the node runs br-int and br-tun.
bool is_switch(const node&);
// The NIC of a node on an underlay network: one with an address first. Null if there is none.
const std::pair<const std::string, nic>* find_nic(const node&, const std::string& network);
// The node's address on an underlay network.
std::optional<ip_address> node_address(const node&, const std::string& network);
// Its IPv6 address there, whether it stands as `address` or as `address6`.
std::optional<ip_address> node_address6(const node&, const std::string& network);
// The subnets of an underlay network: its cidr, then its cidr6 if it has one.
std::vector<ip_prefix> subnets_of(const underlay_network&);
// What a NIC is addressed with, each with the length of its subnet.
std::vector<ip_prefix> addresses_of(const nic&, const underlay_network&);
bool is_external(const std::string& network);
// The NIC of a network node that the bridge of an external network takes as its port: one without an address first, so that
// a second NIC keeps the node's own leg there. Null if there is none.
const std::pair<const std::string, nic>* uplink_nic(const node&, const std::string& network);

// The node that holds the routers of an external network: the first network node in name order with a NIC on it. A
// router without an external network ("") lives on the first network node.
std::string router_node(const fabric&, const std::string& external);
// The node that serves a tenant network's DHCP: that of its router, else the first network node. "" where the network has
// none, and in a fabric without network nodes.
std::string dhcp_node(const fabric&, const tenant&, const std::string& network);
// The node that announces a tenant network's IPv6 subnet to its VMs: that of its router, else the one of its DHCP. "" where the
// VMs have their IPv6 addresses by hand, or the network has none.
std::string announcing_node(const fabric&, const tenant&, const std::string& network);
// Whether a network without a router needs an address for what announces its IPv6 subnet.
bool needs_dhcp_address6(const fabric&, const tenant&, const std::string& network);
// Whether a router leads IPv6 out: it has a network with it, and its external network has it too.
bool routes_ipv6(const fabric&, const tenant&, const router&);
// Tunnel endpoints of all nodes that switch, by node.
std::map<std::string, ip_address> tunnel_endpoints(const fabric&);
// Networks with a port, a router port or a DHCP port on this node, as "tenant/network".
std::set<std::string> hosted_networks(const fabric&, const std::string& node);
// The router of a tenant that serves this network; null if none.
const std::pair<const std::string, router>* router_of(const tenant&, const std::string& network);

// Addresses of an underlay network that nodes, its gateway and lab hosts hold.
std::set<ip_address> taken_addresses(const fabric&, const std::string& network);
ip_address first_host(const ip_prefix& cidr);
// The last address that a host may have (IPv4: the one before broadcast).
ip_address last_host(const ip_prefix& cidr);
// Whether a host of the subnet may have this address: inside, not the subnet's own nor its broadcast address.
bool is_host_address(const ip_prefix& cidr, const ip_address&);
// Where clouds answer for metadata, and the link-local block around it.
ip_address metadata_address();
ip_prefix link_local_prefix();
ip_prefix host_prefix(const ip_address&);
// The address that a host makes of its MAC in an IPv6 subnet of 64 bits (RFC 4291, appendix A), and the one of its link.
ip_address eui64(const ip_prefix& subnet, const mac_address&);
ip_address link_local6(const mac_address&);

// "tenant/port" for a full name or a unique short one; all candidates otherwise.
std::vector<std::string> find_ports(const fabric&, const std::string& name);
struct port_ref {
    const std::string* tenant_name = nullptr;
    const weft::tenant* tenant = nullptr;
    const tenant_port* port = nullptr;
};
port_ref resolve_port(const fabric&, const std::string& full_name);

}  // namespace weft::roles
