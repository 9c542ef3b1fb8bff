// SPDX-License-Identifier: Apache-2.0
// The fabric: what a fabric file says, as values. After allocate() no optional that the file may leave open is empty.
// Maps keep name order, which is also the order of allocation. Longer than the guide, because every key of the file is in this
// one place. May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace weft {

// Where a value stands in the fabric file; line and column count from 1, 0 = not from a file.
struct source_place {
    int line = 0, column = 0;
    friend bool operator==(const source_place&, const source_place&) { return true; }  // never part of the value
};

// Where every value of a fabric file stands, by the path that diagnostics use ("tenants.proj_one.ports.vm1.node"); a list's
// item also by its value ("nodes.network.roles[network]"). A map or list stands where its key does. Empty when built in code.
struct source_places {
    std::map<std::string, source_place> by_path;
    friend bool operator==(const source_places&, const source_places&) { return true; }  // never part of the value
};

enum class severity { error, warning };

// One fault of a fabric file: "grizzly.yaml:12:9: networks.external.floating: 10.0.0.1 is outside … (allowed: …)".
struct diagnostic {
    weft::severity severity = weft::severity::error;
    std::string file;
    source_place place;
    std::string path;     // "tenants.proj_one.ports.vm1.node"
    std::string value;    // the bad value
    std::string problem;  // what is wrong with it
    std::string allowed;  // what would be right
    std::string to_string() const;
};

struct address_range { ip_address first, last; friend bool operator==(const address_range&, const address_range&) = default; };

struct underlay_network {
    ip_prefix cidr;
    std::uint32_t mtu = 1500;
    std::optional<ip_address> gateway;
    std::optional<address_range> floating;
    std::string segment;  // networks of one segment share a switch without VLANs between them; "" = one of its own
    std::optional<ip_prefix> cidr6;       // the IPv6 subnet beside `cidr`
    std::optional<ip_address> gateway6;   // its router
    std::optional<address_range> floating6;  // pool of routers' and floating IPv6 addresses
    source_place place;
    friend bool operator==(const underlay_network&, const underlay_network&) = default;
};

struct overlay_options {
    std::string type = "gre";  // gre, vxlan, geneve; vlan: 802.1Q on the wire, of CloudStack hosts only
    std::string profile = "default";  // default: Neutron's tables since Juno; grizzly: the one table of OpenStack Grizzly
    std::uint32_t first_id = 1, last_id = 1000;
    std::string endpoints;     // ipv4, ipv6: which addresses of vm-config the tunnels run between; "" = those of its `cidr`
    source_place place;
    friend bool operator==(const overlay_options&, const overlay_options&) = default;
};

struct nic {
    std::string network;
    std::optional<ip_address> address;
    std::optional<mac_address> match_mac;
    std::string match_path, match_driver;
    std::optional<ip_address> address6;  // beside `address`, of the network's cidr6
    source_place place;
    friend bool operator==(const nic&, const nic&) = default;
};

// One who may come in. The secret half of its key is its own; we never see it.
struct vpn_peer {
    std::string public_key, public_key_file;  // base64, or where that stands; one of the two
    ip_address address;                       // of the pool
    std::string endpoint;                     // "ADDRESS:PORT" where it is always found; "" = it comes from anywhere, and roams
    std::uint16_t keepalive = 0;              // seconds; 0 = off
    std::string preshared_key_file;           // "" = none
    source_place place;
    friend bool operator==(const vpn_peer&, const vpn_peer&) = default;
};

// The gateway by which hosts of the Internet reach the external network: WireGuard.
struct vpn_gateway {
    std::string key_file;                     // of its private key, 0600
    std::uint16_t port = 51820;               // UDP
    ip_prefix pool;                           // the clients' addresses; the gateway has its first one
    std::string return_path = "route";        // route: by an extra route of the routers; masquerade: behind the gateway's address
    bool fixed = false;                       // whether the VMs' fixed addresses are reached, too
    std::string endpoint;                     // "ADDRESS:PORT" that clients are told; "" = the lab's router, or unknown
    std::map<std::string, vpn_peer> peers;
    source_place place;
    friend bool operator==(const vpn_gateway&, const vpn_gateway&) = default;
};

struct node {
    std::set<std::string> roles;  // controller, network, compute, vpn-gateway, hypervisor
    std::map<std::string, nic> nics;
    std::string host;                                          // the hypervisor node that this one is a guest of
    std::map<std::string, std::vector<std::string>> bridges;   // a hypervisor's: name → its own NICs in it
    std::string profile;                                       // a hypervisor's: cloudstack, or "": nothing but the bridges
    std::optional<vpn_gateway> vpn;
    source_place place;
    friend bool operator==(const node&, const node&) = default;
};

// A way to somewhere else: an extra route of a router, or one that DHCP tells the VMs of.
struct static_route {
    ip_prefix to;
    ip_address via;
    source_place place;
    friend bool operator==(const static_route&, const static_route&) = default;
};

struct tenant_network {
    ip_prefix cidr;
    std::vector<ip_address> dns;
    std::optional<ip_address> gateway;     // default: the first host address
    std::optional<std::uint32_t> id;       // tunnel id
    std::optional<std::uint32_t> mtu;      // default: what the overlay leaves
    bool dhcp = true;
    std::optional<ip_address> dhcp_address;  // of the DHCP server's port
    std::vector<static_route> routes;        // told to the VMs (option 121)
    std::optional<ip_prefix> cidr6;          // the IPv6 subnet beside `cidr`
    std::optional<ip_address> gateway6;      // default: its first host address
    std::string ipv6 = "slaac";              // how VMs get their addresses of cidr6: slaac, stateful (DHCPv6), static
    std::optional<ip_address> dhcp_address6; // of what announces cidr6 where no router does
    source_place place;
    friend bool operator==(const tenant_network&, const tenant_network&) = default;
};

// Where a router takes requests to 169.254.169.254, port 80.
struct metadata_endpoint {
    ip_address address;
    std::uint16_t port = 0;
    friend bool operator==(const metadata_endpoint&, const metadata_endpoint&) = default;
};

struct router {
    std::string external;                    // an underlay network
    std::vector<std::string> networks;       // of the same tenant
    std::optional<ip_address> address;       // on the external network, from its floating range
    std::optional<ip_address> address6;      // there too, from its floating6 range
    std::vector<static_route> routes;        // beside the connected ones and the default
    bool snat = true;                        // tenant networks go out behind `address`
    std::optional<metadata_endpoint> metadata;
    source_place place;
    friend bool operator==(const router&, const router&) = default;
};

struct security_rule {
    std::string protocol;                    // "", icmp, icmpv6, tcp, udp, sctp, or a number
    std::string ports;                       // "22", "8000-8080"; of tcp, udp and sctp
    std::string remote;                      // a CIDR or a group's name
    std::optional<std::uint8_t> type, code;  // of icmp and icmpv6
    std::string family;                      // "" both, ipv4, ipv6
    source_place place;
    friend bool operator==(const security_rule&, const security_rule&) = default;
};
struct security_group {
    std::vector<security_rule> ingress;                // none: nothing may reach the port
    std::optional<std::vector<security_rule>> egress;  // unset: everything may leave it
    source_place place;
    friend bool operator==(const security_group&, const security_group&) = default;
};

// What a port may send from beside its own address; `mac` unset: the port's own.
struct address_pair {
    ip_prefix address;
    std::optional<mac_address> mac;
    source_place place;
    friend bool operator==(const address_pair&, const address_pair&) = default;
};

struct tenant_port {
    std::string node, network;
    std::optional<ip_address> address;
    std::optional<mac_address> mac;
    bool floating_auto = false;
    std::optional<ip_address> floating;
    std::vector<std::string> security_groups;
    bool port_security = true;                    // pinned to its addresses, and filtered by its groups
    std::vector<address_pair> allowed_addresses;
    std::string attach = "plugged";               // plugged: somebody else makes the device and the row; tap: we make both
    std::string user;                             // of a tap: who may open it, a name or a number; "" = root
    std::optional<ip_address> address6;           // of the network's cidr6; with slaac the one that the VM makes of its MAC
    bool floating6_auto = false;
    std::optional<ip_address> floating6;          // stands for address6 outside; without one, address6 itself is routed
    std::string vm_uuid;                          // of a tap: the VM's, as the hypervisor calls it; "" = one computed from the port's path
    source_place place;
    friend bool operator==(const tenant_port&, const tenant_port&) = default;
};

struct tenant {
    std::map<std::string, tenant_network> networks;
    std::map<std::string, router> routers;
    std::map<std::string, security_group> security_groups;
    std::map<std::string, tenant_port> ports;
    source_place place;
    friend bool operator==(const tenant&, const tenant&) = default;
};

// One row of the reachability matrix.
struct expectation {
    std::string from, to;        // a node, "tenant/port", a lab host
    std::string via;             // underlay network, "floating", "fixed", or ""
    std::string protocol = "icmp";  // icmp, tcp, udp
    std::uint16_t port = 0;
    bool reachable = true;
    // How the target is addressed; filled when the matrix is derived.
    std::optional<ip_address> address;
    // A hostile static route planted at the source for this row: towards `address`, through this neighbour.
    std::optional<ip_address> planted_gateway;
    std::string why;             // one line for the reader
    source_place place;
    friend bool operator==(const expectation&, const expectation&) = default;
};

struct check { std::string kind; ip_address target; std::uint16_t port = 0; bool full_mtu = false; source_place place;
    friend bool operator==(const check&, const check&) = default; };

struct lab_host { std::string network; ip_address address; std::string vpn; /* the peer it comes in as */ std::optional<ip_address> address6; source_place place; friend bool operator==(const lab_host&, const lab_host&) = default; };
struct lab_options {
    std::string router_lan;                 // underlay network behind the lab's router; "" = no router
    std::optional<ip_prefix> internet;      // the small Internet behind it; the router has its first host address
    std::optional<ip_prefix> internet6;     // its IPv6 subnet; there, too, the router has the first host address
    std::map<std::string, lab_host> hosts;  // network is an underlay network or "internet"
    bool static_addresses = false;          // VMs are given their addresses instead of asking DHCP for them
    friend bool operator==(const lab_options&, const lab_options&) = default;
};

struct fabric {
    std::string name;
    std::map<std::string, underlay_network> networks;
    overlay_options overlay;
    std::map<std::string, node> nodes;
    std::map<std::string, tenant> tenants;
    std::vector<expectation> expectations;
    std::map<std::string, std::vector<check>> checks;  // by node
    lab_options lab;
    std::string file;                                  // where it was read from; "" when built in code
    source_places places;
    friend bool operator==(const fabric&, const fabric&) = default;
};

// What only the host knows and compile needs. Read by observe.
struct host_facts {
    std::string datapath = "netdev";                       // "system" where the openvswitch module is, else "netdev"
    std::map<std::string, mac_address> nic_macs;           // by NIC name
    std::map<std::string, std::uint16_t> local_vlans;      // "tenant/network" → remembered local VLAN
    std::map<std::string, std::string> present_ports;      // iface-id (UUID text) → name of the OVS port that carries it
    std::set<std::string> plugged_ports;                   // OVS ports of br-int with an iface-id that weft did not make; those above are among them
    std::map<std::string, std::uint32_t> users;            // user name → id, of those that the node's taps are for
    bool kernel_wireguard = true;                          // else wireguard-go serves
    std::map<std::string, std::string> public_keys;        // key file → public key, base64
    std::map<std::string, std::string> preshared_keys;     // key file → fingerprint
    friend bool operator==(const host_facts&, const host_facts&) = default;
};

// The id of a tap's user where the file gives a number, 0 where it gives none; nothing for a name.
std::optional<std::uint32_t> numeric_user(const std::string& user);

// UUIDv5 of an object's path in the fabric ("grizzly/proj_one/ports/vm1"), so that every node computes the same one.
std::string object_uuid(const std::string& fabric, const std::string& path);
// prefix + the first 11 characters of the UUID: "tap", "qr-", "qg-" (names of 14 bytes, as Neutron makes them).
std::string device_name(const std::string& prefix, const std::string& uuid);
// Locally administered unicast MAC from the SHA-1 of the path: 02:…
mac_address object_mac(const std::string& fabric, const std::string& path);
// A port in the registers and cookies of br-int's flows: the first 32 bits of its UUID.
std::uint32_t port_register(const std::string& fabric, const std::string& path);

}  // namespace weft
