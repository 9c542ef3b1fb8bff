// SPDX-License-Identifier: Apache-2.0
// Runs effects: connection tracking and ARP announcements in namespaces of ours. May include: core, model, netlink,
// probe.
#include "apply/settle.hpp"

#include <memory>

#include "weft/netlink/conntrack.hpp"
#include "weft/probe/announce.hpp"

namespace weft::apply {
namespace {

std::vector<netlink::connection_filter> filters_for(const std::vector<ip_address>& addresses) {
    std::vector<netlink::connection_filter> filters;
    for (const auto& a : addresses) {
        const ip_prefix only{a, static_cast<std::uint8_t>(a.is_v6() ? 128 : 32)};
        filters.push_back({.original_destination = only});  // begun to it from outside, or from within by hairpin
        filters.push_back({.reply_destination = only});     // begun by whom it stood for
    }
    return filters;
}

}  // namespace

result<void> settle(const std::vector<step_effects>& effects, bool announce, const std::string& own) {
    std::vector<std::unique_ptr<netlink::namespace_handle>> handles;
    std::vector<probe::announcement> announcements;
    for (const auto& e : effects) {
        auto handle = netlink::namespace_handle::open(e.scope.empty() ? own : e.scope);
        if (!handle) return handle.error();
        if (!e.forget.empty())
            if (auto done = netlink::delete_connections(*handle, filters_for(e.forget)); !done) return done.error();
        if (e.announce.empty() || !announce) continue;
        handles.push_back(std::make_unique<netlink::namespace_handle>(std::move(*handle)));
        for (const auto& a : e.announce) announcements.push_back({handles.back().get(), a.device, a.address.address});
    }
    (void)probe::announce(announcements);
    return {};
}

}  // namespace weft::apply
