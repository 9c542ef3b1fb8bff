// SPDX-License-Identifier: Apache-2.0
// The runs that write to a host: apply, change, remove, execute. Each takes the host's lock, ends what an earlier run left, makes its
// plan and brings it to the host as one transaction; apply reads the host back before it says that it is done.
// May include: core, model, netlink, ovs, services.
#include "apply/checks.hpp"
#include "apply/guardian.hpp"
#include "apply/host_lock.hpp"
#include "apply/internal.hpp"
#include "apply/quarantine.hpp"
#include "apply/records.hpp"
#include "apply/recover.hpp"
#include "apply/transaction.hpp"
#include "apply/unconfirmed.hpp"
#include "weft/model/json.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/database.hpp"

#include <optional>

namespace weft::apply {
namespace {

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
    report r;
    r.steps = p.steps.size();
    r.netlink_writes = now.netlink - start.netlink;
    r.ovsdb_writes = now.ovsdb - start.ovsdb;
    r.flow_writes = now.flows - start.flows;
    r.pending = p.pending;
    r.quarantined = p.quarantined;
    return r;
}

report nothing_done(const plan& p) { return report_since({}, p); }

// Runs under the host's lock, after what an earlier run left has been ended; what became of that is told with whatever comes of this one.
result<report> under_lock(const place& where, const std::function<result<report>()>& run) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto earlier = end_earlier_run(where);
    if (!earlier) return earlier.error();
    const auto database = held_database(where);
    auto done = run();
    if (earlier->empty()) return done;
    if (done) {
        done->earlier_run = *earlier;
        return done;
    }
    auto e = done.error();
    e.detail += (e.detail.empty() ? "" : "; ") + std::string("before it: ") + *earlier;
    return e;
}

result<transaction> begin(const place& where, const journal_header& h, const plan& p) {
    if (h.confirm > max_confirm)
        return error{errc::invalid_input, "begin", h.verb, "a change waits " + std::to_string(max_confirm) + " s at most; nothing was changed", 0};
    if (auto ok = note_unconfirmed(h); !ok) return ok.error();
    auto made = transaction::begin(where, h, p);
    if (!made || h.confirm == 0) return made;
    // It has to be there before anything is written, or nobody would undo what cuts this client off.
    if (auto ok = ensure_guardian(where); !ok) return made->take_back(ok.error());
    return made;
}

// Of a run that did all but what the error names, and whose change is to be confirmed as any other.
error waiting(error e, std::uint32_t confirm) {
    if (confirm != 0) e.detail += "; the change waits to be confirmed for " + std::to_string(confirm) + " s: weft confirm, or weft rollback";
    return e;
}

// For a plan that is made already. Whether the host is then as it should be is for `seen_done` to say; without it the steps' own success is taken for that.
result<report> run_once(const place& where, const journal_header& h, const plan& p, std::vector<ovs::refused_flow>* refused = nullptr,
                        const std::function<result<void>()>& seen_done = {}) {
    const counters start;
    auto run = begin(where, h, p);
    if (!run) return run.error();
    if (auto ok = run->run(true, refused); !ok) {
        if (ok.error().code != errc::incomplete) return ok.error();
        if (auto end = run->finish(); !end) return end.error();
        return waiting(ok.error(), h.confirm);
    }
    auto done = report_since(start, p);
    if (seen_done) {
        if (auto ok = seen_done(); !ok) return run->take_back(ok.error());
    }
    if (auto ok = run->finish(); !ok) return ok.error();
    done.confirm_within = h.confirm;
    return done;
}

journal_header header_for(const char* verb, const std::string& fabric, const std::string& node, const say& caller = {}) {
    journal_header h;
    h.verb = verb;
    h.fabric = fabric;
    h.node = node;
    h.confirm = caller.confirm;
    if (caller.made_from) h.fabric_after = to_json(*caller.made_from);
    return h;
}

result<void> verified(const place& where, const host_state& wanted, const char* verb = "apply") {
    auto left = make_plan(where, wanted);
    if (!left) return left.error();
    if (left->empty()) return {};
    return error{errc::protocol_error, "verify", wanted.node,
                 std::to_string(left->steps.size()) + " steps are still open after " + verb + ", the first: " + left->steps[0].to_string(), 0};
}

result<report> apply_locked(const place& where, const host_state& given, const say& caller) {
    host_state wanted = given;
    bool agreed = !caller.before, again = false;
    change_checks checks(where, caller.announce && !caller.choose ? wanted.checks : std::vector<host_check>{});
    // Flows that only the switch itself refuses cost the ports that they serve; each turn of the loop takes out one or more of these.
    for (;;) {
        std::vector<error> others;
        auto p = make_plan(where, wanted, caller.choose ? &others : nullptr);
        if (!p) return p.error();
        // Probes that nobody answers take a second, and a plan that old may no longer be what is to be done.
        if (!p->empty() && checks.before()) continue;
        if (!agreed) {
            if (auto ok = caller.before(*p); !ok) return ok.error();
            agreed = true;
        }
        const auto missing = p->steps.size();
        if (caller.choose) caller.choose(*p, others);
        auto header = header_for("apply", wanted.fabric, wanted.node, caller);
        // With a part of what it lacks the node is not what it is to be remembered as.
        header.whole = others.empty() && p->steps.size() == missing;
        if (!header.whole) header.fabric_after.reset();
        if (p->empty()) {
            if (!header.whole) return nothing_done(*p);
            if (auto ok = renew_memory(header); !ok) return ok.error();
            make_final(where, header, {});
            return nothing_done(*p);
        }
        const counters start;
        auto run = begin(where, header, *p);
        if (!run) return run.error();
        std::vector<ovs::refused_flow> refused;
        auto done = run->run(caller.announce, &refused);
        if (!done && done.error().code == errc::incomplete) {
            if (auto ok = checks.after(); !ok) return run->take_back(ok.error());
            if (auto ok = run->finish(); !ok) return ok.error();
            auto failure = waiting(done.error(), header.confirm);
            for (const auto& check : checks.still_failed()) failure.detail += "; a check that failed before still does: " + check;
            return failure;
        }
        if (!done) {
            if (quarantine(wanted, refused)) continue;
            return done.error();
        }
        auto made = report_since(start, *p);
        if (auto ok = checks.after(); !ok) return run->take_back(ok.error());
        if (auto ok = caller.choose ? result<void>() : verified(where, wanted); !ok) {
            const auto failure = run->take_back(ok.error());
            // The host changed under the run: vswitchd that comes back to a lost database makes devices anew. Once more, by what is there now.
            if (again || journal_waits(where)) return failure;
            again = true;
            agreed = !caller.before;
            continue;
        }
        if (auto ok = run->finish(); !ok) return ok.error();
        made.confirm_within = caller.confirm;
        made.failed_checks = checks.still_failed();
        return made;
    }
}

result<report> remove_locked(const place& where, const std::string& fabric, const std::string& node, const say& caller) {
    host_state nothing;
    nothing.fabric = fabric;
    nothing.node = node;
    nothing.namespaces.push_back({});  // the host's own: remembered sysctls are put back by make_plan
    auto header = header_for("remove", fabric, node, caller);
    header.forget_settings = true;
    header.fabric_after = "";
    for (bool again = false;; again = true) {
        auto p = make_plan(where, nothing);
        if (!p) return p.error();
        if (caller.before) {
            if (auto ok = caller.before(*p); !ok) return ok.error();
        }
        if (p->empty()) {
            if (auto ok = renew_memory(header); !ok) return ok.error();
            make_final(where, header, {});
            return nothing_done(*p);
        }
        bool differs = false;
        auto done = run_once(where, header, *p, nullptr, [&] {
            auto ok = verified(where, nothing, "remove");
            differs = !ok;
            return ok;
        });
        // The host changed under the run; once more, by what is there now.
        if (done || again || !differs || journal_waits(where)) return done;
    }
}

}  // namespace

result<report> execute(const place& where, const plan& p) {
    if (p.empty()) return nothing_done(p);
    return under_lock(where, [&] { return run_once(where, header_for("apply", p.fabric, p.node), p); });
}

result<report> apply(const place& where, const host_state& wanted) {
    return apply(where, [&]() -> result<host_state> { return wanted; });
}

result<report> apply(const place& where, const std::function<result<host_state>()>& wanted, const say& caller) {
    return under_lock(where, [&]() -> result<report> {
        const auto state = wanted();
        if (!state) return state.error();
        return apply_locked(where, *state, caller);
    });
}

result<report> change(const place& where, const host_state& from, const host_state& to) {
    return under_lock(where, [&]() -> result<report> {
        host_state wanted = to;
        for (;;) {
            auto p = diff(from, wanted);
            if (!p) return p.error();
            if (p->empty()) return nothing_done(*p);
            std::vector<ovs::refused_flow> refused;
            auto done = run_once(where, header_for("apply", p->fabric, p->node), *p, &refused);
            if (done || !quarantine(wanted, refused)) return done;
        }
    });
}

result<report> remove(const place& where, const std::string& fabric, const std::string& node, const say& caller) {
    return under_lock(where, [&] { return remove_locked(where, fabric, node, caller); });
}

}  // namespace weft::apply
