// SPDX-License-Identifier: Apache-2.0
// validate(), CloudStack hosts: what their Linux bridges can carry, and what on them is the agent's and not weft's. Pure.
#include "roles/validate.hpp"
#include "weft/model/link.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"

namespace weft::roles {
namespace {

void check_host_node(const fabric& f, const std::string& name, const node& n, findings& out) {
    const auto path = "nodes." + name;
    if (!has_role(n, "hypervisor")) {
        if (!out.broken(path + ".roles"))
            out.error(n.place, path + ".profile", n.profile, "needs role hypervisor, which " + name + " has not", "roles: [hypervisor]");
        return;
    }
    for (const auto& [bridge, nics] : n.bridges)
        if (bridge == "cloud0" || bridge.starts_with("brvx-"))
            out.error(n.place, path + ".bridges." + bridge, bridge, "is the name of a bridge that the profile makes", "cloudbr0, cloudbr1, ...");
    if (out.broken(path + ".bridges") || out.broken(path + ".nics")) return;
    const auto longest = guest_devices_of(f, n, f.overlay.type == "vlan" ? 4094 : 0xffffff);
    if (longest.bridge.empty() || (f.overlay.type != "vlan" && !node_address(n, tunnel_network))) {
        out.error(n.place, path + ".bridges", "", std::string("has none with a NIC on ") + tunnel_network + ", so that guests have no way to other hosts",
                  std::string("a bridge over a NIC on ") + tunnel_network + (f.overlay.type == "vlan" ? "" : " that has an address"));
        return;
    }
    if (f.overlay.type != "vlan" && tunnels_over_ipv6(f))
        out.error(n.place, path + ".profile", n.profile, "has VXLAN by groups of IPv4 only", "an IPv4 network " + std::string(tunnel_network) + ", and no endpoints: ipv6");
    for (const auto& device : {longest.bridge, longest.uplink})
        if (!check_link_name(device))
            out.error(n.place, path + ".nics." + longest.lower, longest.lower, "is too long for the names of its guests' VLAN devices, such as " + device,
                      "a NIC's name of at most 8 bytes");
}

}  // namespace

void validate_cloudstack(const fabric& f, findings& out) {
    std::string hosts, switches;
    for (const auto& [name, n] : f.nodes) {
        if (!n.profile.empty()) check_host_node(f, name, n, out);
        if (is_cloudstack(n)) hosts = hosts.empty() ? name : hosts;
        if (is_switch(n)) switches = switches.empty() ? name : switches;
    }
    if (hosts.empty()) {
        if (f.overlay.type == "vlan")
            out.error(f.overlay.place, "overlay.type", f.overlay.type, "is of CloudStack hosts only, and there is none", "gre, vxlan, geneve");
        return;
    }
    if (!switches.empty())
        out.error(f.nodes.at(hosts).place, "nodes." + hosts + ".profile", f.nodes.at(hosts).profile,
                  "cannot be beside nodes that switch, as " + switches + " does: the two clouds' networks do not meet", "fabrics of their own");
    if (f.overlay.type != "vxlan" && f.overlay.type != "vlan")
        out.error(f.overlay.place, "overlay.type", f.overlay.type, "is nothing that the Linux bridges of a CloudStack host take", "vxlan, vlan");
    if (is_grizzly(f.overlay))
        out.error(f.overlay.place, "overlay.profile", f.overlay.profile, "is a pipeline of Open vSwitch, which CloudStack hosts do without", "default");
    for (const auto& [tenant_name, t] : f.tenants) {
        for (const auto& [name, n] : t.networks)
            if (n.dhcp)
                out.error(n.place, "tenants." + tenant_name + ".networks." + name + ".dhcp", "true", "is the virtual router's business, which is a VM of CloudStack's",
                          "dhcp: false");
        for (const auto& [name, p] : t.ports) {
            const auto on = f.nodes.find(p.node);
            if (on == f.nodes.end() || !is_cloudstack(on->second)) continue;
            const auto path = "tenants." + tenant_name + ".ports." + name;
            if (p.port_security)
                out.error(p.place, path + ".port-security", "true", "is the agent's business, which filters on the bridge", "port-security: false");
            if (p.attach != "plugged") out.error(p.place, path + ".attach", p.attach, "is not for a guest bridge: libvirt makes the device", "attach: plugged");
        }
    }
}

}  // namespace weft::roles
