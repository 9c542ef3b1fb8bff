// SPDX-License-Identifier: Apache-2.0
// See the header. The target is what is ours on the host now, with each step turned round in it, last step first; the way to it is an
// ordinary diff, so that the order of its steps is the secure one. Longer than the guide, because every kind of object is turned here, and
// what an undo leaves out (others' names, the switch that is away) is told by the same kinds.
#include "model/taken_back.hpp"

#include "model/describe.hpp"
#include "model/keyed_list.hpp"
#include "model/marks.hpp"
#include "model/names.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

namespace weft {
namespace {

template <class T> inline constexpr bool is_list = false;
template <class T> inline constexpr bool is_list<std::vector<T>> = true;
template <class T> concept keyed = requires(T m) { typename T::mapped_type; };

// Puts back what a change made different, and nothing else.
template <class T> void revert(T& now, const T& before, const T& after) {
    if (before == after) return;
    if constexpr (keyed<T>) {
        for (const auto& [key, value] : before)
            if (const auto at = after.find(key); at == after.end() || at->second != value) now.insert_or_assign(key, value);
        for (const auto& [key, value] : after)
            if (!before.contains(key)) now.erase(key);
    } else if constexpr (std::is_same_v<T, std::vector<ovs::interface_row>>) {
        for (auto& one : now)
            for (const auto& was : before)
                for (const auto& is : after)
                    if (one.name == was.name && one.name == is.name) revert(one, was, is);
    } else if constexpr (boost::describe::has_describe_members<T>::value) {
        boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_any_access>>([&](auto member) {
            revert(now.*member.pointer, before.*member.pointer, after.*member.pointer);
        });
    } else {
        now = before;
    }
}

// A host as it is put together, object by object.
class builder {
public:
    struct space_parts {
        std::map<std::string, std::string> sysctls;
        std::tuple<keyed_list<link>, keyed_list<address_entry>, keyed_list<nexthop_object>, keyed_list<route>, keyed_list<rule>,
                   keyed_list<neighbour>, keyed_list<nft::table>>
            lists;
        space_parts() = default;
        explicit space_parts(const namespace_state& n)
            : sysctls(n.sysctls),
              lists(n.links, n.addresses, n.nexthops, n.routes, n.rules, n.neighbours, n.tables) {}
    };
    struct bridge_parts {
        ovs::bridge_row row;  // without its ports
        keyed_list<ovs::port_row> ports;
    };

    builder(std::string fabric, std::string node) {
        bare_.fabric = std::move(fabric);
        bare_.node = std::move(node);
    }
    explicit builder(const host_state& from) : services_(from.services) {
        bare_.fabric = from.fabric;
        bare_.node = from.node;
        for (const auto& n : from.namespaces) spaces_.emplace(n.name, space_parts(n));
        for (const auto& b : from.bridges) set_bridge(b);
        for (const auto& [bridge, flows] : from.flows) flows_.emplace(bridge, keyed_list(flows));
    }

    space_parts& space(const std::string& name) { return spaces_[name]; }
    bool has_space(const std::string& name) const { return spaces_.contains(name); }
    void drop_space(const std::string& name) { spaces_.erase(name); }
    bridge_parts& bridge(const std::string& name) {
        auto& b = bridges_[name];
        b.row.name = name;
        return b;
    }
    bool has_bridge(const std::string& name) const { return bridges_.contains(name); }
    void drop_bridge(const std::string& name) {
        bridges_.erase(name);
        flows_.erase(name);
    }
    void set_bridge(const ovs::bridge_row& row) {
        auto& b = bridge(row.name);
        b = {row, keyed_list(row.ports)};
        b.row.ports.clear();
    }
    keyed_list<ovs::flow>& flows(const std::string& bridge) { return flows_[bridge]; }

    // The list in which an object of this kind is kept.
    template <class T> keyed_list<T>& list(const step& s, const T&) { return std::get<keyed_list<T>>(space(s.scope).lists); }
    keyed_list<ovs::port_row>& list(const step& s, const ovs::port_row&) { return bridge(s.scope).ports; }
    keyed_list<ovs::flow>& list(const step& s, const ovs::flow&) { return flows(s.scope); }
    keyed_list<service>& list(const step&, const service&) { return services_; }

    host_state state() const {
        auto all = bare_;
        for (const auto& [name, parts] : spaces_) {
            const auto& [links, addresses, nexthops, routes, rules, neighbours, tables] = parts.lists;
            all.namespaces.push_back({name, links.list(), addresses.list(), nexthops.list(), routes.list(), rules.list(), neighbours.list(),
                                      parts.sysctls, tables.list()});
        }
        for (const auto& [name, parts] : bridges_) {
            all.bridges.push_back(parts.row);
            all.bridges.back().ports = parts.ports.list();
        }
        for (const auto& [bridge, flows] : flows_) all.flows[bridge] = flows.list();
        all.services = services_.list();
        return all;
    }

private:
    host_state bare_;  // what is of the whole host
    std::map<std::string, space_parts> spaces_;
    std::map<std::string, bridge_parts> bridges_;
    std::map<std::string, keyed_list<ovs::flow>> flows_;
    keyed_list<service> services_;
};

class turner : builder {
public:
    turner(const host_state& ours, const host_state& seen, const std::map<std::string, std::vector<ovs::flow>>& flows)
        : builder(ours), flows_that_went_(flows) {
        for (const auto& n : seen.namespaces)
            for (const auto& l : n.links) links_seen_.emplace(n.name, l.name);
        for (const auto& b : seen.bridges)
            for (const auto& p : b.ports) ports_seen_.emplace(std::pair(std::string_view(b.name), std::string_view(p.name)), &p);
    }

    using builder::state;
    void turn(const step& s) {
        const auto& o = s.after ? *s.after : *s.before;
        // What was in a namespace that has gone since is nobody's to bring back; one that a step removed is there again by then.
        if (!in_bridge_or_none(o) && !s.scope.empty() && !has_space(s.scope)) return;
        std::visit([&](const auto& object) { one(s, object); }, o);
    }

private:
    static bool in_bridge_or_none(const state_object& o) {
        return std::holds_alternative<namespace_object>(o) || std::holds_alternative<ovs::bridge_row>(o) ||
               std::holds_alternative<ovs::port_row>(o) || std::holds_alternative<ovs::flow>(o) || std::holds_alternative<service>(o);
    }
    template <class T> static const T* side(const std::optional<state_object>& o) { return o ? std::get_if<T>(&*o) : nullptr; }

    void one(const step& s, const namespace_object& o) {
        const auto* before = side<namespace_object>(s.before);
        if (before == nullptr) {
            drop_space(o.name);
        } else if (auto& again = space(o.name); before->contents) {
            auto contents = *before->contents;
            for (auto& table : contents.tables) table.marked = true;
            again = space_parts(contents);
        }
    }
    void one(const step& s, const sysctl_object& o) {
        if (const auto* before = side<sysctl_object>(s.before)) space(s.scope).sysctls[o.key] = before->value;
        else space(s.scope).sysctls.erase(o.key);
    }
    void one(const step& s, const ovs::bridge_row& o) {
        const auto *before = side<ovs::bridge_row>(s.before), *after = side<ovs::bridge_row>(s.after);
        if (before == nullptr) {
            drop_bridge(o.name);
        } else if (after == nullptr) {
            // Its ports were steps of their own, but for those that others had plugged into it, which its row holds.
            if (!has_bridge(o.name)) set_bridge(*before);
            if (const auto at = flows_that_went_.find(o.name); at != flows_that_went_.end()) flows(o.name) = keyed_list(at->second);
        } else if (has_bridge(o.name)) {
            revert(bridge(o.name).row, *before, *after);
        }
    }
    // A link of the host itself is not in the target, which holds what is ours, until a step says what of it was changed.
    void one(const step& s, const link& o) {
        const auto *before = side<link>(s.before), *after = side<link>(s.after);
        if (before == nullptr || after == nullptr) return general(s, o);
        auto& links = list(s, o);
        auto* now = links.find(o);
        if (now != nullptr && !std::holds_alternative<physical_options>(before->options)) {
            *now = *before;
            return;
        }
        link back = now != nullptr ? *now : bare(o.name, before->up);
        const bool comes_back = s.scope.empty() && has_bridge(o.name);
        // It went with the bridge, or with who took it out.
        if (now == nullptr && !comes_back && !links_seen_.contains({s.scope, o.name})) return;
        const auto differs = [&](auto field) { return before->*field != after->*field; };
        if (differs(&link::mac)) back.mac = before->mac;
        if (differs(&link::mtu)) back.mtu = before->mtu;
        if (differs(&link::promiscuous)) back.promiscuous = before->promiscuous;
        if (differs(&link::master)) back.master = before->master;
        revert(back.features, before->features, after->features);
        links.put(back);
    }
    static link bare(const std::string& name, bool up) {
        link l{};
        l.name = name;
        l.up = up;
        return l;
    }
    void one(const step& s, const ovs::port_row& o) {
        const auto *before = side<ovs::port_row>(s.before), *after = side<ovs::port_row>(s.after);
        if (before == nullptr || after == nullptr) {
            if (before != nullptr || has_bridge(s.scope)) general(s, o);
            return;
        }
        if (!has_bridge(s.scope)) return;
        auto& ports = list(s, o);
        // A row that the step gave back to its owner is no longer ours by its marks.
        if (const auto at = ports_seen_.find({s.scope, o.name}); at != ports_seen_.end() && ports.find(o) == nullptr) ports.put(*at->second);
        if (auto* now = ports.find(o)) revert(*now, *before, *after);
    }
    void one(const step& s, const nft::table& o) {
        general(s, o);
        if (auto* now = list(s, o).find(o)) now->marked = true;
    }
    template <class T> void one(const step& s, const T& o) { general(s, o); }

    template <class T> void general(const step& s, const T& o) {
        auto& all = list(s, o);
        if (const auto* before = side<T>(s.before)) {
            // What has the place of it now by a change of the key's own value.
            if (const auto* after = side<T>(s.after)) all.drop(*after);
            all.put(*before);
        } else {
            all.drop(o);
        }
    }

    const std::map<std::string, std::vector<ovs::flow>>& flows_that_went_;
    std::set<std::pair<std::string, std::string>> links_seen_;                                  // with their scope
    std::map<std::pair<std::string_view, std::string_view>, const ovs::port_row*> ports_seen_;  // by bridge and name
};

// What the switch tells of a row, and nobody writes.
ovs::port_row without_news(ovs::port_row row) {
    for (auto& i : row.interfaces) i.ofport.reset(), i.error.clear();
    return row;
}

// Whether a change changes nothing that anybody can write.
bool changes_nothing(const step& s) {
    if (!s.before || !s.after) return false;
    const auto *was = std::get_if<ovs::port_row>(&*s.before), *is = std::get_if<ovs::port_row>(&*s.after);
    return was != nullptr && is != nullptr ? without_news(*was) == without_news(*is) : *s.before == *s.after;
}

// diff leaves a key alone that the wanted row does not name; a step that added one is taken back by removing it.
void exactly(plan& p, const host_state& seen, const host_state& target, const std::vector<step>& steps) {
    using row_name = std::pair<std::string_view, std::string_view>;  // bridge, and port or ""
    std::set<row_name> changed;
    for (const auto& s : steps) {
        if (!s.before || !s.after) continue;
        if (std::holds_alternative<ovs::bridge_row>(*s.before)) changed.emplace(s.scope, "");
        if (const auto* port = std::get_if<ovs::port_row>(&*s.before)) changed.emplace(s.scope, port->name);
    }
    std::map<std::pair<std::string, std::string>, std::size_t> planned;
    for (std::size_t i = 0; i < p.steps.size(); ++i) {
        const auto& s = p.steps[i];
        if (!s.before || !s.after) continue;
        if (std::holds_alternative<ovs::bridge_row>(*s.before)) planned.emplace(std::pair(s.scope, ""), i);
        if (const auto* port = std::get_if<ovs::port_row>(&*s.before)) planned.emplace(std::pair(s.scope, port->name), i);
    }
    const auto set = [&](const std::string& bridge, const std::string& port, state_object before, state_object after) {
        if (const auto at = planned.find({bridge, port}); at != planned.end()) p.steps[at->second].after = std::move(after);
        else p.steps.push_back({bridge, std::move(before), std::move(after), {}});
    };
    const index targets(target.bridges);
    for (const auto& was : seen.bridges) {
        const auto* will = targets.like(was);
        if (will == nullptr) continue;
        auto bare_was = was, bare_will = *will;
        bare_was.ports.clear();
        bare_will.ports.clear();
        if (changed.contains({was.name, ""}) && bare_was != bare_will) set(was.name, "", bare_was, bare_will);
        const index ports(will->ports);
        for (const auto& a : was.ports)
            if (const auto* b = changed.contains({was.name, a.name}) ? ports.like(a) : nullptr; b && without_news(a) != without_news(*b))
                set(was.name, a.name, a, *b);
    }
}

}  // namespace

host_state named_by(const std::vector<step>& steps, const std::string& fabric, const std::string& node) {
    builder all(fabric, node);
    (void)all.space("");
    for (const auto& s : steps)
        for (const auto* side : {&s.before, &s.after}) {
            if (!*side) continue;
            std::visit(
                [&](const auto& o) {
                    using T = std::decay_t<decltype(o)>;
                    if constexpr (std::is_same_v<T, namespace_object>) {
                        auto& space = all.space(o.name);
                        if (o.contents) space = builder::space_parts(*o.contents);
                    } else if constexpr (std::is_same_v<T, sysctl_object>) {
                        all.space(s.scope).sysctls[o.key] = o.value;
                    } else if constexpr (std::is_same_v<T, ovs::bridge_row>) {
                        (void)all.bridge(o.name);
                        (void)all.flows(o.name);
                    } else {
                        if constexpr (std::is_same_v<T, ovs::flow>) (void)all.bridge(s.scope);
                        all.list(s, o).put(o);
                    }
                },
                **side);
        }
    return all.state();
}

std::vector<step> affected(const std::vector<step>& steps, const std::set<std::size_t>& begun) {
    std::set<std::pair<std::string, std::string>> devices;  // that may have gone, with their scope; that of a bridge is the host's own
    for (const auto i : begun)
        if (const auto& s = steps[i]; s.before && !s.after) {
            if (const auto* l = std::get_if<link>(&*s.before)) {
                devices.emplace(s.scope, l->name);
                if (const auto* veth = std::get_if<veth_options>(&l->options)) devices.emplace(veth->peer_namespace, veth->peer);
            }
            if (const auto* b = std::get_if<ovs::bridge_row>(&*s.before)) devices.emplace("", b->name);
        }
    const auto went_along = [&](const step& s) {
        if (s.before && !s.after && std::holds_alternative<namespace_object>(*s.before)) return !begun.empty();
        if (s.object_kind() == "flow") return !begun.empty();
        const bool is_setting = s.object_kind() == "sysctl", is_end = s.object_kind() == "link" && !s.after;
        if (!is_setting && !is_end) return false;
        const auto of = devices_of(s);
        return std::any_of(of.begin(), of.end(), [&](const auto& name) { return devices.contains({s.scope, name}); });
    };
    std::vector<step> out;
    for (std::size_t i = 0; i < steps.size(); ++i)
        if (begun.contains(i) || went_along(steps[i])) out.push_back(steps[i]);
    return out;
}

result<plan> take_back(const host_state& seen, const std::vector<step>& steps, const std::map<std::string, std::vector<ovs::flow>>& flows,
                       const std::string& fabric, const std::string& node) {
    auto ours = ours_in(seen, fabric);
    ours.node = node;
    turner turn(ours, seen, flows);
    for (auto s = steps.rbegin(); s != steps.rend(); ++s) turn.turn(*s);
    const auto target = turn.state();
    auto p = diff(seen, target);
    if (!p) return p;
    exactly(*p, seen, target, steps);  // behind the others, whose order it leaves: no step waits for these columns
    // A row that was without its device before the steps is so again, and no step cures it.
    std::erase_if(p->steps, changes_nothing);
    return p;
}

std::set<std::pair<std::string, std::string>> plugged_by(const std::vector<step>& steps) {
    std::set<std::pair<std::string, std::string>> pairs;
    for (const auto& s : steps) {
        if (s.before && s.after) {
            const auto *was = std::get_if<link>(&*s.before), *is = std::get_if<link>(&*s.after);
            if (was != nullptr && is != nullptr && was->master != is->master) pairs.insert({{was->name, was->master}, {is->name, is->master}});
            continue;
        }
        const auto& o = s.after ? *s.after : *s.before;
        if (const auto* port = std::get_if<ovs::port_row>(&o)) pairs.emplace(port->name, s.scope);
        if (const auto* bridge = std::get_if<ovs::bridge_row>(&o))
            for (const auto& port : bridge->ports) pairs.emplace(port.name, bridge->name);
    }
    return pairs;
}

bool in_switch(const step& s) {
    const auto& o = s.after ? *s.after : *s.before;
    return std::holds_alternative<ovs::bridge_row>(o) || std::holds_alternative<ovs::port_row>(o) || std::holds_alternative<ovs::flow>(o);
}

std::vector<std::string> devices_of(const step& s) {
    std::vector<std::string> names;
    for (const auto* side : {&s.before, &s.after})
        if (*side)
            std::visit(
                [&](const auto& o) {
                    using T = std::decay_t<decltype(o)>;
                    if constexpr (std::is_same_v<T, link>) names.push_back(o.name);
                    else if constexpr (std::is_same_v<T, address_entry> || std::is_same_v<T, neighbour>) names.push_back(o.device);
                    else if constexpr (std::is_same_v<T, nexthop_object>) names.push_back(o.hop.device);
                    else if constexpr (std::is_same_v<T, rule>) names.insert(names.end(), {o.input_device, o.output_device});
                    else if constexpr (std::is_same_v<T, route>)
                        for (const auto& hop : o.nexthops) names.push_back(hop.device);
                    else if constexpr (std::is_same_v<T, sysctl_object>)  // net/ipv4/conf/DEVICE/KEY
                        if (const auto first = o.key.find("/conf/"); first != std::string::npos)
                            names.push_back(o.key.substr(first + 6, o.key.find('/', first + 6) - first - 6));
                },
                **side);
    return names;
}

parts_of_undo without_switch(const std::vector<step>& steps, const std::vector<moved_object>& moved) {
    parts_of_undo parts;
    for (const auto& s : steps)
        for (const auto* side : {&s.before, &s.after})
            if (const auto* row = *side ? std::get_if<ovs::bridge_row>(&**side) : nullptr; row != nullptr && row->datapath_type == "netdev")
                parts.userspace.insert(row->name);
    std::set<std::string> bound;
    for (const auto& m : moved)
        if (!parts.userspace.contains(m.bridge)) bound.insert({m.nic, m.bridge});
    for (const auto& s : steps) {
        const auto on = s.scope.empty() ? devices_of(s) : std::vector<std::string>();
        const bool waits = in_switch(s) || std::any_of(on.begin(), on.end(), [&](const auto& d) { return bound.contains(d); });
        (waits ? parts.rest : parts.kernel).push_back(s);
    }
    return parts;
}

namespace {

// Whether a flow's text names a port, as "in_port=tap1" and "output:tap1" do.
bool names_port(const std::string& text, const std::string& port) {
    const auto in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; };
    for (auto at = text.find(port); at != std::string::npos; at = text.find(port, at + 1)) {
        const auto end = at + port.size();
        if ((at == 0 || !in_word(text[at - 1])) && (end == text.size() || !in_word(text[end]))) return true;
    }
    return false;
}

// What stands on a link, so that it would stand on what others made under the link's name: its row in the switch, which would plug their
// device, the flows that name it, and the links that have it as master or parent. The switch is of the host's own namespace.
bool on_others_link(const step& s, const std::string& scope, const std::string& name) {
    for (const auto* side : {&s.before, &s.after}) {
        if (!*side) continue;
        if (const auto* l = std::get_if<link>(&**side); l != nullptr && s.scope == scope && (l->master == name || parent_of(l->options) == name)) return true;
        if (!scope.empty()) continue;
        if (const auto* port = std::get_if<ovs::port_row>(&**side); port != nullptr && port->name == name) return true;
        if (const auto* f = std::get_if<ovs::flow>(&**side); f != nullptr && (names_port(f->match, name) || names_port(f->actions, name))) return true;
    }
    return false;
}

}  // namespace

result<plan> take_back_beside_others(const host_state& seen, std::vector<step> steps, const std::map<std::string, std::vector<ovs::flow>>& flows,
                                     const std::string& fabric, const std::string& node, std::string& told) {
    for (;;) {
        auto p = take_back(seen, steps, flows, fabric, node);
        if (p || p.error().code != errc::foreign_object) return p;
        // As diff names what is in the way.
        const auto named = [&](const step& s) {
            const auto* way = s.before ? std::get_if<route>(&*s.before) : nullptr;
            const auto name = s.object_kind() + " " + (way != nullptr ? name_of(*way) : s.object_name());
            const auto scope = s.object_kind() == "bridge" ? "Open vSwitch" : s.scope;
            return s.before && p.error().object == name + (scope.empty() ? "" : " in " + scope);
        };
        const auto taken = std::find_if(steps.begin(), steps.end(), named);
        if (taken == steps.end()) return p;
        told += "\n  not undone: " + taken->inverse().to_string() + ": the name is taken by an object that bears no mark of weft";
        const auto what = *taken;
        const bool is_link = what.object_kind() == "link", is_bridge = what.object_kind() == "bridge";
        std::erase_if(steps, [&](const step& s) {
            if (named(s)) return true;
            if (is_bridge) return s.scope == what.scope && in_switch(s);
            if (is_link && on_others_link(s, what.scope, what.object_name())) return true;
            const auto on = is_link && s.scope == what.scope && !in_switch(s) ? devices_of(s) : std::vector<std::string>();
            return std::find(on.begin(), on.end(), what.object_name()) != on.end();
        });
    }
}

}  // namespace weft
