// SPDX-License-Identifier: Apache-2.0
// Which NICs move to a bridge or back, and the steps of that: what is new on the one device comes first, then routes are swapped in place,
// then the other device is cleared, so that there is no moment without an address. It looks at the host's own namespace only, since
// NICs are nowhere else. Pure.
#include "model/uplink.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/index.hpp"
#include "model/uplink_objects.hpp"
#include "model/uplink_refusals.hpp"

namespace weft {
namespace {

const namespace_state* root_of(const host_state& s) {
    const auto at = std::find_if(s.namespaces.begin(), s.namespaces.end(), [](const auto& n) { return n.name.empty(); });
    return at == s.namespaces.end() ? nullptr : &*at;
}

namespace_state* root_of(host_state& s) {
    return const_cast<namespace_state*>(root_of(static_cast<const host_state&>(s)));
}

// The devices of the host's own namespace that are wanted as ports of a bridge of which weft makes no such port, with that bridge.
std::vector<uplink> wanted_uplinks(const host_state& seen, const host_state& wanted, const namespace_state& root) {
    std::vector<uplink> all;
    const index links(root.links);
    if (const auto* want = root_of(wanted))
        for (const auto& w : want->links)
            if (const auto* h = links.like(w); h && !w.master.empty() && std::holds_alternative<physical_options>(w.options))
                all.push_back({w.name, w.master, h->master != w.master, false, false, false});
    const index bridges(seen.bridges);
    for (const auto& b : wanted.bridges) {
        static const std::vector<ovs::port_row> none;
        const auto* have = bridges.like(b);
        const index ports(have ? have->ports : none);
        for (const auto& p : b.ports) {
            const auto* h = links.find(p.name);
            if (h && h->group != weft_link_group) all.push_back({p.name, b.name, !ports.like(p), false, b.datapath_type == "netdev", true});
        }
    }
    return all;
}

bool is_port(const std::vector<uplink>& all, const std::string& nic, const std::string& bridge) {
    return std::any_of(all.begin(), all.end(), [&](const auto& u) { return u.nic == nic && u.bridge == bridge; });
}

// One device's objects on the way to another one.
class mover {
public:
    mover(uplink_moves& out, const uplink& u) : out_(out), u_(u), steps_(u.back ? out.back : out.forth), from_(u.back ? u.bridge : u.nic), to_(u.back ? u.nic : u.bridge) {}

    void run(const held_objects& held) {
        auto& root = *root_of(out_.seen);
        const auto first = steps_.size();
        for (const auto& a : held.addresses) appear(a, root.addresses);
        for (const auto& n : held.nexthops) swap(n, root.nexthops);
        for (const auto& r : held.routes) swap(r, root.routes);
        for (const auto& r : held.rules) {
            appear(r, root.rules);
            clear(r);
        }
        for (const auto& n : held.neighbours) {
            appear(n, root.neighbours);
            clear(n);
        }
        // What was added first is the primary address of its subnet; the others would go with it.
        for (auto a = held.addresses.rbegin(); a != held.addresses.rend(); ++a) clear(*a);
        if (first < steps_.size())
            steps_[first].bounces = u_.back ? u_.bridge + " pauses for a moment: what is the host's own goes back to " + u_.nic
                                            : u_.nic + " pauses for a moment: as a port of " + u_.bridge + " it is the host's no longer, and all on it moves there";
        root.addresses = moved(root.addresses, held.addresses);
        root.nexthops = moved(root.nexthops, held.nexthops);
        root.routes = moved(root.routes, held.routes);
        root.rules = moved(root.rules, held.rules);
        root.neighbours = moved(root.neighbours, held.neighbours);
    }

    // What went with a bridge's device comes where it was bound for, except where somebody has put it meanwhile, or it stayed (a rule).
    void restore(const held_objects& lost) {
        auto& root = *root_of(out_.seen);
        for (const auto& a : lost.addresses)
            come(a, root.addresses, [&](const auto& there) { return there.address == a.address; });
        for (const auto& n : lost.nexthops) come(n, root.nexthops, [&](const auto& there) { return there.id == n.id; });
        for (const auto& r : lost.routes)
            come(r, root.routes, [&](const auto& there) { return identity(there, to_) == identity(r, u_.nic); });
        for (const auto& r : lost.rules)
            come(r, root.rules, [&](const auto& there) { return identity(there, u_.bridge) == identity(r, u_.nic) || there == r; });
        for (const auto& n : lost.neighbours)
            come(n, root.neighbours, [&](const auto& there) { return there.device == to_ && identity(there, to_) == identity(n, u_.nic); });
    }

private:
    template <class T, class Same> void come(const T& was, std::vector<T>& present, const Same& same) {
        if (std::any_of(present.begin(), present.end(), same)) return;
        const auto one = on_device(was, u_.nic, from_);
        appear(one, present);
        present.push_back(on_device(one, from_, to_));
    }
    void add(std::optional<state_object> before, std::optional<state_object> after) {
        steps_.push_back({"", std::move(before), std::move(after), {}});
    }
    template <class T> void remember(const T& one) {
        if (one.protocol == weft_protocol) return;  // ours is wanted where it comes to, and there is nothing to give back
        if (u_.back) out_.given_back.push_back({u_.nic, u_.bridge, identity(one, from_)});
        else out_.taken.push_back({u_.nic, u_.bridge, identity(one, from_), kept_text(one)});
    }
    template <class T> void appear(const T& one, const std::vector<T>& present) {
        remember(one);
        const auto there = on_device(one, from_, to_);
        if constexpr (std::is_same_v<T, address_entry>) {
            if (std::any_of(present.begin(), present.end(), [&](const auto& a) { return a.device == to_ && a.address == one.address; })) return;
            constexpr std::uint32_t no_dad = 0x02;  // IFA_F_NODAD
            if (there.address.is_v6() && (there.flags & no_dad) == 0) {
                // The address was the host's a moment ago. Asking the neighbours again would keep it silent for a second.
                auto at_once = there;
                at_once.flags |= no_dad;
                add(std::nullopt, at_once);
                add(at_once, there);
                return;
            }
        } else if (std::find(present.begin(), present.end(), there) != present.end()) {
            return;
        }
        add(std::nullopt, there);
    }
    template <class T> void swap(const T& one, const std::vector<T>&) {
        remember(one);
        add(one, on_device(one, from_, to_));
    }
    template <class T> void clear(const T& one) { add(one, std::nullopt); }

    // The list with the held ones on their new device.
    template <class T> std::vector<T> moved(std::vector<T> all, const std::vector<T>& held) const {
        for (auto& one : all)
            if (std::find(held.begin(), held.end(), one) != held.end()) one = on_device(one, from_, to_);
        return all;
    }

    uplink_moves& out_;
    const uplink& u_;
    std::vector<step>& steps_;
    std::string from_, to_;
};

// Ours moves where it is wanted just so on the bridge; all else of ours is for diff. What is the host's own moves in any case.
held_objects movable(held_objects held, const uplink& u, const namespace_state* wanted) {
    static const namespace_state nothing;
    const auto& want = wanted ? *wanted : nothing;
    const auto keep = [&](auto& list, const auto& wanted_list) {
        std::erase_if(list, [&](const auto& one) {
            return one.protocol == weft_protocol &&
                   std::find(wanted_list.begin(), wanted_list.end(), on_device(one, u.nic, u.bridge)) == wanted_list.end();
        });
    };
    keep(held.addresses, want.addresses);
    keep(held.nexthops, want.nexthops);
    keep(held.routes, want.routes);
    keep(held.rules, want.rules);
    keep(held.neighbours, want.neighbours);
    return held;
}

// What weft moved to the bridge and is still there.
held_objects returning(held_objects held, const uplink& u, const std::set<moved_object>& moved) {
    const auto keep = [&](auto& list) {
        std::erase_if(list, [&](const auto& one) {
            return one.protocol == weft_protocol || !moved.contains({u.nic, u.bridge, identity(one, u.bridge)});
        });
    };
    keep(held.addresses);
    keep(held.nexthops);
    keep(held.routes);
    keep(held.rules);
    keep(held.neighbours);
    return held;
}

// The devices that anything of somebody's may be on. Most ports of a switch are none of them.
std::set<std::string> holders_in(const namespace_state& root) {
    std::set<std::string> names;
    for (const auto& a : root.addresses)
        if (!a.passing) names.insert(a.device);
    for (const auto& n : root.nexthops) names.insert(n.hop.device);
    for (const auto& r : root.routes)
        for (const auto& hop : r.nexthops) names.insert(hop.device);
    for (const auto& r : root.rules) names.insert({r.input_device, r.output_device});
    for (const auto& n : root.neighbours)
        if (!n.fdb) names.insert(n.device);
    return names;
}

// Whether it moves. On a port that was one before, only an address says that somebody set the host up as if it were none, as at a boot.
bool moves_with(const held_objects& held, const uplink& u) { return !held.empty() && (u.joins || !held.addresses.empty()); }

// The sysctls that switch off the IPv6 of a bridge that bears the host's: it must have IPv6, whatever its own part of the fabric needs.
std::vector<std::string> against_ipv6(const host_state& seen, const host_state& wanted, const std::vector<uplink>& ports,
                                      const std::vector<moved_object>& taken) {
    std::set<moved_object> moved(seen.moved.begin(), seen.moved.end());
    moved.insert(taken.begin(), taken.end());
    std::vector<std::string> keys;
    if (moved.empty() || root_of(wanted) == nullptr) return keys;
    for (const auto& u : ports) {
        const auto key = "net/ipv6/conf/" + u.bridge + "/disable_ipv6";
        const auto at = root_of(wanted)->sysctls.find(key);
        if (at == root_of(wanted)->sysctls.end() || at->second == "0") continue;
        for (const auto& a : root_of(seen)->addresses)
            if (a.device == u.bridge && a.address.is_v6() && moved.contains({u.nic, u.bridge, identity(a, u.bridge)})) {
                keys.push_back(key);
                break;
            }
    }
    return keys;
}

}  // namespace

bool uplinks_concerned(const host_state& seen, const host_state& wanted) {
    const auto* root = root_of(seen);
    if (root == nullptr) return false;
    if (!seen.moved.empty()) return true;
    std::set<std::string> holders;
    for (const auto& a : root->addresses) holders.insert(a.device);
    const auto all = wanted_uplinks(seen, wanted, *root);
    return std::any_of(all.begin(), all.end(), [&](const auto& u) { return holders.contains(u.nic); });
}

result<std::optional<uplink_moves>> move_uplinks(const host_state& seen, const host_state& wanted) {
    const auto* root = root_of(seen);
    const auto* want = root_of(wanted);
    if (root == nullptr) return std::optional<uplink_moves>();
    const auto ports = wanted_uplinks(seen, wanted, *root);
    const std::set<moved_object> moved(seen.moved.begin(), seen.moved.end());
    const index links(root->links);
    const index bridges(seen.bridges);
    std::vector<uplink> left, holding;
    for (const auto& m : moved) {
        if (is_port(ports, m.nic, m.bridge) || is_port(left, m.nic, m.bridge)) continue;
        if (!links.find(m.nic)) continue;  // it was taken out of the host, and there is nowhere to go
        const auto* row = bridges.find(m.bridge);
        left.push_back({m.nic, m.bridge, false, true, row && row->datapath_type == "netdev", row != nullptr});
    }
    std::vector<std::pair<uplink, held_objects>> lost;
    for (const auto& list : {left, ports})
        for (const auto& u : list)
            if (auto held = lost_with(u.bridge, u.nic, *root, moved); !held.empty()) lost.emplace_back(u, std::move(held));
    std::erase_if(left, [&](const auto& u) { return returning(held_by(*root, u.bridge), u, moved).empty(); });
    const auto holders = holders_in(*root);
    for (const auto& u : ports) {
        if (u.joins)
            if (auto ok = can_be_port(*root, seen, wanted, u); !ok) return ok.error();
        const bool returned = std::any_of(left.begin(), left.end(), [&](const auto& l) { return l.nic == u.nic; });
        if (returned || (holders.contains(u.nic) && moves_with(movable(held_by(*root, u.nic), u, want), u))) holding.push_back(u);
    }
    if (left.empty() && holding.empty() && lost.empty() && against_ipv6(seen, wanted, ports, {}).empty()) {
        if (auto ok = path_needs_no_flows(seen, wanted, ports, {}); !ok) return ok.error();
        return std::optional<uplink_moves>();
    }

    uplink_moves out;
    out.seen = seen;
    out.wanted = wanted;
    for (const auto& u : left) {
        mover(out, u).run(returning(held_by(*root_of(out.seen), u.bridge), u, moved));
        out.uplinks.push_back(u);
        // Else the host would hear all twice once the NIC's frames are its own again, while the switch still hears them.
        const auto* local = links.find(u.bridge);
        const bool stays = std::any_of(wanted.bridges.begin(), wanted.bridges.end(), [&](const auto& b) { return b.name == u.bridge; });
        if (u.userspace && local && local->up && !stays) {
            auto down = *local;
            down.up = false;
            out.back.push_back({"", *local, down, {}});
        }
    }
    for (const auto& u : holding) {
        const auto held = movable(held_by(*root_of(out.seen), u.nic), u, want);
        if (!moves_with(held, u)) continue;
        if (auto ok = can_be_carried(*root_of(out.seen), held, u); !ok) return ok.error();
        mover(out, u).run(held);
        out.uplinks.push_back(u);
    }
    for (const auto& [u, held] : lost) {
        mover(out, u).restore(held);
        out.uplinks.push_back(u);
    }
    if (auto ok = path_needs_no_flows(out.seen, out.wanted, ports, out.taken); !ok) return ok.error();
    for (const auto& key : against_ipv6(out.seen, out.wanted, ports, out.taken)) root_of(out.wanted)->sysctls[key] = "0";
    return std::optional(std::move(out));
}

}  // namespace weft
