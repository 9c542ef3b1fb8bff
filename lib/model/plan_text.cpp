// SPDX-License-Identifier: Apache-2.0
// Plan steps as text: kind and name of the object, one line with old and new values, and, where a line cannot hold it, the rules, words
// and lines that go and come. Each kind of object gives its values as a list of fields, once. Pure.
#include "weft/model/plan.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace weft {
namespace {

template <class... F> struct overloaded : F... { using F::operator()...; };
template <class... F> overloaded(F...) -> overloaded<F...>;  // clang 14 does not deduce it by itself

const state_object& subject(const step& s) { return s.after ? *s.after : *s.before; }

struct field {
    std::string name, value;
    bool only_changed = false;  // told where it changes, not of an object that comes or goes: its name says it, or it is a mark
};
using fields = std::vector<field>;

template <class T> std::string text_of(const std::optional<T>& v) {
    if (!v) return {};
    if constexpr (requires { v->to_string(); }) return v->to_string();
    else if constexpr (std::is_same_v<T, bool>) return *v ? "on" : "off";
    else return std::to_string(*v);
}
std::string hex(std::uint64_t v) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
    return text;
}
template <class Numbers> std::string joined(const Numbers& all) {
    std::ostringstream text;
    for (const auto& one : all) text << (text.tellp() > 0 ? "," : "") << one;
    return text.str();
}
void add_map(fields& out, const std::string& column, const std::map<std::string, std::string>& map, bool only_changed) {
    for (const auto& [key, value] : map) out.push_back({column + ":" + key, value, only_changed});
}

std::string hop_text(const nexthop& hop) {
    std::string text;
    if (hop.gateway) text += "via " + hop.gateway->to_string();
    if (!hop.device.empty()) text += (text.empty() ? "dev " : " dev ") + hop.device;
    if (hop.weight > 1) text += " weight " + std::to_string(hop.weight);
    if (hop.onlink) text += " onlink";
    return text;
}

void add_options(fields& out, const link_options& options) {
    std::visit(overloaded{[&](const bridge_options& o) {
                              out.push_back({"stp", text_of(o.stp)});
                              out.push_back({"forward_delay", text_of(o.forward_delay)});
                              out.push_back({"ageing_time", text_of(o.ageing_time)});
                              out.push_back({"vlan_filtering", text_of(o.vlan_filtering)});
                              out.push_back({"mcast_snooping", text_of(o.mcast_snooping)});
                          },
                          [&](const veth_options& o) {
                              out.push_back({"peer", o.peer + (o.peer_namespace.empty() ? "" : " in " + o.peer_namespace), true});
                          },
                          [&](const tun_options& o) {
                              out.push_back({"owner", text_of(o.owner)});
                              out.push_back({"user group", text_of(o.group)});
                              out.push_back({"multi_queue", o.multi_queue ? "on" : ""});
                          },
                          [&](const wireguard_options& o) {
                              out.push_back({"public key", o.public_key});
                              out.push_back({"port", text_of(o.port)});
                              out.push_back({"peers", o.peers.empty() ? "" : std::to_string(o.peers.size())});
                              out.push_back({"by", o.userspace ? "wireguard-go, as this kernel has no WireGuard" : ""});
                          },
                          [&](const auto&) {}},
               options);
}

fields fields_of(const namespace_object&) { return {}; }
fields fields_of(const sysctl_object& o) { return {{"=", o.value}}; }
fields fields_of(const link& o) {
    fields out{{"mtu", text_of(o.mtu)}, {"mac", text_of(o.mac)}, {"state", o.up ? "up" : "down"}, {"master", o.master}};
    add_options(out, o.options);
    out.push_back({"promiscuous", text_of(o.promiscuous)});
    for (const auto& [name, on] : o.features) out.push_back({name, on ? "on" : "off"});
    out.push_back({"group", o.group ? hex(*o.group) : "", true});
    out.push_back({"alias", o.alias, true});
    return out;
}
fields fields_of(const address_entry& o) {
    return {{"scope", o.scope == 0 ? "" : std::to_string(o.scope)}, {"broadcast", text_of(o.broadcast)}, {"flags", o.flags == 0 ? "" : hex(o.flags)}};
}
fields fields_of(const nexthop_object& o) { return {{"", o.group.empty() ? hop_text(o.hop) : "group " + joined(o.group)}}; }
fields fields_of(const route& o) {
    std::string way = o.nexthop_id == 0 ? "" : "nexthop " + std::to_string(o.nexthop_id);
    for (const auto& hop : o.nexthops) way += (way.empty() ? "" : " ") + hop_text(hop);
    const char* type = o.type == 6 ? "blackhole" : o.type == 7 ? "unreachable" : o.type == 8 ? "prohibit" : "";
    return {{"way", way, o.nexthop_id == 0},  // else a part of its name
            {"type", type},
            {"src", text_of(o.preferred_source)},
            {"mtu", text_of(o.mtu)},
            {"metric", o.metric == 0 ? "" : std::to_string(o.metric)},
            {"table", o.table == 254 ? "" : std::to_string(o.table)}};
}
fields fields_of(const rule& o) {
    return {{"not", o.invert ? "inverted" : ""},
            {"from", text_of(o.from)},
            {"to", text_of(o.to)},
            {"iif", o.input_device},
            {"oif", o.output_device},
            {"fwmark", o.fwmark ? hex(*o.fwmark) + (o.fwmask ? "/" + hex(*o.fwmask) : "") : ""},
            {"table", o.action == 1 ? std::to_string(o.table) : ""},
            {"action", o.action == 1 ? "" : std::to_string(o.action)},
            {"suppress_prefixlength", text_of(o.suppress_prefix_length)}};
}
fields fields_of(const neighbour& o) { return {{"mac", text_of(o.mac)}, {"proxy", (o.flags & 8) != 0 ? "on" : ""}}; }
fields fields_of(const nft::table& o) {
    std::size_t rules = 0;
    for (const auto& c : o.chains) rules += c.rules.size();
    const auto counted = [](std::size_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); };
    return {{"with", o.chains.empty() ? "" : counted(o.chains.size(), "chain") + ", " + counted(rules, "rule")}};
}
fields fields_of(const ovs::bridge_row& o) {
    fields out{{"datapath", o.datapath_type}, {"fail_mode", o.fail_mode}, {"protocols", joined(o.protocols)}, {"mtu_request", text_of(o.mtu_request)}};
    add_map(out, "other_config", o.other_config, true);
    add_map(out, "external_ids", o.external_ids, true);
    // Those of others; an undo plugs them in again.
    std::string ports;
    for (const auto& p : o.ports) ports += (ports.empty() ? "" : ", ") + p.name;
    out.push_back({"with the ports of others", ports});
    return out;
}
fields fields_of(const ovs::port_row& o) {
    fields out{{"tag", o.tag ? std::to_string(*o.tag) : "none"}, {"trunks", joined(o.trunks)}, {"vlan_mode", o.vlan_mode}};
    for (const auto& i : o.interfaces) {
        const auto of = o.interfaces.size() == 1 ? std::string() : i.name + " ";
        out.push_back({of + "type", i.type});
        add_map(out, of + "options", i.options, false);
        out.push_back({of + "mac", text_of(i.mac), true});
        out.push_back({of + "mtu_request", text_of(i.mtu_request)});
        out.push_back({of + "ofport_request", text_of(i.ofport_request), true});
        out.push_back({of + "error", i.error, true});
        add_map(out, of + "external_ids", i.external_ids, true);
    }
    add_map(out, "other_config", o.other_config, true);
    add_map(out, "port external_ids", o.external_ids, true);
    return out;
}
fields fields_of(const ovs::flow& o) {
    const auto seconds = [](std::uint16_t s) { return s == 0 ? std::string() : std::to_string(s); };
    return {{"cookie", hex(o.cookie), true}, {"idle_timeout", seconds(o.idle_timeout)}, {"hard_timeout", seconds(o.hard_timeout)}, {"actions", o.actions}};
}
fields fields_of(const service& o) {
    return {{"kind", o.kind, true}, {"in", o.space, true}, {"listens in", o.listens_in, true}, {"ready", o.ready, true}};
}

// What of an ordered list goes (-) and comes (+): a common beginning and end are left out, so that a line in the middle shows as itself.
template <class T, class Text> void list_changes(std::vector<std::string>& out, const std::vector<T>& old, const std::vector<T>& now, Text text) {
    std::size_t first = 0, last = 0;
    while (first < std::min(old.size(), now.size()) && old[first] == now[first]) ++first;
    while (last < std::min(old.size(), now.size()) - first && old[old.size() - 1 - last] == now[now.size() - 1 - last]) ++last;
    for (const auto& [sign, from, other] : {std::tuple("- ", &old, &now), std::tuple("+ ", &now, &old)})
        for (auto i = first; i < from->size() - last; ++i) {
            const auto& one = (*from)[i];
            // What is on both sides moved; it is told once, where it comes.
            const bool moved = std::find(other->begin() + static_cast<long>(first), other->end() - static_cast<long>(last), one) !=
                               other->end() - static_cast<long>(last);
            if (!moved) out.push_back(sign + text(one));
            else if (from == &now) out.push_back("~ " + text(one) + " (moved)");
        }
}

std::string rule_text(const nft::rule& r) {
    if (!r.comment.empty()) return r.comment;
    std::string text = "rule of";
    for (const auto& e : r.expressions) text += " " + e.name;
    return text;
}

void chain_changes(std::vector<std::string>& out, const nft::chain& old, const nft::chain& now) {
    const auto verdict = [](std::uint32_t policy) { return std::string(policy == 0 ? "drop" : "accept"); };
    const auto say = [&](const char* what, const std::string& before, const std::string& after) {
        if (before != after) out.push_back("chain " + now.name + ": " + what + " " + before + " → " + after);
    };
    say("policy", verdict(old.policy), verdict(now.policy));
    say("priority", std::to_string(old.priority), std::to_string(now.priority));
    say("hook", old.type + " " + std::to_string(old.hook), now.type + " " + std::to_string(now.hook));
    say("devices", joined(old.devices), joined(now.devices));
    list_changes(out, old.rules, now.rules, [&](const nft::rule& r) { return now.name + ": " + rule_text(r); });
}

std::vector<std::string> changes(const nft::table& old, const nft::table& now) {
    std::vector<std::string> out;
    const auto named = [](const std::vector<nft::chain>& chains, const std::string& name) {
        return std::find_if(chains.begin(), chains.end(), [&](const auto& c) { return c.name == name; });
    };
    const auto rules = [](const nft::chain& c) { return c.name + " with " + std::to_string(c.rules.size()) + " rules"; };
    for (const auto& c : old.chains)
        if (named(now.chains, c.name) == now.chains.end()) out.push_back("- chain " + rules(c));
    for (const auto& c : now.chains) {
        const auto was = named(old.chains, c.name);
        if (was == old.chains.end()) out.push_back("+ chain " + rules(c));
        else chain_changes(out, *was, c);
    }
    return out;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
}

std::vector<std::string> changes(const service& old, const service& now) {
    std::vector<std::string> out;
    list_changes(out, old.argv, now.argv, [](const std::string& word) { return "argument " + word; });
    for (const auto& [name, file] : old.files)
        if (!now.files.contains(name)) out.push_back("- file " + name);
    for (const auto& [name, file] : now.files) {
        const auto was = old.files.find(name);
        if (was == old.files.end()) out.push_back("+ file " + name);
        else list_changes(out, lines_of(was->second.text), lines_of(file.text), [&name = name](const std::string& l) { return name + ": " + l; });
    }
    return out;
}

std::string peer_text(const wireguard_peer& p) {
    std::string text = "peer " + p.public_key;
    for (const auto& a : p.allowed) text += (&a == &p.allowed.front() ? " allowed " : ",") + a.to_string();
    if (!p.endpoint.empty()) text += " endpoint " + p.endpoint;
    if (p.keepalive != 0) text += " keepalive " + std::to_string(p.keepalive) + " s";
    if (!p.preshared.empty()) text += " preshared key " + p.preshared.substr(0, 8) + "…";
    return text;
}

std::vector<std::string> changes(const link& old, const link& now) {
    std::vector<std::string> out;
    const auto* was = std::get_if<wireguard_options>(&old.options);
    const auto* is = std::get_if<wireguard_options>(&now.options);
    if (was == nullptr || is == nullptr) return out;
    auto w = was->peers.begin();
    auto i = is->peers.begin();
    while (w != was->peers.end() || i != is->peers.end()) {
        const bool gone = i == is->peers.end() || (w != was->peers.end() && w->public_key < i->public_key);
        const bool fresh = !gone && (w == was->peers.end() || i->public_key < w->public_key);
        if (!gone && !fresh && !(*w == *i)) out.push_back("~ " + peer_text(*w) + " → " + peer_text(*i));
        if (gone) out.push_back("- " + peer_text(*w));
        if (fresh) out.push_back("+ " + peer_text(*i));
        if (!fresh) ++w;
        if (!gone) ++i;
    }
    return out;
}

// Old and new of each field; of one that only the one side has, what is missing is "none". In the new one's order.
void say_fields(std::string& text, step_kind kind, const fields& old, const fields& now) {
    const auto value = [](const fields& in, const std::string& name) {
        const auto at = std::find_if(in.begin(), in.end(), [&](const field& f) { return f.name == name; });
        return at == in.end() ? std::string() : at->value;
    };
    fields all = kind == step_kind::remove ? old : now;
    for (const auto& f : old)
        if (kind == step_kind::change && std::none_of(now.begin(), now.end(), [&](const field& n) { return n.name == f.name; })) all.push_back(f);
    for (const auto& f : all) {
        const auto was = value(old, f.name), is = value(now, f.name);
        if (was == is || (f.only_changed && kind != step_kind::change)) continue;
        text += " " + f.name + (f.name.empty() || f.name == "actions" ? "" : " ");
        if (f.name == "actions") text += "=";
        if (kind == step_kind::change) text += (was.empty() ? "none" : was) + " → " + (is.empty() ? "none" : is);
        else text += kind == step_kind::create ? is : was;
    }
}

}  // namespace

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
    std::visit(
        [&](const auto& o) {
            using T = std::decay_t<decltype(o)>;
            const auto* old = before ? std::get_if<T>(&*before) : nullptr;
            const auto* now = after ? std::get_if<T>(&*after) : nullptr;
            say_fields(text, kind(), fields_of(old ? *old : T{}), fields_of(now ? *now : T{}));
            if constexpr (std::is_same_v<T, service>)
                if (old && now) text += reload_is_enough(*old, *now) ? " reloaded" : " restarted";
        },
        subject(*this));
    if (!bounces.empty()) text += "  [" + bounces + "]";
    return text;
}

std::vector<std::string> step::details() const {
    if (kind() != step_kind::change) return {};
    if (const auto* now = std::get_if<nft::table>(&*after)) return changes(std::get<nft::table>(*before), *now);
    if (const auto* now = std::get_if<service>(&*after)) return changes(std::get<service>(*before), *now);
    if (const auto* now = std::get_if<link>(&*after)) return changes(std::get<link>(*before), *now);
    return {};
}

}  // namespace weft
