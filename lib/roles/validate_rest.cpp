// SPDX-License-Identifier: Apache-2.0
// validate(), the rest: expectations, checks and the lab's outside world. Pure.
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

}  // namespace

void validate_rest(const fabric& f, findings& out) {
    for (std::size_t i = 0; i < f.expectations.size(); ++i) {
        const auto& e = f.expectations[i];
        const auto path = "expectations[" + std::to_string(i) + "]";
        check_endpoint(f, e, path + ".from", e.from, out);
        check_endpoint(f, e, path + ".to", e.to, out);
        const bool to_port = !f.nodes.count(e.to) && !f.lab.hosts.count(e.to);
        const bool vm_word = e.via == "floating" || e.via == "fixed";
        if (!e.via.empty() && !vm_word && e.via != "internet" && !f.networks.count(e.via))
            out.error(e.place, path + ".via", e.via, "is an unknown network",
                      keys_of(f.networks) + ", floating, fixed");
        else if (vm_word && !to_port)
            out.error(e.place, path + ".via", e.via, "is for VMs only, and " + e.to + " is none", keys_of(f.networks));
        else if (const auto found = find_ports(f, e.to); e.via == "floating" && found.size() == 1) {
            const auto* port = resolve_port(f, found.front()).port;
            if (port && !port->floating && !port->floating_auto)
                out.error(e.place, path + ".via", e.via, "needs a floating address, and " + found.front() + " has none",
                          "floating: auto");
        } else if (const auto node = f.nodes.find(e.to);
                   node != f.nodes.end() && !e.via.empty() && !node_address(node->second, e.via))
            out.error(e.place, path + ".via", e.via, "is a network where " + e.to + " has no address",
                      "a network of the node");
    }
    for (const auto& [name, checks] : f.checks) {
        const auto place = checks.empty() ? source_place{} : checks.front().place;
        if (!f.nodes.count(name))
            out.error(place, "checks." + name, name, "is an unknown node", keys_of(f.nodes));
        else if (!checks.empty())
            out.warning(place, "checks." + name, name, "are understood but not enforced yet");
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
        check_cidr(out, {}, "lab.router.internet", *f.lab.internet);
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
