// SPDX-License-Identifier: Apache-2.0
// See the header. The target is what is ours on the host now, with each step turned round in it, last step first; the way to it is an
// ordinary diff, so that the order of its steps is the secure one.
#include "model/taken_back.hpp"

#include "model/describe.hpp"
#include "model/marks.hpp"

#include <algorithm>
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

struct same_object {
    static auto key(const link& o) { return std::tuple(o.name); }
    static auto key(const address_entry& o) { return std::tuple(o.device, o.address); }
    static auto key(const route& o) { return std::tuple(o.destination, o.table, o.metric); }
    static auto key(const nft::table& o) { return std::tuple(o.family, o.name); }
    static auto key(const ovs::bridge_row& o) { return std::tuple(o.name); }
    static auto key(const ovs::port_row& o) { return std::tuple(o.name); }
    static auto key(const ovs::flow& o) { return std::tuple(o.table, o.priority, o.match); }
    static auto key(const service& o) { return std::tuple(o.name); }
    template <class T> static const T& key(const T& o) { return o; }
};

template <class T> auto find_like(std::vector<T>& all, const T& one) {
    return std::find_if(all.begin(), all.end(), [&](const T& other) { return same_object::key(other) == same_object::key(one); });
}

template <class T> void put(std::vector<T>& all, const T& one) {
    if (const auto at = find_like(all, one); at != all.end()) *at = one;
    else all.push_back(one);
}

template <class T> void drop(std::vector<T>& all, const T& one) {
    if (const auto at = find_like(all, one); at != all.end()) all.erase(at);
}

class builder {
public:
    explicit builder(host_state& state) : state_(state) {}

    namespace_state& space(const std::string& name) {
        for (auto& n : state_.namespaces)
            if (n.name == name) return n;
        state_.namespaces.push_back({});
        state_.namespaces.back().name = name;
        return state_.namespaces.back();
    }
    ovs::bridge_row& bridge(const std::string& name) {
        for (auto& b : state_.bridges)
            if (b.name == name) return b;
        state_.bridges.push_back({});
        state_.bridges.back().name = name;
        return state_.bridges.back();
    }
    bool has_space(const std::string& name) const {
        return std::any_of(state_.namespaces.begin(), state_.namespaces.end(), [&](const auto& n) { return n.name == name; });
    }
    bool has_bridge(const std::string& name) const {
        return std::any_of(state_.bridges.begin(), state_.bridges.end(), [&](const auto& b) { return b.name == name; });
    }

    // The list in which an object of this kind is kept.
    std::vector<link>& list(const step& s, const link&) { return space(s.scope).links; }
    std::vector<address_entry>& list(const step& s, const address_entry&) { return space(s.scope).addresses; }
    std::vector<nexthop_object>& list(const step& s, const nexthop_object&) { return space(s.scope).nexthops; }
    std::vector<route>& list(const step& s, const route&) { return space(s.scope).routes; }
    std::vector<rule>& list(const step& s, const rule&) { return space(s.scope).rules; }
    std::vector<neighbour>& list(const step& s, const neighbour&) { return space(s.scope).neighbours; }
    std::vector<nft::table>& list(const step& s, const nft::table&) { return space(s.scope).tables; }
    std::vector<ovs::port_row>& list(const step& s, const ovs::port_row&) { return bridge(s.scope).ports; }
    std::vector<ovs::flow>& list(const step& s, const ovs::flow&) { return state_.flows[s.scope]; }
    std::vector<service>& list(const step&, const service&) { return state_.services; }

private:
    host_state& state_;
};

class turner : builder {
public:
    turner(host_state& target, const host_state& seen, const std::map<std::string, std::vector<ovs::flow>>& flows)
        : builder(target), target_(target), seen_(seen), flows_(flows) {}

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
            std::erase_if(target_.namespaces, [&](const auto& n) { return n.name == o.name; });
        } else {
            auto& again = space(o.name);
            if (before->contents) again = *before->contents;
            again.name = o.name;
            for (auto& table : again.tables) table.marked = true;
        }
    }
    void one(const step& s, const sysctl_object& o) {
        if (const auto* before = side<sysctl_object>(s.before)) space(s.scope).sysctls[o.key] = before->value;
        else space(s.scope).sysctls.erase(o.key);
    }
    void one(const step& s, const ovs::bridge_row& o) {
        const auto *before = side<ovs::bridge_row>(s.before), *after = side<ovs::bridge_row>(s.after);
        if (before == nullptr) {
            std::erase_if(target_.bridges, [&](const auto& b) { return b.name == o.name; });
            target_.flows.erase(o.name);
        } else if (after == nullptr) {
            // Its ports were steps of their own, but for those that others had plugged into it, which its row holds.
            if (!has_bridge(o.name)) bridge(o.name) = *before;
            if (const auto at = flows_.find(o.name); at != flows_.end()) target_.flows[o.name] = at->second;
        } else if (has_bridge(o.name)) {
            auto& now = bridge(o.name);
            auto ports = std::move(now.ports);
            revert(now, *before, *after);
            now.ports = std::move(ports);
        }
    }
    // A link of the host itself is not in the target, which holds what is ours, until a step says what of it was changed.
    void one(const step& s, const link& o) {
        const auto *before = side<link>(s.before), *after = side<link>(s.after);
        if (before == nullptr || after == nullptr) return general(s, o);
        auto& links = space(s.scope).links;
        const auto at = find_like(links, o);
        if (at != links.end() && !std::holds_alternative<physical_options>(before->options)) {
            *at = *before;
            return;
        }
        link back = at != links.end() ? *at : bare(o.name, before->up);
        const bool comes_back = s.scope.empty() && has_bridge(o.name);
        if (at == links.end() && !comes_back && !seen(s.scope, o.name)) return;  // it went with the bridge, or with who took it out
        const auto differs = [&](auto field) { return before->*field != after->*field; };
        if (differs(&link::mac)) back.mac = before->mac;
        if (differs(&link::mtu)) back.mtu = before->mtu;
        if (differs(&link::promiscuous)) back.promiscuous = before->promiscuous;
        if (differs(&link::master)) back.master = before->master;
        revert(back.features, before->features, after->features);
        put(links, back);
    }
    static link bare(const std::string& name, bool up) {
        link l{};
        l.name = name;
        l.up = up;
        return l;
    }
    bool seen(const std::string& scope, const std::string& name) const {
        return std::any_of(seen_.namespaces.begin(), seen_.namespaces.end(), [&](const auto& n) {
            return n.name == scope && std::any_of(n.links.begin(), n.links.end(), [&](const link& l) { return l.name == name; });
        });
    }
    void one(const step& s, const ovs::port_row& o) {
        const auto *before = side<ovs::port_row>(s.before), *after = side<ovs::port_row>(s.after);
        if (before == nullptr || after == nullptr) {
            if (before != nullptr || has_bridge(s.scope)) general(s, o);
            return;
        }
        if (!has_bridge(s.scope)) return;
        auto& ports = bridge(s.scope).ports;
        if (find_like(ports, o) == ports.end()) {
            // A row that the step gave back to its owner is no longer ours by its marks.
            for (const auto& b : seen_.bridges)
                for (const auto& p : b.ports)
                    if (b.name == s.scope && p.name == o.name) ports.push_back(p);
        }
        if (const auto at = find_like(ports, o); at != ports.end()) revert(*at, *before, *after);
    }
    void one(const step& s, const nft::table& o) {
        general(s, o);
        for (auto& t : space(s.scope).tables) t.marked = true;
    }
    template <class T> void one(const step& s, const T& o) { general(s, o); }

    template <class T> void general(const step& s, const T& o) {
        auto& all = list(s, o);
        if (const auto* before = side<T>(s.before)) {
            // What has the place of it now by a change of the key's own value.
            if (const auto* after = side<T>(s.after)) drop(all, *after);
            put(all, *before);
        } else {
            drop(all, o);
        }
    }

    host_state& target_;
    const host_state& seen_;
    const std::map<std::string, std::vector<ovs::flow>>& flows_;
};

// diff leaves a key alone that the wanted row does not name; a step that added one is taken back by removing it.
void exactly(plan& p, const host_state& seen, const host_state& target, const std::vector<step>& steps) {
    const auto same = [](ovs::port_row a, ovs::port_row b) {
        for (auto* row : {&a, &b})
            for (auto& i : row->interfaces) i.ofport.reset(), i.error.clear();
        return a == b;
    };
    const auto set = [&](const std::string& scope, state_object before, state_object after) {
        for (auto& s : p.steps) {
            if (s.scope != scope || !s.before || !s.after || s.before->index() != before.index()) continue;
            if (s.object_name() != step{scope, before, after, {}}.object_name()) continue;
            s.after = std::move(after);
            return;
        }
        p.steps.push_back({scope, std::move(before), std::move(after), {}});
    };
    for (const auto& s : steps) {
        if (!s.before || !s.after) continue;
        const auto* row = std::get_if<ovs::bridge_row>(&*s.before);
        const auto* port = std::get_if<ovs::port_row>(&*s.before);
        if (row == nullptr && port == nullptr) continue;
        for (const auto& was : seen.bridges)
            for (const auto& will : target.bridges) {
                if (was.name != s.scope || will.name != s.scope) continue;
                auto bare_was = was, bare_will = will;
                bare_was.ports.clear();
                bare_will.ports.clear();
                if (row != nullptr && bare_was != bare_will) set(s.scope, bare_was, bare_will);
                for (const auto& a : was.ports)
                    for (const auto& b : will.ports)
                        if (port != nullptr && a.name == port->name && b.name == port->name && !same(a, b)) set(s.scope, a, b);
            }
    }
}

}  // namespace

host_state named_by(const std::vector<step>& steps, const std::string& fabric, const std::string& node) {
    host_state all;
    all.fabric = fabric;
    all.node = node;
    builder into(all);
    (void)into.space("");
    for (const auto& s : steps)
        for (const auto* side : {&s.before, &s.after}) {
            if (!*side) continue;
            std::visit(
                [&](const auto& o) {
                    using T = std::decay_t<decltype(o)>;
                    if constexpr (std::is_same_v<T, namespace_object>) {
                        auto& space = into.space(o.name);
                        if (o.contents) space = *o.contents;
                        space.name = o.name;
                    } else if constexpr (std::is_same_v<T, sysctl_object>) {
                        into.space(s.scope).sysctls[o.key] = o.value;
                    } else if constexpr (std::is_same_v<T, ovs::bridge_row>) {
                        (void)into.bridge(o.name);
                        all.flows[o.name];
                    } else {
                        if constexpr (std::is_same_v<T, ovs::flow>) (void)into.bridge(s.scope);
                        put(into.list(s, o), o);
                    }
                },
                **side);
        }
    return all;
}

std::vector<step> affected(const std::vector<step>& steps, const std::set<std::size_t>& begun) {
    std::vector<step> out;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto* space = steps[i].before && !steps[i].after ? std::get_if<namespace_object>(&*steps[i].before) : nullptr;
        if (begun.contains(i) || (space != nullptr && !begun.empty())) out.push_back(steps[i]);
    }
    return out;
}

result<plan> take_back(const host_state& seen, const std::vector<step>& steps, const std::map<std::string, std::vector<ovs::flow>>& flows,
                       const std::string& fabric, const std::string& node) {
    host_state target = ours_in(seen, fabric);
    target.node = node;
    turner turn(target, seen, flows);
    for (auto s = steps.rbegin(); s != steps.rend(); ++s) turn.turn(*s);
    auto p = diff(seen, target);
    if (!p) return p;
    exactly(*p, seen, target, steps);  // behind the others, whose order it leaves: no step waits for these columns
    // A row that was without its device before the steps is so again, and no step cures it.
    std::erase_if(p->steps, [](const step& s) { return s.before && s.after && *s.before == *s.after; });
    return p;
}

}  // namespace weft
