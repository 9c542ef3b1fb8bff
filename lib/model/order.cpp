// SPDX-License-Identifier: Apache-2.0
// Order and text of plan steps. Pure. The ranks are the security rule of the project: never open before being secure.
#include "model/order.hpp"

#include <algorithm>

namespace weft {
namespace {

template <class... F> struct overloaded : F... { using F::operator()...; };
template <class... F> overloaded(F...) -> overloaded<F...>;  // clang 14 does not deduce it by itself

const state_object& subject(const step& s) { return s.after ? *s.after : *s.before; }

int rank(const step& s, const host_state& wanted) {
    const bool removal = s.kind() == step_kind::remove;
    const bool creation = s.kind() == step_kind::create;
    return std::visit(
        overloaded{
            [&](const namespace_object&) { return removal ? 92 : 20; },
            [&](const sysctl_object& o) {
                // conf/<device>/ keys exist only once their device does; those of all and default come first.
                const bool device = o.key.starts_with("net/ipv4/conf/") || o.key.starts_with("net/ipv6/conf/");
                const bool general = o.key.find("/conf/all/") != std::string::npos || o.key.find("/conf/default/") != std::string::npos;
                const bool of_bridge = device && s.scope.empty() && std::any_of(wanted.bridges.begin(), wanted.bridges.end(), [&](const auto& b) { return o.key.find("/conf/" + b.name + "/") != std::string::npos; }); return removal ? 90 : of_bridge ? 32 : device && !general ? 24 : 21;
            },
            [&](const link& l) {
                if (removal) return 8;
                if (creation) return 22;
                const bool local = s.scope.empty() && std::any_of(wanted.bridges.begin(), wanted.bridges.end(),
                                                                  [&](const auto& b) { return b.name == l.name; });
                return local ? 35 : 25;
            },
            [&](const nft::table&) { return removal ? 91 : 23; },
            [&](const ovs::bridge_row&) { return removal ? 7 : 30; },
            [&](const ovs::port_row&) { return removal ? 6 : 31; },
            [&](const ovs::flow&) { return removal ? 33 : 34; },
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

void order(plan& p, const host_state& wanted) {
    std::stable_sort(p.steps.begin(), p.steps.end(),
                     [&](const step& a, const step& b) { return rank(a, wanted) < rank(b, wanted); });
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
        } else if (const auto* now = std::get_if<ovs::port_row>(&*after)) {
            const auto old = before ? std::get<ovs::port_row>(*before) : ovs::port_row{};
            say("tag", old.tag ? std::to_string(*old.tag) : "none", now->tag ? std::to_string(*now->tag) : "none");
        } else if (const auto* now = std::get_if<ovs::flow>(&*after)) {
            text += " actions=" + now->actions;
        } else if (const auto* now = std::get_if<service>(&*after); now && before) {
            text += reload_is_enough(std::get<service>(*before), *now) ? " reloaded" : " restarted";
        }
    }
    if (!bounces.empty()) text += "  [" + bounces + "]";
    return text;
}

}  // namespace weft
