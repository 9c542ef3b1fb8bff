// SPDX-License-Identifier: Apache-2.0
// The one list of every value's fields (Boost.Describe). JSON, printing and comparison are driven by it, so that a field is
// written down once. May include: core, model, Boost.Describe.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/plan.hpp"

#include <boost/describe.hpp>

namespace weft {

BOOST_DESCRIBE_STRUCT(physical_options, (), (kind))
BOOST_DESCRIBE_STRUCT(bridge_options, (), (stp, forward_delay, ageing_time, vlan_filtering, mcast_snooping))
BOOST_DESCRIBE_STRUCT(veth_options, (), (peer, peer_namespace, peer_mac, peer_mtu))
BOOST_DESCRIBE_STRUCT(vxlan_options, (), (id, local, remote, port, ttl, learning, device))
BOOST_DESCRIBE_STRUCT(gretap_options, (), (local, remote, key, ttl))
BOOST_DESCRIBE_STRUCT(geneve_options, (), (id, remote, port, ttl))
BOOST_DESCRIBE_STRUCT(vlan_options, (), (id, device))
BOOST_DESCRIBE_STRUCT(dummy_options, (), ())
BOOST_DESCRIBE_STRUCT(bond_options, (), (mode, miimon))
BOOST_DESCRIBE_STRUCT(macvlan_options, (), (device, mode))
BOOST_DESCRIBE_STRUCT(vrf_options, (), (table))
BOOST_DESCRIBE_STRUCT(ifb_options, (), ())
BOOST_DESCRIBE_STRUCT(wireguard_peer, (), (public_key, endpoint, allowed, keepalive, preshared, preshared_file))
BOOST_DESCRIBE_STRUCT(wireguard_options, (), (public_key, key_file, port, peers, userspace))
BOOST_DESCRIBE_STRUCT(tun_options, (), (tap, owner, group, multi_queue))
BOOST_DESCRIBE_STRUCT(link, (), (name, options, mac, mtu, group, master, alias, up, promiscuous, features, index, carrier,
                                 peer_namespace_id, link_index))
BOOST_DESCRIBE_STRUCT(address_entry, (), (device, address, scope, broadcast, protocol, flags, peer, label, metric, passing))
BOOST_DESCRIBE_STRUCT(nexthop, (), (gateway, device, weight, onlink, rest))
BOOST_DESCRIBE_STRUCT(route, (), (destination, table, metric, scope, type, protocol, preferred_source, nexthop_id, nexthops, mtu,
                                  tos, rest, passing))
BOOST_DESCRIBE_STRUCT(nexthop_object, (), (id, hop, group, v6, protocol))
BOOST_DESCRIBE_STRUCT(rule, (), (v6, priority, from, to, input_device, output_device, fwmark, fwmask, table, action,
                                 suppress_prefix_length, invert, tos, rest, protocol))
BOOST_DESCRIBE_STRUCT(neighbour, (), (device, address, mac, state, flags, fdb, protocol))
BOOST_DESCRIBE_STRUCT(namespace_state, (), (name, links, addresses, nexthops, routes, rules, neighbours, sysctls, tables))
BOOST_DESCRIBE_STRUCT(service_file, (), (text, reloadable))
BOOST_DESCRIBE_STRUCT(service, (), (name, kind, space, argv, files, listens_in, ready))
BOOST_DESCRIBE_STRUCT(quarantined_port, (), (port, reason))
BOOST_DESCRIBE_STRUCT(host_check, (), (kind, target, port, space, device, full_mtu, mtu))
BOOST_DESCRIBE_STRUCT(moved_object, (), (nic, bridge, what, was))
BOOST_DESCRIBE_STRUCT(host_state, (), (fabric, node, namespaces, bridges, flows, services, pending, quarantined, checks, moved, foreign_namespaces))
BOOST_DESCRIBE_STRUCT(namespace_object, (), (name, contents))
BOOST_DESCRIBE_STRUCT(sysctl_object, (), (key, value))

namespace nft {
BOOST_DESCRIBE_STRUCT(expression, (), (name, numbers, data, text))
BOOST_DESCRIBE_STRUCT(rule, (), (expressions, comment))
BOOST_DESCRIBE_STRUCT(chain, (), (name, type, hook, priority, policy, devices, rules))
BOOST_DESCRIBE_STRUCT(table, (), (family, name, chains))
}  // namespace nft

namespace ovs {
BOOST_DESCRIBE_STRUCT(interface_row, (), (name, type, options, external_ids, mac, mtu_request, ofport_request, ofport, error))
BOOST_DESCRIBE_STRUCT(port_row, (), (name, tag, trunks, vlan_mode, other_config, external_ids, interfaces))
BOOST_DESCRIBE_STRUCT(bridge_row, (), (name, datapath_type, fail_mode, protocols, other_config, mtu_request, external_ids, ports, controllers))
BOOST_DESCRIBE_STRUCT(flow, (), (cookie, table, priority, idle_timeout, hard_timeout, match, actions))
}  // namespace ovs

BOOST_DESCRIBE_STRUCT(address_range, (), (first, last))
BOOST_DESCRIBE_STRUCT(underlay_network, (), (cidr, mtu, gateway, floating, segment, cidr6, gateway6, floating6))
BOOST_DESCRIBE_STRUCT(overlay_options, (), (type, profile, first_id, last_id, endpoints))
BOOST_DESCRIBE_STRUCT(nic, (), (network, address, match_mac, match_path, match_driver, address6))
BOOST_DESCRIBE_STRUCT(vpn_peer, (), (public_key, public_key_file, address, endpoint, keepalive, preshared_key_file))
BOOST_DESCRIBE_STRUCT(vpn_gateway, (), (key_file, port, pool, return_path, fixed, endpoint, peers))
BOOST_DESCRIBE_STRUCT(node, (), (roles, nics, host, bridges, profile, vpn))
BOOST_DESCRIBE_STRUCT(static_route, (), (to, via))
BOOST_DESCRIBE_STRUCT(tenant_network, (), (cidr, dns, gateway, id, mtu, dhcp, dhcp_address, routes, cidr6, gateway6, ipv6, dhcp_address6))
BOOST_DESCRIBE_STRUCT(metadata_endpoint, (), (address, port))
BOOST_DESCRIBE_STRUCT(router, (), (external, networks, address, address6, routes, snat, metadata))
BOOST_DESCRIBE_STRUCT(security_rule, (), (protocol, ports, remote, type, code, family))
BOOST_DESCRIBE_STRUCT(security_group, (), (ingress, egress))
BOOST_DESCRIBE_STRUCT(address_pair, (), (address, mac))
BOOST_DESCRIBE_STRUCT(tenant_port, (), (node, network, address, mac, floating_auto, floating, security_groups, port_security,
                                        allowed_addresses, attach, user, address6, floating6_auto, floating6, vm_uuid))
BOOST_DESCRIBE_STRUCT(tenant, (), (networks, routers, security_groups, ports))
BOOST_DESCRIBE_STRUCT(expectation, (), (from, to, via, protocol, port, reachable, address, planted_gateway, why))
BOOST_DESCRIBE_STRUCT(check, (), (kind, target, port, full_mtu))
BOOST_DESCRIBE_STRUCT(lab_host, (), (network, address, vpn, address6))
BOOST_DESCRIBE_STRUCT(lab_options, (), (router_lan, internet, hosts, static_addresses))
BOOST_DESCRIBE_STRUCT(fabric, (), (name, networks, overlay, nodes, tenants, expectations, checks, lab, file))

}  // namespace weft
