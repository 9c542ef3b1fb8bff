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
#include "model/taken_back.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/services/services.hpp"

#include <algorithm>

namespace weft::apply {
namespace {

// Runs as many of the steps as can be, in groups; what a failed group left is tried again step by step, so that one that cannot be had
// holds back no other, and once more at the end, for a flow may name a port that came back only after it. One line for each that remains.
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
    for (const auto i : left) {
        indexes ran;
        if (auto ok = exec.group(steps, i, i + 1, ran); !ok) {
            remains += "\n  not undone: " + steps[i].inverse().to_string() + ": " + ok.error().message();
            stands[i] = true;
        }
    }
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

std::string list_of(const plan& p) {
    std::string text;
    for (const auto& s : p.steps) text += "\n  not undone: " + s.inverse().to_string();
    return text;
}

}  // namespace

result<std::string> take_back_seen(const place& where, const journal_header& h, const std::vector<step>& begun) {
    constexpr int rounds = 3;  // the second finds what the first could not, as a port had no number yet
    std::string said;
    for (int round = 0;; ++round) {
        const auto seen = observe(where, named_by(begun, h.fabric, h.node));
        if (!seen) return seen.error();
        auto back = weft::take_back(*seen, begun, h.flows, h.fabric, h.node);
        if (!back) return back.error();
        if (back->empty()) return std::string();
        if (round == rounds) return said.empty() ? list_of(*back) : said;
        executor exec(where, h.fabric, h.node);
        exec.undoing = true;
        said = run_what_can_be(exec, back->steps);
    }
}

result<void> restore_memory(const journal_header& h) {
    if (auto ok = restore_settings(h.fabric, h.node, h.settings_before); !ok) return ok;
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

void forget_removed(const journal_header& h, const std::vector<step>& steps) {
    note_final(h);
    if (h.forget_settings) services::forget(h.fabric);
    for (const auto& s : steps)
        if (!s.after)
            if (const auto* gone = std::get_if<service>(&*s.before)) services::forget(h.fabric, gone->name);
}

result<transaction> transaction::begin(const place& where, journal_header h, const plan& p) {
    h.settings_before = settings_text(h.fabric, h.node);
    h.fabric_before = remembered_text(h.fabric, h.node);
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
        if (auto ok = journal_.complete(); !ok) return ok;
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
    (void)journal_.undoing(why.message());  // a full disk does not keep the host from getting its old state again
    exec_->undoing = true;
    std::vector<step> back;
    for (auto i = done_.rbegin(); i != done_.rend(); ++i) back.push_back(plan_.steps[*i].inverse());
    auto remains = run_what_can_be(*exec_, back);
    const auto& steps = plan_.steps;
    std::set<std::size_t> begun;
    for (std::size_t i = 0; i < begun_; ++i) begun.insert(i);
    const auto seen = take_back_seen(where_, header_, affected(steps, begun));
    if (seen) remains = *seen;
    else remains += "\n  the host could not be read back: " + seen.error().message();
    if (const auto memory = restore_memory(header_); !memory) remains += "\n  not undone: " + memory.error().message();
    if (!remains.empty()) {
        why.detail += " (undone, but for these:" + remains + "\n  the journal is kept: weft recover tries again)";
        return why;
    }
    why.detail += done_.size() == steps.size() ? " (all steps were undone)" : " (all earlier steps were undone)";
    if (const auto end = journal_.close(); !end) why.detail += "; " + end.error().message();
    return why;
}

result<void> transaction::finish() {
    if (auto ok = renew_memory(header_); !ok) return take_back(ok.error());
    if (header_.confirm == 0) {
        forget_removed(header_, plan_.steps);
        return journal_.close();
    }
    return journal_.pending(boottime_now() + static_cast<std::int64_t>(header_.confirm) * 1000000000);
}

}  // namespace weft::apply
