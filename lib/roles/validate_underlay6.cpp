// SPDX-License-Identifier: Apache-2.0
// validate(), the underlay's IPv6: subnets and gateways beside those of IPv4, the addresses of nodes and of lab hosts in them, and
// the family that tunnels run over. Pure; cannot fail.
#include "roles/validate.hpp"

namespace weft::roles {
namespace {

// Whether the network has an IPv6 subnet that hosts can live in.
bool check_network(const fabric& f, const std::string& name, const underlay_network& n, findings& out) {
    const auto path = "networks." + name;
    if (!n.cidr6) {
        if (n.gateway6) out.error(n.place, path + ".gateway6", n.gateway6->to_string(), "needs an IPv6 subnet", "cidr6 beside it");
        if (n.floating6) out.error(n.place, path + ".floating6", n.floating6->first.to_string(), "needs an IPv6 subnet", "cidr6 beside it");
        return false;
    }
    if (!is_subnet6(*n.cidr6)) {
        out.error(n.place, path + ".cidr6", n.cidr6->to_string(), "is not an IPv6 subnet for nodes",
                  "a global or unique local subnet, like 2001:db8:1::/64 or fd00:1::/64");
        return false;
    }
    if (n.cidr.is_v6()) {
        out.error(n.place, path + ".cidr6", n.cidr6->to_string(), "stands beside a cidr that is IPv6 already", "an IPv4 cidr, or no cidr6");
        return false;
    }
    if (!check_cidr(out, n.place, path, *n.cidr6, ".cidr6")) return false;
    if (n.mtu < smallest_ipv6_mtu)
        out.error(n.place, path + ".mtu", std::to_string(n.mtu), "is too small for IPv6", "1280-65535");
    if (n.gateway6) check_host(out, n.place, path + ".gateway6", *n.cidr6, *n.gateway6);
    if (n.floating6 && (!is_host_address(*n.cidr6, n.floating6->first) || !is_host_address(*n.cidr6, n.floating6->last) ||
                        n.floating6->last < n.floating6->first))
        out.error(n.place, path + ".floating6", n.floating6->first.to_string() + "-" + n.floating6->last.to_string(),
                  "is a floating range outside the network", "within " + n.cidr6->to_string());
    for (const auto& [other_name, other] : f.networks) {
        if (other_name == name) continue;
        // Of two networks that both have a cidr6, the second one in name order is told of.
        const bool twice = other.cidr6 && other_name < name && overlap(*n.cidr6, *other.cidr6);
        if (twice || overlap(*n.cidr6, other.cidr))
            out.error(n.place, path + ".cidr6", n.cidr6->to_string(), "overlaps networks." + other_name,
                      "a subnet apart from " + (twice ? *other.cidr6 : other.cidr).to_string());
    }
    if (f.lab.internet && overlap(*n.cidr6, *f.lab.internet))
        out.error(n.place, path + ".cidr6", n.cidr6->to_string(), "overlaps lab.router.internet", "a subnet apart");
    return true;
}

void check_endpoints(const fabric& f, findings& out) {
    const auto& family = f.overlay.endpoints;
    if (family.empty() || out.broken("overlay.endpoints")) return;
    const auto underlay = f.networks.find(tunnel_network);
    if (family != "ipv4" && family != "ipv6") {
        out.error(f.overlay.place, "overlay.endpoints", family, "is not a family of addresses", "ipv4, ipv6");
        return;
    }
    if (underlay == f.networks.end()) return;  // an all-in-one has no tunnels, whatever they would run over
    const auto& n = underlay->second;
    if (family == "ipv4" && n.cidr.is_v6())
        out.error(f.overlay.place, "overlay.endpoints", family, "needs IPv4 addresses on vm-config", "ipv6, or an IPv4 cidr of networks.vm-config");
    if (family != "ipv6" || n.cidr.is_v6()) return;
    if (is_grizzly(f.overlay)) {
        out.error(f.overlay.place, "overlay.endpoints", family, "is nothing that profile grizzly has tunnels over", "ipv4, or profile: default");
        return;
    }
    if (!n.cidr6) {
        out.error(f.overlay.place, "overlay.endpoints", family, "needs IPv6 addresses on vm-config", "ipv4, or networks.vm-config.cidr6");
        return;
    }
    for (const auto& [name, node] : f.nodes) {
        const auto* nic = find_nic(node, tunnel_network);
        if (is_switch(node) && nic && nic->second.address && !nic->second.address6)
            out.error(nic->second.place, "nodes." + name + ".nics." + nic->first + ".address6", "",
                      "is missing: tunnels run over IPv6", "an address of " + n.cidr6->to_string());
    }
}

// The lab's Internet, behind a router that leads there over IPv6.
bool check_internet6(const fabric& f, findings& out) {
    const std::string path = "lab.router.internet6";
    if (!f.lab.internet6 || out.broken(path)) return false;
    const auto& cidr = *f.lab.internet6;
    const auto fault = [&](std::string problem, std::string allowed) {
        out.error({}, path, cidr.to_string(), std::move(problem), std::move(allowed));
        return false;
    };
    if (!is_subnet6(cidr)) return fault("is no subnet of IPv6", "an IPv6 subnet");
    if (!check_cidr(out, {}, path, cidr, "")) return false;
    if (!f.lab.internet && out.broken("lab.router.internet")) return false;
    if (!f.lab.internet) return fault("needs an Internet of IPv4 beside it", "lab.router.internet");
    const auto lan = f.networks.find(f.lab.router_lan);
    if (lan != f.networks.end() && !lan->second.gateway6 && !out.broken("networks." + lan->first + ".gateway6"))
        return fault("needs a router of IPv6 on its LAN", "networks." + lan->first + ".gateway6");
    for (const auto& [name, n] : f.networks)
        for (const auto& subnet : subnets_of(n))
            if (overlap(subnet, cidr)) return fault("overlaps networks." + name, "a subnet apart");
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, n] : t.networks)
            if (n.cidr6 && overlap(*n.cidr6, cidr)) return fault("overlaps tenants." + tenant_name + ".networks." + name, "a subnet apart");
    return true;
}

}  // namespace

bool is_subnet6(const ip_prefix& cidr) {
    if (!cidr.is_v6()) return false;
    // Link-local addresses are made by kernels, mapped ones are IPv4.
    const auto address = cidr.address.to_v6();
    return !address.is_link_local() && !address.is_v4_mapped() && !address.is_site_local();
}

void validate_underlay6(const fabric& f, findings& out) {
    std::map<std::string, address_book> books;
    std::set<std::string> sound;
    for (const auto& [name, n] : f.networks) {
        auto& book = books.emplace(name, out).first->second;
        if (!check_network(f, name, n, out)) continue;
        sound.insert(name);
        if (n.gateway6) book.claim(*n.gateway6, n.place, "networks." + name + ".gateway6");
    }
    if (check_internet6(f, out)) {
        sound.insert("internet");
        books.emplace("internet", out).first->second.claim(first_host(*f.lab.internet6), {}, "lab.router.internet6");
    }
    const auto check_address = [&](const std::string& network, const std::optional<ip_address>& address6, source_place place,
                                   const std::string& path) {
        const auto n = f.networks.find(network);
        if (!address6 || (n == f.networks.end() && network != "internet")) return;
        const auto& subnet = n == f.networks.end() ? f.lab.internet6 : n->second.cidr6;
        const auto key = n == f.networks.end() ? "lab.router.internet6" : "networks." + network + ".cidr6";
        if (!subnet && !out.broken(key)) out.error(place, path, address6->to_string(), "needs an IPv6 subnet of its network", key);
        if (!subnet || !sound.contains(network)) return;
        check_host(out, place, path, *subnet, *address6);
        books.at(network).claim(*address6, place, path);
    };
    for (const auto& [name, node] : f.nodes)
        for (const auto& [nic_name, nic] : node.nics) {
            const auto path = "nodes." + name + ".nics." + nic_name + ".address6";
            if (nic.address6 && !nic.address && !out.broken("nodes." + name + ".nics." + nic_name + ".address"))
                out.error(nic.place, path, nic.address6->to_string(), "needs an address beside it", "address, or no address6");
            else
                check_address(nic.network, nic.address6, nic.place, path);
        }
    for (const auto& [name, host] : f.lab.hosts) check_address(host.network, host.address6, host.place, "lab.hosts." + name + ".address6");
    check_endpoints(f, out);
}

}  // namespace weft::roles
