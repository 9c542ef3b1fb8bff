// SPDX-License-Identifier: Apache-2.0
// Order and text of plan steps. Pure. The ranks are the security rule of the project: never open before being secure.
#include "model/order.hpp"

#include "model/index.hpp"

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

port_names leaving_ports(const plan& p) {
    port_names out;
    for (const auto& s : p.steps)
        if (s.kind() == step_kind::remove)
            if (const auto* port = std::get_if<ovs::port_row>(&*s.before)) out.emplace(s.scope, port->name);
    return out;
}

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
                if (removal) return 9;
                if (creation) return 22;
                if (const auto& before = std::get<link>(*s.before); l.master.empty() && !before.master.empty()) return 8;
                return s.scope.empty() && bridges.find(l.name) ? 35 : 25;
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
    if (moves != nullptr)
        for (const auto& [at, steps] : {std::pair(back_move, &moves->back), std::pair(forth_move, &moves->forth)})
            by_rank[at].insert(by_rank[at].end(), steps->begin(), steps->end());
    for (auto& [rank, steps] : by_rank) std::move(steps.begin(), steps.end(), std::back_inserter(p.steps));
}

std::string step::object_kind() const {
    return std::visit(overloaded{[](const namespace_object&) { return "namespace"; }, [](const sysctl_object&) { return "sysctl"; },
                                 [](const link&) { return "link"; }, [](const address_entry&) { return "address"; },
                                 [](const nexthop_object&) { return "nexthop"; }, [](const route&) { return "route"; },
                                 [](const rule&) { return "rule"; }, [](const neighbour&) { return "neighbour"; },
                                 [](const nft::table&) { return "nft table"; }, [](const ovs::bridge_row&) { return "bridge"; },
                                 [](const ovs::port_row&) { return "port"; }, [](const ovs::flow&) { return "flow"; },
                                 [](const service&) { return "service"; }},
                      subject(*this));
}

std::string step::object_name() const {
    return std::visit(
        overloaded{[](const namespace_object& o) { return o.name; }, [](const sysctl_object& o) { return o.key; },
                   [](const link& o) { return o.name; },
                   [](const address_entry& o) { return o.address.to_string() + " dev " + o.device; },
                   [](const nexthop_object& o) { return std::to_string(o.id); },
                   [](const route& o) {
                       std::string text = o.destination.length == 0 ? "default" : o.destination.to_string();
                       for (const auto& hop : o.nexthops) {
                           if (hop.gateway) text += " via " + hop.gateway->to_string();
                           if (!hop.device.empty()) text += " dev " + hop.device;
                       }
                       return text;
                   },
                   [](const rule& o) { return "priority " + std::to_string(o.priority); },
                   [](const neighbour& o) { return o.address.to_string() + " dev " + o.device; },
                   [](const nft::table& o) {
                       return std::string(o.family == nft::family::netdev ? "netdev " : o.family == nft::family::inet ? "inet "
                                          : o.family == nft::family::ipv4 ? "ip " : o.family == nft::family::ipv6 ? "ip6 " : "") + o.name;
                   },
                   [](const ovs::bridge_row& o) { return o.name; }, [](const ovs::port_row& o) { return o.name; },
                   [](const ovs::flow& o) {
                       return "table=" + std::to_string(o.table) + ",priority=" + std::to_string(o.priority) +
                              (o.match.empty() ? "" : "," + o.match);
                   },
                   [](const service& o) { return o.name; }},
        subject(*this));
}

std::string step::to_string() const {
    std::string text = kind() == step_kind::create ? "+ " : kind() == step_kind::remove ? "- " : "~ ";
    text += object_kind() + " " + object_name();
    if (!scope.empty() && scope != object_name()) text += " (" + scope + ")";
    const auto say = [&](const std::string& field, const std::string& old_value, const std::string& new_value) {
        if (old_value != new_value) text += " " + field + (kind() == step_kind::change ? " " + old_value + " →" : "") + " " + new_value;
    };
    if (kind() != step_kind::remove) {
        if (const auto* now = std::get_if<sysctl_object>(&*after)) {
            say("=", before ? std::get<sysctl_object>(*before).value : "", now->value);
        } else if (const auto* now = std::get_if<link>(&*after)) {
            const link old = before ? std::get<link>(*before) : link{};
            say("mtu", old.mtu ? std::to_string(*old.mtu) : "", now->mtu ? std::to_string(*now->mtu) : "");
            say("mac", old.mac ? old.mac->to_string() : "", now->mac ? now->mac->to_string() : "");
            say("state", old.up ? "up" : "down", now->up ? "up" : "down");
            say("master", old.master, now->master);
            const auto owner = [](const link& l) {
                const auto* tap = std::get_if<tun_options>(&l.options);
                return tap && tap->owner ? std::to_string(*tap->owner) : std::string();
            };
            say("owner", owner(old), owner(*now));
        } else if (const auto* now = std::get_if<ovs::port_row>(&*after)) {
            const auto old = before ? std::get<ovs::port_row>(*before) : ovs::port_row{};
            say("tag", old.tag ? std::to_string(*old.tag) : "none", now->tag ? std::to_string(*now->tag) : "none");
        } else if (const auto* now = std::get_if<ovs::flow>(&*after)) {
            text += " actions=" + now->actions;
        } else if (before && std::holds_alternative<route>(*after)) {
            if (const auto was = step{scope, before, std::nullopt, {}}.object_name(); was != object_name()) text += " (was: " + was + ")";
        } else if (const auto* now = std::get_if<service>(&*after); now && before) {
            text += reload_is_enough(std::get<service>(*before), *now) ? " reloaded" : " restarted";
        }
    }
    if (!bounces.empty()) text += "  [" + bounces + "]";
    return text;
}

}  // namespace weft
