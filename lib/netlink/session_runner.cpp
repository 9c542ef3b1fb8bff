// SPDX-License-Identifier: Apache-2.0
// The state machine of a run. Batches end after a bounded number of messages, so that a failure stops what follows soon.
// A link's follow-up is only sent once its creation was acknowledged: sent blindly, it would fall on whatever foreign link
// has the name already. May include: core, model, wire. Failures become the result of their change.
#include "netlink/session_runner.hpp"

#include "core/fault.hpp"
#include "netlink/tun.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace weft::netlink {
namespace {

// Enough to amortise the system calls; the acks of a batch stay far below the receive buffer.
constexpr std::size_t batch_limit = 64;
constexpr std::size_t lookups_limit = 128;

// Whether a removal that failed so has found its object gone already.
bool absent(int errnum) {
    return errnum == ENODEV || errnum == ENOENT || errnum == ESRCH || errnum == EADDRNOTAVAIL;
}

wire::write to_write(verb v) {
    return v == verb::add ? wire::write::add : v == verb::change ? wire::write::change : wire::write::remove;
}

error no_device(const change& c, const std::string& object, const std::string& name) {
    return {errc::not_found, operation_name(c), object, "there is no link " + name, ENODEV};
}

}  // namespace

runner::runner(const namespace_handle& ns, feature_control& features, std::uint32_t& sequence, std::span<const change> changes)
    : ns_(ns), features_(features), sequence_(sequence), changes_(changes), results_(changes.size()) {}

std::string runner::object_of(std::size_t i) const {
    const auto name = object_name(changes_[i].object);
    return ns_.name().empty() ? name : name + " in " + ns_.name();
}

wire::index_of runner::index() const {
    return [this](const std::string& name) -> std::uint32_t {
        const auto at = links_.find(name);
        return at == links_.end() ? 0 : at->second.value.index;
    };
}

void runner::settle(std::size_t i, result<void> r) {
    if (!r) return fail_change(i, r.error());
}

void runner::fail_change(std::size_t i, error e) {
    if (results_[i]) results_[i] = std::move(e);  // the first failure of a change is its result
    stopped_ = true;
}

void runner::queue(std::size_t i, wire::message m, bool follow_up) {
    batch_.push_back({request::write, i, {}, std::move(m), follow_up, false});
}

// All names the coming changes will ask for, in one go; those not found yet are asked again in their turn.
void runner::queue_lookups(std::size_t from) {
    std::set<std::string> asked;
    for (std::size_t i = from; i < changes_.size() && asked.size() < lookups_limit; ++i) {
        const auto& c = changes_[i];
        auto names = std::visit(
            [&](const auto& o) {
                if constexpr (std::is_same_v<std::decay_t<decltype(o)>, link>)
                    return c.verb == verb::add ? wire::names_in_create(o) : [&] {
                        auto n = wire::names_in_create(o);
                        n.push_back(o.name);
                        return n;
                    }();
                else
                    return wire::names_in(o);
            },
            c.object);
        for (auto& name : names)
            if (!links_.contains(name) && check_link_name(name) && asked.insert(name).second)
                batch_.push_back({request::lookup, 0, name, wire::link_get(name), false, false});
    }
}

// True when all names are known. Otherwise `missing` says that they were asked for and do not exist.
bool runner::resolve(std::size_t i, const std::vector<std::string>& names, bool& missing) {
    const bool all = std::all_of(names.begin(), names.end(), [&](const auto& n) { return links_.contains(n); });
    missing = !all && looked_up_for_ == i;
    return all;
}

runner::planned runner::plan_link(std::size_t i, const link& l, bool batch_empty) {
    const auto& c = changes_[i];
    if (auto ok = check_link_name(l.name); !ok) return settle(i, ok), planned::settled;
    bool missing = false;
    auto names = c.verb == verb::remove ? std::vector<std::string>{} : wire::names_in_create(l);
    if (c.verb == verb::change) {  // only the master can be changed
        names = {l.name};
        if (!l.master.empty()) names.push_back(l.master);
    }
    if (c.verb == verb::remove) names = {l.name};
    if (!resolve(i, names, missing)) {
        if (!missing) return planned::needs_names;
        if (c.verb == verb::remove) return planned::settled;
        for (const auto& n : names)
            if (!links_.contains(n)) fail_change(i, no_device(c, object_of(i), n));
        return planned::settled;
    }
    const auto seen = links_.find(l.name);
    switch (c.verb) {
    case verb::remove: {
        const auto kind = kind_name(l.options);
        // Something else may bear the name by now.
        if (!kind.empty() && !seen->second.kind.empty() && kind_name(seen->second.value.options) != kind) {
            fail_change(i, {errc::foreign_object, operation_name(c), object_of(i), "the link is a " + seen->second.kind, 0});
            return planned::settled;
        }
        queue(i, wire::link_delete(l.name));
        links_.erase(seen);
        return planned::queued;
    }
    case verb::change:
        // The owner of a tap is set through its file, before the rest: a device that a guest has open keeps the owner it has.
        if (const auto *tun = std::get_if<tun_options>(&l.options), *has = std::get_if<tun_options>(&seen->second.value.options);
            tun && has && ((tun->owner && tun->owner != has->owner) || (tun->group && tun->group != has->group))) {
            if (!batch_empty) return planned::needs_empty_batch;
            count_write();
            if (auto ok = change_tun_owner(ns_, l.name, *tun); !ok) return settle(i, ok), planned::settled;
        }
        queue(i, wire::link_change(l, seen->second, index()));
        links_.erase(seen);
        break;
    case verb::add: {
        if (seen != links_.end()) links_.erase(seen);  // of a link that was removed before
        if (std::holds_alternative<physical_options>(l.options)) {
            fail_change(i, {errc::invalid_input, operation_name(c), object_of(i), "a physical link cannot be created", 0});
            return planned::settled;
        }
        if (const auto* tun = std::get_if<tun_options>(&l.options)) {
            if (!batch_empty) return planned::needs_empty_batch;
            count_write();
            if (auto ok = create_tun(ns_, l.name, *tun); !ok) return settle(i, ok), planned::settled;
            queue(i, wire::link_settings_by_name(l, index()));
            break;
        }
        int peer_fd = -1;
        if (const auto* veth = std::get_if<veth_options>(&l.options)) {
            if (!veth->peer.empty())
                if (auto ok = check_link_name(veth->peer); !ok) return settle(i, ok), planned::settled;
            links_.erase(veth->peer);
            if (!veth->peer_namespace.empty()) {
                auto peer = namespace_handle::open(veth->peer_namespace);
                if (!peer) return settle(i, peer.error()), planned::settled;
                peer_fd = peer->fd();
                peers_.push_back(std::move(*peer));
            }
        }
        queue(i, wire::link_create(l, index(), peer_fd));
        if (auto more = wire::link_follow_up(l)) pending_follow_ups_.emplace(i, std::move(*more));
        break;
    }
    }
    if (!l.features.empty()) with_features_.insert(i);
    return planned::queued;
}

// A change is planned again once its names are known; it counts once.
result<void> runner::fault_once(std::size_t i) {
    if (i < faults_passed_) return {};
    faults_passed_ = i + 1;
    return fault::point("netlink", object_of(i));
}

runner::planned runner::plan(std::size_t i, bool batch_empty) {
    const auto& c = changes_[i];
    if (auto ok = fault_once(i); !ok) return settle(i, ok), planned::settled;
    if (const auto* l = std::get_if<link>(&c.object)) return plan_link(i, *l, batch_empty);
    return std::visit(
        [&](const auto& o) -> planned {
            if constexpr (std::is_same_v<std::decay_t<decltype(o)>, link>) {
                return planned::settled;
            } else {
                if (std::is_same_v<std::decay_t<decltype(o)>, rule> && c.verb == verb::change) {
                    fail_change(i, {errc::unsupported, operation_name(c), object_of(i), "a rule is removed and added anew", 0});
                    return planned::settled;
                }
                const auto names = wire::names_in(o);
                bool missing = false;
                if (!resolve(i, names, missing)) {
                    if (!missing) return planned::needs_names;
                    if (c.verb == verb::remove) return planned::settled;  // gone with its device
                    for (const auto& n : names)
                        if (!links_.contains(n)) fail_change(i, no_device(c, object_of(i), n));
                    return planned::settled;
                }
                queue(i, wire::encode(o, to_write(c.verb), index()));
                return planned::queued;
            }
        },
        c.object);
}

void runner::finish_batch() {
    // An EINTR inside the kernel takes the ack away; what was not answered is not known.
    batch_.clear();
    answered_ = 0;
    peers_.clear();
    for (const auto i : std::exchange(with_features_, {})) {
        if (!results_[i]) continue;
        const auto& l = std::get<link>(changes_[i].object);
        count_write();
        settle(i, features_.write(l.name, l.features));
    }
}

std::vector<std::uint8_t> runner::output() {
    if (done_ || answered_ < batch_.size()) return {};
    if (!batch_.empty()) finish_batch();
    while (!follow_ups_.empty() && batch_.size() < batch_limit) {
        queue(follow_ups_.front().first, std::move(follow_ups_.front().second), true);
        follow_ups_.pop_front();
    }
    while (!stopped_ && next_ < changes_.size() && batch_.size() < batch_limit) {
        const auto p = plan(next_, batch_.empty());
        if (p == planned::needs_empty_batch) break;
        if (p == planned::needs_names) {
            queue_lookups(next_);
            looked_up_for_ = next_;
            break;
        }
        ++next_;
    }
    if (batch_.empty()) {
        done_ = true;
        for (; next_ < changes_.size(); ++next_)
            results_[next_] = error{errc::outcome_unknown, operation_name(changes_[next_]), object_of(next_), failure_.empty() ? "not sent" : "not sent: " + failure_, 0};
        return {};
    }
    std::vector<std::uint8_t> bytes;
    batch_start_ = sequence_ + 1;
    for (auto& r : batch_) {
        const auto& b = r.bytes.finish(++sequence_);
        bytes.insert(bytes.end(), b.begin(), b.end());
        if (r.kind == request::write) count_write();
    }
    return bytes;
}

void runner::acknowledged(request& r, const nlmsghdr* h) {
    const auto ack = read_ack(h);
    if (r.kind == request::lookup) return;
    const auto i = r.change;
    auto more = pending_follow_ups_.extract(i);
    if (ack.errnum == 0) {
        if (!more.empty() && results_[i]) follow_ups_.emplace_back(i, std::move(more.mapped()));
        return;
    }
    if (changes_[i].verb == verb::remove && absent(ack.errnum)) return;
    fail_change(i, errno_error(ack.errnum, operation_name(changes_[i]), object_of(i), ack.text));
}

void runner::input(wire::byte_span datagram) {
    for_each_message(datagram, [&](const nlmsghdr* h) {
        const std::size_t at = h->nlmsg_seq - batch_start_;
        if (at >= batch_.size() || batch_[at].answered) return;  // an answer to something given up before
        auto& r = batch_[at];
        if (h->nlmsg_type == RTM_NEWLINK && r.kind == request::lookup) {
            // The kernel finds links by their alternative names too; those are not meant.
            if (auto raw = wire::decode_link(h); raw && raw->value.name == r.name) links_.insert_or_assign(r.name, std::move(*raw));
            return;
        }
        if (h->nlmsg_type != NLMSG_ERROR) return;
        // Requests are handled in order: an earlier one without an answer will get none.
        for (std::size_t k = 0; k < at; ++k) {
            if (batch_[k].answered) continue;
            batch_[k].answered = true;
            ++answered_;
            if (batch_[k].kind == request::write)
                fail_change(batch_[k].change, {errc::outcome_unknown, operation_name(changes_[batch_[k].change]),
                                               object_of(batch_[k].change), "the kernel did not answer", 0});
        }
        r.answered = true;
        ++answered_;
        acknowledged(r, h);
    });
}

void runner::fail(const std::string& detail) {
    failure_ = detail;
    for (auto& r : batch_) {
        if (!r.answered && r.kind == request::write)
            fail_change(r.change, {errc::outcome_unknown, operation_name(changes_[r.change]), object_of(r.change), detail, 0});
        r.answered = true;
    }
    // Created, but not all of it was set: that too is to be read back.
    const auto half_done = [&](std::size_t i) {
        fail_change(i, {errc::outcome_unknown, operation_name(changes_[i]), object_of(i), detail, 0});
    };
    for (const auto& [i, m] : follow_ups_) half_done(i);
    for (const auto i : with_features_) half_done(i);
    follow_ups_.clear();
    with_features_.clear();
    answered_ = batch_.size();
    stopped_ = true;
}

std::vector<result<void>> runner::take_results() { return std::move(results_); }

}  // namespace weft::netlink
