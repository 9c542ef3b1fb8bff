// SPDX-License-Identifier: Apache-2.0
// The cables of a lab over netlink, one batch per namespace. It opens sessions by the outer names only and never touches the
// caller's own namespace. The first error ends it; the caller takes the lab down.
#include "lab/wiring.hpp"

#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"

namespace weft::lab {
namespace {

using netlink::change;
using netlink::verb;

// The userspace datapath sends frames with their checksum unfinished unless the offload is off on both ends.
const std::map<std::string, bool> finished_checksums{{"tx-checksum-ip-generic", false}};

constexpr std::uint32_t ethernet_mtu = 1500;

change loopback_up() {
    link lo;
    lo.name = "lo";
    lo.up = true;
    return {verb::change, lo};
}

change bring(const std::string& device, bool up, const std::string& master = {}, bool features = true) {
    link l;
    l.name = device;
    l.master = master;
    l.up = up;
    if (features) l.features = finished_checksums;
    return {verb::change, l};
}

change veth(const std::string& device, const mac_address& mac, std::uint32_t mtu, const std::string& peer, std::uint32_t peer_mtu,
            const std::string& peer_namespace) {
    link l;
    l.name = device;
    l.mac = mac;
    l.mtu = mtu;
    l.options = veth_options{peer, peer_namespace, std::nullopt, peer_mtu};
    return {verb::add, l};
}

result<void> run_all(const std::string& netns, const std::vector<change>& changes) {
    if (changes.empty()) return {};
    auto at = netlink::namespace_handle::open(netns);
    if (!at) return at.error();
    auto session = netlink::session::open(*at);
    if (!session) return session.error();
    for (auto& done : session->run(changes)) {
        if (done) continue;
        auto problem = done.error();
        problem.object += " in " + netns;
        return problem;
    }
    return {};
}

result<void> lay_segments(const topology& t) {
    const auto& cables = t.cables();
    auto at = netlink::namespace_handle::open(cables.netns);
    if (!at) return at.error();
    for (const auto& [key, value] : cables.sysctls) {
        // The bridge's keys are there only with br_netfilter; without it there is nothing to turn off.
        auto written = netlink::write_sysctl(*at, key, value);
        if (!written && written.error().code != errc::not_found) return written;
    }
    std::vector<change> changes{loopback_up()};
    for (const auto& s : t.segments) {
        link l;
        l.name = s.bridge;
        l.mtu = s.mtu;
        bridge_options options;
        options.stp = false;
        options.mcast_snooping = false;
        l.options = options;
        changes.push_back({verb::add, l});
        changes.push_back(bring(s.bridge, true, {}, false));
    }
    return run_all(cables.netns, changes);
}

result<void> fit_out(const topology& t, const planned_member& m) {
    const bool is_node = m.kind == "node";
    std::vector<change> changes{loopback_up()};
    for (const auto& n : m.nics) changes.push_back(veth(n.device, n.mac, n.mtu, n.cable, n.mtu, n.netns));
    for (const auto& p : t.plugs)
        // A VM that asks for its address learns the MTU with it.
        if (p.vm == m.name && m.kind == "vm") changes.push_back(veth("eth0", p.mac, m.lease ? ethernet_mtu : p.mtu, p.tap, p.mtu, p.node_netns));
    for (const auto& n : m.nics) changes.push_back(bring(n.device, !is_node));
    if (m.kind == "vm") changes.push_back(bring("eth0", true));
    for (const auto& a : m.addresses) changes.push_back({verb::add, a});
    for (const auto& r : m.routes) changes.push_back({verb::add, r});
    if (auto done = run_all(m.netns, changes); !done) return done;
    if (m.sysctls.empty() && m.tables.empty()) return {};
    auto at = netlink::namespace_handle::open(m.netns);
    if (!at) return at.error();
    std::vector<netlink::sysctl_value> values;
    for (const auto& [key, value] : m.sysctls) values.push_back({key, value, true});
    std::size_t written = 0;
    if (auto done = netlink::write_sysctls(*at, values, written); !done) return done;
    if (!m.tables.empty()) return netlink::nft_apply(*at, {m.tables, {}});
    return {};
}

}  // namespace

result<void> wire(const topology& t) {
    if (auto done = lay_segments(t); !done) return done;
    for (const auto& m : t.members)
        if (m.kind != "cables")
            if (auto done = fit_out(t, m); !done) return done;
    // The other ends: into their bridges, and the taps' checksums.
    std::vector<change> cable_ends;
    std::map<std::string, std::vector<change>> taps;
    for (const auto& m : t.members)
        for (const auto& n : m.nics)
            if (n.netns == t.cables().netns) cable_ends.push_back(bring(n.cable, true, n.bridge));
    for (const auto& p : t.plugs) taps[p.node_netns].push_back(bring(p.tap, false));
    if (auto done = run_all(t.cables().netns, cable_ends); !done) return done;
    for (const auto& [netns, changes] : taps)
        if (auto done = run_all(netns, changes); !done) return done;
    return {};
}

result<void> join_guests(const topology& t, const std::string& node) {
    std::string netns;
    for (const auto& m : t.members)
        if (m.name == node) netns = m.netns;
    std::vector<change> changes;
    for (const auto& m : t.members)
        for (const auto& n : m.nics)
            if (n.netns == netns) changes.push_back(bring(n.cable, true, n.bridge));
    return run_all(netns, changes);
}

result<void> raise_taps(const topology& t, const std::string& node) {
    std::vector<change> changes;
    std::string netns;
    for (const auto& p : t.plugs) {
        if (p.node != node) continue;
        netns = p.node_netns;
        changes.push_back(bring(p.tap, true, {}, false));
    }
    return run_all(netns, changes);
}

}  // namespace weft::lab
