// SPDX-License-Identifier: Apache-2.0
// The loop of watch(): wait for news, let a burst end, look, repair, tell. A look is a run of apply from which the book
// takes the steps that are not to be done, all of them where nothing is to be repaired; so there is no second way to
// read or to change a node. May include: core, model, netlink, ovs.
#include "weft/apply/watch.hpp"

#include <poll.h>

#include <algorithm>
#include <variant>

#include "apply/drift_book.hpp"
#include "apply/internal.hpp"
#include "apply/watch_sources.hpp"

namespace weft::apply {
namespace {

using clock = drift_book::clock;
using std::chrono::milliseconds;

// A change often comes in several messages; the first look of a burst waits so long for the last of them.
constexpr milliseconds quiet{2}, longest_burst{15};
// What nothing tells of is found by looking; on a large node looks must not cost more than a twentieth of a processor.
constexpr milliseconds interval{1200};
constexpr int longest_share = 20;
// Where others change much that is not ours, looks that find nothing are spread, from the fourth in a row on.
constexpr milliseconds longest_gap{500};
constexpr unsigned free_looks = 3;
constexpr milliseconds first_pause{100}, longest_pause{5000};

bool makes_a_link(const plan& p) {
    return std::any_of(p.steps.begin(), p.steps.end(),
                       [](const step& s) { return !s.before && std::holds_alternative<link>(*s.after); });
}

class loop {
public:
    loop(const place& where, const watcher& w) : where_(where), watcher_(w), sources_(where), book_(w.heal) {}

    void run() {
        do {
            look();
            if (watcher_.alive) watcher_.alive(looked_);
            if (watcher_.ended && watcher_.ended()) return;
        } while (wait());
    }

private:
    void look() {
        const auto start = clock::now();
        sources_.drain();
        plan chosen;
        say caller;
        caller.choose = [&](plan& p, const std::vector<error>& others) {
            taken_.clear();
            for (const auto& o : others) taken_ += (taken_.empty() ? "" : "; ") + o.object + ": the name is taken by an object that bears no mark of weft";
            const auto now = clock::now();
            book_.look(p, now, std::chrono::system_clock::now());
            book_.choose(p, now);
            chosen = p;
            found_ = !p.steps.empty();
            // Neighbours know the address that comes back, unless its device is another one now.
            caller.announce = makes_a_link(p);
        };
        found_ = false;
        const auto done = apply(
            where_,
            [&]() -> result<host_state> {
                auto state = watcher_.wanted();
                // Only now does the watcher know what the state is made from.
                if (watcher_.heal && watcher_.made_from) caller.made_from = watcher_.made_from();
                if (state) sources_.cover(*state);
                return state;
            },
            caller);
        if (found_) idle_ = 0;
        last_ = clock::now();
        cost_ = std::chrono::ceil<milliseconds>(last_ - start);
        looked_ = looked_ || done || !chosen.steps.empty();
        settle(done, chosen);
        for (const auto& d : book_.news()) watcher_.tell(d);
    }

    void settle(const result<report>& done, const plan& chosen) {
        if (done && !done->earlier_run.empty() && watcher_.earlier_run) watcher_.earlier_run(done->earlier_run);
        if (!done && chosen.steps.empty()) {
            complain(done.error().message(), reason(done.error()));
            pause_ = pause_.count() == 0 ? first_pause : std::min(pause_ * 2, longest_pause);
            return;
        }
        complain(taken_, taken_);  // which is left to its owner, and keeps nothing else from being put back
        pause_ = milliseconds(0);
        if (chosen.steps.empty()) return;
        if (done) {
            book_.repaired(chosen, last_);
        } else if (done.error().code == errc::incomplete) {
            // All is done but for services, or for connections that could not be cut.
            plan services, others;
            for (const auto& s : chosen.steps)
                (std::holds_alternative<service>(s.after ? *s.after : *s.before) ? services : others)
                    .steps.push_back(s);
            book_.repaired(others, last_);
            book_.failed(services, done.error().message(), last_);
        } else {
            book_.failed(chosen, done.error().message(), last_);
        }
    }

    // Each reason once.
    void complain(const std::string& words, const std::string& why) {
        if (why != trouble_ && watcher_.trouble) watcher_.trouble(words);
        trouble_ = why;
    }

    // Until it is time to look again; false when the watch is to end.
    bool wait() {
        // After a repair at once: what it brought about is judged by another look.
        const auto calm = std::max(interval, cost_ * longest_share);
        auto due = found_ ? clock::now() : last_ + (pause_.count() == 0 ? calm : pause_);
        if (const auto next = book_.next(clock::now())) due = std::min(due, *next);
        const auto earliest = last_ + (pause_.count() == 0 ? gap() : first_pause);
        for (;;) {
            const auto left = std::chrono::ceil<milliseconds>(due - clock::now());
            const bool told = sources_.wait(std::max(left, milliseconds(0)), watcher_.stop);
            if (stopped(milliseconds(0))) return false;
            if (told && sources_.drain()) {
                idle_ = clock::now() - last_ < longest_gap && !found_ ? idle_ + 1 : 0;
                for (const auto end = clock::now() + longest_burst;
                     clock::now() < end && sources_.wait(quiet, watcher_.stop);)
                    sources_.drain();
                return !stopped(std::chrono::ceil<milliseconds>(earliest - clock::now()));
            }
            if (clock::now() >= due) return true;
        }
    }

    milliseconds gap() const {
        return idle_ < free_looks ? milliseconds(0)
                                  : std::min(cost_ * (2 << std::min(idle_ - free_looks, 5u)), longest_gap);
    }

    // Rests for so long, or until the watch is to end.
    bool stopped(milliseconds rest) const {
        pollfd p{watcher_.stop, POLLIN, 0};
        return ::poll(&p, 1, static_cast<int>(std::max<std::int64_t>(rest.count(), 0))) > 0;
    }

    const place& where_;
    const watcher& watcher_;
    change_sources sources_;
    drift_book book_;
    clock::time_point last_;  // the end of the last look
    milliseconds cost_{0};    // of the last look
    unsigned idle_ = 0;       // looks in a row that were asked for by events and found nothing to do
    bool found_ = false;      // the last look did something
    bool looked_ = false;
    std::string trouble_;  // told last
    std::string taken_;    // what others have of the wanted names, as the last look found it
    milliseconds pause_{0};
};

}  // namespace

void watch(const place& where, const watcher& w) { loop(where, w).run(); }

}  // namespace weft::apply
