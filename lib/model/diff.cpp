// SPDX-License-Identifier: Apache-2.0
// diff: what must be done so that a seen host becomes the wanted one. Pure. What bears no mark of ours is never part of a
// step; a wanted name that is taken by such an object is an error, found before anything runs, or left to its owner for a caller who
// asks for that. Longer than the guide, because every kind of object is compared here, all by the same few rules. May include: core, model.
#include "model/index.hpp"
#include "model/marks.hpp"
#include "model/names.hpp"
#include "model/no_inverse.hpp"
#include "model/order.hpp"
#include "model/satisfied.hpp"
#include "model/uplink.hpp"
#include "model/without_devices.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace weft {
namespace {

error foreign(const std::string& what, const std::string& name, const std::string& where) {
    return {errc::foreign_object, "plan", what + " " + name + (where.empty() ? "" : " in " + where),
            "the name is taken by an object that bears no mark of weft; nothing was changed", 0};
}

class differ {
public:
    differ(const host_state& seen, const host_state& wanted, const uplink_moves* moves, std::vector<error>* others)
        : seen_(seen), wanted_(wanted), moves_(moves), others_(others) {
        for (const auto& b : seen_.bridges)
            for (const auto& p : b.ports)
                for (const auto& i : p.interfaces)
                    if (i.ofport > 0) opened_.insert(i.name);
    }

    result<plan> run() {
        plan_.fabric = wanted_.fabric;
        plan_.node = wanted_.node;
        plan_.pending = wanted_.pending;
        plan_.quarantined = wanted_.quarantined;
        static const namespace_state nothing;
        // The device of a bridge of others has their addresses, and is none of ours either.
        if (others_ != nullptr)
            for (const auto& b : seen_.bridges)
                if (wanted_bridges_.like(b) && !marked(b.external_ids)) taken_[""].insert(b.name);
        for (const auto& name : seen_.foreign_namespaces)
            if (auto ok = in_the_way({errc::foreign_object, "plan", "namespace " + name,
                                      "the name is taken by a namespace that weft did not make; nothing was changed", 0}); !ok) return ok.error();
        const index seen(seen_.namespaces), wanted(wanted_.namespaces);
        for (const auto& want : wanted_.namespaces) {
            if (space_taken(want.name)) continue;
            const auto* have = seen.like(want);
            if (!have) add(want.name, std::nullopt, namespace_object{want.name, std::nullopt});
            if (auto ok = one_namespace(have ? *have : nothing, want); !ok) return ok.error();
        }
        for (const auto& have : seen_.namespaces) {
            if (wanted.like(have)) continue;
            if (have.name.empty()) {
                namespace_state empty;
                if (auto ok = one_namespace(have, empty); !ok) return ok.error();
            } else {
                add(have.name, namespace_object{have.name, ours_in(have, wanted_.fabric)}, std::nullopt);  // all within goes with it
            }
        }
        if (auto ok = bridges(); !ok) return ok.error();
        services();
        if (moves_) weave(plan_, *moves_);
        order(plan_, wanted_, moves_);
        say_no_inverse(plan_);
        return plan_;
    }

private:
    // A seen service is one that lives and is ours: observing has sorted out the rest.
    void services() {
        const index seen(seen_.services), wanted(wanted_.services);
        for (const auto& w : wanted_.services) {
            if (space_taken(w.space)) continue;
            const auto* h = seen.like(w);
            if (!h) add(w.space, std::nullopt, w);
            else if (*h != w) add(w.space, *h, w);
        }
        for (const auto& h : seen_.services) {
            if (!wanted.like(h)) add(h.space, h, std::nullopt);
        }
    }
    void add(const std::string& scope, std::optional<state_object> before, std::optional<state_object> after, std::string bounces = {}) {
        plan_.steps.push_back({scope, std::move(before), std::move(after), std::move(bounces)});
    }
    bool ours(const link& l) const { return is_ours(l, wanted_.fabric); }
    // What is in the way ends the comparison, or is left to its owner where the caller asked for that.
    result<void> in_the_way(error what) {
        if (others_ == nullptr) return what;
        others_->push_back(std::move(what));
        return {};
    }

    result<void> one_namespace(const namespace_state& have, const namespace_state& want) {
        const auto& scope = want.name.empty() ? have.name : want.name;
        if (auto ok = links(scope, have, want); !ok) return ok;
        const auto& taken = taken_[scope];
        auto anew = made_anew(scope, have, want);
        std::erase_if(anew, [&](const auto& name) { return taken.contains(name); });
        if (scope.empty()) anew_ = anew;
        if (anew.empty() && taken.empty()) return beside_links(scope, have, want);
        anew.insert(taken.begin(), taken.end());
        return taken.empty() ? beside_links(scope, without_devices(have, anew), want)
                             : beside_links(scope, without_devices(have, anew), without_devices(want, taken));
    }

    result<void> beside_links(const std::string& scope, const namespace_state& have, const namespace_state& want) {
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

    bool cannot_become(const link& have, const link& want) const {
        return !options_satisfied(want.options, changed_in_place(want.options, have.options)) || peer_lost(want);
    }
    // Devices that go and come again, and those that went and that the switch did not see go: it holds on to what is no more.
    std::set<std::string> made_anew(const std::string& scope, const namespace_state& have, const namespace_state& want) const {
        const index seen(have.links);
        std::set<std::string> names;
        for (const auto& w : want.links) {
            const auto* h = seen.like(w);
            const bool lost = !h && scope.empty() && !std::holds_alternative<physical_options>(w.options) && opened_.contains(w.name);
            if (lost || (h && cannot_become(*h, w))) names.insert(w.name);
        }
        return names;
    }

    result<void> links(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const index seen(have.links), wanted(want.links);
        auto& taken = taken_[scope];
        for (const auto& w : want.links) {
            const auto* h = seen.like(w);
            // Born with its peer, whose name is taken: it cannot be, nor what is on it.
            if (!h && made_with_its_peer(scope, w) && taken_[""].contains(std::get<veth_options>(w.options).peer)) taken.insert(w.name);
            if (others_ != nullptr && peer_taken(w, h)) taken.insert(w.name);
            if (!h || std::holds_alternative<physical_options>(w.options) || ours(*h)) continue;
            if (auto ok = in_the_way(foreign("link", w.name, scope)); !ok) return ok;
            taken.insert(w.name);
        }
        for (const auto& w : want.links) {
            // Nothing is done to a link of others, nor put onto it.
            if (taken.contains(w.name) || taken.contains(w.master) || taken.contains(parent_of(w.options))) continue;
            const auto* h = seen.like(w);
            const bool physical = std::holds_alternative<physical_options>(w.options);
            if (!h) {
                if (physical && !wanted_bridges_.find(w.name) && w.name != "lo") {
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
            if (cannot_become(*h, w)) {
                add(scope, *h, std::nullopt,
                    w.name + (peer_lost(w) ? " is made anew: its peer's namespace has gone" : " is made anew: its kind or options changed"));
                link made = w;
                made.up = false;
                made.features.clear();
                add(scope, std::nullopt, made);
                if (made != w) add(scope, made, w);
                continue;
            }
            compare_link(scope, leave_master(scope, *h, &w, seen, wanted), w);
        }
        for (const auto& h : have.links) {
            const bool removed = ours(h) && !wanted.like(h);
            if (removed) add(scope, h, std::nullopt, h.name + " is removed");
            else if (!wanted.like(h)) leave_master(scope, h, nullptr, seen, wanted);
        }
        return {};
    }

    // A port leaves a bridge of ours in a step of its own when the bridge goes or does not want it any more, so that an undo
    // puts it in again: a NIC of this host, or what somebody else had plugged in there. Gives the link as it is then.
    template <class Index> link leave_master(const std::string& scope, const link& have, const link* want, const Index& seen, const Index& wanted) {
        const auto* master = seen.find(have.master);
        if (!master || !ours(*master) || (want ? want->master == have.master : wanted.like(*master) != nullptr)) return have;
        link free = have;
        free.master.clear();
        add(scope, have, free);
        return free;
    }

    // The namespace of a veth's peer is not there: it was deleted, yet lives on nameless, with the peer, by what runs in it.
    bool peer_lost(const link& l) const {
        const auto* veth = std::get_if<veth_options>(&l.options);
        return veth && !veth->peer_namespace.empty() && !seen_namespaces_.find(veth->peer_namespace);
    }

    bool space_taken(const std::string& name) const {
        const auto& taken = seen_.foreign_namespaces;
        return std::find(taken.begin(), taken.end(), name) != taken.end();
    }

    // The place that the peer of this one would have is somebody else's. One that stands has its peer somewhere; it only waits for the
    // namespace to be ours again.
    bool peer_taken(const link& l, const link* stands) const {
        const auto* veth = std::get_if<veth_options>(&l.options);
        if (!veth || veth->peer_namespace.empty()) return false;
        if (space_taken(veth->peer_namespace)) return true;
        const auto* space = stands ? nullptr : seen_namespaces_.find(veth->peer_namespace);
        return space && std::any_of(space->links.begin(), space->links.end(), [&](const link& one) { return one.name == veth->peer && !ours(one); });
    }

    void compare_link(const std::string& scope, const link& have, const link& want) {
        link target = have;
        if (want.mac) target.mac = want.mac;
        if (want.mtu) target.mtu = want.mtu;
        if (want.group) target.group = want.group;
        if (want.promiscuous) target.promiscuous = want.promiscuous;
        if (!want.alias.empty()) target.alias = want.alias;
        if (!std::holds_alternative<physical_options>(want.options) || !want.master.empty()) target.master = want.master;
        target.options = changed_in_place(want.options, have.options);
        target.up = want.up || (std::holds_alternative<physical_options>(want.options) && have.up);
        for (const auto& [feature, on] : want.features) target.features[feature] = on;
        if (target == have) return;
        std::string bounces;
        if (have.up && !target.up) bounces = have.name + " goes down";
        else if (have.mac != target.mac) bounces = have.name + " changes its MAC address: neighbours learn it anew";
        add(scope, have, target, bounces);
    }

    result<void> tables(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto key = [](const nft::table& t) { return std::tuple(t.family, std::string_view(t.name)); };
        const index seen(have.tables, key), wanted(want.tables, key);
        for (const auto& w : want.tables) {
            const auto* h = seen.like(w);
            if (!h) add(scope, std::nullopt, w);
            else if (!h->marked) {
                if (auto ok = in_the_way(foreign("nft table", step{scope, {}, w, {}}.object_name(), scope)); !ok) return ok;
            } else if (!(*h == w)) add(scope, *h, w);
        }
        for (const auto& h : have.tables) {
            if (h.marked && !wanted.like(h)) add(scope, h, std::nullopt);
        }
        return {};
    }

    void addresses(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto key = [](const address_entry& a) { return std::tuple(std::string_view(a.device), a.address); };
        missing_and_extra(scope, have.addresses, want.addresses, key);
    }

    template <class T> void by_value(const std::string& scope, const std::vector<T>& have, const std::vector<T>& want) {
        missing_and_extra(scope, have, want, [](const T& one) { return one; });
    }

    // For what is never changed in place: the key says all that counts.
    template <class T, class Key>
    void missing_and_extra(const std::string& scope, const std::vector<T>& have, const std::vector<T>& want, Key key) {
        const index seen(have, key), wanted(want, key);
        for (const auto& w : want) {
            if (!seen.like(w)) add(scope, std::nullopt, w);
        }
        for (const auto& h : have) {
            if (h.protocol == weft_protocol && !wanted.like(h)) add(scope, h, std::nullopt);
        }
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
    // Devices whose IPv4 addresses all go, be it for others: with the last one the kernel drops their IPv4 routes without a word.
    static std::set<std::string_view> bared_devices(const namespace_state& have, const namespace_state& want) {
        const auto key = [](const address_entry& a) { return std::tuple(std::string_view(a.device), a.address); };
        const index wanted(want.addresses, key);
        std::set<std::string_view> gone, kept;
        for (const auto& a : have.addresses)
            if (a.address.address.is_v4()) (a.protocol == weft_protocol && !wanted.like(a) ? gone : kept).insert(a.device);
        std::erase_if(gone, [&](const auto device) { return kept.contains(device); });
        return gone;
    }
    static bool lost_with_an_address(const route& r, const std::set<std::string_view>& bared) {
        return !r.destination.is_v6() && std::any_of(r.nexthops.begin(), r.nexthops.end(), [&](const auto& hop) { return bared.contains(hop.device); });
    }
    result<void> routes(const std::string& scope, const namespace_state& have, const namespace_state& want) {
        const auto bared = bared_devices(have, want);
        const auto key = [](const route& r) { return std::tuple(r.destination, r.table, r.metric); };
        const index seen(have.routes, key), wanted(want.routes, key);
        for (const auto& w : want.routes) {
            const auto* h = seen.like(w);
            if (!h) {
                add(scope, std::nullopt, w);
            } else if (h->protocol == weft_protocol && lost_with_an_address(*h, bared)) {
                add(scope, *h, std::nullopt);
                add(scope, std::nullopt, w);
            } else if (!same_path(w, *h)) {
                if (h->protocol == weft_protocol) add(scope, *h, w);
                else if (auto ok = in_the_way(foreign("route", name_of(w), scope)); !ok) return ok;
            }
        }
        for (const auto& h : have.routes) {
            if (h.protocol == weft_protocol && !wanted.like(h)) add(scope, h, std::nullopt);
        }
        return {};
    }

    bool marked(const ovs::string_map& ids) const { return is_ours(ids, wanted_.fabric); }

    result<void> bridges() {
        const index seen_bridges(seen_.bridges);
        for (const auto& w : wanted_.bridges) {
            const auto* h = seen_bridges.like(w);
            auto bare = w;
            bare.ports.clear();
            if (!h) {
                add(w.name, std::nullopt, bare);
            } else {
                if (!marked(h->external_ids)) {
                    if (auto ok = in_the_way(foreign("bridge", w.name, "Open vSwitch")); !ok) return ok;
                    continue;  // its ports and flows are its owner's
                }
                if (!bare.mtu_request) bare.mtu_request = h->mtu_request;
                if (bare.mtu_request != h->mtu_request || h->datapath_type != w.datapath_type || h->fail_mode != w.fail_mode || h->protocols != w.protocols ||
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
            const index seen(have_ports), wanted(w.ports);
            for (const auto& p : w.ports) {
                const auto* have = seen.like(p);
                if (taken_[""].contains(p.name)) continue;
                if (!have) add(w.name, std::nullopt, p);
                else if (anew_.contains(p.name) && marked(have->external_ids)) {
                    // The switch holds the device that goes, and would not see that another has its name. The number stays, for
                    // flows name it.
                    auto again = merged(*have, p);
                    for (auto& i : again.interfaces)
                        for (const auto& was : have->interfaces)
                            if (was.name == i.name && was.ofport > 0) i.ofport_request = static_cast<std::uint32_t>(*was.ofport);
                    add(w.name, *have, std::nullopt);
                    add(w.name, std::nullopt, again);
                } else if (!port_satisfied(p, *have)) {
                    if (marked(have->external_ids) || announced(*have)) add(w.name, *have, merged(*have, p));
                    else if (auto ok = in_the_way(foreign("port", p.name, w.name)); !ok) return ok;
                }
            }
            for (const auto& p : have_ports) {
                if (marked(p.external_ids) && !wanted.like(p)) drop_port(w.name, p);
            }
            flows(w.name);
        }
        for (const auto& h : seen_.bridges) {
            if (wanted_bridges_.like(h)) continue;
            if (marked(h.external_ids)) {
                auto gone = h;
                gone.ports.clear();
                // A port that others plugged into our bridge goes with the bridge; there is nothing left to bind it to. The bridge's
                // own step keeps its row, so that an undo plugs it in again.
                for (const auto& p : h.ports) {
                    if (marked(p.external_ids) && !bound(p)) add(h.name, p, std::nullopt);
                    else gone.ports.push_back(p);
                }
                lower(h.name);
                add(h.name, gone, std::nullopt);
            } else {
                for (const auto& p : h.ports) {
                    if (marked(p.external_ids)) drop_port(h.name, p);
                }
            }
        }
        return {};
    }

    // The device of a bridge goes with it. That it was up, and with which MTU, is a step, so that an undo raises the one that comes again.
    void lower(const std::string& bridge) {
        const auto goes_back = [&](const uplink& u) { return u.bridge == bridge && u.back; };  // the move itself lowers it
        if (moves_ && std::any_of(moves_->uplinks.begin(), moves_->uplinks.end(), goes_back)) return;
        for (const auto& n : seen_.namespaces)
            for (const auto& l : n.links)
                if (n.name.empty() && l.name == bridge && l.up) {
                    auto down = l;
                    down.up = false;
                    down.mtu.reset();
                    add("", l, down);
                }
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
    bool bound(const ovs::port_row& p) const { return announced(p) && p.other_config.contains(ovs::mark_bound); }

    void drop_port(const std::string& bridge, const ovs::port_row& p) {
        if (!bound(p)) {
            add(bridge, p, std::nullopt);
            return;
        }
        // The row stays with its owner, on the dead VLAN and without our keys.
        auto after = p;
        after.tag = ovs::dead_vlan;
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
        const auto key = [](const ovs::flow& f) { return std::tuple(f.table, f.priority, std::string_view(f.match)); };
        const index seen(have, key), wanted(want_at->second, key);
        for (const auto& f : want_at->second) {
            const auto* h = seen.like(f);
            if (!h) add(bridge, std::nullopt, f);
            else if (*h != f) add(bridge, *h, f);
        }
        for (const auto& f : have) {
            if (is_ours(f) && !wanted.like(f)) add(bridge, f, std::nullopt);
        }
    }

    const host_state& seen_;
    const host_state& wanted_;
    const uplink_moves* moves_;
    const index<ovs::bridge_row> wanted_bridges_{wanted_.bridges};
    const index<namespace_state> seen_namespaces_{seen_.namespaces};
    std::vector<error>* others_;
    std::map<std::string, std::set<std::string>> taken_;  // by namespace: names of links that others have
    std::set<std::string_view> opened_;  // devices that the switch believes to have open
    std::set<std::string> anew_;  // devices of the host's own namespace that go and come again
    plan plan_;
};

}  // namespace

result<plan> diff(const host_state& seen, const host_state& wanted, std::vector<error>* others) {
    const auto moves = move_uplinks(seen, wanted);
    if (!moves) return moves.error();
    // What a host holds by is not moved beside anything: there one name in the way stops all.
    return *moves ? differ((*moves)->seen, (*moves)->wanted, &**moves, nullptr).run() : differ(seen, wanted, nullptr, others).run();
}

}  // namespace weft
