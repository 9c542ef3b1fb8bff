// SPDX-License-Identifier: Apache-2.0
// The book's rules. Objects are known by kind, scope and name; the steps of one object in one plan (made, then
// configured) are one difference. May include: core, model.
#include "apply/drift_book.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace weft::apply {
namespace {

std::string key_of(const step& s) {
    std::string key = s.object_kind() + "\n" + s.scope + "\n" + s.object_name();
    // The name of a route for people leaves these out.
    const auto& o = s.after ? *s.after : *s.before;
    if (const auto* r = std::get_if<route>(&o))
        key += "\n" + std::to_string(r->table) + "\n" + std::to_string(r->metric);
    return key;
}

std::map<std::string, step> objects_of(const plan& p) {
    std::map<std::string, step> out;
    for (const auto& s : p.steps) {
        const auto [at, first] = out.emplace(key_of(s), s);
        if (!first) at->second.after = s.after;
    }
    return out;
}

template <class T>
bool is(const step& s) {
    return std::holds_alternative<T>(s.after ? *s.after : *s.before);
}
bool carries_all(const step& s) { return is<namespace_object>(s) || is<link>(s); }
bool carries_routes(const step& s) { return is<address_entry>(s) || is<nexthop_object>(s); }
bool carries_flows(const step& s) { return is<ovs::bridge_row>(s) || is<ovs::port_row>(s); }
std::string bridge_of(const step& s) { return is<ovs::bridge_row>(s) ? s.object_name() : s.scope; }

}  // namespace

const char* to_string(drift_state s) noexcept {
    switch (s) {
        case drift_state::seen:
            return "seen";
        case drift_state::repaired:
            return "repaired";
        case drift_state::held:
            return "held";
        case drift_state::failed:
            return "failed";
        case drift_state::over:
            return "over";
    }
    return "";
}

drift_book::times drift_book::pause(unsigned strikes) {
    // Once may be chance, or what another deletion took along.
    if (strikes < 2) return times(0);
    return std::min(longest_pause, first_pause * (1 << std::min(strikes - 2, 10u)));
}

void drift_book::say(entry& e, drift_state state, const std::string& detail) {
    auto text = e.difference.to_string() + "\n" + detail;
    for (const auto& line : e.difference.details()) text += "\n" + line;
    if (e.told == state && e.told_text == text) return;
    e.told = state;
    e.told_text = text;
    news_.push_back({state, e.difference, e.since, detail});
}

void drift_book::look(const plan& found, clock::time_point now, std::chrono::system_clock::time_point wall) {
    const auto objects = objects_of(found);
    for (const auto& [key, difference] : objects) {
        auto& e = entries_[key];
        e.difference = difference;
        if (e.open) {
            if (!heal_) say(e, drift_state::seen, "");
            continue;
        }
        e.open = true;
        e.since = wall;
        e.told.reset();
        if (!heal_) {
            say(e, drift_state::seen, "");
            continue;
        }
        const bool again = e.put_back && now - *e.put_back < std::max(calm, 2 * pause(e.strikes));
        e.strikes = again ? e.strikes + 1 : 0;
        e.not_before = now + pause(e.strikes);
        if (pause(e.strikes).count() > 0)
            say(e, drift_state::held,
                "somebody else keeps changing it; it is put back after " + std::to_string(pause(e.strikes).count()) +
                    " ms");
    }
    for (auto at = entries_.begin(); at != entries_.end();) {
        auto& e = at->second;
        const bool differs = objects.contains(at->first);
        if (!differs && e.open && e.told) say(e, drift_state::over, "");
        e.open = differs;
        const bool forgotten =
            !differs && (!e.put_back || now - *e.put_back > 2 * std::max(calm, 2 * pause(e.strikes)));
        at = forgotten ? entries_.erase(at) : std::next(at);
    }
}

bool drift_book::held(const step& s, clock::time_point now) const {
    const auto at = entries_.find(key_of(s));
    return at != entries_.end() && at->second.not_before > now;
}

void drift_book::choose(plan& p, clock::time_point now) const {
    if (!heal_) {
        p.steps.clear();
        return;
    }
    std::set<std::string> routes, bridges;
    for (const auto& s : p.steps) {
        if (!held(s, now)) continue;
        if (carries_all(s)) {
            p.steps.clear();
            return;
        }
        if (carries_routes(s)) routes.insert(s.scope);
        if (carries_flows(s)) bridges.insert(bridge_of(s));
    }
    std::erase_if(p.steps, [&](const step& s) {
        return held(s, now) || ((is<route>(s) || is<rule>(s) || carries_routes(s)) && routes.contains(s.scope)) ||
               ((is<ovs::flow>(s) || carries_flows(s)) && bridges.contains(bridge_of(s)));
    });
}

void drift_book::repaired(const plan& p, clock::time_point now) {
    for (const auto& [key, difference] : objects_of(p)) {
        auto& e = entries_[key];
        e.difference = difference;
        say(e, drift_state::repaired, "");
        e.open = false;
        e.put_back = now;
    }
}

void drift_book::failed(const plan& p, const std::string& words, clock::time_point now) {
    plan blamed;
    std::copy_if(p.steps.begin(), p.steps.end(), std::back_inserter(blamed.steps),
                 [&](const step& s) { return words.find(s.to_string()) != std::string::npos; });
    for (const auto& [key, difference] : objects_of(blamed.steps.empty() ? p : blamed)) {
        auto& e = entries_[key];
        e.difference = difference;
        e.open = true;
        e.put_back = now;
        e.not_before = now + std::max(first_pause, pause(++e.strikes));
        say(e, drift_state::failed, words);
    }
}

std::optional<drift_book::clock::time_point> drift_book::next(clock::time_point now) const {
    std::optional<clock::time_point> first;
    for (const auto& [key, e] : entries_)
        if (e.open && e.not_before > now && (!first || e.not_before < *first)) first = e.not_before;
    return first;
}

std::vector<drift> drift_book::news() { return std::exchange(news_, {}); }

}  // namespace weft::apply
