// SPDX-License-Identifier: Apache-2.0
// diff: what must be done so that a seen host becomes the wanted one. Pure. What bears no mark of ours is never part of a
// step; a wanted name that is taken by such an object is an error, found before anything runs. May include: core, model.
#include "model/describe.hpp"
#include "model/order.hpp"

#include <algorithm>

namespace weft {
namespace {

// Whether every field that `wanted` sets is the same in `seen`. Unset optionals, and options that only say what to create, do not count.
template <class T> bool satisfied(const T& wanted, const T& seen) {
    bool same = true;
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_any_access>>([&](auto member) {
        const auto& w = wanted.*member.pointer;
        if constexpr (requires { w.has_value(); }) same = same && (!w.has_value() || w == seen.*member.pointer);
        else same = same && w == seen.*member.pointer;
    });
    return same;
}

bool options_satisfied(const link_options& wanted, const link_options& seen) {
    if (std::holds_alternative<physical_options>(wanted)) return true;
    if (wanted.index() != seen.index()) return false;
    // A veth's peer is proved by the peer's own presence; names in other namespaces are not reported by the kernel.
    if (std::holds_alternative<veth_options>(wanted)) return true;
    return std::visit([&](const auto& w) { return satisfied(w, std::get<std::decay_t<decltype(w)>>(seen)); }, wanted);
}

bool keys_satisfied(const ovs::string_map& wanted, const ovs::string_map& seen) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
        const auto at = seen.find(pair.first);
        return at != seen.end() && at->second == pair.second;
    });
}

error foreign(const std::string& what, const std::string& name, const std::string& where) {
    return {errc::foreign_object, "plan", what + " " + name + (where.empty() ? "" : " in " + where),
            "the name is taken by an object that bears no mark of weft; nothing was changed", 0};
}

class differ {
public:
    differ(const host_state& seen, const host_state& wanted) : seen_(seen), wanted_(wanted) {}

    result<plan> run() {
        plan_.fabric = wanted_.fabric;
        plan_.node = wanted_.node;
        plan_.pending = wanted_.pending;
        static const namespace_state nothing;
        for (const auto& want : wanted_.namespaces) {
            const auto* have = find_namespace(seen_, want.name);
            if (!have) add(want.name, std::nullopt, namespace_object{want.name});
            if (auto ok = one_namespace(have ? *have : nothing, want); !ok) return ok.error();
        }
        for (const auto& have : seen_.namespaces) {
            if (find_namespace(wanted_, have.name)) continue;
            if (have.name.empty()) {
                namespace_state empty;
                if (auto ok = one_namespace(have, empty); !ok) return ok.error();
            } else {
                add(have.name, namespace_object{have.name}, std::nullopt);  // all within goes with it
            }
        }
        if (auto ok = bridges(); !ok) return ok.error();
        services();
        order(plan_, wanted_);
        return plan_;
    }

private:
    // A seen service is one that lives and is ours: observing has sorted out the rest.
    void services() {
        const auto by_name = [](const std::vector<service>& all, const std::string& name) -> const service* {
            const auto at = std::find_if(all.begin(), all.end(), [&](const service& s) { return s.name == name; });
            return at == all.end() ? nullptr : &*at;
        };
        for (const auto& w : wanted_.services) {
            const auto* h = by_name(seen_.services, w.name);
            if (!h) add(w.space, std::nullopt, w);
            else if (*h != w) add(w.space, *h, w);
        }
        for (const auto& h : seen_.services) {
            if (!by_name(wanted_.services, h.name)) add(h.space, h, std::nullopt);
        }
    }
    static const namespace_state* find_namespace(const host_state& state, const std::string& name) {
        const auto at = std::find_if(state.namespaces.begin(), state.namespaces.end(), [&](const auto& n) { return n.name == name; });
        return at == state.namespaces.end() ? nullptr : &*at;
    }
    void add(const std::string& scope, std::optional<state_object> before, std::optional<state_object> after, std::string bounces = {}) {
        plan_.steps.push_back({scope, std::move(before), std::move(after), std::move(bounces)});
    }
    std::string mark() const { return "weft:" + wanted_.fabric + "/"; }
    bool ours(const link& l) const { return l.group == weft_link_group && l.alias.starts_with(mark()); }
    bool is_bridge(const std::string& name) const {
        return std::any_of(wanted_.bridges.begin(), wanted_.bridges.end(), [&](const auto& b) { return b.name == name; });
    }

    result<void> one_namespace(const namespace_state& have, const namespace_state& want) {
        const auto& scope = want.name.empty() ? have.name : want.name;
        if (auto ok = links(scope, have, want); !ok) return ok;
        for (const auto& [key, value] : want.sysctls) {
            const auto at = have.sysctls.find(key);
            if (at != have.sysctls.end() && at->second == value) continue;
            std::optional<state_object> before;
            if (at != have.sysctls.end()) before = sysctl_object{key, at->second};
            add(scope, before, sysctl_object{key, value});
        }
        if (auto ok = tables(scope, have, want); !ok) return ok;
        addresses(scope, have, want);
        by_value(scope, have.nexthops, want.nexthops);
        by_value(scope, have.rules, want.rules);
        by_value(scope, have.neighbours, want.neighbours);
        return routes(scope, have, want);
    }

    result<void> links(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto by_name = [](const std::vector<link>& all, const std::string& name) -> const link* {
            const auto at = std::find_if(all.begin(), all.end(), [&](const link& l) { return l.name == name; });
            return at == all.end() ? nullptr : &*at;
        };
        for (const auto& w : want.links) {
            const auto* h = by_name(have.links, w.name);
            const bool physical = std::holds_alternative<physical_options>(w.options);
            if (!h) {
                if (physical && !is_bridge(w.name) && w.name != "lo") {
                    return error{errc::not_found, "plan", "link " + w.name + (scope.empty() ? "" : " in " + scope),
                                 "this host has no such NIC; nothing was changed", 0};
                }
                link made = w;
                made.up = false;
                if (!physical && !made_with_its_peer(scope, w)) {
                    // Created down: what must stand before traffic (ingress drop, sysctls) comes between creation and up.
                    made.features.clear();
                    add(scope, std::nullopt, made);
                } else if (physical) {
                    made = link{.name = w.name, .options = w.options};  // it appears with its bridge, or with the namespace (lo)
                } else {
                    // Born with its peer, which gives it MAC, MTU and group in the same message, but no alias.
                    made.alias.clear();
                }
                made.features.clear();
                if (made != w) add(scope, made, w);
                continue;
            }
            if (!physical && !ours(*h)) return foreign("link", w.name, scope);
            if (!options_satisfied(w.options, h->options)) {
                add(scope, *h, std::nullopt, w.name + " is made anew: its kind or options changed");
                link made = w;
                made.up = false;
                made.features.clear();
                add(scope, std::nullopt, made);
                if (made != w) add(scope, made, w);
                continue;
            }
            compare_link(scope, *h, w);
        }
        for (const auto& h : have.links) {
            if (ours(h) && !by_name(want.links, h.name)) add(scope, h, std::nullopt, h.name + " is removed");
        }
        return {};
    }

    // A veth end outside the host's own namespace is made by the message that makes the other end there.
    bool made_with_its_peer(const std::string& scope, const link& l) const {
        const auto* veth = std::get_if<veth_options>(&l.options);
        return veth && !scope.empty() && veth->peer_namespace.empty();
    }

    void compare_link(const std::string& scope, const link& have, const link& want) {
        link target = have;
        if (want.mac) target.mac = want.mac;
        if (want.mtu) target.mtu = want.mtu;
        if (want.group) target.group = want.group;
        if (want.promiscuous) target.promiscuous = want.promiscuous;
        if (!want.alias.empty()) target.alias = want.alias;
        if (!std::holds_alternative<physical_options>(want.options) || !want.master.empty()) target.master = want.master;
        target.up = want.up || (std::holds_alternative<physical_options>(want.options) && have.up);
        for (const auto& [feature, on] : want.features) target.features[feature] = on;
        if (target == have) return;
        std::string bounces;
        if (have.up && !target.up) bounces = have.name + " goes down";
        else if (have.mac != target.mac) bounces = have.name + " changes its MAC address: neighbours learn it anew";
        add(scope, have, target, bounces);
    }

    result<void> tables(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto same_name = [](const nft::table& a, const nft::table& b) { return a.family == b.family && a.name == b.name; };
        for (const auto& w : want.tables) {
            const auto at = std::find_if(have.tables.begin(), have.tables.end(), [&](const auto& h) { return same_name(h, w); });
            if (at == have.tables.end()) add(scope, std::nullopt, w);
            else if (!at->marked) return foreign("nft table", step{scope, {}, w, {}}.object_name(), scope);
            else if (!(*at == w)) add(scope, *at, w);
        }
        for (const auto& h : have.tables) {
            if (h.marked && std::none_of(want.tables.begin(), want.tables.end(), [&](const auto& w) { return same_name(h, w); })) {
                add(scope, h, std::nullopt);
            }
        }
        return {};
    }

    void addresses(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto same = [](const address_entry& a, const address_entry& b) { return a.device == b.device && a.address == b.address; };
        const auto among = [&](const std::vector<address_entry>& all, const address_entry& a) {
            return std::any_of(all.begin(), all.end(), [&](const auto& b) { return same(a, b); });
        };
        for (const auto& w : want.addresses) {
            if (!among(have.addresses, w)) add(scope, std::nullopt, w);
        }
        for (const auto& h : have.addresses) {
            if (h.protocol == weft_protocol && !among(want.addresses, h)) add(scope, h, std::nullopt);
        }
    }

    template <class T> void by_value(const std::string& scope, const std::vector<T>& have, const std::vector<T>& want) {
        const auto among = [](const std::vector<T>& all, const T& one) { return std::find(all.begin(), all.end(), one) != all.end(); };
        for (const auto& w : want) {
            if (!among(have, w)) add(scope, std::nullopt, w);
        }
        for (const auto& h : have) {
            if (h.protocol == weft_protocol && !among(want, h)) add(scope, h, std::nullopt);
        }
    }

    static bool same_key(const route& a, const route& b) {
        return a.destination == b.destination && a.table == b.table && a.metric == b.metric;
    }
    static bool same_path(const route& wanted, const route& seen) {
        if (wanted.nexthop_id != seen.nexthop_id || wanted.nexthops.size() != seen.nexthops.size()) return false;
        for (std::size_t i = 0; i < wanted.nexthops.size(); ++i) {
            const auto& w = wanted.nexthops[i];
            const auto& s = seen.nexthops[i];
            if (w.gateway != s.gateway || (!w.device.empty() && w.device != s.device) || w.onlink != s.onlink) return false;
        }
        return wanted.type == seen.type && (!wanted.mtu || wanted.mtu == seen.mtu) &&
               (!wanted.preferred_source || wanted.preferred_source == seen.preferred_source);
    }
    result<void> routes(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        for (const auto& w : want.routes) {
            const auto at = std::find_if(have.routes.begin(), have.routes.end(), [&](const auto& h) { return same_key(h, w); });
            if (at == have.routes.end()) {
                add(scope, std::nullopt, w);
            } else if (!same_path(w, *at)) {
                if (at->protocol != weft_protocol) return foreign("route", w.destination.to_string(), scope);
                add(scope, *at, w);
            }
        }
        for (const auto& h : have.routes) {
            if (h.protocol != weft_protocol) continue;
            if (std::none_of(want.routes.begin(), want.routes.end(), [&](const auto& w) { return same_key(h, w); })) {
                add(scope, h, std::nullopt);
            }
        }
        return {};
    }

    bool marked(const ovs::string_map& ids) const {
        const auto at = ids.find(ovs::mark_fabric);
        return at != ids.end() && at->second == wanted_.fabric;
    }

    result<void> bridges() {
        const auto named = [](const auto& all, const std::string& name) {
            const auto at = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
            return at == all.end() ? nullptr : &*at;
        };
        for (const auto& w : wanted_.bridges) {
            const auto* h = named(seen_.bridges, w.name);
            auto bare = w;
            bare.ports.clear();
            if (!h) {
                add(w.name, std::nullopt, bare);
            } else {
                if (!marked(h->external_ids)) return foreign("bridge", w.name, "Open vSwitch");
                if (h->datapath_type != w.datapath_type || h->fail_mode != w.fail_mode || h->protocols != w.protocols ||
                    !keys_satisfied(w.other_config, h->other_config) || !keys_satisfied(w.external_ids, h->external_ids)) {
                    auto before = *h;
                    before.ports.clear();
                    overlay(before.other_config, bare.other_config);
                    overlay(before.external_ids, bare.external_ids);
                    add(w.name, before, bare);
                }
            }
            static const std::vector<ovs::port_row> none;
            const auto& have_ports = h ? h->ports : none;
            for (const auto& p : w.ports) {
                const auto* seen = named(have_ports, p.name);
                if (!seen) add(w.name, std::nullopt, p);
                else if (!port_satisfied(p, *seen)) {
                    if (!marked(seen->external_ids) && !announced(*seen)) return foreign("port", p.name, w.name);
                    add(w.name, *seen, merged(*seen, p));
                }
            }
            for (const auto& p : have_ports) {
                if (marked(p.external_ids) && !named(w.ports, p.name)) drop_port(w.name, p);
            }
            flows(w.name);
        }
        for (const auto& h : seen_.bridges) {
            if (named(wanted_.bridges, h.name)) continue;
            if (marked(h.external_ids)) {
                auto bare = h;
                bare.ports.clear();
                // A port that others plugged into our bridge goes with the bridge; there is nothing left to bind it to.
                for (const auto& p : h.ports) {
                    if (p.name != h.name && marked(p.external_ids) && !bound(p)) add(h.name, p, std::nullopt);
                }
                add(h.name, bare, std::nullopt);
            } else {
                for (const auto& p : h.ports) {
                    if (marked(p.external_ids)) drop_port(h.name, p);
                }
            }
        }
        return {};
    }

    // Puts the keys of others under the wanted ones, so that a change never takes them away.
    static void overlay(const ovs::string_map& seen, ovs::string_map& wanted) { wanted.insert(seen.begin(), seen.end()); }

    static ovs::port_row merged(const ovs::port_row& seen, ovs::port_row wanted) {
        overlay(seen.other_config, wanted.other_config);
        overlay(seen.external_ids, wanted.external_ids);
        for (auto& w : wanted.interfaces) {
            for (const auto& s : seen.interfaces) {
                if (s.name != w.name) continue;
                overlay(s.external_ids, w.external_ids);
                // The options of a tunnel are ours alone; those of a port that somebody else announced are not.
                if (announced(seen)) overlay(s.options, w.options);
                if (!w.mtu_request) w.mtu_request = s.mtu_request;
                if (!w.ofport_request) w.ofport_request = s.ofport_request;
                if (!w.mac) w.mac = s.mac;
            }
        }
        return wanted;
    }

    // A port that somebody else (libvirt, Nova, the lab) announced by its iface-id is not ours to make or delete.
    static bool announced(const ovs::port_row& p) {
        return p.interfaces.size() == 1 && p.interfaces[0].external_ids.contains("iface-id");
    }
    bool bound(const ovs::port_row& p) const { return announced(p) && p.other_config.contains("weft-bound"); }

    void drop_port(const std::string& bridge, const ovs::port_row& p) {
        if (!bound(p)) {
            add(bridge, p, std::nullopt);
            return;
        }
        // The row stays with its owner, on the dead VLAN and without our keys.
        auto after = p;
        after.tag = 4095;
        std::erase_if(after.external_ids, [](const auto& pair) { return pair.first.starts_with("weft-"); });
        std::erase_if(after.other_config, [](const auto& pair) {
            return pair.first.starts_with("weft-") || pair.first == "tag" || pair.first == "net_uuid" ||
                   pair.first == "segmentation_id" || pair.first == "network_type";
        });
        add(bridge, p, after, p.name + " is unbound: its fabric no longer names it");
    }

    static bool port_satisfied(const ovs::port_row& w, const ovs::port_row& h) {
        if ((w.tag && w.tag != h.tag) || w.trunks != h.trunks || w.vlan_mode != h.vlan_mode) return false;
        if (!keys_satisfied(w.other_config, h.other_config) || !keys_satisfied(w.external_ids, h.external_ids)) return false;
        for (const auto& wi : w.interfaces) {
            const auto at = std::find_if(h.interfaces.begin(), h.interfaces.end(), [&](const auto& hi) { return hi.name == wi.name; });
            if (at == h.interfaces.end() || at->type != wi.type || !keys_satisfied(wi.options, at->options) ||
                !keys_satisfied(wi.external_ids, at->external_ids) || (wi.mtu_request && wi.mtu_request != at->mtu_request)) {
                return false;
            }
            // vswitchd could not open it: whatever the rows say, no packet passes.
            if (at->ofport == -1 || !at->error.empty()) return false;
        }
        return true;
    }

    void flows(const std::string& bridge) {
        const auto want_at = wanted_.flows.find(bridge);
        if (want_at == wanted_.flows.end()) return;
        static const std::vector<ovs::flow> none;
        const auto have_at = seen_.flows.find(bridge);
        const auto& have = have_at == seen_.flows.end() ? none : have_at->second;
        const auto key = [](const ovs::flow& f) { return std::tuple(f.table, f.priority, f.match); };
        std::map<std::tuple<std::uint8_t, std::uint16_t, std::string>, const ovs::flow*> seen, wanted;
        for (const auto& f : have) seen[key(f)] = &f;
        for (const auto& f : want_at->second) {
            wanted[key(f)] = &f;
            const auto at = seen.find(key(f));
            if (at == seen.end()) add(bridge, std::nullopt, f);
            else if (*at->second != f) add(bridge, *at->second, f);
        }
        for (const auto& f : have) {
            const bool is_ours = (f.cookie & ovs::cookie_mask) == ovs::cookie_prefix && f.cookie != ovs::learned_cookie;
            if (is_ours && !wanted.contains(key(f))) add(bridge, f, std::nullopt);
        }
    }

    const host_state& seen_;
    const host_state& wanted_;
    plan plan_;
};

}  // namespace

result<plan> diff(const host_state& seen, const host_state& wanted) { return differ(seen, wanted).run(); }

}  // namespace weft
