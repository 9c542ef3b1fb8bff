// SPDX-License-Identifier: Apache-2.0
// When the steps of a move run. To a bridge: all is prepared, then the port is added, the guard of the NIC's frames (userspace datapath) is
// set, and in one batch the bridge goes up and all moves; on the kernel's datapath, which takes the frames itself, the bridge is up before.
// Back: the batch, the guard goes, and only then the port. Pure.
#include <algorithm>

#include "model/uplink.hpp"

namespace weft {
namespace {

constexpr int back_settings = back_move - 1, back_guard = back_move + 1;  // before all else
constexpr int bridge_up = 34, port_joins = 36, guarded = 37, forth_settings = forth_move + 1;  // between flows and addresses

bool is_guard(const std::optional<state_object>& o) {
    const auto* t = o ? std::get_if<nft::table>(&*o) : nullptr;
    return t != nullptr && t->family == nft::family::netdev;
}

bool guards(const std::optional<state_object>& o, const std::string& nic) {
    if (!is_guard(o)) return false;
    const auto& chains = std::get<nft::table>(*o).chains;
    return std::any_of(chains.begin(), chains.end(), [&](const auto& c) {
        return std::find(c.devices.begin(), c.devices.end(), nic) != c.devices.end();
    });
}

// The table without the chains of NICs that move this way; none where nothing remains that had been there or shall be.
std::optional<state_object> without(const std::optional<state_object>& table, const uplink_moves& moves, bool back, bool may_go) {
    if (!table) return table;
    auto t = std::get<nft::table>(*table);
    std::erase_if(t.chains, [&](const nft::chain& c) {
        return std::any_of(moves.uplinks.begin(), moves.uplinks.end(), [&](const uplink& u) {
            return u.back == back && c.devices.size() == 1 && c.devices[0] == u.nic;
        });
    });
    if (t.chains.empty() && may_go) return std::nullopt;
    return t;
}

}  // namespace

void weave(plan& p, const uplink_moves& moves) {
    std::vector<step> out;
    for (auto& s : p.steps) {
        if (!s.scope.empty() || (!is_guard(s.before) && !is_guard(s.after))) {
            out.push_back(std::move(s));
            continue;
        }
        const std::optional<state_object> stages[] = {s.before, without(s.before, moves, true, !s.after.has_value()),
                                                      without(s.after, moves, false, !s.before.has_value()), s.after};
        for (std::size_t i = 0; i + 1 < std::size(stages); ++i)
            if (stages[i] != stages[i + 1]) out.push_back({s.scope, stages[i], stages[i + 1], s.bounces});
    }
    p.steps = std::move(out);
    p.taken = moves.taken;
    p.given_back = moves.given_back;
}

std::optional<int> uplink_rank(const step& s, const std::vector<uplink>& uplinks) {
    const auto& subject = s.after ? *s.after : *s.before;
    for (const auto& u : uplinks) {
        if (const auto* port = std::get_if<ovs::port_row>(&subject)) {
            if (!u.back && s.after && s.scope == u.bridge && port->name == u.nic) return port_joins;
            continue;
        }
        if (!s.scope.empty()) continue;
        if (const auto* l = std::get_if<link>(&subject)) {
            const auto* before = s.before ? std::get_if<link>(&*s.before) : nullptr;
            if (before == nullptr || !s.after) continue;
            const bool enters = before->master != l->master && l->master == u.bridge;
            const bool leaves = before->master != l->master && before->master == u.bridge;
            if (l->name == u.nic && (u.back ? leaves : enters)) return u.back ? back_move : forth_move;
            if (l->name == u.bridge && u.open_vswitch && !u.back) return u.userspace ? forth_move : bridge_up;
            if (l->name == u.bridge && u.back && before->up && !l->up) return back_move;
        } else if (const auto* sysctl = std::get_if<sysctl_object>(&subject)) {
            for (const char* family : {"net/ipv4/conf/", "net/ipv6/conf/"})
                if (sysctl->key.starts_with(family + u.nic + "/")) return u.back ? back_settings : forth_settings;
        } else if (is_guard(s.before) || is_guard(s.after)) {
            if (u.back ? guards(s.before, u.nic) && !guards(s.after, u.nic) : guards(s.after, u.nic) && !guards(s.before, u.nic))
                return u.back ? back_guard : guarded;
        }
    }
    return std::nullopt;
}

}  // namespace weft
