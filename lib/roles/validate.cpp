// SPDX-License-Identifier: Apache-2.0
// validate(): what a well-formed fabric may still have wrong, across nodes and tenants. This file: underlay networks,
// overlay and nodes; and how the faults are collected, with the place of each bad value. Pure; cannot fail.
#include "roles/validate.hpp"

#include <algorithm>

#include "weft/model/link.hpp"
#include "weft/roles/roles.hpp"

namespace weft::roles {

namespace {

// Whether one path is the other, or leads to it: "nodes.n.nics" to "nodes.n.nics.eth0.address", "roles" to "roles[1]".
bool on_one_way(const std::string& a, const std::string& b) {
    const auto& [shorter, longer] = std::minmax(a, b, [](const auto& x, const auto& y) { return x.size() < y.size(); });
    return longer.starts_with(shorter) &&
           (longer.size() == shorter.size() || longer[shorter.size()] == '.' || longer[shorter.size()] == '[');
}

}  // namespace

bool findings::broken(const std::string& path) const {
    return std::any_of(of_form_.begin(), of_form_.end(),
                       [&](const diagnostic& d) { return !d.path.empty() && on_one_way(d.path, path); });
}

void findings::add(severity s, source_place object, std::string path, std::string value, std::string problem,
                   std::string allowed) {
    if (broken(path)) return;
    const auto& places = f_.places.by_path;
    auto found = places.find(path + "[" + value + "]");
    if (found == places.end()) found = places.find(path);
    all_.push_back({s, f_.file, found == places.end() ? object : found->second, std::move(path), std::move(value),
                    std::move(problem), std::move(allowed)});
}
void findings::error(source_place object, std::string path, std::string value, std::string problem,
                     std::string allowed) {
    add(severity::error, object, std::move(path), std::move(value), std::move(problem), std::move(allowed));
}
void findings::warning(source_place object, std::string path, std::string value, std::string problem,
                       std::string allowed) {
    add(severity::warning, object, std::move(path), std::move(value), std::move(problem), std::move(allowed));
}

std::vector<diagnostic> findings::take() {
    all_.insert(all_.begin(), of_form_.begin(), of_form_.end());
    std::stable_sort(all_.begin(), all_.end(), [](const auto& a, const auto& b) {
        return std::tie(a.place.line, a.place.column) < std::tie(b.place.line, b.place.column);
    });
    std::set<std::string> seen;
    std::vector<diagnostic> once;
    for (auto& d : all_)
        if (seen.insert(d.to_string()).second) once.push_back(std::move(d));
    return once;
}

void address_book::claim(const ip_address& address, source_place place, const std::string& path) {
    const auto [holder, is_new] = holders_.emplace(address, path);
    if (!is_new && holder->second != path)
        out_.error(place, path, address.to_string(), "is a duplicate address: " + holder->second + " has it",
                   "an address of its own");
}

bool is_unicast(const ip_prefix& cidr) {
    const auto& a = cidr.address;
    if (a.is_unspecified() || a.is_multicast() || a.is_loopback()) return false;
    return cidr.is_v6() || (a.to_v4().to_uint() >> 24 != 0 && a.to_v4().to_uint() < 0xe0000000);
}

bool check_cidr(findings& out, source_place place, const std::string& path, const ip_prefix& cidr, const char* key) {
    if (cidr.network() != cidr) {
        out.error(place, path + key, cidr.to_string(), "is misaligned: it has host bits",
                  cidr.network().to_string());
        return false;
    }
    if (cidr.length > cidr.max_length() - 2 || cidr.length == 0) {
        out.error(place, path + key, cidr.to_string(), "has no room for hosts",
                  cidr.is_v6() ? "/1 to /126" : "/1 to /30");
        return false;
    }
    if (!is_unicast(cidr)) {
        out.error(place, path + key, cidr.to_string(), "is not a unicast subnet", cidr.is_v6() ? "like 2001:db8:1::/64" : "like 10.0.0.0/24");
        return false;
    }
    return true;
}

bool overlap(const ip_prefix& a, const ip_prefix& b) { return a.length != 0 && b.length != 0 && a.overlaps(b); }

void check_host(findings& out, source_place place, const std::string& path, const ip_prefix& cidr,
                const ip_address& address) {
    if (cidr.length != 0 && !is_host_address(cidr, address))  // a /0 is refused itself, and may stand for no CIDR
        out.error(place, path, address.to_string(), "is outside the subnet, or its first or last address",
                  "a host of " + cidr.to_string());
}

std::uint32_t highest_network_id(const std::string& overlay_type) {
    // A GRE key has 32 bits, a VNI 24, a VLAN 12 of which the highest is reserved (RFC 2890, RFC 7348, RFC 8926, IEEE 802.1Q).
    return overlay_type == "gre" ? 0xffffffff : overlay_type == "vlan" ? 4094 : 0xffffff;
}

void validate_underlay(const fabric& f, findings& out) {
    for (const auto& [name, n] : f.networks) {
        const auto path = "networks." + name;
        if (name == "internet" || name == "floating" || name == "fixed")
            out.error(n.place, path, name, "is a reserved word", "another name");
        if (!check_cidr(out, n.place, path, n.cidr)) continue;
        if (n.mtu < (n.cidr.is_v6() ? smallest_ipv6_mtu : smallest_ipv4_mtu) || n.mtu > 65535)
            out.error(n.place, path + ".mtu", std::to_string(n.mtu), "is out of range",
                      n.cidr.is_v6() ? "1280-65535" : "576-65535");
        if (n.gateway) check_host(out, n.place, path + ".gateway", n.cidr, *n.gateway);
        if (n.floating) {
            const auto text = n.floating->first.to_string() + "-" + n.floating->last.to_string();
            if (n.floating->first.is_v6() || n.floating->last.is_v6())
                out.error(n.place, path + ".floating", text, "is not IPv4: NAT is for IPv4 only", "IPv4 addresses");
            else if (!is_host_address(n.cidr, n.floating->first) || !is_host_address(n.cidr, n.floating->last) ||
                     n.floating->last < n.floating->first)
                out.error(n.place, path + ".floating", text, "is a floating range outside the network",
                          "within " + n.cidr.to_string());
        }
        for (const auto& [other_name, other] : f.networks)
            if (other_name < name && overlap(n.cidr, other.cidr))
                out.error(n.place, path + ".cidr", n.cidr.to_string(), "overlaps networks." + other_name,
                          "a subnet apart from " + other.cidr.to_string());
    }
    static const std::set<std::string> types = {"gre", "vxlan", "geneve", "vlan"};
    if (!types.count(f.overlay.type))
        out.error(f.overlay.place, "overlay.type", f.overlay.type, "is not an overlay type", "gre, vxlan, geneve, vlan");
    const auto highest = highest_network_id(f.overlay.type);
    if (f.overlay.first_id < 1 || f.overlay.first_id > f.overlay.last_id || f.overlay.last_id > highest)
        out.error(f.overlay.place, "overlay.ids",
                  std::to_string(f.overlay.first_id) + "-" + std::to_string(f.overlay.last_id), "is out of range",
                  "FIRST-LAST within 1-" + std::to_string(highest));
}

void validate_nodes(const fabric& f, findings& out) {
    static const std::set<std::string> roles = {"controller", "network", "compute", "vpn-gateway", "hypervisor"};
    std::map<std::string, address_book> books;
    for (const auto& [name, n] : f.networks) {
        auto& book = books.emplace(name, out).first->second;
        if (n.gateway) book.claim(*n.gateway, n.place, "networks." + name + ".gateway");
    }
    const auto switches = std::count_if(f.nodes.begin(), f.nodes.end(), [](const auto& n) { return is_switch(n.second); });
    for (const auto& [name, n] : f.nodes) {
        const auto path = "nodes." + name;
        if (n.roles.empty())
            out.error(n.place, path + ".roles", "", "are missing",
                      "controller, network, compute, vpn-gateway, hypervisor");
        for (const auto& role : n.roles) {
            if (!roles.count(role))
                out.error(n.place, path + ".roles", role, "is an unknown role",
                          "controller, network, compute, vpn-gateway, hypervisor");
            if (role == "vpn-gateway" && !n.vpn && !out.broken(path + ".vpn"))
                out.warning(n.place, path + ".roles", role, "has no vpn block: the node is a host with its NICs");
        }
        std::map<std::string, std::string> addressed;  // network → NIC with an address there
        for (const auto& [nic_name, nic] : n.nics) {
            const auto nic_path = path + ".nics." + nic_name;
            if (const auto good = check_link_name(nic_name); !good)
                out.error(nic.place, nic_path, nic_name, "is not an interface name",
                          "1 to 15 bytes without '/', ':', '%' or blanks");
            if (!nic.match_path.empty() || !nic.match_driver.empty())
                out.warning(nic.place, nic_path + (nic.match_path.empty() ? ".driver" : ".path"), nic.match_path.empty() ? nic.match_driver : nic.match_path,
                            "is understood but not enforced yet: the NIC is taken by its name");
            const auto network = f.networks.find(nic.network);
            if (network == f.networks.end()) {
                out.error(nic.place, nic_path + ".network", nic.network, "is an unknown network", keys_of(f.networks));
                continue;
            }
            if (!nic.address) {
                const bool uplink =
                    has_role(n, "network") && is_external(nic.network) && &uplink_nic(n, nic.network)->second == &nic;
                if (!uplink && !has_role(n, "hypervisor") && !out.broken(path + ".roles"))
                    out.error(nic.place, nic_path + ".address", "", "is missing",
                              "an address of " + network->second.cidr.to_string());
                continue;
            }
            check_host(out, nic.place, nic_path + ".address", network->second.cidr, *nic.address);
            books.at(nic.network).claim(*nic.address, nic.place, nic_path + ".address");
            if (const auto [first, is_new] = addressed.emplace(nic.network, nic_name); !is_new)
                out.error(nic.place, nic_path + ".network", nic.network,
                          "is on " + first->second + " of the same node already",
                          "one NIC with an address per network");
        }
        if (is_switch(n) && switches > 1 && !node_address(n, tunnel_network))
            out.error(n.place, path + ".nics", name,
                      std::string("has no address on ") + tunnel_network + ", so it can have no tunnel",
                      std::string("a NIC on ") + tunnel_network);
    }
    for (const auto& [name, host] : f.lab.hosts) {
        const auto network = f.networks.find(host.network);
        if (network == f.networks.end()) continue;
        check_host(out, host.place, "lab.hosts." + name + ".address", network->second.cidr, host.address);
        books.at(host.network).claim(host.address, host.place, "lab.hosts." + name + ".address");
    }
}

std::vector<diagnostic> validate(const fabric& f) { return validate(f, {}); }

std::vector<diagnostic> validate(const fabric& f, const std::vector<diagnostic>& of_form) {
    if (!of_form.empty() && f.places.by_path.empty()) return of_form;  // nothing could be read
    findings out(f, of_form);
    if (f.name.empty()) out.error({1, 1}, "name", "", "is missing", "a name of the fabric");
    validate_underlay(f, out);
    validate_underlay6(f, out);
    validate_nodes(f, out);
    validate_hypervisors(f, out);
    validate_cloudstack(f, out);
    validate_tenants(f, out);
    validate_vpn(f, out);
    validate_grizzly(f, out);
    validate_rest(f, out);
    return out.take();
}

}  // namespace weft::roles
