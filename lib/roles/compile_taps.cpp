// SPDX-License-Identifier: Apache-2.0
// Ports with `attach: tap`: the device is made before its guest is, for one user who may open it, and stands in br-int
// with all that libvirt and Nova would write there. Pure; fails where a user's name has no id among the host's facts.
#include "roles/compile.hpp"

namespace weft::roles {
namespace {

result<std::uint32_t> owner_of(const compilation& c, const std::string& path, const tenant_port& port) {
    if (const auto id = numeric_user(port.user)) return *id;
    if (const auto known = c.facts.users.find(port.user); known != c.facts.users.end()) return known->second;
    return error{errc::not_found, "compile", path,
                 "user " + port.user + " is not known on node " + c.name + "; a number needs no look-up", 0};
}

ovs::port_row row_of(const compilation& c, const std::string& tap, const std::string& path, const std::string& network,
                     const tenant_port& port) {
    const auto vm = port.vm_uuid.empty() ? object_uuid(c.f.name, path + "/vm") : port.vm_uuid;
    ovs::port_row row;
    row.name = tap;
    row.tag = c.vlans.at(network);
    row.other_config = vlan_memory(c, network);
    row.external_ids = c.marks(path);
    ovs::interface_row interface;
    interface.name = tap;
    // Nova calls the VM vm-uuid, libvirt vm-id.
    interface.external_ids = {{"iface-id", object_uuid(c.f.name, path)},
                              {"iface-status", "active"},
                              {"attached-mac", port.mac->to_string()},
                              {"vm-id", vm},
                              {"vm-uuid", vm}};
    row.interfaces = {std::move(interface)};
    return row;
}

}  // namespace

result<void> compile_taps(compilation& c) {
    for (const auto& [tenant_name, t] : c.f.tenants)
        for (const auto& [name, port] : t.ports) {
            if (port.node != c.name || port.attach != "tap") continue;
            const auto path = port_path(tenant_name, name);
            const auto owner = owner_of(c, path, port);
            if (!owner) return owner.error();
            link device;
            device.name = device_name("tap", object_uuid(c.f.name, path));
            // Root is said too: the kernel lets anybody open a tap that is nobody's.
            device.options = tun_options{.tap = true, .owner = *owner, .group = {}, .multi_queue = false};
            device.mtu = network_mtu(c.f, tenant_name, port.network);
            device.group = weft_link_group;
            device.alias = c.alias(path);
            device.up = true;
            c.bridges["br-int"].ports.push_back(row_of(c, device.name, path, tenant_name + "/" + port.network, port));
            c.bound.push_back({tenant_name, name, device.name, &port});
            c.guard(device.name);
            // What the host's own stack says on a device, its guest hears.
            c.disable_ipv6(device.name);
            c.space("").links.push_back(std::move(device));
        }
    return {};
}

}  // namespace weft::roles
