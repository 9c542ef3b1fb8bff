// SPDX-License-Identifier: Apache-2.0
// The loop of follow(). It keeps no state beside what it has told: what is bound is read from the rows, as a run by
// hand may change it at any time. May include: core, model, ovs.
#include "weft/apply/follow.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "apply/internal.hpp"
#include "apply/plugged.hpp"
#include "weft/ovs/database.hpp"

namespace weft::apply {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds shortest_quiet{50}, longest_quiet{1000}, first_pause{100};
constexpr milliseconds longest_pause_after_a_look{5000}, longest_pause{60000};
constexpr std::chrono::minutes patience{10};

// What a run depends on. That a port is bound is what a run makes of it, and no reason for another.
using plugs = std::set<std::tuple<std::string, std::string, std::optional<std::int64_t>>>;

plugs plugs_of(const std::vector<ovs::bridge_row>& rows) {
    plugs out;
    for (const auto& p : announced_ports(rows)) out.emplace(p.device, p.iface_id, p.number);
    return out;
}

struct binding {
    std::string port;
    std::uint16_t vlan = 0;
    friend bool operator==(const binding&, const binding&) = default;
};

class loop {
public:
    loop(const place& where, const follower& f) : where_(where), follower_(f) {}

    // Until there is nothing to follow any more: true, or something fails.
    result<bool> run() {
        auto database = ovs::database::connect(where_.ovs_rundir);
        if (!database) return database.error();
        auto rows = database->snapshot();
        if (!rows) return rows.error();
        for (plugs handled;;) {
            if (auto settled = settle(*database, *rows); !settled) return settled.error();
            handled = plugs_of(*rows);
            const auto start = clock::now();
            const auto more = follower_.apply();
            if (!more || !*more) return more ? result<bool>(true) : more.error();
            pause_ = first_pause;
            failure_.clear();
            quiet_ = std::clamp(std::chrono::duration_cast<milliseconds>(clock::now() - start), shortest_quiet,
                                longest_quiet);
            if (rows = database->snapshot(); !rows) return rows.error();
            tell_of(*rows);
            while (plugs_of(*rows) == handled) {
                auto next = database->wait_change(*rows, patience);
                if (!next) return next.error();
                rows = std::move(next);
            }
        }
    }

    void rest_after(const error& e) {
        if (reason(e) != failure_) follower_.tell("failed, and is tried again: " + e.message());
        failure_ = reason(e);
        std::this_thread::sleep_for(pause_);
        // A switch that is not there costs a look; a run that fails and is undone costs the traffic of a working node.
        const bool looked_only = e.code == errc::unavailable || e.code == errc::busy || e.code == errc::stale;
        pause_ = std::min(pause_ * 2, looked_only ? longest_pause_after_a_look : longest_pause);
    }

private:
    // A VM comes with several ports, and a port with several transactions.
    result<void> settle(ovs::database& database, std::vector<ovs::bridge_row>& rows) const {
        for (const auto end = clock::now() + longest_quiet; clock::now() < end;) {
            auto next = database.wait_change(rows, quiet_);
            if (!next) return next.error();
            const bool still = *next == rows;
            rows = std::move(*next);
            if (still) break;
        }
        return {};
    }

    void tell_of(const std::vector<ovs::bridge_row>& rows) {
        std::map<std::string, binding> bound;
        for (const auto& b : rows)
            for (const auto& p : b.ports)
                if (const auto object = p.external_ids.find(ovs::mark_object);
                    p.other_config.contains(ovs::mark_bound) && object != p.external_ids.end() && p.tag != ovs::dead_vlan)
                    bound[p.name] = {object->second, p.tag.value_or(0)};
        for (const auto& [device, was] : bound_)
            if (const auto now = bound.find(device); now == bound.end() || now->second.port != was.port)
                follower_.tell("unbound " + was.port + " from " + device);
        for (const auto& [device, now] : bound)
            if (const auto was = bound_.find(device); was == bound_.end() || was->second != now)
                follower_.tell("bound " + now.port + " to " + device + ", local VLAN " + std::to_string(now.vlan));
        std::set<std::string> ignored;
        const auto chosen = chosen_ports(announced_ports(rows));
        for (const auto& p : announced_ports(rows)) {
            if (p.bound) continue;
            const auto holder = chosen.find(p.iface_id);
            std::string why = "it is no port of this node";
            if (!p.open)
                why = "the switch cannot open the device";
            else if (holder != chosen.end() && holder->second != p.device)
                why = holder->second + " has the id already";
            ignored.insert(p.device + " with iface-id " + p.iface_id + ": " + why);
        }
        for (const auto& line : ignored)
            if (!ignored_.contains(line)) follower_.tell("left alone " + line);
        bound_ = std::move(bound);
        ignored_ = std::move(ignored);
    }

    const place& where_;
    const follower& follower_;
    milliseconds quiet_ = shortest_quiet, pause_ = first_pause;
    std::string failure_;                   // told last
    std::map<std::string, binding> bound_;  // as told, by device
    std::set<std::string> ignored_;
};

}  // namespace

void follow(const place& where, const follower& f) {
    for (loop l(where, f);;) {
        const auto ended = l.run();
        if (ended) return;
        l.rest_after(ended.error());
    }
}

}  // namespace weft::apply
