// SPDX-License-Identifier: Apache-2.0
// Executes the steps of a plan: runs of one kind go out together (netlink batches, one OVSDB transaction, one bundle per bridge,
// one nft transaction), services one by one; then their effects. On a failure what was done is undone in reverse, with the effects
// of that, but for a service that does not start and connections that cannot be cut: all else is done then. At the end the host is read
// back. Longer than the guide, because an undo runs the same groups as the run that it takes back. May include: core, model, netlink, ovs, services.
#include "apply/host_lock.hpp"
#include "apply/internal.hpp"
#include "apply/quarantine.hpp"
#include "apply/records.hpp"
#include "apply/settle.hpp"
#include "apply/switch_executor.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/database.hpp"
#include "weft/services/services.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace weft::apply {
namespace {

enum class transport { namespaces, sysctl, netlink, nft, ovsdb, openflow, services };

transport transport_of(const step& s) {
    const auto& o = s.after ? *s.after : *s.before;
    if (std::holds_alternative<namespace_object>(o)) return transport::namespaces;
    if (std::holds_alternative<sysctl_object>(o)) return transport::sysctl;
    if (std::holds_alternative<nft::table>(o)) return transport::nft;
    if (std::holds_alternative<ovs::bridge_row>(o) || std::holds_alternative<ovs::port_row>(o)) return transport::ovsdb;
    if (std::holds_alternative<ovs::flow>(o)) return transport::openflow;
    if (std::holds_alternative<service>(o)) return transport::services;
    return transport::netlink;
}

// Steps that may go out together: the same transport, and for all but OVSDB the same scope.
bool together(const step& a, const step& b) {
    return transport_of(a) == transport_of(b) && (transport_of(a) == transport::ovsdb || a.scope == b.scope);
}

// The end of the run of steps from `first` on that goes out together.
std::size_t group_end(const std::vector<step>& steps, std::size_t first) {
    auto last = first + 1;
    while (last < steps.size() && together(steps[first], steps[last])) ++last;
    return last;
}

class executor {
public:
    executor(const place& where, const plan& p) : where_(where), plan_(p), switch_(where.ovs_rundir) {}

    // Runs [first, last) of `steps`; `done` gets those that took effect, in order. With netlink that may be some after the failed one.
    result<void> group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
        switch (transport_of(steps[first])) {
            case transport::namespaces: return each(steps, first, last, done, [&](const step& s) { return one_namespace(s); });
            case transport::sysctl: return sysctls(steps, first, last, done);
            case transport::netlink: return netlink_group(steps, first, last, done);
            case transport::nft: return all(nft_group(steps, first, last), first, last, done);
            case transport::ovsdb: return switch_.rows(steps, first, last, done);
            case transport::openflow: return switch_.flows(steps, first, last, done, undoing ? nullptr : &left_out);
            case transport::services: return each(steps, first, last, done, [&](const step& s) { return one_service(s); });
        }
        return {};
    }

    const std::vector<ovs::refused_flow>& refused_flows() const { return switch_.refused(); }
    // What kept services from starting: a service is one network's, must hold back nobody else's, and takes nothing of theirs back. And
    // connections that could not be cut: the rules stand.
    std::vector<error> left_out;
    // Before namespaces are opened once more for their effects.
    void close_sessions() { sessions_.clear(); }
    bool undoing = false;
    bool announces = true;

private:
    template <class F>
    result<void> each(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done, F run) {
        for (std::size_t i = first; i < last; ++i) {
            if (auto ok = run(steps[i]); ok) done.push_back(i);
            else if (!undoing && steps[i].after && transport_of(steps[i]) == transport::services) left_out.push_back(ok.error());
            else return ok;
        }
        return {};
    }
    static result<void> all(result<void> outcome, std::size_t first, std::size_t last, indexes& done) {
        for (std::size_t i = first; outcome && i < last; ++i) done.push_back(i);
        return outcome;
    }

    result<netlink::namespace_handle> open(const std::string& scope) const {
        return netlink::namespace_handle::open(scope.empty() ? where_.netns : scope);
    }

    result<void> one_namespace(const step& s) {
        if (s.after) {
            const auto& name = std::get<namespace_object>(*s.after).name;
            // The record comes first: a crash between the two leaves a record without a namespace, which is harmless.
            if (auto ok = record_namespace(plan_.fabric, name); !ok) return ok;
            auto made = netlink::create_namespace(name);
            if (!made) forget_namespace(name);
            return made;
        }
        const auto& name = std::get<namespace_object>(*s.before).name;
        sessions_.erase(name);  // an open one would keep the namespace alive
        auto gone = netlink::delete_namespace(name);
        if (!gone && gone.error().code != errc::not_found) return gone;
        forget_namespace(name);
        return {};
    }

    result<void> one_service(const step& s) {
        if (!s.after) return services::remove(plan_.fabric, std::get<service>(*s.before).name);
        return services::put(plan_.fabric, std::get<service>(*s.after));
    }

    result<void> sysctls(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
        auto handle = open(steps[first].scope);
        if (!handle) return handle.error();
        if (steps[first].scope.empty()) {
            auto memory = found_settings(plan_.fabric, plan_.node);
            if (!memory) return memory.error();
            const auto size = memory->size();
            std::vector<std::string> keys;
            for (std::size_t i = first; i < last; ++i)
                if (steps[i].after) keys.push_back(std::get<sysctl_object>(*steps[i].after).key);
            auto found = netlink::read_sysctls(*handle, keys);
            if (!found) return found.error();
            // Keys of devices that weft makes or moves vanish with them; the value found is kept where there is one.
            for (const auto& f : *found)
                if (f.found) memory->emplace("|" + f.key, f.value);
            if (memory->size() != size) {
                if (auto ok = remember_settings(plan_.fabric, plan_.node, *memory); !ok) return ok;
            }
        }
        // A key goes with its device or its module; what is missing although wanted shows when the host is read back.
        std::vector<netlink::sysctl_value> values;
        for (std::size_t i = first; i < last; ++i) {
            if (!steps[i].after) continue;
            const auto& now = std::get<sysctl_object>(*steps[i].after);
            values.push_back({now.key, now.value, true});
        }
        std::size_t written = 0;
        auto outcome = netlink::write_sysctls(*handle, values, written);
        // On a failure the first that was not written; steps without a value have no effect either way.
        for (std::size_t i = first; i < last && (outcome || written > 0 || !steps[i].after); ++i) {
            if (steps[i].after && written > 0) --written;
            done.push_back(i);
        }
        return outcome;
    }

    static netlink::object object_of(const state_object& o) {
        return std::visit(
            [](const auto& v) -> netlink::object {
                if constexpr (std::is_constructible_v<netlink::object, decltype(v)>) return v;
                else throw exception({errc::protocol_error, "execute", "", "not a netlink object", 0});
            },
            o);
    }

    result<void> netlink_group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
        const auto& scope = steps[first].scope;
        auto at = sessions_.find(scope);
        if (at == sessions_.end()) {
            auto handle = open(scope);
            if (!handle) return handle.error();
            auto opened = netlink::session::open(*handle);
            if (!opened) return opened.error();
            at = sessions_.emplace(scope, std::move(*opened)).first;
        }
        std::vector<netlink::change> changes;
        for (std::size_t i = first; i < last; ++i) {
            const auto& s = steps[i];
            const auto verb = s.kind() == step_kind::create   ? netlink::verb::add
                              : s.kind() == step_kind::change ? netlink::verb::change
                                                              : netlink::verb::remove;
            if (s.kind() == step_kind::change && std::holds_alternative<link>(*s.after)) {
                changes.push_back({verb, only_changed(std::get<link>(*s.before), std::get<link>(*s.after))});
            } else {
                changes.push_back({verb, object_of(s.after ? *s.after : *s.before)});
            }
        }
        if (auto kept = remember_links(steps, first, last); !kept) return kept;
        const auto outcomes = at->second.run(changes);
        result<void> ok;
        for (std::size_t i = 0; i < outcomes.size(); ++i) {
            if (outcomes[i]) {
                done.push_back(first + i);  // after a failure too: what was sent with it has taken effect
            } else if (ok) {
                auto e = outcomes[i].error();
                e.detail += (e.detail.empty() ? "" : "; ") + std::string("step: ") + steps[first + i].to_string();
                ok = e;
            }
        }
        return ok;
    }

    // A NIC is the host's; what weft changes on it is put back when the NIC is no longer wanted. That it was down is not: whoever works
    // on the host may need it by then.
    result<void> remember_links(const std::vector<step>& steps, std::size_t first, std::size_t last) const {
        if (!steps[first].scope.empty()) return {};
        auto memory = found_settings(plan_.fabric, plan_.node);
        if (!memory) return memory.error();
        const auto size = memory->size();
        for (std::size_t i = first; i < last; ++i) {
            const auto* before = steps[i].before ? std::get_if<link>(&*steps[i].before) : nullptr;
            const auto* after = steps[i].after ? std::get_if<link>(&*steps[i].after) : nullptr;
            if (before == nullptr || after == nullptr || before->group == weft_link_group) continue;
            if (before->mtu && before->mtu != after->mtu) memory->emplace(link_key(before->name, "mtu"), std::to_string(*before->mtu));
            if (before->promiscuous && before->promiscuous != after->promiscuous)
                memory->emplace(link_key(before->name, "promiscuous"), *before->promiscuous ? "1" : "0");
        }
        if (memory->size() == size) return {};
        return remember_settings(plan_.fabric, plan_.node, *memory);
    }

    // A change message carries what changes and nothing else, so that no other attribute is touched.
    static link only_changed(const link& before, const link& after) {
        link out = after;
        if (before.mac == after.mac) out.mac.reset();
        if (before.mtu == after.mtu) out.mtu.reset();
        if (before.group == after.group) out.group.reset();
        if (before.alias == after.alias) out.alias.clear();
        if (before.promiscuous == after.promiscuous) out.promiscuous.reset();
        if (before.options == after.options && std::holds_alternative<bridge_options>(after.options)) out.options = bridge_options{};
        std::erase_if(out.features, [&](const auto& pair) {
            const auto at = before.features.find(pair.first);
            return at != before.features.end() && at->second == pair.second;
        });
        return out;
    }

    result<void> nft_group(const std::vector<step>& steps, std::size_t first, std::size_t last) {
        auto handle = open(steps[first].scope);
        if (!handle) return handle.error();
        netlink::nft_change change;
        for (std::size_t i = first; i < last; ++i) {
            if (steps[i].after) change.replace.push_back(std::get<nft::table>(*steps[i].after));
            else {
                const auto& t = std::get<nft::table>(*steps[i].before);
                change.remove.emplace_back(t.family, t.name);
            }
        }
        return netlink::nft_apply(*handle, change);
    }

    const place& where_;
    const plan& plan_;
    std::map<std::string, netlink::session> sessions_;  // by scope
    switch_executor switch_;
};

// Runs all steps; on failure `done` says which took effect, in order.
result<void> run_all(executor& exec, const std::vector<step>& steps, indexes& done) {
    for (std::size_t first = 0; first < steps.size();) {
        const auto last = group_end(steps, first);
        if (auto ok = exec.group(steps, first, last, done); !ok) return ok;
        first = last;
    }
    exec.close_sessions();
    return settle(effects_of(steps), exec.announces);
}

// Runs the inverse of what was done, in reverse and in groups too. What a failed group left undone is tried again step by step, so
// that one step that cannot be undone holds back no other; and once more at the end, for a flow may name a port that came back
// only after it. Gives one line for each that remains.
std::string undo(executor& exec, const std::vector<step>& steps, const indexes& done) {
    std::vector<step> back;
    for (auto i = done.rbegin(); i != done.rend(); ++i) back.push_back(steps[*i].inverse());
    std::string remains;
    indexes left;
    for (std::size_t first = 0, last = 0; first < back.size(); first = last) {
        last = group_end(back, first);
        indexes undone;
        const auto all = exec.group(back, first, last, undone);
        if (!all && undone.size() == last - first) remains += "\n  undone, yet: " + all.error().message();
        const std::set<std::size_t> well(undone.begin(), undone.end());
        for (auto i = first; i < last; ++i)
            if (!well.contains(i) && !exec.group(back, i, i + 1, undone)) left.push_back(i);
    }
    std::set<std::size_t> standing;
    for (const auto i : left) {
        indexes undone;
        if (auto ok = exec.group(back, i, i + 1, undone); !ok) {
            remains += "\n  not undone: " + back[i].inverse().to_string() + ": " + ok.error().message();
            standing.insert(i);
        }
    }
    std::vector<step> turned;
    for (std::size_t i = 0; i < back.size(); ++i)
        if (!standing.contains(i)) turned.push_back(std::move(back[i]));
    if (auto ok = settle(effects_of(turned), exec.announces); !ok) remains += "\n  undone, yet: " + ok.error().message();
    return remains;
}

// One connection to the database for all that a run reads and writes; without a server there is none, and who needs it says so.
std::optional<ovs::database> held_database(const place& where) {
    if (!has_database(where)) return std::nullopt;
    auto database = ovs::database::connect(where.ovs_rundir);
    if (!database) return std::nullopt;
    return std::move(*database);
}

struct counters {
    std::uint64_t netlink = netlink::session::writes() + netlink::nft_writes();
    std::uint64_t ovsdb = ovs::database::writes();
    std::uint64_t flows = ovs::flow_writes();
};

report report_since(const counters& start, const plan& p) {
    const counters now;
    return {p.steps.size(), now.netlink - start.netlink, now.ovsdb - start.ovsdb, now.flows - start.flows, p.pending, p.quarantined};
}

result<report> execute_locked(const place& where, const plan& p, std::vector<ovs::refused_flow>* refused = nullptr, bool announce = true) {
    const counters start;
    executor exec(where, p);
    exec.announces = announce;
    indexes done;
    if (auto ok = run_all(exec, p.steps, done); !ok) {
        auto failure = ok.error();
        if (refused != nullptr) *refused = exec.refused_flows();
        exec.undoing = true;
        const auto remains = undo(exec, p.steps, done);
        failure.detail += remains.empty() ? " (all earlier steps were undone)" : " (undone, but for these:" + remains + ")";
        return failure;
    }
    if (!exec.left_out.empty()) {
        auto failure = exec.left_out.front();
        for (std::size_t i = 1; i < exec.left_out.size(); ++i) failure.detail += "; also: " + exec.left_out[i].message();
        failure.detail += " (all else is done)";
        failure.code = errc::incomplete;
        return failure;
    }
    return report_since(start, p);
}

}  // namespace

result<report> execute(const place& where, const plan& p) {
    if (p.empty()) return report{0, 0, 0, 0, p.pending, p.quarantined};
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto database = held_database(where);
    return execute_locked(where, p);
}

namespace {

result<report> apply_locked(const place& where, const host_state& given, const say& caller) {
    host_state wanted = given;
    result<report> done;
    bool agreed = !caller.before;
    // Flows that only the switch itself refuses cost the ports that they serve; each turn of the loop takes out one or more of these.
    for (;;) {
        auto p = make_plan(where, wanted);
        if (!p) return p.error();
        if (!agreed) {
            if (auto ok = caller.before(*p); !ok) return ok.error();
            agreed = true;
        }
        if (caller.choose) caller.choose(*p);
        if (p->empty()) return report{0, 0, 0, 0, p->pending, p->quarantined};
        std::vector<ovs::refused_flow> refused;
        done = execute_locked(where, *p, &refused, caller.announce);
        if (done) break;
        if (!quarantine(wanted, refused)) return done;
    }
    if (caller.choose) return done;
    auto left = make_plan(where, wanted);
    if (!left) return left.error();
    if (!left->empty()) {
        return error{errc::protocol_error, "verify", wanted.node,
                     std::to_string(left->steps.size()) + " steps are still open after apply, the first: " + left->steps[0].to_string(), 0};
    }
    return done;
}

}  // namespace

result<report> apply(const place& where, const host_state& wanted) {
    return apply(where, [&]() -> result<host_state> { return wanted; });
}

result<report> apply(const place& where, const std::function<result<host_state>()>& wanted, const say& caller) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto database = held_database(where);
    const auto state = wanted();
    if (!state) return state.error();
    auto made = apply_locked(where, *state, caller);
    if ((!made && made.error().code != errc::incomplete) || !caller.after) return made;
    if (auto ok = caller.after(); !ok) return ok.error();
    return made;
}

result<report> change(const place& where, const host_state& from, const host_state& to) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto database = held_database(where);
    host_state wanted = to;
    for (;;) {
        auto p = diff(from, wanted);
        if (!p) return p.error();
        std::vector<ovs::refused_flow> refused;
        auto done = execute_locked(where, *p, &refused);
        if (done || !quarantine(wanted, refused)) return done;
    }
}

result<report> remove(const place& where, const std::string& fabric, const std::string& node) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto database = held_database(where);
    host_state nothing;
    nothing.fabric = fabric;
    nothing.node = node;
    nothing.namespaces.push_back({});  // the host's own: remembered sysctls are put back by make_plan
    auto p = make_plan(where, nothing);
    if (!p) return p.error();
    auto done = execute_locked(where, *p);
    if (done) {
        if (auto ok = remember_settings(fabric, node, {}); !ok) return ok.error();
        if (auto ok = remember_text(fabric, node, ""); !ok) return ok.error();
    }
    return done;
}

}  // namespace weft::apply
