// SPDX-License-Identifier: Apache-2.0
// Steps of Open vSwitch: rows go out in one transaction, flows in one bundle a bridge. It remembers what an undo needs,
// the flows of bridges that it removed. May include: core, model, ovs.
#include "apply/switch_executor.hpp"

#include <algorithm>
#include <cstdlib>

#include "apply/internal.hpp"
#include "weft/model/fabric.hpp"
#include "weft/ovs/connections.hpp"

namespace weft::apply {

// Every wait costs its whole deadline, and an undo tries what failed step by step: a daemon that did not answer is not asked again, or
// the undo of a hundred flows would take as many deadlines. Who looks at the host afterwards has an executor of his own.
error switch_executor::silent(error why) {
    if (why.code == errc::timed_out || why.code == errc::outcome_unknown) silent_ = why;
    return why;
}

result<void> switch_executor::rows(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
    if (no_database_) return *silent_;
    auto database = ovs::database::connect(rundir_);
    if (!database) {
        no_database_ = database.error().code == errc::timed_out;
        return silent(database.error());
    }
    ovs::change_set set;
    for (std::size_t i = first; i < last; ++i) {
        const auto& s = steps[i];
        const auto& o = s.after ? *s.after : *s.before;
        if (std::holds_alternative<ovs::bridge_row>(o)) {
            ovs::bridge_change c;
            if (s.before) c.before = std::get<ovs::bridge_row>(*s.before);
            if (s.after) c.after = std::get<ovs::bridge_row>(*s.after);
            if (!s.before) {
                made_.insert(c.after->name);
                // A bridge that comes back brings the ports that went with it.
                for (const auto& p : c.after->ports) set.ports.push_back({c.after->name, std::nullopt, p});
            } else if (!s.after) {
                if (auto ok = keep_flows(*database, c.before->name); !ok) return ok;
            }
            set.bridges.push_back(std::move(c));
        } else {
            ovs::port_change c{s.scope, std::nullopt, std::nullopt};
            if (s.before) c.before = std::get<ovs::port_row>(*s.before);
            if (s.after) c.after = std::get<ovs::port_row>(*s.after);
            set.ports.push_back(std::move(c));
        }
    }
    seen_.reset();
    auto outcomes = database->commit(set);
    // The rows stand, also where vswitchd did not catch up or could not open a device: an undo must take them back.
    if (outcomes || outcomes.error().code == errc::timed_out)
        for (std::size_t i = first; i < last; ++i) done.push_back(i);
    if (!outcomes) return silent(outcomes.error());
    // A row that is only given back to its owner needs no device.
    const auto given_back = [&](const std::string& interface) {
        return std::any_of(set.ports.begin(), set.ports.end(), [&](const auto& c) {
            return c.before && c.after && !c.after->external_ids.contains(ovs::mark_fabric) && c.after->interfaces.size() == 1 &&
                   c.after->interfaces[0].name == interface;
        });
    };
    // The flows of a bridge that comes back come first: a port without a device must not keep them from all others.
    for (const auto& b : set.bridges) {
        const auto kept = b.after && !b.before ? kept_flows_.find(b.after->name) : kept_flows_.end();
        if (kept == kept_flows_.end()) continue;
        auto rows = read_rows();
        if (!rows) return rows.error();
        if (auto ok = put_kept_flows(b.after->name, kept->second, **rows); !ok) return ok;
    }
    for (const auto& o : *outcomes) {
        if (given_back(o.interface)) continue;
        if (o.ofport == -1 || !o.error.empty()) {
            return error{errc::system_error, "open port", o.interface,
                         "ovs-vswitchd: " + (o.error.empty() ? "no ofport" : o.error), 0};
        }
    }
    return {};
}

// A userspace datapath that has a device open does not see it go, and reads from what is no more where another one of its name comes:
// all looks well, and no packet from it is ever seen. A plan takes such a port out and puts it in again, so that a row that stands here
// says that nothing is open. It may say so late, as of a link that was made and taken back a moment ago: ovs-vswitchd is asked.
result<void> switch_executor::before_links(const std::set<std::string>& names) {
    if (silent_) return *silent_;
    if (!ovs::vswitchd_runs(rundir_)) return {};  // nobody has anything open
    auto database = ovs::database::connect(rundir_);
    if (!database) {
        if (database.error().code == errc::unavailable) return {};  // steps that need it would tell
        no_database_ = database.error().code == errc::timed_out;
        return silent(database.error());
    }
    auto rows = database->snapshot();
    if (!rows) return silent(rows.error());
    ovs::change_set unchanged;  // of rows that say that they have failed, a transaction that changes nothing asks once more
    for (const auto& b : *rows)
        for (const auto& p : b.ports)
            if (std::any_of(p.interfaces.begin(), p.interfaces.end(), [&](const auto& i) { return i.type.empty() && names.contains(i.name); }))
                unchanged.ports.push_back({b.name, p, p});
    if (unchanged.empty()) return {};
    const auto outcomes = database->commit(unchanged);
    if (!outcomes) return silent(outcomes.error());
    for (const auto& o : *outcomes)
        if (names.contains(o.interface) && o.ofport > 0)
            return error{errc::stale, "create link", o.interface, "ovs-vswitchd has a device of this name open that is gone since; a further run plugs it in anew", 0};
    return {};
}

// The flows of a bridge go with it and are no steps of their own, so an undo that brings it back needs them.
result<void> switch_executor::keep_flows(ovs::database& database, const std::string& bridge) {
    auto rows = database.snapshot();
    if (!rows) return rows.error();
    // Without vswitchd there are no flows to lose.
    auto flows = ovs::dump_flows(rundir_, bridge, numbers_of(*rows, bridge));
    if (!flows) return {};
    std::erase_if(*flows, [](const auto& f) { return f.cookie == ovs::learned_cookie; });
    kept_flows_[bridge] = std::move(*flows);
    return {};
}

// Flows that name a port without a device cannot be had before it has one; they are left out, the others are put.
result<void> switch_executor::put_kept_flows(const std::string& bridge, const std::vector<ovs::flow>& kept,
                                             const std::vector<ovs::bridge_row>& rows) {
    const auto spelled = ovs::canonical(kept, numbers_of(rows, bridge));
    ovs::flow_change change;
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (spelled[i] || spelled[i].error().code != errc::not_found) change.add.push_back(kept[i]);
    return put_flows(bridge, std::move(change), rows);
}

// The rows after the last transaction.
result<const std::vector<ovs::bridge_row>*> switch_executor::read_rows() {
    if (!seen_) {
        auto database = ovs::database::connect(rundir_);
        if (!database) return silent(database.error());
        auto rows = database->snapshot();
        if (!rows) return silent(rows.error());
        seen_ = std::move(*rows);
    }
    return &*seen_;
}

// A bridge new to the database may be an old one to vswitchd, which has not yet seen its rows go (a database that was
// lost and made anew): whatever flows it has are not of this run.
result<void> switch_executor::put_flows(const std::string& bridge, ovs::flow_change change,
                                        const std::vector<ovs::bridge_row>& rows) {
    const auto numbers = numbers_of(rows, bridge);
    if (made_.erase(bridge) > 0) {
        auto old = ovs::dump_flows(rundir_, bridge, numbers);
        if (!old) return silent(old.error());
        change.remove = std::move(*old);
    }
    auto put = ovs::apply_flows(rundir_, bridge, change, numbers, std::chrono::seconds(10), &refused_);
    if (!put) return silent(put.error());
    return put;
}

result<void> switch_executor::flows(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done,
                                    std::vector<error>* left_out) {
    if (silent_) return *silent_;
    auto rows = read_rows();
    if (!rows) return rows.error();
    ovs::flow_change change;
    std::vector<ovs::flow> gone;
    for (std::size_t i = first; i < last; ++i) {
        const auto& s = steps[i];
        if (s.before) gone.push_back(std::get<ovs::flow>(*s.before));
        if (s.after)
            change.add.push_back(std::get<ovs::flow>(*s.after));
        else
            change.remove.push_back(std::get<ovs::flow>(*s.before));
    }
    if (auto ok = put_flows(steps[first].scope, std::move(change), **rows); !ok) return ok;
    for (std::size_t i = first; i < last; ++i) done.push_back(i);
    if (auto ok = cut_denied(steps[first].scope, gone, **rows); !ok && left_out != nullptr) {
        left_out->push_back(ok.error());
        left_out->back().detail += "; the rules stand, and connections that they deny end with the next packet of the side that began";
    }
    return {};
}

// Where rules went or changed, connections may live that nothing allows any more: in the zones of the ports and groups concerned.
// A port's zone is its local VLAN; a flow that serves several ports names it in reg6.
result<void> switch_executor::cut_denied(const std::string& bridge, const std::vector<ovs::flow>& gone,
                                         const std::vector<ovs::bridge_row>& rows) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& b) { return b.name == bridge; });
    if (row == rows.end()) return {};
    std::set<std::uint64_t> ports;
    std::set<std::uint16_t> zones;
    for (const auto& f : gone) {
        if (f.table != ovs::sender_rules_table && f.table != ovs::receiver_rules_table) continue;
        if (ovs::is_port_cookie(f.cookie)) ports.insert(f.cookie);
        if (const auto at = f.match.find("reg6=0x"); at != std::string::npos)
            zones.insert(static_cast<std::uint16_t>(std::strtoul(f.match.c_str() + at + 5, nullptr, 16)));
    }
    if (ports.empty() && zones.empty()) return {};
    for (const auto& p : row->ports) {
        const auto fabric = p.external_ids.find(ovs::mark_fabric), object = p.external_ids.find(ovs::mark_object);
        if (!p.tag || fabric == p.external_ids.end() || object == p.external_ids.end()) continue;
        if (ports.contains(ovs::port_cookie(port_register(fabric->second, object->second)))) zones.insert(*p.tag);
    }
    return ovs::cut_denied_connections(rundir_, bridge, row->datapath_type, zones);
}

}  // namespace weft::apply
