// SPDX-License-Identifier: Apache-2.0
// What each kind of step takes with it that its inverse does not bring back: what others had hung on an object that goes, what the
// kernel or the switch forgets, connections. Said before anything runs. Pure.
#include "model/no_inverse.hpp"

#include <algorithm>
#include <set>

#include "model/effects.hpp"

namespace weft {
namespace {

class teller {
public:
    explicit teller(const plan& p) : plan_(p) {
        for (const auto& s : p.steps) {
            if (s.kind() == step_kind::change) continue;
            if (const auto* n = std::get_if<namespace_object>(s.after ? &*s.after : &*s.before)) passing_.insert(n->name);
            if (s.after)
                if (const auto* l = std::get_if<link>(&*s.after)) made_.emplace(s.scope, l->name);
        }
    }

    std::string of(const step& s) const {
        return std::visit([&](const auto& o) { return this->said(s, o); }, s.before ? *s.before : *s.after);
    }

private:
    static bool removal(const step& s) { return s.kind() == step_kind::remove; }
    static bool change(const step& s) { return s.kind() == step_kind::change; }

    // An address or a rule of translation that changes has its connections forgotten (effects_of), in namespaces that stay.
    std::string forgotten(const step& s) const {
        if (s.scope.empty() || passing_.contains(s.scope)) return {};
        std::string addresses;
        for (const auto& e : effects_of({s}))
            for (const auto& a : e.forget) addresses += (addresses.empty() ? "" : ", ") + a.to_string();
        return addresses.empty() ? std::string() : "tracked connections of " + addresses + " are forgotten";
    }

    std::string said(const step& s, const namespace_object&) const {
        return removal(s) ? "what others put into the namespace, and the connections that it tracks, are lost" : "";
    }

    std::string said(const step& s, const sysctl_object& before) const {
        if (!change(s)) return {};
        const auto& now = std::get<sysctl_object>(*s.after);
        const std::string_view key = before.key;
        if (key == "net/ipv4/ip_forward" || key == "net/ipv4/conf/all/forwarding" || key == "net/ipv6/conf/all/forwarding")
            return "the kernel sets forwarding of every device to it; values that others had set by device do not come back";
        if (key.starts_with("net/ipv6/conf/") && key.ends_with("/disable_ipv6") && before.value == "0" && now.value != "0")
            return "IPv6 addresses and routes that others gave the device do not come back, its link-local address does";
        return {};
    }

    // Keys are told by the files that hold them: one that is in no file goes for good.
    static std::string lost_keys(const link& before, const link* now) {
        const auto* was = std::get_if<wireguard_options>(&before.options);
        if (was == nullptr) return {};
        const auto* is = now == nullptr ? nullptr : std::get_if<wireguard_options>(&now->options);
        if (!was->public_key.empty() && was->key_file.empty() && (is == nullptr || is->public_key != was->public_key))
            return "its private key is lost: no file is known that has it";
        for (const auto& p : was->peers) {
            if (p.preshared.empty() || !p.preshared_file.empty()) continue;
            const bool stays = is != nullptr && std::any_of(is->peers.begin(), is->peers.end(), [&](const wireguard_peer& o) {
                return o.public_key == p.public_key && o.preshared == p.preshared;
            });
            if (!stays) return "the preshared key of peer " + p.public_key + " is lost: no file is known that has it";
        }
        return {};
    }

    std::string said(const step& s, const link& before) const {
        constexpr std::uint32_t least_for_ipv6 = 1280;
        if (removal(s)) {
            if (std::holds_alternative<tun_options>(before.options))
                return "a guest that has the tap open must open it again; what others set on it (qdiscs, addresses, routes) is lost";
            const auto lost = lost_keys(before, nullptr);
            return (lost.empty() ? "" : lost + "; ") + "what others set on it (addresses, routes, qdiscs) and its counters are lost";
        }
        if (!change(s) || made_.contains({s.scope, before.name})) return {};
        const auto& now = std::get<link>(*s.after);
        std::string text;
        const auto say = [&](const std::string& words) { text += (text.empty() ? "" : "; ") + words; };
        if (const auto lost = lost_keys(before, &now); !lost.empty()) say(lost);
        const bool foreign = std::holds_alternative<physical_options>(before.options) && before.group != weft_link_group;
        if (!before.up && now.up && foreign && before.index != 0) say("a later removal of weft leaves it up");
        if (before.up && !now.up) say("routes that others have through it are lost, and IPv6 addresses");
        if (now.mtu && *now.mtu < least_for_ipv6 && before.mtu && *before.mtu >= least_for_ipv6)
            say("IPv6 addresses of others on it are lost: its MTU is below " + std::to_string(least_for_ipv6));
        return text;
    }

    std::string said(const step& s, const address_entry& o) const {
        auto text = forgotten(s);
        if (removal(s) && s.scope.empty())
            text = "routes of others that prefer " + o.address.address.to_string() + " as their source, and with the last address of " + o.device +
                   " all of its routes, are lost; connections from it break";
        return text;
    }
    std::string said(const step& s, const nft::table&) const { return forgotten(s); }

    std::string said(const step& s, const ovs::bridge_row&) const {
        return removal(s) ? "flows and settings (mirrors, QoS, controllers) of others on it, and the MACs that it learnt, are lost" : "";
    }
    std::string said(const step& s, const ovs::port_row&) const {
        return removal(s) ? "settings of others on it (QoS, mirrors) and its counters are lost" : "";
    }

    // The tables of the rules of security groups: a connection that nothing else accepts is cut (apply).
    std::string said(const step& s, const ovs::flow& before) const {
        const bool rule = before.table == ovs::sender_rules_table || before.table == ovs::receiver_rules_table;
        const bool goes = removal(s) || (change(s) && std::get<ovs::flow>(*s.after).actions != before.actions);
        if (!rule || !goes) return {};
        return "connections that only this rule accepts are cut; their ends may have given up before an undo accepts them again";
    }

    std::string said(const step& s, const service& before) const {
        const auto kept = before.kind == "dnsmasq" ? std::string("its DHCP leases are deleted") : std::string("what it kept is deleted");
        if (removal(s)) return kept + " once the change is final; connections to it end";
        if (change(s) && !reload_is_enough(before, std::get<service>(*s.after))) return "connections to it end with its restart";
        return {};
    }

    // What comes back as it was: nothing else hangs on it.
    std::string said(const step&, const nexthop_object&) const { return {}; }
    std::string said(const step&, const route&) const { return {}; }
    std::string said(const step&, const rule&) const { return {}; }
    std::string said(const step&, const neighbour&) const { return {}; }

    const plan& plan_;
    std::set<std::string> passing_;                          // namespaces that come or go in this plan
    std::set<std::pair<std::string, std::string>> made_;     // links that this plan makes, with their scope
};

}  // namespace

void say_no_inverse(plan& p) {
    std::vector<std::string> said;
    {
        const teller all(p);
        for (const auto& s : p.steps) said.push_back(all.of(s));
    }
    for (std::size_t i = 0; i < said.size(); ++i) p.steps[i].no_inverse = std::move(said[i]);
}

}  // namespace weft
