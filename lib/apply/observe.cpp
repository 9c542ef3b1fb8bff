// SPDX-License-Identifier: Apache-2.0
// Reads a host: the namespaces, links, addresses, routes, sysctls, nft tables, OVS rows, flows and services that a wanted state names or
// that bear our mark. Writes nothing. Fails where a part that is wanted cannot be read: an unknown state is never "in place".
// May include: core, model, netlink, ovs, services.
#include "apply/records.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/ovs/version.hpp"
#include "weft/services/services.hpp"

#include "apply/internal.hpp"
#include "apply/plugged.hpp"
#include "apply/quarantine.hpp"
#include "apply/wireguard.hpp"
#include "model/index.hpp"
#include "model/uplink.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

namespace weft::apply {
namespace {

// The device of a setting below net/ipv[46]/conf; "" for all others, and for those of all devices.
std::string device_of(const std::string& key) {
    for (const std::string family : {"net/ipv4/conf/", "net/ipv6/conf/"}) {
        if (!key.starts_with(family)) continue;
        const auto device = key.substr(family.size(), key.find('/', family.size()) - family.size());
        return device == "all" || device == "default" ? "" : device;
    }
    return {};
}

// `all`: also what nobody asked for, because it has to be known to be made again.
result<namespace_state> observe_namespace(const netlink::namespace_handle& handle, const namespace_state& wanted, bool all, const std::vector<service>& ours,
                                          remembered_keys& remembered) {
    namespace_state seen;
    seen.name = wanted.name;
    auto session = netlink::session::open(handle);
    if (!session) return session.error();
    const bool features = all || std::any_of(wanted.links.begin(), wanted.links.end(), [](const link& l) { return !l.features.empty(); });
    if (auto r = session->links(features)) seen.links = std::move(*r); else return r.error();
    if (auto ok = read_wireguard_links(handle, seen, wanted, ours, remembered); !ok) return ok.error();
    if (auto r = session->addresses()) seen.addresses = std::move(*r); else return r.error();
    if (auto r = session->routes()) seen.routes = std::move(*r); else return r.error();
    if (auto r = session->rules()) seen.rules = std::move(*r); else return r.error();
    if (all || !wanted.neighbours.empty()) {
        if (auto r = session->neighbours()) seen.neighbours = std::move(*r); else return r.error();
    }
    if (all || !wanted.nexthops.empty()) {
        if (auto r = session->nexthops()) seen.nexthops = std::move(*r); else return r.error();
    }
    std::vector<std::string> keys;
    for (const auto& [key, value] : wanted.sysctls) keys.push_back(key);
    const auto is_there = [&](const std::string& device) {
        return std::any_of(seen.links.begin(), seen.links.end(), [&](const link& l) { return l.name == device; });
    };
    if (!keys.empty()) {
        auto values = netlink::read_sysctls(handle, keys);
        if (!values) return values.error();
        for (const auto& v : *values) {
            // One of a device that came since the links were read: as they say that there is none, there is none of its settings.
            if (v.found && (device_of(v.key).empty() || is_there(device_of(v.key)))) seen.sysctls[v.key] = v.value;
        }
    }
    if (auto r = netlink::nft_tables(handle)) seen.tables = std::move(*r); else return r.error();
    return seen;
}

// The kernel names the other end of a veth by a number of its namespace only. Ours lead from the host into namespaces of ours, so that
// both ends are here: they name each other.
void name_peers(host_state& seen) {
    if (seen.namespaces.empty() || !seen.namespaces[0].name.empty()) return;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::pair<const namespace_state*, const link*>> inner;
    for (auto n = seen.namespaces.begin() + 1; n != seen.namespaces.end(); ++n)
        for (const auto& l : n->links)
            if (std::holds_alternative<veth_options>(l.options) && l.peer_namespace_id >= 0) inner[{l.link_index, l.index}] = {&*n, &l};
    for (auto& l : seen.namespaces[0].links) {
        auto* veth = std::get_if<veth_options>(&l.options);
        const auto at = veth != nullptr && l.group == weft_link_group ? inner.find({l.index, l.link_index}) : inner.end();
        if (at == inner.end()) continue;
        const auto& [space, end] = at->second;
        *veth = {end->name, space->name, end->mac, end->mtu};
    }
}

// Neighbours and nexthop objects are many on some hosts, and of interest only where weft has its own or a NIC's move to a bridge.
result<host_state> beside_uplinks(const place& where, host_state seen, const host_state& wanted) {
    if (!uplinks_concerned(seen, wanted)) return seen;
    auto handle = netlink::namespace_handle::open(where.netns);
    if (!handle) return handle.error();
    auto session = netlink::session::open(*handle);
    if (!session) return session.error();
    for (auto& n : seen.namespaces) {
        if (!n.name.empty()) continue;
        if (auto r = session->neighbours()) n.neighbours = std::move(*r); else return r.error();
        if (auto r = session->nexthops()) n.nexthops = std::move(*r); else return r.error();
    }
    return seen;
}

}  // namespace

ovs::port_numbers numbers_of(const std::vector<ovs::bridge_row>& bridges, const std::string& bridge) {
    ovs::port_numbers numbers;
    for (const auto& b : bridges) {
        if (b.name != bridge) continue;
        for (const auto& p : b.ports) {
            for (const auto& i : p.interfaces) {
                if (i.ofport && *i.ofport > 0) numbers[i.name] = static_cast<std::uint32_t>(*i.ofport);
            }
        }
    }
    return numbers;
}

bool has_database(const place& where) { return ::access((where.ovs_rundir + "/db.sock").c_str(), F_OK) == 0; }

result<host_state> observe_kernel(const place& where, const host_state& wanted) {
    host_state seen;
    auto recorded = recorded_namespaces(wanted.fabric);
    if (!recorded) return recorded.error();
    const std::set<std::string> ours(recorded->begin(), recorded->end());
    auto existing = netlink::list_namespaces();
    if (!existing) return existing.error();
    const std::set<std::string> exist(existing->begin(), existing->end());

    std::set<std::string> names = {""};
    for (const auto& n : wanted.namespaces) {
        if (n.name.empty() || !exist.contains(n.name)) continue;
        if (!ours.contains(n.name)) {
            seen.foreign_namespaces.push_back(n.name);
            continue;
        }
        names.insert(n.name);
    }
    for (const auto& name : ours) {
        if (exist.contains(name)) names.insert(name);
    }
    // One that is dead, keeps dying or has lost its supervisor is missing where it is wanted, and goes where it is not.
    auto known = services::known(wanted.fabric);
    if (!known) return known.error();

    const index wanted_namespaces(wanted.namespaces);
    remembered_keys remembered(wanted.fabric, wanted.node);
    for (const auto& name : names) {
        namespace_state nothing;
        nothing.name = name;
        const auto* want = wanted_namespaces.find(name);
        // It is to go, and what weft made in it must be known, should it have to come back.
        const bool goes = !want && !name.empty();
        if (goes) {
            const auto keys = recorded_sysctls(name);
            if (!keys) return keys.error();
            for (const auto& key : *keys) nothing.sysctls[key];
        }
        auto handle = netlink::namespace_handle::open(name.empty() ? where.netns : name);
        // A name of ours that a killed creation left without its namespace: it is yet to be made. The next run takes the file away first.
        if (!handle && handle.error().code == errc::invalid_input && want && !name.empty()) continue;
        result<namespace_state> state = handle ? result<namespace_state>(nothing) : handle.error();
        // One entry for all that is read there: a look at a node is to take no more than a few milliseconds.
        if (handle) {
            const auto entered = netlink::run_in(*handle, [&]() -> result<void> {
                state = observe_namespace(*handle, want ? *want : nothing, goes, *known, remembered);
                return {};
            });
            if (!entered) state = entered.error();
        }
        // One that cannot even be entered can be removed all the same. One that is there, and cannot be read now, cannot: an undo would not know
        // what to make again.
        if (!state && (handle || !goes)) return state.error();
        if (!state) {
            state = namespace_state{};
            state->name = name;
        }
        seen.namespaces.push_back(std::move(*state));
    }
    name_peers(seen);

    auto services = services::running(wanted.fabric);
    if (!services) return services.error();
    seen.services = std::move(*services);
    leave_out_wireguard(seen, *known, wanted);
    {
        const index alive(seen.services), named(wanted.services);
        std::vector<service> left;
        for (auto& s : *known)
            if (!alive.like(s) && !named.like(s)) left.push_back(std::move(s));
        std::move(left.begin(), left.end(), std::back_inserter(seen.services));
    }

    auto memory = found_settings(wanted.fabric, wanted.node);
    if (!memory) return memory.error();
    seen.moved = moved_in(*memory);
    return seen;
}

result<host_state> observe(const place& where, const host_state& wanted) {
    auto kernel = observe_kernel(where, wanted);
    if (!kernel) return kernel;
    auto& seen = *kernel;
    if (wanted.bridges.empty() && !has_database(where)) return beside_uplinks(where, std::move(seen), wanted);
    auto database = ovs::database::connect(where.ovs_rundir);
    if (!database) return database.error();
    auto bridges = database->snapshot();
    if (!bridges) return bridges.error();
    seen.bridges = std::move(*bridges);
    const bool concerned = !wanted.bridges.empty() || std::any_of(seen.bridges.begin(), seen.bridges.end(), [&](const auto& b) {
        const auto mark = b.external_ids.find(ovs::mark_fabric);
        return mark != b.external_ids.end() && mark->second == wanted.fabric;
    });
    if (concerned) {
        if (auto ok = ovs::vswitchd_runs(where.ovs_rundir); !ok) {
            auto e = ok.error();
            e.operation = "plan", e.object = "ovs-vswitchd of " + where.ovs_rundir;
            e.detail += (e.detail.empty() ? "" : "; ") + std::string("nothing was changed");
            return e;
        }
        const auto version = ovs::vswitchd_version(where.ovs_rundir);
        if (!version) return version.error();
        if (auto ok = ovs::check_version(*version); !ok) return ok.error();
    }
    const index seen_bridges(seen.bridges);
    for (const auto& [bridge, flows] : wanted.flows) {
        if (!seen_bridges.find(bridge)) continue;
        auto dumped = ovs::dump_flows(where.ovs_rundir, bridge, numbers_of(seen.bridges, bridge));
        if (!dumped) return dumped.error();
        seen.flows[bridge] = std::move(*dumped);
    }
    return beside_uplinks(where, std::move(seen), wanted);
}

result<host_facts> facts(const place& where, const fabric& f, const std::string& node_name) {
    host_facts out;
    const auto at = f.nodes.find(node_name);
    if (at == f.nodes.end()) return error{errc::not_found, "read facts", "node " + node_name, "the fabric has no such node", 0};
    auto handle = netlink::namespace_handle::open(where.netns);
    if (!handle) return handle.error();
    auto session = netlink::session::open(*handle);
    if (!session) return session.error();
    auto links = session->links();
    if (!links) return links.error();
    const index by_name(*links);
    for (const auto& [name, nic] : at->second.nics) {
        const auto* l = by_name.find(name);
        if (l && l->mac) out.nic_macs[name] = *l->mac;
        else {
            return error{errc::not_found, "read facts", "NIC " + name + " of node " + node_name,
                         "this host has no such link; nothing was changed", 0};
        }
    }
    const bool switching = at->second.roles.contains("network") || at->second.roles.contains("compute");
    auto known = users(f, node_name);
    if (!known) return known.error();
    out.users = std::move(*known);
    if (auto keys = read_vpn_facts(*handle, f, node_name, out); !keys) return keys.error();
    out.datapath = ::access("/sys/module/openvswitch", F_OK) == 0 ? "system" : "netdev";
    if (!switching && !has_database(where)) return out;
    auto database = ovs::database::connect(where.ovs_rundir);
    if (!database) return database.error();
    auto bridges = database->snapshot();
    if (!bridges) return bridges.error();
    for (const auto& b : *bridges) {
        // A bridge keeps the datapath it has: changing it would drop every packet meanwhile.
        if (b.name == "br-int" && !b.datapath_type.empty()) out.datapath = b.datapath_type;
        for (const auto& p : b.ports) {
            const auto network = p.other_config.find("weft-network");
            if (network != p.other_config.end() && p.tag && *p.tag != ovs::dead_vlan) out.local_vlans[network->second] = *p.tag;
        }
    }
    auto announced = announced_ports(*bridges);
    // The userspace datapath does not say that a device went from under it.
    for (auto& p : announced) p.open = p.open && (!p.type.empty() || by_name.find(p.device));
    out.present_ports = chosen_ports(announced);
    for (const auto& p : announced)
        if (p.open) out.plugged_ports.insert(p.device);
    return out;
}

namespace {

// What weft changed on NICs of the host and the state no longer names gets back the value that was found. A device that has gone, or
// that came with a bridge, is passed over.
void want_links_as_found(host_state& wanted, const host_state& seen, const settings_memory& memory) {
    const index namespaces(seen.namespaces);
    const auto* root_seen = namespaces.find("");
    const auto root = std::find_if(wanted.namespaces.begin(), wanted.namespaces.end(), [](const auto& n) { return n.name.empty(); });
    if (root_seen == nullptr || root == wanted.namespaces.end()) return;
    const index links(root_seen->links);
    const index bridges(seen.bridges);
    for (const auto& [key, value] : memory) {
        const auto place = split_link_key(key);
        if (!place || !links.find(place->first) || bridges.find(place->first)) continue;
        auto at = std::find_if(root->links.begin(), root->links.end(), [&](const auto& l) { return l.name == place->first; });
        if (at == root->links.end()) at = root->links.insert(at, link{.name = place->first, .options = physical_options{}});
        if (place->second == "promiscuous" && !at->promiscuous) at->promiscuous = value == "1";
        if (place->second == "mtu" && !at->mtu) at->mtu = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    }
}

// A port that its owner unplugged between the compilation and the look. Its row is not weft's to make: the device would be plugged again,
// without its owner's announcement.
result<void> still_plugged(const host_state& wanted, const host_state& seen) {
    const index bridges(seen.bridges);
    for (const auto& b : wanted.bridges) {
        const auto* there = bridges.like(b);
        if (there == nullptr) continue;
        const index ports(there->ports);
        for (const auto& p : b.ports)
            if (p.other_config.contains(ovs::mark_bound) && ports.like(p) == nullptr)
                return error{errc::stale, "plan", "port " + p.name + " of " + b.name, "its owner unplugged it while the host was read; nothing was changed", 0};
    }
    return {};
}

}  // namespace

result<plan> make_plan(const place& where, const host_state& given, std::vector<error>* others) {
    host_state wanted = given;
    // Sysctls that the state no longer names get back the value that was found.
    auto memory = found_settings(wanted.fabric, wanted.node);
    if (!memory) return memory.error();
    std::set<std::string> restored;
    for (auto& n : wanted.namespaces) {
        const auto scope = n.name + "|";
        for (auto at = memory->lower_bound(scope); at != memory->end() && at->first.starts_with(scope); ++at) {
            if (n.sysctls.emplace(at->first.substr(scope.size()), at->second).second) restored.insert(at->first);
        }
    }
    auto seen = observe(where, wanted);
    if (!seen) return seen.error();
    if (auto ok = still_plugged(wanted, *seen); !ok) return ok.error();
    want_links_as_found(wanted, *seen, *memory);
    std::vector<ovs::refused_flow> refused;
    for (auto& [bridge, flows] : wanted.flows) {
        auto spelled = ovs::canonical(flows, numbers_of(seen->bridges, bridge));
        for (std::size_t i = 0; i < flows.size(); ++i) {
            if (spelled[i]) flows[i] = std::move(*spelled[i]);
            else if (spelled[i].error().code != errc::not_found) refused.push_back({flows[i], spelled[i].error()});
            // A port without a number yet: the flow cannot be in place, and keeps its own words in the plan.
        }
    }
    if (!refused.empty() && !quarantine(wanted, refused)) return refused.front().why;
    // Keys whose module is not loaded (bridge netfilter, conntrack), and remembered keys whose device is gone, cannot be compared.
    const index seen_namespaces(seen->namespaces);
    for (auto& n : wanted.namespaces) {
        const auto* have = seen_namespaces.like(n);
        if (!have) continue;
        std::erase_if(n.sysctls, [&](const auto& pair) {
            const bool optional = pair.first.starts_with("net/bridge/") || pair.first.starts_with("net/netfilter/");
            return !have->sysctls.contains(pair.first) && (optional || restored.contains(n.name + "|" + pair.first));
        });
    }
    return diff(*seen, wanted, others);
}

}  // namespace weft::apply
