// SPDX-License-Identifier: Apache-2.0
// The verbs for a run that has not come to its end: confirm, rollback, recover. They write only what ends it. May include: weft headers
// and Boost.JSON.
#include <boost/json.hpp>
#include <cstdio>

#include "common.hpp"

namespace weft::cli {

namespace {

using kind = apply::recovery::kind;

std::string subject(const apply::recovery& r) {
    return "the " + (r.verb.empty() ? "run" : r.verb) + (r.fabric.empty() ? "" : " of " + r.fabric + " on " + r.node);
}

std::string sentence(const apply::recovery& r) {
    const auto told = r.told.empty() ? "" : "; " + r.told;
    switch (r.what) {
        case kind::nothing: return "nothing to recover";
        case kind::undone: return subject(r) + " is undone: the host is as it was before" + told;
        case kind::finished: return subject(r) + " is final" + told;
        case kind::waiting: return subject(r) + " waits to be confirmed for " + std::to_string(r.seconds_left) + " s more: weft confirm, or weft rollback";
        case kind::other_boot: return subject(r) + " was cut off by a restart of the machine, and is not taken up again" + told;
        case kind::unreadable: return r.told;
    }
    return "";
}

// What the node was last made from, or nothing: the host becomes that from whatever it is now.
void make_anew(const options& o, const std::string& name, const std::string& node) {
    const uninterrupted run;
    const auto f = apply::remembered_fabric(name, node);
    if (f) {
        apply::say caller;
        caller.made_from = *f;
        (void)apply::apply(o.place, [&] { return compiled_here(o.place, *f, node); }, caller).value();
    } else if (f.error().code == errc::not_found) {
        (void)apply::remove(o.place, name, node).value();
    } else {
        throw exception(f.error());
    }
    if (!o.json) std::printf("%s\n", f ? (node + " is what " + name + " made it last").c_str() : (name + " is taken off " + node).c_str());
}

int tell(const options& o, const apply::recovery& r) {
    if (o.json)
        print(boost::json::serialize(boost::json::object{{"what", apply::to_string(r.what)}, {"verb", r.verb}, {"fabric", r.fabric}, {"node", r.node},
                                                         {"seconds_left", r.seconds_left}, {"told", r.told}}));
    else
        std::printf("%s\n", sentence(r).c_str());
    return 0;
}

}  // namespace

int confirm(const options& o) { return tell(o, apply::confirm(o.place).value()); }

int rollback(const options& o) {
    const uninterrupted run;
    return tell(o, apply::rollback(o.place).value());
}

int recover(const options& o) {
    const apply::recovery done = [&] {
        const uninterrupted run;
        return (o.discard ? apply::discard_journal(o.place) : apply::recover(o.place)).value();
    }();
    if (done.what == kind::other_boot || done.what == kind::unreadable) {
        std::vector<std::pair<std::string, std::string>> nodes;
        if (!done.fabric.empty()) nodes.emplace_back(done.fabric, done.node);
        else nodes = apply::remembered_nodes().value();
        for (const auto& [name, node] : nodes) make_anew(o, name, node);
    }
    return tell(o, done);
}

}  // namespace weft::cli
