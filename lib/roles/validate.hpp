// SPDX-License-Identifier: Apache-2.0
// The diagnostics that the parts of validate share: underlay and nodes, tenants, the rest. Pure. May include: core,
// model.
#pragma once

#include "roles/topology.hpp"

namespace weft::roles {

class findings {
public:
    findings(const fabric& f, const std::vector<diagnostic>& of_form) : f_(f), of_form_(of_form) {}
    // Whether the file has a fault of form at this path, above or below it: what is found there, or rests on it, only follows
    // from that fault. A finding at such a path is dropped.
    bool broken(const std::string& path) const;
    // The place is that of the value at `path` in the file, or of the item `value` if that is a list. `object` serves where
    // the file has no such value: an absent key, a fabric built in code.
    void error(source_place object, std::string path, std::string value, std::string problem, std::string allowed);
    void warning(source_place object, std::string path, std::string value, std::string problem,
                 std::string allowed = {});
    std::vector<diagnostic> take();  // with those of form; sorted by place, each fault once

private:
    void add(severity, source_place object, std::string path, std::string value, std::string problem,
             std::string allowed);
    const fabric& f_;
    const std::vector<diagnostic>& of_form_;
    std::vector<diagnostic> all_;
};

// "a, b, c" of a map's keys, for the list of what is allowed.
template <class Map>
std::string keys_of(const Map& map) {
    std::string out;
    for (const auto& [key, value] : map) out += (out.empty() ? "" : ", ") + key;
    return out.empty() ? "none is declared" : out;
}

// Who holds which address of one subnet; a second holder is a fault.
class address_book {
public:
    explicit address_book(findings& out) : out_(out) {}
    void claim(const ip_address&, source_place, const std::string& path);

private:
    findings& out_;
    std::map<ip_address, std::string> holders_;
};

inline constexpr std::uint32_t smallest_ipv4_mtu = 576, smallest_ipv6_mtu = 1280;
// A subnet that hosts can live in; false when it cannot, and further questions make no sense.
bool check_cidr(findings&, source_place, const std::string& path, const ip_prefix& cidr, const char* key = ".cidr");
// Whether no address of it is unspecified, loopback, multicast or reserved (RFC 6890, RFC 1112).
bool is_unicast(const ip_prefix&);
// Whether two subnets share addresses; one that is refused as /0 shares none, or it would be told at every other.
bool overlap(const ip_prefix&, const ip_prefix&);
void check_host(findings&, source_place, const std::string& path, const ip_prefix& cidr, const ip_address&);

// Whether it is an IPv6 subnet whose addresses are somebody's for good: neither link-local nor mapped from IPv4.
bool is_subnet6(const ip_prefix&);

// The highest id that the header of an overlay type can carry.
std::uint32_t highest_network_id(const std::string& overlay_type);

void validate_underlay(const fabric&, findings&);
void validate_underlay6(const fabric&, findings&);  // IPv6 subnets of the underlay, what has an address there, and where tunnels end
void validate_nodes(const fabric&, findings&);
void validate_hypervisors(const fabric&, findings&);  // shared segments, bridges, guests
void validate_cloudstack(const fabric&, findings&);   // hosts with profile cloudstack, and what cannot be on them
void validate_tenants(const fabric&, findings&);
void validate_tenants6(const fabric&, findings&);  // what tenants have of IPv6
// Security groups of a tenant, and what its ports say of them.
void validate_groups(const std::string& tenant_name, const tenant&, findings&);
// Extra routes, source NAT and metadata of a tenant's routers.
void validate_routers(const fabric&, const std::string& tenant_name, const tenant&, findings&);
void validate_node_bounds(const fabric&, findings&);  // what the ports of one node may ask of it together
// How the device of the port at `path` comes about.
void validate_attach(const std::string& path, const tenant_port&, findings&);
void validate_vpn(const fabric&, findings&);   // gateways, their peers, and the lab's clients
void validate_grizzly(const fabric&, findings&);  // what profile grizzly cannot do
void validate_rest(const fabric&, findings&);  // expectations, checks, lab

}  // namespace weft::roles
