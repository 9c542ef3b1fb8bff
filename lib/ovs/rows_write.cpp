// SPDX-License-Identifier: Apache-2.0
// Writes a change set into an open IDL transaction. Existing rows are changed by mutation of single set members and map keys,
// and only where they differ; a row that is changed is verified to be there still. New rows are written whole. Longer than the guide,
// because the rows of all three tables are written here, by the same few rules.
#include "ovs/rows.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <unordered_map>

namespace weft::ovs {
namespace {

constexpr const char* operation_name = "commit";

error refuse(errc code, std::string object, std::string why) { return {code, operation_name, std::move(object), std::move(why), 0}; }

const char* or_null(const std::string& s) { return s.empty() ? nullptr : s.c_str(); }
bool same(const char* now, const std::string& wanted) { return wanted == (now ? now : ""); }

// Keys named in before or after are ours; all others stay.
bool sync_map(const void* row, weft_map which, const smap* now, const string_map* before, const string_map& after) {
    bool changed = false;
    for (const auto& [key, value] : after) {
        const char* have = weft_map_get(now, key.c_str());
        if (!have || value != have) {
            weft_map_put(row, which, key.c_str(), value.c_str());
            changed = true;
        }
    }
    if (before) {
        for (const auto& [key, value] : *before) {
            if (!after.contains(key) && weft_map_get(now, key.c_str())) {
                weft_map_delete(row, which, key.c_str());
                changed = true;
            }
        }
    }
    return changed;
}

void fill_map(const void* row, weft_map which, const string_map& m) {
    if (m.empty()) {
        return;
    }
    std::vector<const char*> keys, values;
    for (const auto& [key, value] : m) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
    }
    weft_map_fill(row, which, keys.data(), values.data(), keys.size());
}

// A scalar column that neither side names is left as somebody else set it.
template <class T>
bool ours(const T* before, const T& after) {
    return after != T{} || (before && *before != T{});
}

template <class Row, class Value>
bool sync_number(const Row* row, void (*set)(const Row*, const std::int64_t*), const std::int64_t* now,
                 const std::optional<Value>* before, const std::optional<Value>& after) {
    const std::int64_t wanted = after ? static_cast<std::int64_t>(*after) : 0;
    if (!ours(before, after) || (after ? now && *now == wanted : !now)) {
        return false;
    }
    set(row, after ? &wanted : nullptr);
    return true;
}

void fill_interface(const ovsrec_interface* row, const interface_row& a) {
    const weft_interface_view none{};
    if (!a.type.empty()) {
        weft_interface_set_type(row, a.type.c_str());
    }
    if (a.mac) {
        weft_interface_set_mac(row, a.mac->to_string().c_str());
    }
    sync_number(row, weft_interface_set_mtu_request, none.mtu_request, {}, a.mtu_request);
    sync_number(row, weft_interface_set_ofport_request, none.ofport_request, {}, a.ofport_request);
    fill_map(row, WEFT_INTERFACE_OPTIONS, a.options);
    fill_map(row, WEFT_INTERFACE_EXTERNAL_IDS, a.external_ids);
}

void sync_interface(const ovsrec_interface* row, const interface_row* before, const interface_row& after) {
    weft_interface_view v;
    weft_interface_read(row, &v);
    bool changed = false;
    if (!same(v.type, after.type) && !(after.type.empty() && same(v.type, "system"))) {
        weft_interface_set_type(row, after.type.c_str());
        changed = true;
    }
    if (ours(before ? &before->mac : nullptr, after.mac)) {
        const auto now = v.mac ? parse_mac(v.mac) : result<mac_address>(error{});
        if (after.mac ? !now || *now != *after.mac : v.mac != nullptr) {
            weft_interface_set_mac(row, after.mac ? after.mac->to_string().c_str() : nullptr);
            changed = true;
        }
    }
    changed |= sync_number(row, weft_interface_set_mtu_request, v.mtu_request, before ? &before->mtu_request : nullptr, after.mtu_request);
    changed |= sync_number(row, weft_interface_set_ofport_request, v.ofport_request, before ? &before->ofport_request : nullptr,
                           after.ofport_request);
    changed |= sync_map(row, WEFT_INTERFACE_OPTIONS, v.options, before ? &before->options : nullptr, after.options);
    changed |= sync_map(row, WEFT_INTERFACE_EXTERNAL_IDS, v.external_ids, before ? &before->external_ids : nullptr, after.external_ids);
    if (changed) {
        weft_interface_verify(row);
    }
}

void set_trunks(const ovsrec_port* row, const std::set<std::uint16_t>& trunks) {
    const std::vector<std::int64_t> values(trunks.begin(), trunks.end());
    weft_port_set_trunks(row, values.data(), values.size());
}

ovsrec_port* insert_port(ovsdb_idl_txn* txn, const port_row& p) {
    ovsrec_port* row = weft_port_insert(txn, p.name.c_str());
    std::vector<ovsrec_interface*> interfaces;
    for (const auto& i : p.interfaces) {
        interfaces.push_back(weft_interface_insert(txn, i.name.c_str()));
        fill_interface(interfaces.back(), i);
    }
    weft_port_set_interfaces(row, interfaces.data(), interfaces.size());
    sync_number(row, weft_port_set_tag, nullptr, {}, p.tag);
    if (!p.trunks.empty()) {
        set_trunks(row, p.trunks);
    }
    if (!p.vlan_mode.empty()) {
        weft_port_set_vlan_mode(row, p.vlan_mode.c_str());
    }
    fill_map(row, WEFT_PORT_OTHER_CONFIG, p.other_config);
    fill_map(row, WEFT_PORT_EXTERNAL_IDS, p.external_ids);
    return row;
}

const interface_row* named(const port_row* p, const std::string& name) {
    if (p) {
        for (const auto& i : p->interfaces) {
            if (i.name == name) {
                return &i;
            }
        }
    }
    return nullptr;
}

void sync_port(ovsdb_idl_txn* txn, const ovsrec_port* row, const port_row* before, const port_row& after) {
    weft_port_view v;
    weft_port_read(row, &v);
    bool changed = sync_number(row, weft_port_set_tag, v.tag, before ? &before->tag : nullptr, after.tag);
    if (ours(before ? &before->trunks : nullptr, after.trunks)) {
        const std::set<std::uint16_t> now(v.trunks, v.trunks + v.n_trunks);
        if (now != after.trunks) {
            set_trunks(row, after.trunks);
            changed = true;
        }
    }
    if (ours(before ? &before->vlan_mode : nullptr, after.vlan_mode) && !same(v.vlan_mode, after.vlan_mode)) {
        weft_port_set_vlan_mode(row, or_null(after.vlan_mode));
        changed = true;
    }
    changed |= sync_map(row, WEFT_PORT_OTHER_CONFIG, v.other_config, before ? &before->other_config : nullptr, after.other_config);
    changed |= sync_map(row, WEFT_PORT_EXTERNAL_IDS, v.external_ids, before ? &before->external_ids : nullptr, after.external_ids);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < v.n_interfaces; i++) {
        weft_interface_view iv;
        weft_interface_read(v.interfaces[i], &iv);
        if (const auto* wanted = named(&after, iv.name)) {
            seen.insert(iv.name);
            sync_interface(v.interfaces[i], named(before, iv.name), *wanted);
        } else {
            weft_port_drop_interface(row, v.interfaces[i]);
            changed = true;
        }
    }
    for (const auto& i : after.interfaces) {
        if (!seen.contains(i.name)) {
            auto* fresh = weft_interface_insert(txn, i.name.c_str());
            fill_interface(fresh, i);
            weft_port_add_interface(row, fresh);
            changed = true;
        }
    }
    if (changed) {
        weft_port_verify(row);
    }
}

void set_protocols(const ovsrec_bridge* row, const std::set<std::string>& protocols) {
    std::vector<const char*> texts;
    for (const auto& p : protocols) {
        texts.push_back(p.c_str());
    }
    weft_bridge_set_protocols(row, texts.data(), texts.size());
}

void fill_bridge(const ovsrec_bridge* row, const bridge_row& b) {
    if (!b.datapath_type.empty()) {
        weft_bridge_set_datapath_type(row, b.datapath_type.c_str());
    }
    if (!b.fail_mode.empty()) {
        weft_bridge_set_fail_mode(row, b.fail_mode.c_str());
    }
    if (!b.protocols.empty()) {
        set_protocols(row, b.protocols);
    }
    fill_map(row, WEFT_BRIDGE_OTHER_CONFIG, b.other_config);
    fill_map(row, WEFT_BRIDGE_EXTERNAL_IDS, b.external_ids);
}

void sync_bridge(const ovsrec_bridge* row, const bridge_row* before, const bridge_row& after) {
    const auto effective = [](const std::string& type) { return type.empty() ? std::string("system") : type; };
    weft_bridge_view v;
    weft_bridge_read(row, &v);
    bool changed = false;
    if (!after.datapath_type.empty() && effective(v.datapath_type) != effective(after.datapath_type)) {
        weft_bridge_set_datapath_type(row, after.datapath_type.c_str());
        changed = true;
    }
    if (ours(before ? &before->fail_mode : nullptr, after.fail_mode) && !same(v.fail_mode, after.fail_mode)) {
        weft_bridge_set_fail_mode(row, or_null(after.fail_mode));
        changed = true;
    }
    const std::set<std::string> now(v.protocols, v.protocols + v.n_protocols);
    if (ours(before ? &before->protocols : nullptr, after.protocols) && now != after.protocols) {
        set_protocols(row, after.protocols);
        changed = true;
    }
    changed |= sync_map(row, WEFT_BRIDGE_OTHER_CONFIG, v.other_config, before ? &before->other_config : nullptr, after.other_config);
    changed |= sync_map(row, WEFT_BRIDGE_EXTERNAL_IDS, v.external_ids, before ? &before->external_ids : nullptr, after.external_ids);
    if (changed) {
        weft_bridge_verify(row);
    }
}

// What a bridge says of its local port, whose interface is the only one there.
void sync_local_port(const ovsrec_port* row, const bridge_row* before, const bridge_row& after) {
    weft_port_view port;
    weft_port_read(row, &port);
    if (port.n_interfaces != 1) {
        return;
    }
    weft_interface_view v;
    weft_interface_read(port.interfaces[0], &v);
    if (sync_number(port.interfaces[0], weft_interface_set_mtu_request, v.mtu_request, before ? &before->mtu_request : nullptr, after.mtu_request)) {
        weft_interface_verify(port.interfaces[0]);
    }
}

// Whether a row that went may be made anew: one that somebody else plugged is gone because its owner unplugged it.
bool made_by_weft(const port_row& p) { return p.external_ids.contains(mark_fabric) && !p.other_config.contains(mark_bound); }

// A bridge as it will be after the transaction.
struct live_bridge {
    ovsrec_bridge* row = nullptr;
    bool fresh = false, indexed = false;
    std::optional<std::uint32_t> mtu_request;  // of a fresh one's local port
    std::vector<ovsrec_port*> new_ports;
    std::unordered_map<std::string, ovsrec_port*> ports;

    ovsrec_port* find(const std::string& name) {
        if (!fresh && !indexed) {
            indexed = true;
            weft_bridge_view v;
            weft_bridge_read(row, &v);
            for (std::size_t i = 0; i < v.n_ports; i++) {
                weft_port_view p;
                weft_port_read(v.ports[i], &p);
                ports.emplace(p.name, v.ports[i]);
            }
        }
        const auto it = ports.find(name);
        return it == ports.end() ? nullptr : it->second;
    }
};

}  // namespace

result<void> check_changes(const change_set& c) {
    for (const auto& b : c.bridges) {
        if (b.after && (b.after->name.empty() || (b.before && b.before->name != b.after->name))) {
            return refuse(errc::invalid_input, b.after->name, "a bridge cannot be renamed and needs a name");
        }
    }
    for (const auto& p : c.ports) {
        if (p.after && (p.after->name.empty() || (p.before && p.before->name != p.after->name))) {
            return refuse(errc::invalid_input, p.after->name, "a port cannot be renamed and needs a name");
        }
        if (p.after && p.after->interfaces.empty()) {
            return refuse(errc::invalid_input, p.after->name, "a port needs an interface");
        }
    }
    return {};
}

result<written> write_changes(ovsdb_idl* idl, ovsdb_idl_txn* txn, const change_set& c) {
    written out;
    weft_root_view root;
    const bool fresh_root = !weft_root_read(idl, &root);
    const ovsrec_open_vswitch* root_row = root.row;
    std::unordered_map<std::string, live_bridge> bridges;
    for (std::size_t i = 0; i < root.n_bridges; i++) {
        weft_bridge_view v;
        weft_bridge_read(root.bridges[i], &v);
        bridges[v.name].row = root.bridges[i];
    }
    std::vector<ovsrec_bridge*> fresh_bridges;
    for (const auto& change : c.bridges) {
        if (change.before && !change.after) {
            if (auto it = bridges.find(change.before->name); it != bridges.end() && !it->second.fresh) {
                weft_root_drop_bridge(root_row, it->second.row);
                bridges.erase(it);
            }
        }
    }
    for (const auto& change : c.bridges) {
        if (!change.after) {
            continue;
        }
        auto& b = bridges[change.after->name];
        if (b.row) {
            const auto* before = change.before ? &*change.before : nullptr;
            sync_bridge(b.row, before, *change.after);
            if (const auto* local = b.find(change.after->name)) {
                sync_local_port(local, before, *change.after);
            }
            continue;
        }
        if (fresh_root && !root_row) {
            root_row = weft_root_insert(txn);
        }
        b.row = weft_bridge_insert(txn, change.after->name.c_str());
        b.fresh = true;
        b.mtu_request = change.after->mtu_request;
        fill_bridge(b.row, *change.after);
        fresh_bridges.push_back(b.row);
        if (!fresh_root) {
            weft_root_add_bridge(root_row, b.row);
        }
    }
    if (fresh_root && root_row) {
        weft_root_set_bridges(root_row, fresh_bridges.data(), fresh_bridges.size());
    }
    // Removals go first: a port that moves to another bridge leaves and arrives in one transaction.
    for (const auto& change : c.ports) {
        if (change.before && !change.after) {
            const auto it = bridges.find(change.bridge);
            if (auto* port = it == bridges.end() ? nullptr : it->second.find(change.before->name)) {
                weft_bridge_drop_port(it->second.row, port);
                it->second.ports.erase(change.before->name);
            }
        }
    }
    for (const auto& change : c.ports) {
        if (!change.after) {
            continue;
        }
        const auto it = bridges.find(change.bridge);
        if (it == bridges.end()) {
            return refuse(errc::not_found, change.bridge, "no such bridge for port " + change.after->name);
        }
        auto& b = it->second;
        if (auto* port = b.find(change.after->name)) {
            if (b.fresh) {
                return refuse(errc::invalid_input, change.after->name, "the port is named twice");
            }
            sync_port(txn, port, change.before ? &*change.before : nullptr, *change.after);
        } else if (change.before && !made_by_weft(*change.before)) {
            return refuse(errc::not_found, change.after->name, "its owner took the port off " + change.bridge + " meanwhile");
        } else {
            port = insert_port(txn, *change.after);
            b.ports[change.after->name] = port;
            b.new_ports.push_back(port);
            if (!b.fresh) {
                weft_bridge_verify(b.row);
                weft_bridge_add_port(b.row, port);
            }
        }
        for (const auto& i : change.after->interfaces) {
            out.interfaces.emplace_back(change.bridge, i.name);
        }
    }
    for (auto& [name, b] : bridges) {
        if (!b.fresh) {
            continue;
        }
        if (!b.find(name)) {
            port_row local;
            local.name = name;
            local.interfaces.emplace_back();
            local.interfaces.back().name = name;
            local.interfaces.back().type = "internal";
            local.interfaces.back().mtu_request = b.mtu_request;
            b.new_ports.push_back(insert_port(txn, local));
            out.interfaces.emplace_back(name, name);
        }
        weft_bridge_set_ports(b.row, b.new_ports.data(), b.new_ports.size());
    }
    if (root_row) {
        weft_txn_increment(txn, root_row, false);
    }
    return out;
}

}  // namespace weft::ovs
