// SPDX-License-Identifier: Apache-2.0
// The fabric file's keys, one table per object. Data only; see fabric_file_fields.hpp.
#include "model/fabric_file_fields.hpp"

namespace weft::fields {
namespace {

// clang-format off: tables, aligned by hand.
constexpr field underlay_fields[] = {
    {"cidr",     kind::prefix,  true,  {},         nullptr, "the subnet, without host bits"},
    {"mtu",      kind::integer, false, "576-65535", nullptr, "bytes of an IP packet; 1500 if absent"},
    {"gateway",  kind::address, false, {},         nullptr, "the router of the subnet, default route of nodes on it"},
    {"floating", kind::range,   false, {},         nullptr, "FIRST-LAST: pool of router and floating addresses"},
    {"segment",  kind::name,    false, {},         nullptr, "networks that name the same one share a switch; its own if absent"},
    {"cidr6",    kind::prefix,  false, {},         nullptr, "the IPv6 subnet beside cidr"},
    {"gateway6", kind::address, false, {},         nullptr, "the router of cidr6, IPv6 default route of nodes on it"},
    {"floating6", kind::range,  false, {},         nullptr, "FIRST-LAST: pool of IPv6 router and floating addresses"},
};
constexpr field overlay_fields[] = {
    {"type",    kind::choice, false, "gre|vxlan|geneve|vlan", nullptr, "encapsulation of tenant networks"},
    {"profile", kind::choice, false, "default|grizzly",  nullptr, "pipeline: Neutron's since Juno, or the single table of OpenStack Grizzly"},
    {"ids",     kind::range,  false, {},                 nullptr, "FIRST-LAST: pool of tunnel ids"},
    {"endpoints", kind::choice, false, "ipv4|ipv6",      nullptr, "the addresses of vm-config that tunnels run between; those of its cidr if absent"},
};
constexpr field nic_fields[] = {
    {"network", kind::name,    true,  {}, nullptr, "an underlay network"},
    {"address", kind::address, false, {}, nullptr, "this node's address on it; absent for the uplink of br-ex"},
    {"mac",     kind::mac,     false, {}, nullptr, "match the NIC by its MAC instead of its name"},
    {"path",    kind::text,    false, {}, nullptr, "match the NIC by its bus path"},
    {"driver",  kind::text,    false, {}, nullptr, "match the NIC by its driver"},
    {"address6", kind::address, false, {}, nullptr, "this node's IPv6 address on it, of cidr6; needs address"},
};
constexpr field vpn_peer_fields[] = {
    {"public-key",         kind::text,    false, {},        nullptr, "base64; or public-key-file"},
    {"public-key-file",    kind::text,    false, {},        nullptr, "a file with it, on the gateway"},
    {"address",            kind::address, true,  {},        nullptr, "of the pool"},
    {"endpoint",           kind::text,    false, {},        nullptr, "ADDRESS:PORT where it is always found; anywhere if absent"},
    {"keepalive",          kind::integer, false, "1-65535", nullptr, "seconds; off if absent"},
    {"preshared-key-file", kind::text,    false, {},        nullptr, "a file with a key that both sides have, 0600"},
};
constexpr field vpn_fields[] = {
    {"key-file", kind::text,    true,  {},                 nullptr,   "the gateway's private key, 0600; weft vpn key makes one"},
    {"port",     kind::integer, false, "1-65535",          nullptr,   "UDP; 51820 if absent"},
    {"pool",     kind::prefix,  true,  {},                 nullptr,   "the clients' subnet; the gateway has its first address"},
    {"return",   kind::choice,  false, "route|masquerade", nullptr,   "how answers come back: by a route of the routers, or the gateway's address; route if absent"},
    {"fixed",    kind::boolean, false, {},                 nullptr,   "whether fixed addresses are reached, too; false if absent"},
    {"endpoint", kind::text,    false, {},                 nullptr,   "ADDRESS:PORT that clients are told"},
    {"peers",    kind::objects, false, {},                 &vpn_peer, "who may come in, by name"},
};
constexpr field node_fields[] = {
    {"roles", kind::roles,   true, role_names, nullptr, "what this node is"},
    {"nics",  kind::objects, true, {},         &nic,    "by interface name"},
    {"host",    kind::name,       false, {}, nullptr, "the hypervisor node that this one is a guest of"},
    {"bridges", kind::name_lists, false, {}, nullptr, "a hypervisor's bridges: name to the NICs in it"},
    {"profile", kind::choice,     false, "cloudstack", nullptr, "whose guest networks a hypervisor carries; nobody's if absent"},
    {"vpn",     kind::object,     false, {}, &vpn,    "of a vpn-gateway"},
};
constexpr field tenant_network_fields[] = {
    {"cidr",    kind::prefix,    true,  {},             nullptr, "the subnet, without host bits; tenants may overlap"},
    {"dns",     kind::addresses, false, {},             nullptr, "name servers that VMs are told of"},
    {"gateway", kind::address,   false, {},             nullptr, "the router's address; default the first host"},
    {"id",      kind::integer,   false, "1-4294967295", nullptr, "tunnel id; from overlay.ids if absent"},
    {"mtu",     kind::integer,   false, "576-65535",    nullptr, "what the overlay leaves if absent"},
    {"dhcp",    kind::boolean,   false, {},             nullptr, "whether the VMs are served by DHCP and DNS; true if absent"},
    {"dhcp-address", kind::address, false, {},          nullptr, "of the DHCP server; from the subnet if absent"},
    {"routes",  kind::list,      false, {},             &static_route, "told to the VMs by DHCP"},
    {"cidr6",    kind::prefix,   false, {},             nullptr, "the IPv6 subnet beside cidr; routed as it is"},
    {"gateway6", kind::address,  false, {},             nullptr, "the router's IPv6 address; default the first host"},
    {"ipv6",     kind::choice,   false, "slaac|stateful|static", nullptr, "how VMs get addresses of cidr6: by router advertisements, by DHCPv6, or by hand; slaac if absent"},
    {"dhcp-address6", kind::address, false, {},         nullptr, "of what announces cidr6 without a router; from cidr6 if absent"},
};
constexpr field static_route_fields[] = {
    {"to",  kind::prefix,  true, {}, nullptr, "where it leads"},
    {"via", kind::address, true, {}, nullptr, "the next hop"},
};
constexpr field metadata_endpoint_fields[] = {
    {"address", kind::address, true, {},        nullptr, "of the metadata service, as the node reaches it"},
    {"port",    kind::integer, true, "1-65535", nullptr, "TCP"},
};
constexpr field router_fields[] = {
    {"external", kind::name,    false, {}, nullptr, "the underlay network that it leads to"},
    {"networks", kind::names,   true,  {}, nullptr, "networks of the same tenant"},
    {"address",  kind::address, false, {}, nullptr, "on the external network; from its floating range if absent"},
    {"routes",   kind::list,    false, {}, &static_route, "extra routes"},
    {"address6", kind::address, false, {}, nullptr, "its IPv6 address there; from its floating6 range if absent"},
    {"snat",     kind::boolean, false, {}, nullptr, "whether tenant networks go out behind the router's address; true if absent"},
    {"metadata", kind::object,  false, {}, &metadata_endpoint, "where requests to 169.254.169.254 go"},
};
constexpr field security_rule_fields[] = {
    {"protocol", kind::text,    false, {},          nullptr, "icmp, icmpv6, tcp, udp, sctp or a number; any if absent"},
    {"ports",    kind::text,    false, {},          nullptr, "22 or 8000-8080; of tcp, udp and sctp"},
    {"remote",   kind::text,    false, {},          nullptr, "a CIDR or a security group; anybody if absent"},
    {"type",     kind::integer, false, "0-255",     nullptr, "of icmp and icmpv6"},
    {"code",     kind::integer, false, "0-255",     nullptr, "of icmp and icmpv6; needs a type"},
    {"family",   kind::choice,  false, "ipv4|ipv6", nullptr, "both if absent"},
};
constexpr field security_group_fields[] = {
    {"ingress", kind::list, false, {}, &security_rule, "what may reach the port; nothing if absent"},
    {"egress",  kind::list, false, {}, &security_rule, "what may leave it; everything if absent"},
};
constexpr field tenant_port_fields[] = {
    {"node",            kind::name,     true,  {}, nullptr, "the compute node of the VM"},
    {"network",         kind::name,     true,  {}, nullptr, "a network of the same tenant"},
    {"address",         kind::address,  false, {}, nullptr, "fixed address; from the subnet if absent"},
    {"mac",             kind::mac,      false, {}, nullptr, "computed if absent"},
    {"floating",        kind::floating, false, {}, nullptr, "an address of the floating range, or auto"},
    {"security-groups", kind::names,    false, {}, nullptr, "security groups of the same tenant"},
    {"port-security",   kind::boolean,  false, {}, nullptr, "whether the port is pinned and filtered; true if absent"},
    {"allowed-addresses", kind::list,   false, {}, &address_pair, "what it may send from beside its own address"},
    {"attach",          kind::choice,   false, "plugged|tap", nullptr, "who makes the device: the hypervisor (plugged) or weft"},
    {"user",            kind::text,     false, {}, nullptr, "who may open the tap: a name or a number; root if absent"},
    {"address6",        kind::address,  false, {}, nullptr, "fixed IPv6 address, of cidr6; from cidr6 if absent, with slaac made of the MAC"},
    {"floating6",       kind::floating, false, {}, nullptr, "an address of the floating6 range, or auto"},
    {"vm-uuid",         kind::text,     false, {}, nullptr, "of a tap: the UUID of its VM; computed if absent"},
};
constexpr field address_pair_fields[] = {
    {"address", kind::prefix, true,  {}, nullptr, "an address or a subnet"},
    {"mac",     kind::mac,    false, {}, nullptr, "the port's own if absent"},
};
constexpr field tenant_fields[] = {
    {"networks",        kind::objects, false, {}, &tenant_network, "by name"},
    {"routers",         kind::objects, false, {}, &router,         "by name"},
    {"security-groups", kind::objects, false, {}, &security_group, "by name"},
    {"ports",           kind::objects, false, {}, &tenant_port,    "VMs' ports, by name"},
};
constexpr field expectation_fields[] = {
    {"from",     kind::text,    true,  {},                  nullptr, "a node, a VM (tenant/port) or a lab host"},
    {"to",       kind::text,    true,  {},                  nullptr, "a node, a VM (tenant/port) or a lab host"},
    {"via",      kind::text,    false, {},                  nullptr, "an underlay network, floating or fixed; of IPv6 with /ipv6 behind it"},
    {"protocol", kind::choice,  false, "icmp|tcp|udp",      nullptr, "icmp if absent"},
    {"port",     kind::integer, false, "1-65535",           nullptr, "of tcp and udp"},
    {"expect",   kind::choice,  true,  "reachable|blocked", nullptr, "what must be seen"},
};
constexpr field check_fields[] = {
    {"ping", kind::address, false, {},        nullptr, "ICMP echo to this address"},
    {"arp",  kind::address, false, {},        nullptr, "ARP for this address"},
    {"tcp",  kind::address, false, {},        nullptr, "TCP connection to this address"},
    {"port", kind::integer, false, "1-65535", nullptr, "of tcp"},
    {"mtu",  kind::choice,  false, "full",    nullptr, "ping with full packets and DF"},
};
constexpr field lab_router_fields[] = {
    {"lan",      kind::name,   true,  {}, nullptr, "the underlay network behind the router"},
    {"internet", kind::prefix, false, {}, nullptr, "a small Internet behind it"},
    {"internet6", kind::prefix, false, {}, nullptr, "the IPv6 subnet of that Internet"},
};
constexpr field lab_host_fields[] = {
    {"network", kind::name,    true, {}, nullptr, "an underlay network, or internet"},
    {"address", kind::address, true, {}, nullptr, "its address there"},
    {"vpn",     kind::name,    false, {}, nullptr, "the peer of a vpn-gateway that it comes in as"},
    {"address6", kind::address, false, {}, nullptr, "its IPv6 address there, of cidr6 or internet6"},
};
constexpr field lab_fields[] = {
    {"router", kind::object,  false, {}, &lab_router, "the router of the LAN"},
    {"hosts",  kind::objects, false, {}, &lab_host,   "hosts outside the fabric, by name"},
    {"addresses", kind::choice, false, "dhcp|static", nullptr, "how VMs get theirs; dhcp if absent"},
};
constexpr field root_fields[] = {
    {"version",      kind::integer, true,  "1-1", nullptr,      "of this format"},
    {"name",         kind::name,    true,  {},    nullptr,      "of the fabric; part of every mark"},
    {"networks",     kind::objects, true,  {},    &underlay,    "underlay networks: management, vm-config, external"},
    {"overlay",      kind::object,  false, {},    &overlay,     "how tenant networks are carried"},
    {"nodes",        kind::objects, true,  {},    &node,        "machines, by name"},
    {"tenants",      kind::objects, false, {},    &tenant,      "by name"},
    {"expectations", kind::list,    false, {},    &expectation, "rows beside those that the roles imply"},
    {"checks",       kind::objects, false, {},    &check_list,  "must pass after a change, by node"},
    {"lab",          kind::object,  false, {},    &lab,         "the world outside, for labs only"},
};

// clang-format on

}  // namespace

// The members of `checks` are lists, not objects; the empty check_list stands for "a list of check".
const field_list root = root_fields, underlay = underlay_fields, overlay = overlay_fields, node = node_fields,
                 nic = nic_fields, vpn = vpn_fields, vpn_peer = vpn_peer_fields, tenant = tenant_fields, tenant_network = tenant_network_fields,
                 router = router_fields, security_group = security_group_fields, security_rule = security_rule_fields,
                 tenant_port = tenant_port_fields, static_route = static_route_fields,
                 metadata_endpoint = metadata_endpoint_fields, address_pair = address_pair_fields, expectation = expectation_fields, check = check_fields,
                 lab = lab_fields, lab_router = lab_router_fields, lab_host = lab_host_fields, check_list = {};

}  // namespace weft::fields
