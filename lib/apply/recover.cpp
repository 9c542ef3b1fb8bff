// SPDX-License-Identifier: Apache-2.0
// What becomes of a journal that is found: a run whose steps are all done is finished, any other is undone; a change that waits is
// confirmed, rolled back, or watched on. One of another boot has lost the kernel's part of its host: what it had meant the node to
// remember is taken back, and the caller makes the node anew. May include: core, model, netlink, ovs, services.
#include "apply/recover.hpp"

#include "apply/guardian.hpp"
#include "apply/host_lock.hpp"
#include "apply/internal.hpp"
#include "apply/records.hpp"
#include "apply/transaction.hpp"
#include "model/taken_back.hpp"
#include "weft/netlink/namespaces.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace weft::apply {
namespace {

std::string seconds_left(std::int64_t deadline) {
    return std::to_string(std::max<std::int64_t>(0, (deadline - boottime_now() + 999999999) / 1000000000)) + " s";
}

error nothing_waits(const char* operation, const place& where) {
    return {errc::not_found, operation, journal_path(where), "no change waits to be confirmed; nothing was changed", 0};
}

// The end of a journal: it goes, or is kept for whoever wants to know what damaged it. What is told of that.
result<std::string> end_journal(const place& where, const found_journal& found, journal& log) {
    if (found.damaged == 0) {
        if (auto ok = log.close(); !ok) return ok.error();
        return std::string();
    }
    const auto kept = set_aside(where);
    if (!kept) return kept.error();
    return "line " + std::to_string(found.damaged) + " of the journal was damaged; it is kept as " + *kept;
}

// Takes away what a creation left that was killed between the name and the namespace: a file of our name below /run/netns that is none.
result<void> sweep_namespaces() {
    const auto ours = recorded_namespaces("");
    const auto existing = netlink::list_namespaces();
    if (!ours || !existing) return ours ? existing.error() : ours.error();
    for (const auto& name : *ours) {
        if (!std::binary_search(existing->begin(), existing->end(), name)) continue;
        const auto handle = netlink::namespace_handle::open(name);
        if (handle || handle.error().code != errc::invalid_input) continue;
        if (auto ok = netlink::delete_namespace(name); !ok) return ok;
        forget_namespace(name);
    }
    return {};
}

// What cannot be undone is told, and the journal stays: the next one goes on, until it can or a person gives up on it (discard_journal).
result<std::string> undo(const place& where, const found_journal& found, const std::string& why) {
    auto log = journal::resume(where);
    if (!log) return log.error();
    if (auto ok = sweep_namespaces(); !ok) return ok.error();
    if (!found.undoing) (void)log->undoing(why);  // a full disk keeps no host from getting its old state again
    const auto remains = take_back_seen(where, found.header, affected(found.plan.steps, found.begun));
    if (!remains) return remains.error();
    if (auto ok = restore_memory(found.header, remains->empty()); !ok) return ok.error();
    if (remains->empty()) return end_journal(where, found, *log);
    return error{errc::incomplete, "undo", found.header.verb + " of " + found.header.fabric + " on " + found.header.node,
                 "undone, but for these:" + *remains + "\n  the journal is kept: weft recover tries again, weft recover --discard gives up on it", 0};
}

// Of a run that was to be confirmed, it is the confirmation that completes it.
bool finished(const found_journal& found) { return found.complete && !found.undoing; }
bool confirmed(const found_journal& found) { return finished(found) && found.header.confirm != 0; }
bool waits(const found_journal& found) { return found.deadline && !found.complete && !found.undoing && boottime_now() < *found.deadline; }

// All had been done, effects too, and was seen to be as wanted; what the node is to remember may not have been written.
result<std::string> finish(const place& where, const found_journal& found) {
    if (auto ok = renew_memory(found.header); !ok) return ok.error();
    make_final(where, found.header, found.plan.steps);
    auto log = journal::resume(where);
    if (!log) return log.error();
    return end_journal(where, found, *log);
}

// Which settings were found stays known: whoever makes the node anew, or takes weft off, gives them back. That the node is to be made anew
// outlives the journal, until it is.
result<std::string> drop_other_boot(const place& where, const found_journal& found) {
    const auto& h = found.header;
    if (confirmed(found)) make_final(where, h, found.plan.steps);  // which forgets runs that were cut off
    if (auto ok = remember_cut_off(suffix_of(where), h.verb + " " + h.fabric + " " + h.node); !ok) return ok.error();
    if (!confirmed(found))
        if (auto ok = restore_memory(h, false); !ok) return ok.error();
    auto log = journal::resume(where);
    if (!log) return log.error();
    return end_journal(where, found, *log);
}

// Which steps there were nobody knows. What the node is to remember is what it was made from before; the caller makes it that from whatever it is now.
result<recovery> forget_plan(const place& where, const found_journal& found) {
    const auto& h = found.header;
    if (auto ok = remember_cut_off(suffix_of(where), h.verb + " " + h.fabric + " " + h.node); !ok) return ok.error();
    if (auto ok = restore_memory(h, false); !ok) return ok.error();
    const auto kept = set_aside(where);
    if (!kept) return kept.error();
    return recovery{recovery::kind::unreadable, h.verb, h.fabric, h.node, 0, "the plan in the journal was damaged; it is kept as " + *kept};
}

const char* interrupted = "the run was interrupted";
const char* unconfirmed = "it was not confirmed in time";

recovery about(recovery::kind what, const found_journal& found, std::string told = {}) {
    return {what, found.header.verb, found.header.fabric, found.header.node, 0, std::move(told)};
}

// What becomes of the journal that read_journal gave.
result<recovery> end_of(const place& where, const result<std::optional<found_journal>>& found) {
    if (!found) {
        if (found.error().code != errc::invalid_input) return found.error();
        const auto kept = set_aside(where);
        if (!kept) return kept.error();
        return recovery{recovery::kind::unreadable, {}, {}, {}, 0, found.error().message() + "; it is kept as " + *kept};
    }
    if (auto ok = sweep_namespaces(); !ok) return ok.error();
    if (!*found) return recovery{};
    const auto& f = **found;
    if (f.plan_damaged) return forget_plan(where, f);
    if (!f.this_boot) {
        auto told = drop_other_boot(where, f);
        if (!told) return told.error();
        return about(recovery::kind::other_boot, f, std::move(*told));
    }
    if (waits(f)) {
        if (auto ok = ensure_guardian(where); !ok) return ok.error();
        auto r = about(recovery::kind::waiting, f);
        r.seconds_left = static_cast<std::uint32_t>((*f.deadline - boottime_now()) / 1000000000);
        return r;
    }
    if (finished(f)) {
        auto told = finish(where, f);
        if (!told) return told.error();
        return about(recovery::kind::finished, f, std::move(*told));
    }
    auto told = undo(where, f, f.deadline ? unconfirmed : interrupted);
    if (!told) return told.error();
    return about(recovery::kind::undone, f, std::move(*told));
}

// A journal that names no node any more leaves only what was remembered to make the host anew from: nobody is to guess which.
result<void> one_node_remembered(error damage) {
    const auto nodes = remembered_nodes();
    if (!nodes) return nodes.error();
    if (nodes->size() == 1) return {};
    std::string known;
    for (const auto& [fabric, node] : *nodes) known += (known.empty() ? "" : ", ") + node + " of " + fabric;
    damage.detail += "; which node this host was made before is " + (known.empty() ? "not remembered" : "one of these: " + known) +
                     "; nothing was changed: weft apply FILE --node NODE makes the host that node, weft remove --fabric FABRIC --node NODE takes weft off it";
    return damage;
}

// Confirm and rollback are of a change that waits, in this boot.
result<found_journal> waiting_change(const place& where, const char* operation) {
    auto found = read_journal(where);
    if (!found) return found.error();
    if (!*found) return nothing_waits(operation, where);
    if ((*found)->plan_damaged)
        return error{errc::invalid_input, operation, journal_path(where), "its plan is damaged; it was left as it is: weft recover", 0};
    if (!(*found)->this_boot)
        return error{errc::stale, operation, (*found)->header.fabric, "the machine was started anew since, which undoes it: weft recover; nothing was changed", 0};
    return std::move(**found);
}

}  // namespace

const char* to_string(recovery::kind what) noexcept {
    switch (what) {
        case recovery::kind::nothing: return "nothing";
        case recovery::kind::undone: return "undone";
        case recovery::kind::finished: return "finished";
        case recovery::kind::waiting: return "waiting";
        case recovery::kind::other_boot: return "other_boot";
        case recovery::kind::unreadable: return "unreadable";
    }
    return "";
}

result<std::string> end_earlier_run(const place& where) {
    const auto found = read_journal(where);
    if (found && *found && (*found)->this_boot && !(*found)->plan_damaged && waits(**found))
        return error{errc::busy, "begin", (*found)->header.fabric + " on " + (*found)->header.node,
                     "a change waits to be confirmed for " + seconds_left(*(*found)->deadline) + " more, by pid " + std::to_string((*found)->pid) +
                         ": weft confirm, or weft rollback; nothing was changed",
                     0};
    const auto ended = end_of(where, found);
    if (!ended) return ended.error();
    const auto run = ended->verb + " of " + ended->fabric + " on " + ended->node;
    const auto told = ended->told.empty() ? "" : ": " + ended->told;
    switch (ended->what) {
        case recovery::kind::undone: return run + ", which had not come to its end, was undone" + told;
        case recovery::kind::finished: return run + ", which had been done, was made final" + told;
        case recovery::kind::other_boot: return run + " was cut off by a restart of the machine" + told;
        case recovery::kind::unreadable: return ended->told;
        case recovery::kind::waiting:
        case recovery::kind::nothing: break;
    }
    return std::string();
}

result<recovery> recover(const place& where) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    const auto found = read_journal(where);
    if (!found && found.error().code == errc::invalid_input)
        if (auto ok = one_node_remembered(found.error()); !ok) return ok.error();
    auto done = end_of(where, found);
    if (!done || done->what == recovery::kind::waiting || done->what == recovery::kind::unreadable) return done;
    // A run that was to make the node anew may itself have been cut off.
    const auto text = cut_off_run(suffix_of(where));
    if (!text) return text.error();
    std::istringstream run(*text);
    recovery cut{recovery::kind::other_boot, {}, {}, {}, 0, done->told};
    return run >> cut.verb >> cut.fabric >> cut.node ? cut : *done;
}

result<recovery> discard_journal(const place& where) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    if (auto ok = remember_cut_off(suffix_of(where), ""); !ok) return ok.error();
    if (::access(journal_path(where).c_str(), F_OK) != 0) return recovery{};
    const auto kept = set_aside(where);
    if (!kept) return kept.error();
    return recovery{recovery::kind::unreadable, {}, {}, {}, 0, "the journal is kept as " + *kept};
}

result<recovery> confirm(const place& where) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    auto found = waiting_change(where, "confirm");
    if (!found) return found.error();
    if (!found->deadline || found->undoing || found->complete) return nothing_waits("confirm", where);
    if (!waits(*found))
        return error{errc::timed_out, "confirm", found->header.fabric + " on " + found->header.node, "it comes too late: the change is being undone", 0};
    auto log = journal::resume(where);
    if (!log) return log.error();
    if (auto ok = log->complete(true); !ok) return ok.error();
    // Only now, as a change that is undone after all needs its leases; and before the journal goes, as whoever finds it does the rest.
    make_final(where, found->header, found->plan.steps);
    auto told = end_journal(where, *found, *log);
    if (!told) return told.error();
    return about(recovery::kind::finished, *found, std::move(*told));
}

result<recovery> rollback(const place& where) {
    auto lock = host_lock::take(where);
    if (!lock) return lock.error();
    auto found = waiting_change(where, "roll back");
    if (!found) return found.error();
    if (confirmed(*found)) return nothing_waits("roll back", where);
    auto told = undo(where, *found, "it was rolled back");
    if (!told) return told.error();
    return about(recovery::kind::undone, *found, std::move(*told));
}

result<std::vector<std::pair<std::string, std::string>>> remembered_nodes() {
    std::vector<std::pair<std::string, std::string>> nodes;
    std::error_code ec;
    for (auto at = std::filesystem::directory_iterator(state_folder, ec); !ec && at != std::filesystem::directory_iterator(); at.increment(ec)) {
        // FABRIC.NODE.fabric; neither name has a dot in it.
        const auto name = at->path().stem().string();
        const auto dot = name.find('.');
        if (at->path().extension() == ".fabric" && dot != std::string::npos) nodes.emplace_back(name.substr(0, dot), name.substr(dot + 1));
    }
    if (ec && ec != std::errc::no_such_file_or_directory) return errno_error(ec.value(), "read directory", state_folder);
    std::sort(nodes.begin(), nodes.end());
    return nodes;
}

}  // namespace weft::apply
