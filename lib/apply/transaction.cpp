// SPDX-License-Identifier: Apache-2.0
// See the header. An undo first runs the inverse of what is known to be done, in reverse, which needs no look at the host and does what
// can be done even where a part of it cannot be read; then the host is read back, and what is still there is taken back by what is
// seen. The journal goes when nothing is.
#include "apply/transaction.hpp"

#include "apply/internal.hpp"
#include "apply/records.hpp"
#include "apply/settle.hpp"
#include "apply/unconfirmed.hpp"
#include "core/fault.hpp"
#include "model/effects.hpp"
#include "model/order.hpp"
#include "model/taken_back.hpp"
#include "weft/netlink/namespaces.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/services/services.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace weft::apply {
namespace {

// Runs as many of the steps as can be, in groups; what a failed group left is tried again step by step, so that one that cannot be had
// holds back no other, and once more at the end, for a flow may name a port that came back only after it. One line for each that remains,
// and for the flows of a bridge, which may be thousands with one reason, one with their number and the first one's reason.
std::string run_what_can_be(executor& exec, const std::vector<step>& steps) {
    std::string remains;
    indexes left;
    for (std::size_t first = 0, last = 0; first < steps.size(); first = last) {
        last = group_end(steps, first);
        indexes ran;
        const auto all = exec.group(steps, first, last, ran);
        if (!all && ran.size() == last - first) remains += "\n  undone, yet: " + all.error().message();
        std::sort(ran.begin(), ran.end());
        for (auto i = first; i < last; ++i)
            if (!std::binary_search(ran.begin(), ran.end(), i) && !exec.group(steps, i, i + 1, ran)) left.push_back(i);
    }
    std::vector<bool> stands(steps.size());
    std::map<std::string, std::pair<std::size_t, std::string>> flows;
    for (const auto i : left) {
        indexes ran;
        if (auto ok = exec.group(steps, i, i + 1, ran); !ok) {
            const auto told = steps[i].inverse().to_string() + ": " + ok.error().message();
            if (steps[i].object_kind() != "flow") remains += "\n  not undone: " + told;
            else if (auto& [count, first] = flows[steps[i].scope]; count++ == 0) first = told;
            stands[i] = true;
        }
    }
    for (const auto& [bridge, found] : flows)
        remains += "\n  not undone: " + (found.first == 1 ? "" : std::to_string(found.first) + " flows of " + bridge + ", first ") + found.second;
    std::vector<step> turned;
    for (std::size_t i = 0; i < steps.size(); ++i)
        if (!stands[i]) turned.push_back(steps[i]);
    exec.close_sessions();
    if (auto ok = settle(effects_of(turned), exec.announces, exec.own()); !ok) remains += "\n  undone, yet: " + ok.error().message();
    return remains;
}

// The flows of bridges that go with them; without vswitchd there are none to lose.
std::map<std::string, std::vector<ovs::flow>> flows_that_go(const place& where, const plan& p) {
    std::map<std::string, std::vector<ovs::flow>> flows;
    std::optional<result<std::vector<ovs::bridge_row>>> rows;
    for (const auto& s : p.steps) {
        const auto* row = s.before ? std::get_if<ovs::bridge_row>(&*s.before) : nullptr;
        if (row == nullptr || s.after) continue;
        if (!rows) {
            auto database = ovs::database::connect(where.ovs_rundir);
            rows = database ? database->snapshot() : result<std::vector<ovs::bridge_row>>(database.error());
        }
        if (!*rows) return flows;
        auto dumped = ovs::dump_flows(where.ovs_rundir, row->name, numbers_of(**rows, row->name));
        if (!dumped) continue;
        std::erase_if(*dumped, [](const auto& f) { return f.cookie == ovs::learned_cookie; });
        flows[row->name] = std::move(*dumped);
    }
    return flows;
}

// A namespace that is there and not ours is somebody's who took the name since: nothing is put into it. One that a run was yet to make
// it never made, for the record of it comes first.
result<std::vector<step>> left_to_others(const std::vector<step>& steps, std::string& told) {
    const auto recorded = recorded_namespaces("");
    const auto existing = netlink::list_namespaces();
    if (!recorded || !existing) return recorded ? existing.error() : recorded.error();
    const std::set<std::string> ours(recorded->begin(), recorded->end()), there(existing->begin(), existing->end());
    const auto taken = [&](const std::string& name) { return !name.empty() && there.contains(name) && !ours.contains(name); };
    std::vector<step> left;
    for (const auto& s : steps) {
        const auto kind = s.object_kind();
        const auto* was = s.before ? std::get_if<link>(&*s.before) : nullptr;
        const auto* veth = was != nullptr ? std::get_if<veth_options>(&was->options) : nullptr;
        const auto space = kind == "namespace" ? s.object_name() : veth != nullptr && s.scope.empty() ? veth->peer_namespace : s.scope;
        const bool only_goes = !s.before && kind == "service";  // which asks nothing of the namespace
        if (in_switch(s) || only_goes || !taken(space)) left.push_back(s);
        else if (s.before && (kind == "namespace" || kind == "service" || s.scope.empty()))
            told += "\n  not undone: " + s.inverse().to_string() + ": the name " + space + " is taken by a namespace that weft did not make";
    }
    return left;
}

result<std::vector<moved_object>> moved_by(const journal_header& h) {
    const auto memory = found_settings(h.fabric, h.node);
    if (!memory) return memory.error();
    auto moved = h.given_back;
    for (auto& m : moved_in(*memory)) moved.push_back(std::move(m));
    return moved;
}

// One line for each, last step first, but for flows: a bridge may have thousands.
std::string remains_of(const std::vector<step>& steps) {
    std::string text;
    std::map<std::string, std::size_t> flows;
    for (auto s = steps.rbegin(); s != steps.rend(); ++s)
        if (s->object_kind() == "flow") ++flows[s->scope];
        else text += "\n  not undone: " + s->inverse().to_string();
    for (const auto& [bridge, count] : flows) text += "\n  not undone: " + std::to_string(count) + " flows of " + bridge;
    return text;
}

using observer = std::function<result<host_state>(const place&, const host_state&)>;

using ports = std::set<std::pair<std::string, std::string>>;

// A flow of a port that had no number yet when it was planned kept its own words in the plan. What is seen is spelled as the switch does, and is
// the same flow.
std::vector<step> spelled(std::vector<step> steps, const host_state& seen) {
    std::map<std::string, std::vector<ovs::flow*>> found;  // by bridge
    for (auto& s : steps)
        for (auto* side : {&s.before, &s.after})
            if (auto* f = *side ? std::get_if<ovs::flow>(&**side) : nullptr) found[s.scope].push_back(f);
    for (auto& [bridge, flows] : found) {
        std::vector<ovs::flow> words;
        for (const auto* f : flows) words.push_back(*f);
        const auto known = ovs::canonical(words, numbers_of(seen.bridges, bridge));
        for (std::size_t i = 0; i < flows.size(); ++i)
            if (known[i]) *flows[i] = *known[i];  // one whose port is not there keeps its words: it is not there either
    }
    return steps;
}

// Of what was moved to bridges only that may go back which is on one of `plugged`.
result<std::string> take_back_in_rounds(const place& where, const journal_header& h, const std::vector<step>& steps, const ports& plugged, const observer& look) {
    constexpr int rounds = 3;  // the second finds what the first could not, as a port had no number yet
    std::string said;
    for (int round = 0;; ++round) {
        auto seen = look(where, named_by(steps, h.fabric, h.node));
        if (!seen) return seen.error();
        std::erase_if(seen->moved, [&](const moved_object& m) { return !plugged.contains({m.nic, m.bridge}); });
        std::string taken;
        auto back = take_back_beside_others(*seen, spelled(steps, *seen), h.flows, h.fabric, h.node, taken);
        if (!back) return back.error();
        if (back->empty()) return taken;
        if (round == rounds) return taken + (said.empty() ? remains_of(back->steps) : said);
        executor exec(where, h.fabric, h.node);
        exec.undoing = true;
        said = run_what_can_be(exec, back->steps);
    }
}

}  // namespace

result<std::string> take_back_seen(const place& where, const journal_header& h, const std::vector<step>& steps) {
    std::string told;
    auto whole = left_to_others(steps, told);
    if (!whole) return whole.error();
    const auto plugged = plugged_by(steps);
    auto all = take_back_in_rounds(where, h, *whole, plugged, &observe);
    if (all) return told + *all;
    const auto moved = moved_by(h);
    if (!moved) return moved.error();
    const auto parts = without_switch(*whole, *moved);
    auto part = take_back_in_rounds(where, h, parts.kernel, plugged, [&](const place& place, const host_state& wanted) {
        auto seen = observe_kernel(place, wanted);
        if (seen) std::erase_if(seen->moved, [&](const moved_object& m) { return !parts.userspace.contains(m.bridge); });
        return seen;
    });
    if (!part) return all.error();
    if (!parts.rest.empty()) told += "\n  what is of Open vSwitch waits: " + all.error().message() + remains_of(parts.rest);
    return told + *part;
}

result<void> restore_memory(const journal_header& h, bool all) {
    auto ok = all ? restore_settings(h.fabric, h.node, h.settings_before) : add_settings(h.fabric, h.node, h.settings_before);
    if (!ok) return ok;
    return remember_text(h.fabric, h.node, h.fabric_before);
}

result<void> renew_memory(const journal_header& h) {
    if (h.forget_settings) {
        if (auto ok = restore_settings(h.fabric, h.node, {}); !ok) return ok;
    }
    if (auto ok = remember_moved(h.fabric, h.node, {}, h.given_back); !ok) return ok;
    if (!h.fabric_after) return {};
    return remember_text(h.fabric, h.node, *h.fabric_after);
}

void make_final(const place& where, const journal_header& h, const std::vector<step>& steps) {
    if (h.whole) {
        const auto suffix = suffix_of(where);
        if (const auto run = cut_off_run(suffix); run && run->ends_with(" " + h.fabric + " " + h.node)) (void)remember_cut_off(suffix, "");
        note_final(h);
    }
    if (h.forget_settings) services::forget(h.fabric);
    for (const auto& s : steps)
        if (!s.after)
            if (const auto* gone = std::get_if<service>(&*s.before)) services::forget(h.fabric, gone->name);
}

result<transaction> transaction::begin(const place& where, journal_header h, const plan& p) {
    auto settings = settings_text(h.fabric, h.node), text = remembered_text(h.fabric, h.node);
    if (!settings || !text) return settings ? text.error() : settings.error();
    h.settings_before = std::move(*settings);
    h.fabric_before = std::move(*text);
    h.flows = flows_that_go(where, p);
    h.given_back = p.given_back;
    auto made = journal::begin(where, h, p);
    if (!made) return made.error();
    return transaction(where, std::move(h), p, std::move(*made));
}

result<void> transaction::run(bool announce, std::vector<ovs::refused_flow>* refused) {
    exec_ = std::make_unique<executor>(where_, header_.fabric, header_.node);
    exec_->announces = announce;
    const auto all = [&]() -> result<void> {
        if (auto ok = remember_moved(header_.fabric, header_.node, plan_.taken, {}); !ok) return ok;
        for (std::size_t first = 0; first < plan_.steps.size();) {
            const auto last = group_end(plan_.steps, first);
            if (auto ok = journal_.starting(first, last); !ok) return ok;
            begun_ = last;
            if (auto ok = exec_->group(plan_.steps, first, last, done_); !ok) return ok;
            if (auto ok = journal_.done(first, last); !ok) return ok;
            first = last;
        }
        exec_->close_sessions();
        if (auto ok = fault::point("effect", header_.node); !ok) return ok;
        return settle(effects_of(plan_.steps), announce, exec_->own());
    };
    if (auto ok = all(); !ok) {
        if (refused != nullptr) *refused = exec_->refused_flows();
        return take_back(ok.error());
    }
    if (exec_->left_out.empty()) return {};
    auto failure = exec_->left_out.front();
    for (std::size_t i = 1; i < exec_->left_out.size(); ++i) failure.detail += "; also: " + exec_->left_out[i].message();
    failure.detail += " (all else is done)";
    failure.code = errc::incomplete;
    return failure;
}

error transaction::take_back(error why) {
    const auto told = [&why](const std::string& words) { why.detail += (why.detail.empty() ? "" : " ") + words; };
    (void)journal_.undoing(why.message());  // a full disk does not keep the host from getting its old state again
    if (!exec_) exec_ = std::make_unique<executor>(where_, header_.fabric, header_.node);
    exec_->undoing = true;
    const auto& steps = plan_.steps;
    std::vector<step> done;
    for (const auto i : done_) done.push_back(steps[i]);
    auto remains = run_what_can_be(*exec_, inverses(done));
    std::set<std::size_t> begun;
    for (std::size_t i = 0; i < begun_; ++i) begun.insert(i);
    const auto seen = take_back_seen(where_, header_, affected(steps, begun));
    if (seen) remains = *seen;
    else remains += "\n  the host could not be read back: " + seen.error().message();
    if (const auto memory = restore_memory(header_, remains.empty()); !memory) remains += "\n  not undone: " + memory.error().message();
    if (!remains.empty()) {
        told("(undone, but for these:" + remains + "\n  the journal is kept: weft recover tries again)");
        return why;
    }
    told(done_.size() == steps.size() ? "(all steps were undone)" : "(all earlier steps were undone)");
    if (const auto end = journal_.close(); !end) why.detail += "; " + end.error().message();
    return why;
}

result<void> transaction::finish() {
    if (auto ok = renew_memory(header_); !ok) return take_back(ok.error());
    const auto deadline = boottime_now() + static_cast<std::int64_t>(header_.confirm) * 1000000000;
    // Whoever finds no such record undoes the run, which nobody has seen to be what was wanted.
    if (auto ok = header_.confirm == 0 ? journal_.complete() : journal_.pending(deadline); !ok) return take_back(ok.error());
    if (header_.confirm != 0) return {};
    make_final(where_, header_, plan_.steps);
    return journal_.close();
}

}  // namespace weft::apply
