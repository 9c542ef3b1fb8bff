// SPDX-License-Identifier: Apache-2.0
// br-int and br-tun of a node that switches: rows, tunnel mesh, VM ports, and the flows of DATAPLANE sections 6.1
// and 6.2 (tables of Neutron since Juno; tag stripped before the tunnel). Pure; a VM whose port is not there yet is
// pending.
#include <fmt/format.h>

#include <algorithm>

#include "roles/compile.hpp"

namespace weft::roles {
namespace {

// Table numbers of br-tun.
constexpr std::uint8_t from_patch = 2, learning = 10, unicast = 20, arp_responder = 21, flood = 22;
// Table numbers of br-int. 58 and 59 are where Neutron meters packets and bandwidth, 60 where the firewall begins.
constexpr std::uint8_t canary = 23, packet_rate = 58, bandwidth = 59, transient = 60;

std::uint8_t tunnel_table(const std::string& type) { return type == "gre" ? 3 : type == "vxlan" ? 4 : 6; }

ovs::bridge_row switch_row(const compilation& c, const std::string& name) {
    ovs::bridge_row row;
    row.name = name;
    row.datapath_type = c.facts.datapath;
    row.fail_mode = "secure";  // without flows nothing passes, instead of everything
    row.protocols = {"OpenFlow10", "OpenFlow13", "OpenFlow14"};
    row.other_config = {{"disable-in-band", "true"}, {"mac-table-size", "50000"}};
    row.external_ids = c.marks(node_path(c.name, name));
    return row;
}

ovs::port_row patch_row(const compilation& c, const std::string& name, const std::string& peer) {
    ovs::port_row row;
    row.name = name;
    row.external_ids = c.marks(node_path(c.name, name));
    row.interfaces = {ovs::interface_row{.name = name, .type = "patch", .options = {{"peer", peer}}}};
    return row;
}

ovs::port_row tunnel_row(const compilation& c, const ip_address& local, const std::string& peer,
                         const ip_address& remote) {
    ovs::port_row row;
    row.name = tunnel_port_name(c.f, remote);
    row.external_ids = c.marks(node_path(c.name, "tunnels/" + peer));
    ovs::interface_row interface;
    interface.name = row.name;
    interface.type = c.f.overlay.type;
    // DF on the outer header: a packet too large is told of, not cut to pieces that a firewall drops.
    interface.options = {{"remote_ip", remote.to_string()},
                         {"local_ip", local.to_string()},
                         {"in_key", "flow"},
                         {"out_key", "flow"},
                         {"df_default", "true"}};
    if (remote.is_v6() && interface.type == "gre") {
        interface.type = "ip6gre";
        interface.options["packet_type"] = "legacy_l2";
    }
    row.interfaces = {std::move(interface)};
    return row;
}

// The switch remembers where a MAC was seen: unicast goes to that tunnel only, for five minutes after the last sight.
std::string learn_actions() {
    return fmt::format(
        "learn(table={},hard_timeout=300,priority=1,cookie=0x{:x},NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_"
        "SRC[],"
        "load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[]),output:patch-int",
        unicast, ovs::learned_cookie);
}

void tunnel_flows(compilation& c, const std::vector<std::string>& tunnels) {
    const auto add = [&](std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
        c.add_flow("br-tun", table, priority, std::move(match), std::move(actions));
    };
    const auto arrival = tunnel_table(c.f.overlay.type);
    add(0, 1, "in_port=patch-int", fmt::format("goto_table:{}", from_patch));
    for (const auto& tunnel : tunnels) add(0, 1, "in_port=" + flow_port(tunnel), fmt::format("goto_table:{}", arrival));
    add(0, 0, "", "drop");
    add(from_patch, 0, "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", fmt::format("goto_table:{}", unicast));
    add(from_patch, 0, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", fmt::format("goto_table:{}", flood));
    for (const char* type : {"gre", "vxlan", "geneve"}) add(tunnel_table(type), 0, "", "drop");
    add(learning, 1, "", learn_actions());
    add(unicast, 0, "", fmt::format("goto_table:{}", flood));
    add(arp_responder, 0, "", fmt::format("goto_table:{}", flood));
    add(flood, 0, "", "drop");

    std::string outputs;
    for (const auto& tunnel : tunnels) outputs += ",output:" + flow_port(tunnel);
    for (const auto& [network, vlan] : c.vlans) {
        const auto slash = network.find('/');
        const auto id = *c.f.tenants.at(network.substr(0, slash)).networks.at(network.substr(slash + 1)).id;
        // The VLAN's value carries OpenFlow's "a tag is present" bit, 0x1000.
        add(arrival, 1, fmt::format("tun_id=0x{:x}", id),
            fmt::format("push_vlan:0x8100,set_field:{}->vlan_vid,goto_table:{}", vlan | 0x1000, learning));
        if (!outputs.empty())
            add(flood, 1, fmt::format("dl_vlan={}", vlan),
                fmt::format("pop_vlan,set_field:0x{:x}->tun_id{}", id, outputs));
    }
}

void integration_flows(compilation& c) {
    const auto add = [&](std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
        c.add_flow("br-int", table, priority, std::move(match), std::move(actions));
    };
    add(0, 65535, "dl_vlan=4095", "drop");
    add(0, 0, "", "drop");
    // The canary: when it is gone, the switch restarted without our flows.
    add(canary, 0, "", "drop");
    add(packet_rate, 0, "", fmt::format("goto_table:{}", bandwidth));
    add(bandwidth, 0, "", fmt::format("goto_table:{}", transient));
}

void vm_ports(compilation& c) {
    for (const auto& [tenant_name, t] : c.f.tenants)
        for (const auto& [name, port] : t.ports) {
            if (port.node != c.name || port.attach == "tap") continue;
            const auto path = port_path(tenant_name, name);
            const auto present = c.facts.present_ports.find(object_uuid(c.f.name, path));
            if (present == c.facts.present_ports.end()) {
                c.pending.push_back(tenant_name + "/" + name);
                continue;
            }
            // Somebody else made the row and its interface; only the tag and the marks are ours.
            const auto network = tenant_name + "/" + port.network;
            ovs::port_row row;
            row.name = present->second;
            row.tag = c.vlans.at(network);
            row.other_config = vlan_memory(c, network);
            row.other_config[ovs::mark_bound] =
                "true";  // bound, not made: when it leaves the fabric it is unbound, not deleted
            row.external_ids = c.marks(path);
            row.interfaces = {ovs::interface_row{.name = row.name}};
            c.bridges["br-int"].ports.push_back(std::move(row));
            c.bound.push_back({tenant_name, name, present->second, &port});
            c.guard(present->second);
        }
}

}  // namespace

std::string tunnel_port_name(const fabric& f, const ip_address& remote) {
    if (!remote.is_v6()) return fmt::format("{}-{:08x}", f.overlay.type, remote.to_v4().to_uint());
    return f.overlay.type + "-" + object_uuid("", remote.to_string()).substr(0, 8);
}

std::string flow_port(const std::string& name) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const bool plain = !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
        return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
    if (plain) return name;
    std::string quoted = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    return quoted + "\"";
}

ovs::string_map vlan_memory(const compilation& c, const std::string& network) {
    const auto slash = network.find('/');
    const auto tenant_name = network.substr(0, slash), name = network.substr(slash + 1);
    return {{"net_uuid", object_uuid(c.f.name, network_path(tenant_name, name))},
            {"network_type", c.f.overlay.type},
            {"segmentation_id", std::to_string(*c.f.tenants.at(tenant_name).networks.at(name).id)},
            {"tag", std::to_string(c.vlans.at(network))},
            {"weft-network", network}};
}

void compile_switch(compilation& c) {
    if (!is_switch(c.node)) return;
    c.bridges["br-int"] = switch_row(c, "br-int");
    c.bridges["br-tun"] = switch_row(c, "br-tun");
    c.bridges["br-int"].ports.push_back(patch_row(c, "patch-tun", "patch-int"));
    c.bridges["br-tun"].ports.push_back(patch_row(c, "patch-int", "patch-tun"));
    const auto endpoints = tunnel_endpoints(c.f);
    std::vector<std::string> tunnels;
    if (const auto local = endpoints.find(c.name); local != endpoints.end())
        for (const auto& [peer, remote] : endpoints)
            if (peer != c.name) {
                c.bridges["br-tun"].ports.push_back(tunnel_row(c, local->second, peer, remote));
                tunnels.push_back(c.bridges["br-tun"].ports.back().name);
            }
    vm_ports(c);
    if (is_grizzly(c.f.overlay)) return;  // its flows come in compile_grizzly
    // Gates and what lies behind table 60 come in compile_firewall, when the routers' ports are there too.
    integration_flows(c);
    tunnel_flows(c, tunnels);
}

}  // namespace weft::roles
