// SPDX-License-Identifier: Apache-2.0
// See the header. Netlink batches, one OVSDB transaction, one bundle a bridge and one nft transaction go out whole; services and
// namespaces one by one. Nothing is decided here: what fails is told, and what took effect.
#include "apply/executor.hpp"

#include "apply/records.hpp"
#include "core/fault.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/ovs/database.hpp"
#include "weft/services/services.hpp"

#include <algorithm>

namespace weft::apply {
namespace {

enum class transport { namespaces, sysctl, netlink, nft, ovsdb, openflow, services, wireguard };

transport transport_of(const step& s) {
    const auto& o = s.after ? *s.after : *s.before;
    if (std::holds_alternative<namespace_object>(o)) return transport::namespaces;
    if (std::holds_alternative<sysctl_object>(o)) return transport::sysctl;
    if (std::holds_alternative<nft::table>(o)) return transport::nft;
    if (std::holds_alternative<ovs::bridge_row>(o) || std::holds_alternative<ovs::port_row>(o)) return transport::ovsdb;
    if (std::holds_alternative<ovs::flow>(o)) return transport::openflow;
    if (std::holds_alternative<service>(o)) return transport::services;
    if (const auto* l = std::get_if<link>(&o); l != nullptr && std::holds_alternative<wireguard_options>(l->options)) return transport::wireguard;
    return transport::netlink;
}

// Steps that may go out together: the same transport, and for all but OVSDB the same scope.
bool together(const step& a, const step& b) {
    return transport_of(a) == transport_of(b) && (transport_of(a) == transport::ovsdb || a.scope == b.scope);
}

result<void> all(result<void> outcome, std::size_t first, std::size_t last, indexes& done) {
    for (std::size_t i = first; outcome && i < last; ++i) done.push_back(i);
    return outcome;
}

error with_step(error e, const step& s) {
    e.detail += (e.detail.empty() ? "" : "; ") + std::string("step: ") + s.to_string();
    return e;
}

// Of both ends.
std::set<std::string> names_of_new_links(const std::vector<step>& steps, std::size_t first, std::size_t last) {
    std::set<std::string> names;
    for (std::size_t i = first; i < last; ++i) {
        const auto* made = steps[i].kind() == step_kind::create ? std::get_if<link>(&*steps[i].after) : nullptr;
        if (made == nullptr) continue;
        names.insert(made->name);
        if (const auto* veth = std::get_if<veth_options>(&made->options)) names.insert(veth->peer);
    }
    return names;
}

netlink::object object_of(const state_object& o) {
    return std::visit(
        [](const auto& v) -> netlink::object {
            if constexpr (std::is_constructible_v<netlink::object, decltype(v)>) return v;
            else throw exception({errc::protocol_error, "execute", "", "not a netlink object", 0});
        },
        o);
}

}  // namespace

// A change message carries what changes and nothing else, so that no other attribute is touched.
link only_changed(const link& before, const link& after) {
    link out = after;
    if (before.mac == after.mac) out.mac.reset();
    if (before.mtu == after.mtu) out.mtu.reset();
    if (before.group == after.group) out.group.reset();
    if (before.alias == after.alias) out.alias.clear();
    if (before.promiscuous == after.promiscuous) out.promiscuous.reset();
    if (before.options == after.options && std::holds_alternative<bridge_options>(after.options)) out.options = bridge_options{};
    std::erase_if(out.features, [&](const auto& pair) {
        const auto at = before.features.find(pair.first);
        return at != before.features.end() && at->second == pair.second;
    });
    return out;
}

std::size_t group_end(const std::vector<step>& steps, std::size_t first) {
    auto last = first + 1;
    while (last < steps.size() && together(steps[first], steps[last])) ++last;
    return last;
}

template <class F>
result<void> executor::each(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done, F run) {
    for (std::size_t i = first; i < last; ++i) {
        if (auto ok = run(steps[i]); ok) done.push_back(i);
        else if (!undoing && steps[i].after && transport_of(steps[i]) == transport::services) left_out.push_back(ok.error());
        else return undoing ? ok : with_step(ok.error(), steps[i]);
    }
    return {};
}

// What goes as one fails as one: who can tell which step it was has said so.
result<void> executor::group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
    auto ok = run_group(steps, first, last, done);
    // Who undoes names the step that stands himself.
    if (ok || undoing || ok.error().detail.find("step: ") != std::string::npos) return ok;
    constexpr std::size_t named = 3;
    if (last - first == 1) return with_step(ok.error(), steps[first]);
    auto e = ok.error();
    std::string words;
    for (std::size_t i = first; i < std::min(last, first + named); ++i)
        words += (i == first ? "steps, as one: " : ", ") + steps[i].object_kind() + " " + steps[i].object_name();
    if (last - first > named) words += " and " + std::to_string(last - first - named) + " more";
    e.detail += (e.detail.empty() ? "" : "; ") + words;
    return e;
}

result<void> executor::run_group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
    switch (transport_of(steps[first])) {
        case transport::namespaces: return each(steps, first, last, done, [&](const step& s) { return one_namespace(s); });
        case transport::sysctl: return sysctls(steps, first, last, done);
        case transport::netlink: return netlink_group(steps, first, last, done);
        case transport::nft: return all(nft_group(steps, first, last), first, last, done);
        case transport::ovsdb: return switch_.rows(steps, first, last, done);
        case transport::openflow: return switch_.flows(steps, first, last, done, undoing ? nullptr : &left_out);
        case transport::services: return each(steps, first, last, done, [&](const step& s) { return one_service(s); });
        case transport::wireguard: return each(steps, first, last, done, [&](const step& s) { return one_wireguard(s); });
    }
    return {};
}

result<netlink::namespace_handle> executor::open(const std::string& scope) const {
    return netlink::namespace_handle::open(scope.empty() ? where_.netns : scope);
}

result<void> executor::one_namespace(const step& s) {
    if (auto ok = fault::point("namespace", s.object_name()); !ok) return ok;
    if (s.after) {
        const auto& name = std::get<namespace_object>(*s.after).name;
        // The record comes first: a crash between the two leaves a record without a namespace, which is harmless.
        const auto known = namespace_owner(name);
        if (!known) return known.error();
        if (auto ok = record_namespace(fabric_, name); !ok) return ok;
        auto made = netlink::create_namespace(name);
        // A name that a killed creation of ours left without a namespace stays ours, or nobody would take it away; a namespace of that name which
        // came meanwhile is somebody else's.
        if (!made && (*known != fabric_ || netlink::namespace_handle::open(name))) forget_namespace(name);
        return made;
    }
    const auto& name = std::get<namespace_object>(*s.before).name;
    sessions_.erase(name);  // an open one would keep the namespace alive
    auto gone = netlink::delete_namespace(name);
    if (!gone && gone.error().code != errc::not_found) return gone;
    forget_namespace(name);
    return {};
}

result<void> executor::one_service(const step& s) {
    if (auto ok = fault::point("service", s.object_name()); !ok) return ok;
    if (!s.after) return services::remove(fabric_, std::get<service>(*s.before).name);
    return services::put(fabric_, std::get<service>(*s.after));
}

result<void> executor::sysctls(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
    auto handle = open(steps[first].scope);
    if (!handle) return handle.error();
    if (steps[first].scope.empty()) {
        auto memory = found_settings(fabric_, node_);
        if (!memory) return memory.error();
        const auto size = memory->size();
        std::vector<std::string> keys;
        for (std::size_t i = first; i < last; ++i)
            if (steps[i].after) keys.push_back(std::get<sysctl_object>(*steps[i].after).key);
        auto found = netlink::read_sysctls(*handle, keys);
        if (!found) return found.error();
        // Keys of devices that weft makes or moves vanish with them; the value found is kept where there is one.
        for (const auto& f : *found)
            if (f.found) memory->emplace("|" + f.key, f.value);
        if (memory->size() != size) {
            if (auto ok = remember_settings(fabric_, node_, *memory); !ok) return ok;
        }
    }
    // A key goes with its device or its module; what is missing although wanted shows when the host is read back.
    std::vector<netlink::sysctl_value> values;
    for (std::size_t i = first; i < last; ++i) {
        if (!steps[i].after) continue;
        const auto& now = std::get<sysctl_object>(*steps[i].after);
        values.push_back({now.key, now.value, true});
    }
    if (!steps[first].scope.empty()) {
        std::vector<std::string> keys;
        for (const auto& v : values) keys.push_back(v.key);
        if (auto ok = record_sysctls(fabric_, steps[first].scope, keys); !ok) return ok;
    }
    std::size_t written = 0;
    auto outcome = netlink::write_sysctls(*handle, values, written);
    // On a failure the first that was not written; steps without a value have no effect either way.
    std::size_t i = first;
    for (; i < last && (outcome || written > 0 || !steps[i].after); ++i) {
        if (steps[i].after && written > 0) --written;
        done.push_back(i);
    }
    return outcome || undoing || i == last ? outcome : with_step(outcome.error(), steps[i]);
}

result<void> executor::netlink_group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done) {
    const auto& scope = steps[first].scope;
    auto at = sessions_.find(scope);
    if (at == sessions_.end()) {
        auto handle = open(scope);
        if (!handle) return handle.error();
        auto opened = netlink::session::open(*handle);
        if (!opened) return opened.error();
        at = sessions_.emplace(scope, std::move(*opened)).first;
    }
    std::vector<netlink::change> changes;
    for (std::size_t i = first; i < last; ++i) {
        const auto& s = steps[i];
        const auto verb = s.kind() == step_kind::create   ? netlink::verb::add
                          : s.kind() == step_kind::change ? netlink::verb::change
                                                          : netlink::verb::remove;
        if (s.kind() == step_kind::change && std::holds_alternative<link>(*s.after)) {
            changes.push_back({verb, only_changed(std::get<link>(*s.before), std::get<link>(*s.after))});
        } else {
            changes.push_back({verb, object_of(s.after ? *s.after : *s.before)});
        }
    }
    if (auto kept = remember_links(steps, first, last); !kept) return kept;
    if (const auto names = names_of_new_links(steps, first, last); !names.empty())
        if (auto seen = switch_.before_links(names); !seen && !undoing) return seen;
    const auto outcomes = at->second.run(changes);
    result<void> ok;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        if (outcomes[i]) {
            done.push_back(first + i);  // after a failure too: what was sent with it has taken effect
        } else if (ok) {
            ok = undoing ? outcomes[i] : with_step(outcomes[i].error(), steps[first + i]);
        }
    }
    return ok;
}

// A NIC is the host's; what weft changes on it is put back when the NIC is no longer wanted. That it was down is not: whoever works
// on the host may need it by then.
result<void> executor::remember_links(const std::vector<step>& steps, std::size_t first, std::size_t last) const {
    if (!steps[first].scope.empty()) return {};
    auto memory = found_settings(fabric_, node_);
    if (!memory) return memory.error();
    const auto size = memory->size();
    for (std::size_t i = first; i < last; ++i) {
        const auto* before = steps[i].before ? std::get_if<link>(&*steps[i].before) : nullptr;
        const auto* after = steps[i].after ? std::get_if<link>(&*steps[i].after) : nullptr;
        if (before == nullptr || after == nullptr || before->group == weft_link_group) continue;
        if (before->mtu && before->mtu != after->mtu) memory->emplace(link_key(before->name, "mtu"), std::to_string(*before->mtu));
        if (before->promiscuous && before->promiscuous != after->promiscuous)
            memory->emplace(link_key(before->name, "promiscuous"), *before->promiscuous ? "1" : "0");
    }
    if (memory->size() == size) return {};
    return remember_settings(fabric_, node_, *memory);
}

result<void> executor::nft_group(const std::vector<step>& steps, std::size_t first, std::size_t last) {
    auto handle = open(steps[first].scope);
    if (!handle) return handle.error();
    netlink::nft_change change;
    for (std::size_t i = first; i < last; ++i) {
        if (steps[i].after) change.replace.push_back(std::get<nft::table>(*steps[i].after));
        else {
            const auto& t = std::get<nft::table>(*steps[i].before);
            change.remove.emplace_back(t.family, t.name);
        }
    }
    auto applied = netlink::nft_apply(*handle, change);
    // The guard of an uplink on a userspace bridge: what the NIC received before it, its own addresses have answered, and the bridge would
    // answer a second time once they have moved there. The bridge is not up yet, so that it takes these frames and drops them.
    const bool guards = std::any_of(change.replace.begin(), change.replace.end(), [](const auto& t) { return t.family == nft::family::netdev; });
    if (applied && guards && !undoing) ovs::let_vswitchd_take_frames(where_.ovs_rundir);
    return applied;
}

}  // namespace weft::apply
