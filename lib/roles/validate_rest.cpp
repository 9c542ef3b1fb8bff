// SPDX-License-Identifier: Apache-2.0
// validate(), the rest: expectations, checks and the lab's outside world. Pure.
#include "roles/expectations.hpp"
#include "roles/validate.hpp"

namespace weft::roles {
namespace {

void check_endpoint(const fabric& f, const expectation& e, const std::string& path, const std::string& name,
                    findings& out) {
    if (f.nodes.count(name) || f.lab.hosts.count(name)) return;
    const auto found = find_ports(f, name);
    if (found.size() == 1) return;
    if (found.empty()) {
        out.error(e.place, path, name, "is an unknown endpoint", "a node, tenant/port or lab host");
        return;
    }
    std::string candidates;
    for (const auto& full : found) candidates += (candidates.empty() ? "" : ", ") + full;
    out.error(e.place, path, name, "is an ambiguous short name", candidates);
}

// Whether the target has an address where the row wants to reach it.
void check_way(const fabric& f, const expectation& e, const std::string& path, findings& out) {
    if (e.via.empty()) return;
    const via_words via(e.via);
    const auto node = f.nodes.find(e.to);
    const auto host = f.lab.hosts.find(e.to);
    const bool vm_word = via.way == "floating" || via.way == "fixed";
    if (!vm_word && (via.way != "internet" || via.ipv6) && !f.networks.count(via.way)) {
        out.error(e.place, path, e.via, "is an unknown network", keys_of(f.networks) + ", floating, fixed; of IPv6 with /ipv6 behind it");
        return;
    }
    const bool to_vm = node == f.nodes.end() && host == f.lab.hosts.end();
    if (vm_word && !to_vm) {
        out.error(e.place, path, e.via, "is for VMs only, and " + e.to + " is none", keys_of(f.networks));
    } else if (node != f.nodes.end()) {
        if (!(via.ipv6 ? node_address6(node->second, via.way) : node_address(node->second, via.way)))
            out.error(e.place, path, e.via, "is a network where " + e.to + (via.ipv6 ? " has no IPv6 address" : " has no address"), "a network of the node");
    } else if (host != f.lab.hosts.end()) {
        if (via.ipv6 && (!host->second.address6 || host->second.network != via.way))
            out.error(e.place, path, e.via, "is a network where " + e.to + " has no IPv6 address", "address6 of the host, or " + via.way);
    } else if (!vm_word) {
        out.error(e.place, path, e.via, "leads to nodes and hosts of the lab", "fixed, floating; of IPv6 with /ipv6 behind it");
    } else if (const auto found = find_ports(f, e.to); found.size() == 1) {
        const auto at = resolve_port(f, found.front());
        if (at.port == nullptr) return;
        const auto& p = *at.port;
        const auto network = at.tenant->networks.find(p.network);
        if (via.way == "fixed") {
            if (via.ipv6 && network != at.tenant->networks.end() && !network->second.cidr6 &&
                !out.broken("tenants." + *at.tenant_name + ".networks." + p.network + ".cidr6"))
                out.error(e.place, path, e.via, "is IPv6, and " + found.front() + " is on a network without it", "fixed, or a network with cidr6");
        } else if (via.ipv6 ? !p.floating6 && !p.floating6_auto : !p.floating && !p.floating_auto)
            out.error(e.place, path, e.via, "needs a floating address, and " + found.front() + " has none", via.ipv6 ? "floating6: auto" : "floating: auto");
    }
}

constexpr std::size_t most_checks = 64;  // each is a socket, all open at once

void check_probe(const fabric& f, const std::string& node_name, const check& c, const std::string& path, findings& out) {
    const auto target = c.target.to_string();
    const auto value = path + "." + c.kind;
    if (c.kind == "tcp" && c.port == 0) out.error(c.place, path, "tcp", "needs a port", "port: 1-65535");
    if (c.kind != "tcp" && c.port != 0) out.error(c.place, path + ".port", std::to_string(c.port), "is for tcp alone", "no port");
    if (c.full_mtu && c.kind != "ping") out.error(c.place, path + ".mtu", "full", "is for ping alone", "no mtu");
    if (c.target.is_v6() && c.kind == "arp") {
        out.error(c.place, value, target, "is IPv6, and ARP is IPv4's", "an IPv4 address, or ping");
        return;
    }
    if (c.target.is_v6() && c.target.to_v6().is_link_local()) {
        out.error(c.place, value, target, "is an address of one link, and names none", "an address beyond fe80::/10");
        return;
    }
    if (c.target.is_unspecified() || c.target.is_multicast()) {
        out.error(c.place, value, target, "is no address of a host", "a unicast address");
        return;
    }
    const auto& node = f.nodes.at(node_name);
    std::string own, networks;
    bool reached = false;
    for (const auto& [nic_name, nic] : node.nics) {
        if (nic.address == c.target || nic.address6 == c.target) own = nic_name;
        const auto network = f.networks.find(nic.network);
        if (network == f.networks.end()) continue;
        networks += (networks.empty() ? "" : ", ") + network->second.cidr.to_string();
        reached = reached || network->second.cidr.contains(c.target);
    }
    if (!own.empty()) out.error(c.place, value, target, "is the node's own address, of " + own, "somebody else's");
    else if (c.kind == "arp" && !reached)
        out.error(c.place, value, target, "is on no network of the node's NICs, and nobody else hears ARP",
                  networks.empty() ? "a NIC on its network" : "an address of " + networks);
}

}  // namespace

void validate_rest(const fabric& f, findings& out) {
    for (std::size_t i = 0; i < f.expectations.size(); ++i) {
        const auto& e = f.expectations[i];
        const auto path = "expectations[" + std::to_string(i) + "]";
        check_endpoint(f, e, path + ".from", e.from, out);
        check_endpoint(f, e, path + ".to", e.to, out);
        check_way(f, e, path + ".via", out);
    }
    for (const auto& [name, checks] : f.checks) {
        const auto place = checks.empty() ? source_place{} : checks.front().place;
        if (!f.nodes.count(name))
            out.error(place, "checks." + name, name, "is an unknown node", keys_of(f.nodes));
        else if (checks.size() > most_checks)
            out.error(place, "checks." + name, std::to_string(checks.size()), "are too many checks", "up to " + std::to_string(most_checks));
        else
            for (std::size_t i = 0; i < checks.size(); ++i)
                check_probe(f, name, checks[i], "checks." + name + "[" + std::to_string(i) + "]", out);
    }
    if (!f.lab.router_lan.empty()) {
        const auto lan = f.networks.find(f.lab.router_lan);
        if (lan == f.networks.end())
            out.error({}, "lab.router.lan", f.lab.router_lan, "is an unknown network", keys_of(f.networks));
        else if (!lan->second.gateway && !out.broken("networks." + f.lab.router_lan + ".gateway"))
            out.error(lan->second.place, "lab.router.lan", f.lab.router_lan,
                      "has no gateway, which is the router's address", "a gateway");
    }
    if (f.lab.internet) {
        check_cidr(out, {}, "lab.router.internet", *f.lab.internet, "");
        for (const auto& [name, n] : f.networks)
            if (overlap(n.cidr, *f.lab.internet))
                out.error(n.place, "lab.router.internet", f.lab.internet->to_string(), "overlaps networks." + name,
                          "a subnet apart");
    }
    address_book internet(out);
    if (f.lab.internet) internet.claim(first_host(*f.lab.internet), {}, "lab.router.internet");
    for (const auto& [name, host] : f.lab.hosts) {
        const auto path = "lab.hosts." + name;
        if (f.nodes.count(name)) out.error(host.place, path, name, "is also the name of a node", "a name of its own");
        if (f.networks.count(host.network)) continue;
        if (host.network != "internet") {
            out.error(host.place, path + ".network", host.network, "is an unknown network",
                      keys_of(f.networks) + ", internet");
        } else if (!f.lab.internet) {
            if (out.broken("lab.router.internet")) continue;
            out.error(host.place, path + ".network", host.network, "needs lab.router.internet", "a subnet there");
        } else {
            check_host(out, host.place, path + ".address", *f.lab.internet, host.address);
            internet.claim(host.address, host.place, path + ".address");
        }
    }
}

}  // namespace weft::roles
