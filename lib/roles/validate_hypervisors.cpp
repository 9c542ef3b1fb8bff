// SPDX-License-Identifier: Apache-2.0
// validate(), machines within machines: segments that underlay networks share, a hypervisor's bridges, and the guests
// whose NICs hang on them. Pure.
#include "roles/validate.hpp"
#include "weft/model/link.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

std::string hypervisors_of(const fabric& f) {
    std::string names;
    for (const auto& [name, n] : f.nodes)
        if (has_role(n, "hypervisor")) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? "a node with role hypervisor" : names;
}

// The networks that guests of a hypervisor can have NICs on.
std::string served_by(const fabric& f, const node& hypervisor) {
    std::string names;
    for (const auto& [name, n] : f.networks)
        if (!bridge_for(f, hypervisor, name).empty()) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? "a NIC of the hypervisor there, in one of its bridges" : names;
}

void check_segments(const fabric& f, findings& out) {
    for (const auto& [name, n] : f.networks) {
        if (n.segment.empty()) continue;
        const auto path = "networks." + name + ".segment";
        if (n.segment == "internet" || (f.networks.count(n.segment) && segment_of(f, n.segment) != n.segment))
            out.error(n.place, path, n.segment, "is the name of another switch", "a name of its own");
    }
    const auto inner = segment_of(f, tunnel_network);
    const auto tunnels = f.networks.find(tunnel_network);
    if (tunnels != f.networks.end() && f.networks.count(management_network) &&
        segment_of(f, management_network) == inner)
        out.warning(
            tunnels->second.place, std::string("networks.") + tunnel_network + ".segment", inner,
            "is management's too: only addresses and rules keep the two apart; nodes on both answer ARP on the right "
            "NIC only (arp_ignore 1, arp_announce 2) and take packets on either (rp_filter 2)",
            "a segment of its own");
}

void check_bridges(const fabric& f, const std::string& node_name, const node& n, findings& out) {
    const auto path = "nodes." + node_name + ".bridges";
    if (!has_role(n, "hypervisor")) {
        if (!n.bridges.empty())
            out.error(n.place, path, n.bridges.begin()->first, "needs role hypervisor, which " + node_name + " has not",
                      "roles: [hypervisor]");
        return;
    }
    if (is_switch(n))
        out.error(n.place, "nodes." + node_name + ".roles", "hypervisor",
                  "cannot be on a node that switches: its NICs are in Linux bridges, those of the other role in Open "
                  "vSwitch's",
                  "hypervisor alone, or with controller");
    if (!n.host.empty())
        out.error(n.place, "nodes." + node_name + ".host", n.host, "has a hypervisor for a guest: " + node_name,
                  "guests with other roles");
    std::map<std::string, std::string> held, serving;  // NIC → bridge, segment → bridge
    for (const auto& [bridge, nics] : n.bridges) {
        const auto at = path + "." + bridge;
        if (const auto good = check_link_name(bridge); !good)
            out.error(n.place, at, bridge, "is not an interface name", "1 to 15 bytes without '/', ':', '%' or blanks");
        if (n.nics.count(bridge)) out.error(n.place, at, bridge, "is the name of a NIC", "a name of its own");
        if (nics.empty()) out.error(n.place, at, bridge, "has no NIC", "one of " + keys_of(n.nics));
        if (nics.size() > 1)
            out.error(n.place, at, nics[1],
                      "is a second way out of the bridge: on one segment that is a loop, on two it joins them",
                      "one NIC per bridge");
        for (const auto& name : nics) {
            const auto nic = n.nics.find(name);
            if (nic == n.nics.end()) {
                out.error(n.place, at, name, "is no NIC of " + node_name, keys_of(n.nics));
                continue;
            }
            if (const auto [other, is_new] = held.emplace(name, bridge); !is_new)
                out.error(n.place, at, name, "is in " + other->second + " already", "one bridge per NIC");
            else if (const auto [twin, first] = serving.emplace(segment_of(f, nic->second.network), bridge); !first)
                out.error(n.place, at, name,
                          "is on segment " + twin->first + ", where " + twin->second +
                              " is already: a guest on both would close a loop",
                          "one bridge per segment");
        }
    }
    for (const auto& [name, nic] : n.nics)
        if (!nic.address && !held.count(name))
            out.error(nic.place, "nodes." + node_name + ".nics." + name + ".address", "", "is missing",
                      "an address, or a bridge that holds the NIC");
}

void check_guest(const fabric& f, const std::string& node_name, const node& n, findings& out) {
    if (n.host.empty()) return;
    const auto path = "nodes." + node_name;
    const auto host = f.nodes.find(n.host);
    if (host == f.nodes.end()) {
        if (!out.broken("nodes." + n.host))
            out.error(n.place, path + ".host", n.host, "is an unknown node", hypervisors_of(f));
        return;
    }
    if (!has_role(host->second, "hypervisor")) {
        if (!out.broken("nodes." + n.host + ".roles"))
            out.error(n.place, path + ".host", n.host, "is no hypervisor", hypervisors_of(f));
        return;
    }
    if (out.broken("nodes." + n.host + ".bridges") || out.broken("nodes." + n.host + ".nics")) return;
    for (const auto& [name, nic] : n.nics)
        if (f.networks.count(nic.network) && bridge_for(f, host->second, nic.network).empty())
            out.error(nic.place, path + ".nics." + name + ".network", nic.network,
                      "has no bridge on " + n.host + " for the guest's NIC to hang on", served_by(f, host->second));
}

}  // namespace

void validate_hypervisors(const fabric& f, findings& out) {
    check_segments(f, out);
    for (const auto& [name, n] : f.nodes) {
        check_bridges(f, name, n, out);
        check_guest(f, name, n, out);
    }
}

}  // namespace weft::roles
