// SPDX-License-Identifier: Apache-2.0
// Reads IDL rows into the model. Nothing here fails: a value that the model cannot hold (an odd MAC text) is left out.
#include "ovs/rows.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace weft::ovs {
namespace {

string_map to_map(const smap* m) {
    string_map out;
    weft_map_each(m, [](void* aux, const char* k, const char* v) { static_cast<string_map*>(aux)->emplace(k, v); }, &out);
    return out;
}

std::string text(const char* s) { return s ? s : ""; }

interface_row to_interface(const ovsrec_interface* row) {
    weft_interface_view v;
    weft_interface_read(row, &v);
    interface_row i;
    i.name = v.name;
    i.type = std::strcmp(v.type, "system") == 0 ? "" : v.type;
    i.options = to_map(v.options);
    i.external_ids = to_map(v.external_ids);
    if (v.mac) {
        if (auto mac = parse_mac(v.mac)) {
            i.mac = *mac;
        }
    }
    if (v.mtu_request) {
        i.mtu_request = static_cast<std::uint32_t>(*v.mtu_request);
    }
    if (v.ofport_request) {
        i.ofport_request = static_cast<std::uint32_t>(*v.ofport_request);
    }
    if (v.ofport) {
        i.ofport = *v.ofport;
    }
    i.error = text(v.error);
    return i;
}

port_row to_port(const ovsrec_port* row) {
    weft_port_view v;
    weft_port_read(row, &v);
    port_row p;
    p.name = v.name;
    if (v.tag) {
        p.tag = static_cast<std::uint16_t>(*v.tag);
    }
    for (std::size_t i = 0; i < v.n_trunks; i++) {
        p.trunks.insert(static_cast<std::uint16_t>(v.trunks[i]));
    }
    p.vlan_mode = text(v.vlan_mode);
    p.other_config = to_map(v.other_config);
    p.external_ids = to_map(v.external_ids);
    for (std::size_t i = 0; i < v.n_interfaces; i++) {
        p.interfaces.push_back(to_interface(v.interfaces[i]));
    }
    std::ranges::sort(p.interfaces, {}, &interface_row::name);
    return p;
}

bridge_row to_bridge(const ovsrec_bridge* row) {
    weft_bridge_view v;
    weft_bridge_read(row, &v);
    bridge_row b;
    b.name = v.name;
    b.datapath_type = *v.datapath_type ? v.datapath_type : "system";
    b.fail_mode = text(v.fail_mode);
    b.protocols.insert(v.protocols, v.protocols + v.n_protocols);
    b.other_config = to_map(v.other_config);
    b.external_ids = to_map(v.external_ids);
    for (std::size_t i = 0; i < v.n_controllers; i++) {
        b.controllers.insert(text(weft_controller_target(v.controllers[i])));
    }
    for (std::size_t i = 0; i < v.n_ports; i++) {
        auto p = to_port(v.ports[i]);
        if (p.name != b.name) {
            b.ports.push_back(std::move(p));
        } else if (p.interfaces.size() == 1) {
            b.mtu_request = p.interfaces[0].mtu_request;
        }
    }
    std::ranges::sort(b.ports, {}, &port_row::name);
    return b;
}

}  // namespace

std::vector<bridge_row> read_rows(const ovsdb_idl* idl) {
    std::vector<bridge_row> out;
    weft_root_view root;
    if (weft_root_read(idl, &root)) {
        for (std::size_t i = 0; i < root.n_bridges; i++) {
            out.push_back(to_bridge(root.bridges[i]));
        }
    }
    std::ranges::sort(out, {}, &bridge_row::name);
    return out;
}

std::vector<port_outcome> read_outcomes(const ovsdb_idl* idl, const written& w) {
    std::unordered_map<std::string, const ovsrec_interface*> rows;
    std::unordered_set<std::string_view> bridges;
    for (const auto& [bridge, name] : w.interfaces) {
        bridges.insert(bridge);
    }
    weft_root_view root;
    if (!bridges.empty() && weft_root_read(idl, &root)) {
        for (std::size_t b = 0; b < root.n_bridges; b++) {
            weft_bridge_view bridge;
            weft_bridge_read(root.bridges[b], &bridge);
            if (!bridges.contains(bridge.name)) {
                continue;
            }
            for (std::size_t p = 0; p < bridge.n_ports; p++) {
                weft_port_view port;
                weft_port_read(bridge.ports[p], &port);
                for (std::size_t i = 0; i < port.n_interfaces; i++) {
                    weft_interface_view v;
                    weft_interface_read(port.interfaces[i], &v);
                    rows.emplace(v.name, port.interfaces[i]);
                }
            }
        }
    }
    std::vector<port_outcome> out;
    for (const auto& [bridge, name] : w.interfaces) {
        const auto it = rows.find(name);
        if (it == rows.end()) {
            out.push_back({name, std::nullopt, "the interface has gone again"});
        } else {
            auto i = to_interface(it->second);
            out.push_back({name, i.ofport, std::move(i.error)});
        }
    }
    return out;
}

}  // namespace weft::ovs
