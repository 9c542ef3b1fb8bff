// SPDX-License-Identifier: Apache-2.0
// See the header. Pure.
#include "model/uplink_refusals.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "model/index.hpp"

namespace weft {
namespace {

error refused(errc code, std::string object, std::string why) {
    return {code, "plan", std::move(object), std::move(why) + "; nothing was changed", 0};
}

std::string joining(const uplink& u) { return u.nic + " shall be a port of " + u.bridge; }

}  // namespace

result<void> can_be_port(const namespace_state& root, const host_state& seen, const host_state& wanted, const uplink& u) {
    const index links(root.links);
    const auto* nic = links.find(u.nic);
    if (nic == nullptr) return {};
    const auto mark = "weft:" + wanted.fabric + "/";
    for (const auto& b : seen.bridges) {
        const auto fabric = b.external_ids.find(ovs::mark_fabric);
        const bool ours = fabric != b.external_ids.end() && fabric->second == wanted.fabric;
        const bool holds = std::any_of(b.ports.begin(), b.ports.end(), [&](const auto& p) { return p.name == u.nic; });
        if (b.name != u.bridge && holds && !ours)
            return refused(errc::foreign_object, "port " + u.nic, joining(u) + ", and is one of " + b.name + ", which is not weft's");
    }
    if (const auto* master = links.find(nic->master); master && master->name != u.bridge && master->name != "ovs-system" &&
                                                      !(master->group == weft_link_group && master->alias.starts_with(mark)))
        return refused(errc::foreign_object, "link " + u.nic,
                       joining(u) + ", and is one of " + master->name + " (" + kind_name(master->options) + "), which is not weft's");
    for (const auto& l : root.links) {
        const auto kind = kind_name(l.options);
        if (nic->index == 0 || l.link_index != nic->index || l.peer_namespace_id != -1 || kind == "veth" || !l.up) continue;
        // Tagged frames reach a VLAN device before the kernel's bridge takes them; the userspace switch keeps them from it.
        if (kind == "vlan" && !u.userspace) continue;
        return refused(errc::foreign_object, "link " + l.name, joining(u) + ", and " + l.name + " (" + kind + ") on it would hear nothing any more");
    }
    for (const auto& a : root.addresses)
        if (a.device == u.nic && a.passing && !a.address.is_v6())
            return refused(errc::foreign_object, "address " + a.address.to_string() + " dev " + a.device,
                           joining(u) + ", and this address of it has a lifetime: whoever leased it, a DHCP client as a rule, would put it on " +
                               u.nic + " again, where it is dead; end the client and give the host a permanent address, there or in the fabric");
    return {};
}

result<void> can_be_carried(const namespace_state& root, const held_objects& held, const uplink& u) {
    using key = std::tuple<ip_prefix, std::uint32_t, std::uint32_t, std::uint8_t>;
    const auto key_of = [](const route& r) { return key(r.destination, r.table, r.metric, r.tos); };
    std::map<key, int> all;
    for (const auto& r : held.routes) all[key_of(r)] = 0;
    for (const auto& r : root.routes)
        if (const auto at = all.find(key_of(r)); at != all.end() && !r.passing) ++at->second;
    for (const auto& r : held.routes)
        if (all[key_of(r)] > 1)
            return refused(errc::foreign_object, "route " + r.destination.to_string() + " in table " + std::to_string(r.table),
                           joining(u) + ", and of two routes with this destination and metric it cannot be said which one would move; take one off");
    return {};
}

result<void> path_needs_no_flows(const host_state& host, const host_state& wanted, const std::vector<uplink>& ports,
                                 const std::vector<moved_object>& taken) {
    std::set<std::pair<std::string, std::string>> carried;  // bridge, what
    for (const auto* list : {&host.moved, &taken})
        for (const auto& m : *list)
            if (std::any_of(ports.begin(), ports.end(), [&](const auto& u) { return u.nic == m.nic && u.bridge == m.bridge; }))
                carried.emplace(m.bridge, m.what);
    std::map<std::string, std::string> paths;  // bridge → an address of the host on it
    for (const auto& n : wanted.namespaces)
        for (const auto& a : n.addresses)
            if (n.name.empty()) paths.emplace(a.device, a.address.to_string());
    for (const auto& n : host.namespaces)
        for (const auto& a : n.addresses)
            if (n.name.empty() && !carried.empty() && carried.contains({a.device, identity(a, a.device)})) paths.emplace(a.device, a.address.to_string());
    const index seen(host.bridges);
    for (const auto& b : wanted.bridges) {
        const auto path = paths.find(b.name);
        if (path == paths.end()) continue;
        const auto what = "the host's own address " + path->second + " would be on " + b.name;
        if (b.fail_mode == "secure")
            return refused(errc::invalid_input, "bridge " + b.name,
                           what + ", which passes nothing without flows (fail mode secure): after a restart nobody reaches the host before they "
                                  "are there; it must be standalone");
        const auto* have = seen.like(b);
        if (have && !have->controllers.empty())
            return refused(errc::foreign_object, "bridge " + b.name,
                           what + ", which somebody gave to a controller (" + *have->controllers.begin() +
                               "): after a restart nobody reaches the host before its flows are there; take it off (ovs-vsctl del-controller " +
                               b.name + ") or put the address elsewhere");
    }
    return {};
}

}  // namespace weft
