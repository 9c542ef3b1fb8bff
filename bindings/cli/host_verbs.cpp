// SPDX-License-Identifier: Apache-2.0
// The verbs that look at a host or change it: show, plan, apply, remove. Only apply and remove write. They fail by
// weft::exception with the driver's own words, missing privileges included. May include: weft headers and Boost.JSON.
#include <signal.h>

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "common.hpp"
#include "ports.hpp"
#include "weft/apply/follow.hpp"
#include "weft/model/json.hpp"
#include "weft/ovs/version.hpp"

namespace weft::cli {

fabric fabric_with_node(const options& o) {
    fabric f = load_complete(o, open_values::refuse);
    if (!f.nodes.contains(o.node)) {
        std::string names;
        for (const auto& [name, node] : f.nodes) names += (names.empty() ? "" : ", ") + name;
        fail(errc::not_found, "find node", o.node, "the fabric has " + names);
    }
    return f;
}

namespace {

host_state wanted_state(const options& o) { return compiled_here(o.place, fabric_with_node(o), o.node).value(); }

std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) fail(errc::not_found, "read plan", path, "there is no such file, or it cannot be read; nothing was changed");
    return text.str();
}

// `made` becomes the state that the node was to have.
result<apply::report> apply_fabric(const options& o, const fabric& f, host_state& made) {
    apply::say caller;
    if (!o.plan.empty())
        caller.before = [kept = text_of(o.plan)](const weft::plan& now) { return same_plan(kept, now); };
    caller.made_from = f;
    caller.confirm = o.confirm;
    const auto compiled = [&](const fabric& from) {
        auto state = compiled_here(o.place, from, o.node);
        if (state) made = *state;
        return state;
    };
    // Under the host's lock: only then is a change that a restart cut off undone.
    const auto wanted = [&]() -> result<host_state> {
        const auto refused = o.boot ? apply::never_confirmed(f, o.node) : result<bool>(false);
        if (!refused) return refused.error();
        if (!*refused) return compiled(f);
        const auto last = apply::remembered_fabric(f.name, o.node);
        if (!last && last.error().code != errc::not_found) return last.error();
        const std::string what = "the change to " + o.file + " was not confirmed, and is not applied again by itself";
        const std::string cure = "weft apply " + o.file + " --node " + o.node + " makes it final";
        if (!last) return error{errc::stale, "apply", o.node, what + "; no other was ever confirmed here; " + cure, 0};
        // <4> is a warning's level for the journal of systemd.
        std::fprintf(stderr, "%sweft: %s: %s; what was confirmed last is; %s\n", ::getenv("JOURNAL_STREAM") ? "<4>" : "", o.node.c_str(), what.c_str(),
                     cure.c_str());
        caller.made_from = *last;
        return compiled(*last);
    };
    return apply::apply(o.place, wanted, caller);
}

// What was applied last is followed, also when that was by another run meanwhile and of another file.
void follow_ports(const options& o, const std::string& name) {
    const auto tell = [](const std::string& line) {
        std::printf("%s\n", line.c_str());
        std::fflush(stdout);
    };
    const auto once = [&]() -> result<bool> {
        const uninterrupted run;
        bool here = true;
        auto done = apply::apply(o.place, [&]() -> result<host_state> {
            const auto f = apply::remembered_fabric(name, o.node);
            here = f || f.error().code != errc::not_found;
            if (!f) return f.error();
            return compiled_here(o.place, *f, o.node);
        });
        if (!here) return false;
        if (done && !done->earlier_run.empty()) tell("before: " + done->earlier_run);
        // What one network lacks is no reason to try all again: the others' ports are followed.
        if (!done && done.error().code == errc::incomplete) tell(done.error().message());
        else if (!done) return done.error();
        return true;
    };
    tell("following the ports of " + o.node);
    apply::follow(o.place, {once, tell});
    tell("fabric " + name + " has been taken off this node");
}

void tell_pending(const std::vector<std::string>& pending) {
    for (const std::string& name : pending) std::printf("pending: %s has no device yet\n", name.c_str());
}

void tell_quarantined(const std::vector<quarantined_port>& ports) {
    const colours& c = colour();
    for (const quarantined_port& p : ports)
        std::printf("%squarantined:%s %s neither sends nor receives: %s\n", c.bad, c.off, p.port.c_str(), p.reason.c_str());
}

boost::json::array json_of(const std::vector<quarantined_port>& ports) {
    boost::json::array list;
    for (const quarantined_port& p : ports) list.push_back({{"port", p.port}, {"reason", p.reason}});
    return list;
}

// Which Open vSwitch runs here, and what its release was published with.
void tell_version(const apply::place& place) {
    const auto version = ovs::vswitchd_version(place.ovs_rundir);
    if (!version) return;
    std::string faults;
    for (const std::string& id : ovs::known_faults(*version)) faults += (faults.empty() ? "" : ", ") + id;
    std::printf("switch Open vSwitch %s%s\n", version->c_str(),
                faults.empty() ? "" : (", published with " + faults + "; see whether its package mends them").c_str());
}

// Said aloud wherever a WireGuard link is spoken of: packets then pass a process of the host.
void tell_wireguard_go(const host_state& state) {
    for (const namespace_state& n : state.namespaces)
        for (const link& l : n.links)
            if (const auto* device = std::get_if<wireguard_options>(&l.options); device && device->userspace)
                std::printf("%s is served by wireguard-go, as this kernel has no WireGuard\n", l.name.c_str());
}

int print_report(const options& o, const apply::report& done, const char* nothing) {
    if (o.json) {
        print(boost::json::serialize(
            boost::json::object{{"steps", done.steps},
                                {"netlink_writes", done.netlink_writes},
                                {"ovsdb_writes", done.ovsdb_writes},
                                {"flow_writes", done.flow_writes},
                                {"confirm_within", done.confirm_within},
                                {"earlier_run", done.earlier_run},
                                {"pending", boost::json::array(done.pending.begin(), done.pending.end())},
                                {"quarantined", json_of(done.quarantined)},
                                {"failed_checks", boost::json::array(done.failed_checks.begin(), done.failed_checks.end())}}));
        return 0;
    }
    if (!done.earlier_run.empty()) std::printf("before: %s\n", done.earlier_run.c_str());
    tell_pending(done.pending);
    tell_quarantined(done.quarantined);
    for (const std::string& check : done.failed_checks)
        std::printf("check failed, as before the change: %s\n", check.c_str());
    if (!done.steps)
        std::printf("%s\n", nothing);
    else
        std::printf("%zu step%s done: %llu netlink requests, %llu OVSDB transactions, %llu flow changes\n", done.steps,
                    done.steps == 1 ? "" : "s", static_cast<unsigned long long>(done.netlink_writes),
                    static_cast<unsigned long long>(done.ovsdb_writes),
                    static_cast<unsigned long long>(done.flow_writes));
    if (done.confirm_within != 0)
        std::printf("%sconfirm within %u s:%s weft confirm%s; else all of it is undone\n", colour().bold, done.confirm_within, colour().off,
                    place_words(o.place).c_str());
    return 0;
}

// The fabric in a mark "weft:<fabric>/<object>".
void note_alias(const std::string& alias, std::set<std::string>& found) {
    const std::size_t slash = alias.find('/');
    if (alias.starts_with("weft:") && slash != std::string::npos) found.insert(alias.substr(5, slash - 5));
}

std::set<std::string> marked_fabrics(const host_state& seen) {
    std::set<std::string> found;
    for (const namespace_state& ns : seen.namespaces)
        for (const link& l : ns.links) note_alias(l.alias, found);
    for (const ovs::bridge_row& bridge : seen.bridges)
        if (const auto mark = bridge.external_ids.find(ovs::mark_fabric); mark != bridge.external_ids.end())
            found.insert(mark->second);
    return found;
}

// Whether anything here is weft's by a mark that names no fabric; a controller has only such.
bool bears_nameless_mark(const host_state& seen) {
    const auto ours = [](const auto& entries) {
        for (const auto& entry : entries)
            if (entry.protocol == weft_protocol) return true;
        return false;
    };
    for (const namespace_state& ns : seen.namespaces) {
        if (ours(ns.addresses) || ours(ns.routes) || ours(ns.rules) || ours(ns.neighbours)) return true;
        for (const nft::table& t : ns.tables)
            if (t.name == "weft" && t.marked) return true;
    }
    return false;
}

// The one fabric whose marks are here; "" if there is nothing to remove.
std::string fabric_here(const options& o) {
    const host_state seen = apply::observe(o.place, host_state{}).value();
    const std::set<std::string> found = marked_fabrics(seen);
    if (found.size() == 1) return *found.begin();
    if (found.size() > 1) {
        std::string names;
        for (const std::string& each : found) names += (names.empty() ? "" : ", ") + each;
        fail(errc::invalid_input, "remove", o.node, "several fabrics are on this host, give --fabric: " + names);
    }
    if (!bears_nameless_mark(seen)) return "";
    if (const auto lab = fabric_of_this_lab()) return lab->name;
    fail(errc::invalid_input, "remove", o.node,
         "weft is on this host, but nothing here names its fabric; give --fabric");
}

}  // namespace

int show(const options& o) {
    host_state wanted;
    boost::json::array ports;
    if (!o.file.empty()) {
        if (o.node.empty()) fail(errc::invalid_input, "show", o.file, "FILE needs --node");
        const fabric f = fabric_with_node(o);
        const host_facts facts = apply::facts(o.place, f, o.node).value();
        wanted = roles::compile(f, o.node, facts).value();
        ports = ports_json(f, o.node, facts);
    }
    const host_state seen = apply::observe(o.place, wanted).value();
    if (!o.json) {
        print(describe(seen) + ports_text(ports));
        tell_version(o.place);
        tell_wireguard_go(seen);
    } else if (ports.empty()) {
        print(to_json(seen));
    } else {
        auto shown = parsed_json(to_json(seen)).as_object();
        shown.emplace("ports", std::move(ports));
        print(boost::json::serialize(shown));
    }
    return 0;
}

int plan(const options& o) {
    const host_state wanted = wanted_state(o);
    const weft::plan steps = apply::make_plan(o.place, wanted).value();
    if (o.json) {
        print(to_json(steps));
        return steps.empty() ? 0 : 2;
    }
    const colours& c = colour();
    std::size_t created = 0, changed = 0, removed = 0;
    for (const step& s : steps.steps) {
        const step_kind kind = s.kind();
        (kind == step_kind::create ? created : kind == step_kind::change ? changed : removed) += 1;
        const char* paint = kind == step_kind::create ? c.good : kind == step_kind::change ? c.bold : c.bad;
        std::printf("%s%s%s\n", paint, s.to_string().c_str(), c.off);
        for (const std::string& line : s.details()) std::printf("    %s\n", line.c_str());
        if (!s.bounces.empty()) std::printf("    bounces: %s\n", s.bounces.c_str());
        if (!s.no_inverse.empty()) std::printf("    %sno inverse:%s %s\n", c.bad, c.off, s.no_inverse.c_str());
    }
    tell_pending(steps.pending);
    tell_quarantined(steps.quarantined);
    tell_wireguard_go(wanted);
    if (steps.empty())
        std::printf("%s: nothing to do\n", o.node.c_str());
    else
        std::printf("%s: %zu step%s: %zu to create, %zu to change, %zu to remove\n", o.node.c_str(), steps.steps.size(),
                    steps.steps.size() == 1 ? "" : "s", created, changed, removed);
    return steps.empty() ? 0 : 2;
}

int apply(const options& o) {
    if (o.follow && o.json)
        fail(errc::invalid_input, "apply", o.file, "--follow tells its lines as text only; leave --json out");
    const fabric f = fabric_with_node(o);
    if (o.boot && (o.confirm != 0 || !o.plan.empty()))
        fail(errc::invalid_input, "apply", o.file, "--boot is for a run that nobody stands behind; leave --confirm and --plan out");
    if (o.follow && o.confirm != 0)
        fail(errc::invalid_input, "apply", o.file, "--follow applies anew, which a change that waits forbids; leave --confirm out");
    host_state made;
    const auto done = [&] {
        const uninterrupted run;
        return apply_fabric(o, f, made);
    }();
    // Trying again does not cure that, unlike a NIC that comes late.
    if (o.boot && !done && done.error().code == errc::stale && apply::never_confirmed(f, o.node).value()) {
        std::fprintf(stderr, "weft: %s\n", done.error().message().c_str());
        return 3;
    }
    const int status = print_report(o, done.value(), "nothing to do");
    if (!o.json) tell_wireguard_go(made);
    if (o.follow) follow_ports(o, f.name);
    return status;
}

int remove(const options& o) {
    const std::string name = o.fabric.empty() ? fabric_here(o) : o.fabric;
    if (name.empty()) return print_report(o, {}, "nothing of weft's is here");
    const auto done = [&] {
        const uninterrupted run;
        apply::say caller;
        caller.confirm = o.confirm;
        return apply::remove(o.place, name, o.node, caller);
    }();
    return print_report(o, done.value(), "nothing of weft's is here");
}

}  // namespace weft::cli
