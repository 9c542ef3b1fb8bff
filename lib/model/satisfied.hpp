// SPDX-License-Identifier: Apache-2.0
// When a seen value is as wanted: a wanted value leaves open what it does not set. Pure. May include: core, model.
#pragma once

#include <algorithm>

#include "model/describe.hpp"

namespace weft {

// Whether every field that `wanted` sets is the same in `seen`. Unset optionals, and options that only say what to
// create, do not count.
template <class T>
bool satisfied(const T& wanted, const T& seen) {
    bool same = true;
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_any_access>>([&](auto member) {
        const auto& w = wanted.*member.pointer;
        if constexpr (requires { w.has_value(); })
            same = same && (!w.has_value() || w == seen.*member.pointer);
        else
            same = same && w == seen.*member.pointer;
    });
    return same;
}

// What a WireGuard link has after its change in place. The seen value itself where nothing is left to do: file names and where a roaming
// peer speaks from now are no difference.
inline wireguard_options changed_in_place(const wireguard_options& wanted, const wireguard_options& seen) {
    wireguard_options out = wanted;
    out.userspace = seen.userspace;
    if (!out.port) out.port = seen.port;
    wireguard_options plain = seen;
    plain.key_file = wanted.key_file;
    auto have = seen.peers.begin();
    for (auto& peer : out.peers) {
        while (have != seen.peers.end() && have->public_key < peer.public_key) ++have;
        if (have == seen.peers.end()) break;
        if (have->public_key == peer.public_key && peer.endpoint.empty()) peer.endpoint = have->endpoint;
    }
    for (std::size_t i = 0; i < std::min(plain.peers.size(), out.peers.size()); ++i) plain.peers[i].preshared_file = out.peers[i].preshared_file;
    return plain == out ? seen : out;
}

inline bool options_satisfied(const link_options& wanted, const link_options& seen) {
    if (std::holds_alternative<physical_options>(wanted)) return true;
    if (wanted.index() != seen.index()) return false;
    // A veth's peer is proved by the peer's own presence; names in other namespaces are not reported by the kernel.
    if (std::holds_alternative<veth_options>(wanted)) return true;
    if (std::holds_alternative<wireguard_options>(wanted)) return true;  // all of it is changed in place
    return std::visit([&](const auto& w) { return satisfied(w, std::get<std::decay_t<decltype(w)>>(seen)); }, wanted);
}

// What a link has after the change in place: a bridge takes its options while it stands, and made anew it would lose
// the ports that others put there; a tap takes another owner, and made anew it would leave its switch for a moment. The
// other kinds keep theirs.
inline link_options changed_in_place(const link_options& wanted, link_options seen) {
    const auto* tap = std::get_if<tun_options>(&wanted);
    if (auto* has = std::get_if<tun_options>(&seen); tap && has) {
        if (tap->owner) has->owner = tap->owner;
        if (tap->group) has->group = tap->group;
    }
    if (const auto *device = std::get_if<wireguard_options>(&wanted), *had = std::get_if<wireguard_options>(&seen); device && had)
        return changed_in_place(*device, *had);
    const auto* w = std::get_if<bridge_options>(&wanted);
    auto* s = std::get_if<bridge_options>(&seen);
    if (w && s)
        boost::mp11::mp_for_each<boost::describe::describe_members<bridge_options, boost::describe::mod_any_access>>(
            [&](auto member) {
                if ((w->*member.pointer).has_value()) s->*member.pointer = w->*member.pointer;
            });
    return seen;
}

inline bool keys_satisfied(const ovs::string_map& wanted, const ovs::string_map& seen) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
        const auto at = seen.find(pair.first);
        return at != seen.end() && at->second == pair.second;
    });
}

}  // namespace weft
