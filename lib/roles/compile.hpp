// SPDX-License-Identifier: Apache-2.0
// What the parts of compile share: the node that is compiled, its devices, and the state that grows. One part per
// concern: NICs and defence of the host (compile_host), switches and flows (compile_switch, compile_grizzly), routers (compile_router), their
// metadata proxies (compile_metadata), DHCP (compile_dhcp). Pure.
#pragma once

#include "roles/topology.hpp"
#include "weft/model/host_state.hpp"

namespace weft::roles {

// A NIC of the file with the device it is on this host, and the device that holds its address.
struct placed_nic {
    std::string key;     // in the fabric file
    std::string device;  // on the host: matched by MAC, else the key itself
    std::string holder;  // the device with the address: the NIC, or the bridge that it is a port of
    const weft::nic* nic = nullptr;
    const underlay_network* network = nullptr;
};

// Neutron's mark for what came in by qg-.
inline constexpr std::uint32_t from_outside_mark = 0x2, mark_mask = 0xffff;

// A VM's port that stands in br-int under this name.
struct bound_port {
    std::string tenant, name, device;
    const tenant_port* port = nullptr;
};

struct compilation {
    const fabric& f;
    const std::string& name;
    const weft::node& node;
    const host_facts& facts;
    std::vector<placed_nic> nics;
    std::map<std::string, std::uint16_t> vlans;  // "tenant/network" → local VLAN
    std::map<std::string, namespace_state> spaces;
    std::map<std::string, ovs::bridge_row> bridges;
    std::map<std::string, std::vector<ovs::flow>> flows;
    std::vector<std::string> pending;
    std::vector<quarantined_port> quarantined;
    std::vector<bound_port> bound;
    std::vector<service> services;
    std::set<std::string> guest_bridges;  // Linux bridges that only guests speak on
    std::set<std::string> guarded;  // system devices that are OVS ports: the host's stack must not see their frames

    bool netdev() const { return facts.datapath != "system"; }
    std::string alias(const std::string& object) const { return "weft:" + f.name + "/" + object; }
    ovs::string_map marks(const std::string& object) const {
        return {{ovs::mark_fabric, f.name}, {ovs::mark_object, object}};
    }
    namespace_state& space(const std::string& ns) {
        auto& s = spaces[ns];
        s.name = ns;
        return s;
    }
    const placed_nic* nic_on(const std::string& network) const;
    void add_flow(const std::string& bridge, std::uint8_t table, std::uint16_t priority, std::string match,
                  std::string actions, std::uint64_t cookie = ovs::flow_cookie);
    // A system device becomes an OVS port: with the netdev datapath the host's own stack would see its frames too.
    void guard(const std::string& device);
    void disable_ipv6(const std::string& device) {
        space("").sysctls["net/ipv6/conf/" + device + "/disable_ipv6"] = "1";
    }
    // The device has no other IPv6 address than those that the file gives it: no router's word is taken, and no link-local address
    // made, by which the segment's others would come in behind every rule.
    void ipv6_by_file_alone(const std::string& device);
    // The device of a port in a namespace of ours: the addresses of the file and the link-local one of its MAC, at once and told to all.
    void ipv6_of_port(const std::string& space, const std::string& device, const mac_address& mac, const std::vector<ip_prefix>& addresses);
    // The device of a NIC: IPv6 as the file has it, or none.
    void ipv6_of(const placed_nic& nic, const std::string& device) {
        has_ipv6(nic) ? ipv6_by_file_alone(device) : disable_ipv6(device);
    }
    static bool has_ipv6(const placed_nic& nic) {
        return nic.nic->address6 || (nic.nic->address && nic.nic->address->is_v6());
    }
};

// The bridge that holds the uplink of an external network on the router node, and the one under the tunnel endpoint.
std::string external_bridge(const fabric&, const std::string& network);
std::string underlay_bridge(const std::string& device);
std::string tunnel_port_name(const fabric&, const ip_address& remote);
// A port's name as ovs-ofctl takes it: quoted where it could be read as a number or break the syntax.
std::string flow_port(const std::string& name);
// The memory of a local VLAN in the Port row's other_config (Neutron's keys, and ours for the network).
ovs::string_map vlan_memory(const compilation&, const std::string& network);
// One veth pair: the switch's end in the host's namespace, the other in `space`. `network` is "" on an external bridge.
// Returns the name of the latter.
std::string plug(compilation&, const std::string& space, const std::string& path, const std::string& prefix, std::uint32_t mtu,
                 const std::string& bridge, const std::string& network);

void compile_nics(compilation&);     // links, addresses, routes of the NICs and of the bridges that take their place
void compile_defence(compilation&);  // sysctls and nft of the host's own namespace
void compile_switch(compilation&);   // br-int, br-tun, tunnels, plugged VM ports, flows
result<void> compile_taps(compilation&);      // the taps that weft makes for VMs
void compile_routers(compilation&);  // qrouter namespaces
void compile_firewall(compilation&);  // the gates of br-int's ports, anti-spoofing, security groups
void compile_grizzly(compilation&);  // instead of the firewall, in profile grizzly: all flows of br-int and br-tun
void compile_dhcp(compilation&);     // qdhcp namespaces and their dnsmasq
// What announces a network's IPv6 subnet from this device of a router's namespace, or of its own where no router leads out of it.
void announce_ipv6(compilation&, const std::string& tenant_name, const std::string& network, const std::string& space,
                   const std::string& device);

void compile_guest_bridges(compilation&);  // of a CloudStack host: cloud0, and a bridge for each guest network
result<void> compile_vpn(compilation&);  // the gateway's WireGuard link, and what it forwards; after compile_defence

void compile_checks(const compilation&, host_state&);  // what must not fail because of a change

// What a router's namespace needs beside IPv4: addresses, forwarding, ways out, its table, and announcements to its networks.
// `inside` is network → device; `outside` "" without an external network.
void compile_router6(compilation&, const std::string& tenant_name, const std::string& router_name, const std::string& space,
                     const std::string& outside, const std::map<std::string, std::string>& inside);

// What of 169.254.169.254 a router namespace takes in: TCP to port 80 of its inside, and nothing else.
nft::chain metadata_gate(const std::string& outside);
// The proxy of one router: it listens in the router's namespace and asks the endpoint from the host's own.
service metadata_proxy(const std::string& router_uuid, const std::string& space, const metadata_endpoint&,
                       const std::string& fabric);

}  // namespace weft::roles
