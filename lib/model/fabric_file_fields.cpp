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
};
constexpr field overlay_fields[] = {
    {"type", kind::choice, false, "gre|vxlan|geneve", nullptr, "encapsulation of tenant networks"},
    {"ids",  kind::range,  false, {},                 nullptr, "FIRST-LAST: pool of tunnel ids"},
};
constexpr field nic_fields[] = {
    {"network", kind::name,    true,  {}, nullptr, "an underlay network"},
    {"address", kind::address, false, {}, nullptr, "this node's address on it; absent for the uplink of br-ex"},
    {"mac",     kind::mac,     false, {}, nullptr, "match the NIC by its MAC instead of its name"},
    {"path",    kind::text,    false, {}, nullptr, "match the NIC by its bus path"},
    {"driver",  kind::text,    false, {}, nullptr, "match the NIC by its driver"},
};
constexpr field node_fields[] = {
    {"roles", kind::roles,   true, role_names, nullptr, "what this node is"},
    {"nics",  kind::objects, true, {},         &nic,    "by interface name"},
};
constexpr field tenant_network_fields[] = {
    {"cidr",    kind::prefix,    true,  {},             nullptr, "the subnet, without host bits; tenants may overlap"},
    {"dns",     kind::addresses, false, {},             nullptr, "name servers that VMs are told of"},
    {"gateway", kind::address,   false, {},             nullptr, "the router's address; default the first host"},
    {"id",      kind::integer,   false, "1-4294967295", nullptr, "tunnel id; from overlay.ids if absent"},
    {"mtu",     kind::integer,   false, "576-65535",    nullptr, "what the overlay leaves if absent"},
};
constexpr field router_fields[] = {
    {"external", kind::name,    false, {}, nullptr, "the underlay network that it leads to"},
    {"networks", kind::names,   true,  {}, nullptr, "networks of the same tenant"},
    {"address",  kind::address, false, {}, nullptr, "on the external network; from its floating range if absent"},
};
constexpr field security_rule_fields[] = {
    {"protocol", kind::text, false, {}, nullptr, "icmp, tcp, udp or a number; any if absent"},
    {"ports",    kind::text, false, {}, nullptr, "22 or 8000-8080"},
    {"remote",   kind::text, false, {}, nullptr, "a CIDR or a security group"},
};
constexpr field security_group_fields[] = {
    {"ingress", kind::list, false, {}, &security_rule, "what may reach the port"},
    {"egress",  kind::list, false, {}, &security_rule, "what may leave it"},
};
constexpr field tenant_port_fields[] = {
    {"node",            kind::name,     true,  {}, nullptr, "the compute node of the VM"},
    {"network",         kind::name,     true,  {}, nullptr, "a network of the same tenant"},
    {"address",         kind::address,  false, {}, nullptr, "fixed address; from the subnet if absent"},
    {"mac",             kind::mac,      false, {}, nullptr, "computed if absent"},
    {"floating",        kind::floating, false, {}, nullptr, "an address of the floating range, or auto"},
    {"security-groups", kind::names,    false, {}, nullptr, "security groups of the same tenant"},
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
    {"via",      kind::text,    false, {},                  nullptr, "an underlay network, floating or fixed"},
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
};
constexpr field lab_host_fields[] = {
    {"network", kind::name,    true, {}, nullptr, "an underlay network, or internet"},
    {"address", kind::address, true, {}, nullptr, "its address there"},
};
constexpr field lab_fields[] = {
    {"router", kind::object,  false, {}, &lab_router, "the router of the LAN"},
    {"hosts",  kind::objects, false, {}, &lab_host,   "hosts outside the fabric, by name"},
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
                 nic = nic_fields, tenant = tenant_fields, tenant_network = tenant_network_fields,
                 router = router_fields, security_group = security_group_fields, security_rule = security_rule_fields,
                 tenant_port = tenant_port_fields, expectation = expectation_fields, check = check_fields,
                 lab = lab_fields, lab_router = lab_router_fields, lab_host = lab_host_fields, check_list = {};

}  // namespace weft::fields
