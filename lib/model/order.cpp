// SPDX-License-Identifier: Apache-2.0
// Order of plan steps. Pure. The ranks are the security rule of the project: never open before being secure.
#include "model/order.hpp"

#include "model/index.hpp"
#include "model/names.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace weft {
namespace {

template <class... F> struct overloaded : F... { using F::operator()...; };
template <class... F> overloaded(F...) -> overloaded<F...>;  // clang 14 does not deduce it by itself

const state_object& subject(const step& s) { return s.after ? *s.after : *s.before; }

// The device of a sysctl below net/ipv[46]/conf; "" for every other key, and for those of all devices.
std::string_view device_of(std::string_view key) {
    for (const std::string_view family : {"net/ipv4/conf/", "net/ipv6/conf/"}) {
        if (!key.starts_with(family)) continue;
        const auto device = key.substr(family.size(), key.find('/', family.size()) - family.size());
        return device == "all" || device == "default" ? "" : device;
    }
    return {};
}

// The port that a flow matches on; "" where it matches on none by name.
std::string_view in_port_of(std::string_view match) {
    const std::string_view field = "in_port=";
    auto at = match.find(field);
    while (at != std::string_view::npos && at != 0 && match[at - 1] != ',') at = match.find(field, at + 1);
    if (at == std::string_view::npos) return {};
    auto port = match.substr(at + field.size());
    port = port.substr(0, port.find(','));
    if (port.starts_with('"') && port.ends_with('"') && port.size() >= 2) port = port.substr(1, port.size() - 2);
    return port;
}

using port_names = std::set<std::pair<std::string_view, std::string_view>>;  // bridge, port

// A bridge stands for its local port.
port_names leaving_ports(const plan& p) {
    port_names out;
    for (const auto& s : p.steps)
        if (s.kind() == step_kind::remove) {
            if (const auto* port = std::get_if<ovs::port_row>(&*s.before)) out.emplace(s.scope, port->name);
            if (const auto* bridge = std::get_if<ovs::bridge_row>(&*s.before)) out.emplace(bridge->name, bridge->name);
        }
    return out;
}

constexpr int link_removal = 9, link_creation = 22, link_setting = 25;  // ranks, below

int rank(const step& s, const index<ovs::bridge_row>& bridges, const port_names& leaving) {
    const bool removal = s.kind() == step_kind::remove;
    const bool creation = s.kind() == step_kind::create;
    return std::visit(
        overloaded{
            [&](const namespace_object&) { return removal ? 92 : 20; },
            [&](const sysctl_object& o) {
                // conf/<device>/ keys exist only once their device does; those of all and default come first.
                const auto device = device_of(o.key);
                if (removal) return 90;
                if (device.empty()) return 21;
                return s.scope.empty() && bridges.find(device) ? 32 : 24;
            },
            [&](const link& l) {
                if (removal) return link_removal;
                if (creation) return link_creation;
                if (s.scope.empty() && leaving.contains({l.name, l.name})) return 6;  // the device of a bridge that goes
                if (const auto& before = std::get<link>(*s.before); l.master.empty() && !before.master.empty()) return 8;
                return s.scope.empty() && bridges.find(l.name) ? 35 : link_setting;
            },
            [&](const nft::table&) { return removal ? 91 : 23; },
            [&](const ovs::bridge_row&) { return removal ? 8 : 30; },
            [&](const ovs::port_row&) { return removal ? 7 : 31; },
            [&](const ovs::flow& f) {
                // The name of a port means nothing any more once the port has gone, nor to an undo before it has come again.
                if (removal && leaving.contains({s.scope, in_port_of(f.match)})) return 6;
                return 33;  // what comes and what goes in one bundle: no packet meets a table that is half of each
            },
            [&](const nexthop_object&) { return removal ? 5 : 40; },
            [&](const address_entry&) { return removal ? 4 : 41; },
            [&](const route&) { return removal ? 1 : 42; },
            [&](const rule&) { return removal ? 2 : 43; },
            [&](const neighbour&) { return removal ? 3 : 44; },
            // A service needs the addresses and routes of its namespace, and ends before anything is taken from under it.
            [&](const service&) { return removal ? 0 : 45; },
        },
        subject(s));
}

// What a link needs to be there before it: the link below it, and the one it is a port of.
std::vector<std::string> below(const step& s) {
    std::vector<std::string> out;
    for (const auto* o : {&s.before, &s.after})
        if (*o)
            if (const auto* l = std::get_if<link>(&**o)) {
                if (auto parent = parent_of(l->options); !parent.empty()) out.push_back(std::move(parent));
                if (!l->master.empty()) out.push_back(l->master);
            }
    return out;
}

// Stably, each link after those that it stands on: a VXLAN on a bridge, or a VLAN on a VXLAN, whatever their names.
std::vector<step> lowest_first(std::vector<step> steps) {
    std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> by_name;
    for (std::size_t i = 0; i < steps.size(); ++i)
        if (const auto* l = std::get_if<link>(&subject(steps[i]))) by_name[{steps[i].scope, l->name}].push_back(i);
    std::vector<bool> seen(steps.size());
    std::vector<step> out;
    out.reserve(steps.size());
    const auto put = [&](const auto& self, std::size_t i) -> void {
        if (seen[i]) return;
        seen[i] = true;  // before those below, so that links that stand on each other come to an end
        for (const auto& name : below(steps[i]))
            if (const auto at = by_name.find({steps[i].scope, name}); at != by_name.end())
                for (const auto lower : at->second) self(self, lower);
        out.push_back(std::move(steps[i]));
    };
    for (std::size_t i = 0; i < steps.size(); ++i) put(put, i);
    return out;
}

// The other way round: what stands on a link goes before it, or the kernel would take it along.
std::vector<step> highest_first(std::vector<step> steps) {
    std::reverse(steps.begin(), steps.end());
    steps = lowest_first(std::move(steps));
    std::reverse(steps.begin(), steps.end());
    return steps;
}

}  // namespace

void order(plan& p, const host_state& wanted, const uplink_moves* moves) {
    const index bridges(wanted.bridges);
    std::vector<int> ranks;
    {
        const auto leaving = leaving_ports(p);  // its names are the steps' own
        for (const auto& s : p.steps) {
            const auto bound = moves ? uplink_rank(s, moves->uplinks) : std::nullopt;
            ranks.push_back(bound ? *bound : rank(s, bridges, leaving));
        }
    }
    std::map<int, std::vector<step>> by_rank;
    for (std::size_t i = 0; i < ranks.size(); ++i) by_rank[ranks[i]].push_back(std::move(p.steps[i]));
    p.steps.clear();
    for (const int rank : {link_creation, link_setting})
        if (const auto at = by_rank.find(rank); at != by_rank.end()) at->second = lowest_first(std::move(at->second));
    if (const auto at = by_rank.find(link_removal); at != by_rank.end()) at->second = highest_first(std::move(at->second));
    if (moves != nullptr)
        for (const auto& [at, steps] : {std::pair(back_move, &moves->back), std::pair(forth_move, &moves->forth)})
            by_rank[at].insert(by_rank[at].end(), steps->begin(), steps->end());
    for (auto& [rank, steps] : by_rank) std::move(steps.begin(), steps.end(), std::back_inserter(p.steps));
}

std::vector<step> inverses(const std::vector<step>& done) {
    using device_name = std::pair<std::string, std::string>;  // with its namespace before it
    const auto comes_up = [](const step& s) -> const link* {
        const auto* after = s.before ? std::get_if<link>(&*s.before) : nullptr;  // of the inverse
        const auto* before = s.after ? std::get_if<link>(&*s.after) : nullptr;
        return after != nullptr && after->up && !(before != nullptr && before->up) ? after : nullptr;
    };
    std::map<device_name, int> yet_to_come_up;
    for (const auto& s : done)
        if (const auto* l = comes_up(s)) ++yet_to_come_up[{s.scope, l->name}];
    std::map<device_name, std::vector<step>> held;
    std::vector<step> back;
    for (auto s = done.rbegin(); s != done.rend(); ++s) {
        const auto inverse = s->inverse();
        if (const auto* key = std::get_if<sysctl_object>(&subject(*s))) {
            const device_name device{s->scope, device_of(key->key)};
            auto& into = yet_to_come_up[device] > 0 ? held[device] : back;
            into.push_back(inverse);
            continue;
        }
        const auto* up = comes_up(*s);
        if (up == nullptr) {
            const auto* l = std::get_if<link>(&subject(*s));
            if (l == nullptr || inverse.before || !made_with_its_peer(s->scope, *l)) back.push_back(inverse);
            continue;
        }
        --yet_to_come_up[{s->scope, up->name}];
        if (!inverse.before && made_with_its_peer(s->scope, *up)) continue;  // its settings stay held
        auto settings = std::move(held[{s->scope, up->name}]);
        held.erase({s->scope, up->name});
        if (settings.empty() || inverse.before) {
            std::move(settings.begin(), settings.end(), std::back_inserter(back));
            back.push_back(inverse);
            continue;
        }
        auto down = *up;
        down.up = false;
        back.push_back({s->scope, std::nullopt, down, inverse.bounces, inverse.no_inverse});
        std::move(settings.begin(), settings.end(), std::back_inserter(back));
        back.push_back({s->scope, down, *up, {}, {}});
    }
    return back;
}

}  // namespace weft
