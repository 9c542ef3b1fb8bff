// SPDX-License-Identifier: Apache-2.0
// compile(): one node's wanted state out of a complete fabric and the host's facts. This file joins the parts and sorts
// what they made, so that two runs give the same value. Pure; errors not_found and invalid_input.
#include "roles/compile.hpp"
#include "roles/validate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weft/roles/roles.hpp"

namespace weft::roles {

const placed_nic* compilation::nic_on(const std::string& network) const {
    const placed_nic* found = nullptr;
    for (const auto& nic : nics)
        if (nic.nic->network == network && (!found || (!found->nic->address && nic.nic->address))) found = &nic;
    return found;
}

void compilation::add_flow(const std::string& bridge, std::uint8_t table, std::uint16_t priority, std::string match,
                           std::string actions, std::uint64_t cookie) {
    ovs::flow flow;
    flow.cookie = cookie;
    flow.table = table;
    flow.priority = priority;
    flow.match = std::move(match);
    flow.actions = std::move(actions);
    flows[bridge].push_back(std::move(flow));
}

void compilation::ipv6_by_file_alone(const std::string& device) {
    const auto key = "net/ipv6/conf/" + device + "/";
    auto& sysctls = space("").sysctls;
    sysctls[key + "disable_ipv6"] = "0";
    sysctls[key + "accept_ra"] = "0";
    sysctls[key + "autoconf"] = "0";
    sysctls[key + "addr_gen_mode"] = "1";  // IN6_ADDR_GEN_MODE_NONE
}

void compilation::ipv6_of_port(const std::string& ns, const std::string& device, const mac_address& mac, const std::vector<ip_prefix>& addresses) {
    const auto key = "net/ipv6/conf/" + device + "/";
    auto& in = space(ns);
    for (const char* off : {"accept_dad", "accept_ra", "autoconf", "disable_ipv6"}) in.sysctls[key + off] = "0";
    in.sysctls[key + "addr_gen_mode"] = "1";  // IN6_ADDR_GEN_MODE_NONE
    in.sysctls[key + "ndisc_notify"] = "1";
    auto all = addresses;
    all.push_back({link_local6(mac), 64});
    for (const auto& address : all) {
        address_entry entry;
        entry.device = device;
        entry.address = address;
        entry.protocol = weft_protocol;
        in.addresses.push_back(std::move(entry));
    }
}

void compilation::guard(const std::string& device) {
    // A port of the switch is nobody's interface: the host's own stack sends nothing of its own into it either.
    disable_ipv6(device);
    if (netdev()) guarded.insert(device);
}

namespace {

std::vector<placed_nic> place_nics(const fabric& f, const node& n, const host_facts& facts) {
    std::vector<placed_nic> placed;
    for (const auto& [key, nic] : n.nics) {
        placed_nic p{key, key, {}, &nic, nullptr};
        if (nic.match_mac)
            for (const auto& [device, mac] : facts.nic_macs)
                if (mac == *nic.match_mac) p.device = device;
        p.holder = p.device;
        if (const auto network = f.networks.find(nic.network); network != f.networks.end())
            p.network = &network->second;
        placed.push_back(std::move(p));
    }
    return placed;
}

host_state finish(compilation& c) {
    host_state state;
    state.fabric = c.f.name;
    state.node = c.name;
    for (auto& [name, space] : c.spaces) {
        // The kernel takes IPv6 off a device whose MTU is too low for it, with all of its settings.
        for (const auto& l : space.links)
            if (l.mtu && *l.mtu < smallest_ipv6_mtu)
                std::erase_if(space.sysctls, [&](const auto& setting) { return setting.first.starts_with("net/ipv6/conf/" + l.name + "/"); });
        const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
        std::sort(space.links.begin(), space.links.end(), by_name);
        std::sort(space.addresses.begin(), space.addresses.end(), [](const auto& a, const auto& b) {
            return std::tie(a.device, a.address) < std::tie(b.device, b.address);
        });
        std::sort(space.routes.begin(), space.routes.end(),
                  [](const auto& a, const auto& b) { return a.destination < b.destination; });
        for (auto& table : space.tables) std::sort(table.chains.begin(), table.chains.end(), by_name);
        std::sort(space.tables.begin(), space.tables.end(),
                  [](const auto& a, const auto& b) { return a.family < b.family; });
        state.namespaces.push_back(std::move(space));
    }
    for (auto& [name, bridge] : c.bridges) {
        std::sort(bridge.ports.begin(), bridge.ports.end(),
                  [](const auto& a, const auto& b) { return a.name < b.name; });
        state.bridges.push_back(std::move(bridge));
    }
    for (auto& [bridge, flows] : c.flows)
        std::sort(flows.begin(), flows.end(), [](const ovs::flow& a, const ovs::flow& b) {
            return std::tie(a.table, b.priority, a.match, a.actions) <
                   std::tie(b.table, a.priority, b.match, b.actions);
        });
    state.flows = std::move(c.flows);
    std::sort(c.pending.begin(), c.pending.end());
    state.pending = std::move(c.pending);
    state.quarantined = std::move(c.quarantined);
    std::sort(c.services.begin(), c.services.end(),
              [](const service& a, const service& b) { return a.name < b.name; });
    state.services = std::move(c.services);
    return state;
}

}  // namespace

namespace {

// 4095 is the dead VLAN. Grizzly counted to the end of a range that it did not include, and a file of its networks fits its nodes.
std::uint16_t highest_vlan(const fabric& f) { return is_grizzly(f.overlay) ? 4093 : 4094; }

}  // namespace

std::map<std::string, std::uint16_t> local_vlans(const fabric& f, const std::string& node, const host_facts& facts) {
    const auto highest = highest_vlan(f);
    const auto hosted = hosted_networks(f, node);
    std::map<std::string, std::uint16_t> vlans;
    std::set<std::uint16_t> used;
    for (const auto& network : hosted)
        if (const auto old = facts.local_vlans.find(network); old != facts.local_vlans.end())
            if (old->second >= 1 && old->second <= highest && used.insert(old->second).second)
                vlans[network] = old->second;
    std::uint16_t next = 1;
    for (const auto& network : hosted) {
        if (vlans.count(network)) continue;
        while (next <= highest && used.count(next)) ++next;
        if (next > highest) break;  // compile reports it: a network without a VLAN
        vlans[network] = next++;
    }
    return vlans;
}

result<host_state> compile(const fabric& f, const std::string& node, const host_facts& facts) {
    const auto fail = [&](errc code, std::string detail) { return error{code, "compile", node, std::move(detail), 0}; };
    const auto n = f.nodes.find(node);
    if (n == f.nodes.end()) return fail(errc::not_found, "the fabric " + f.name + " has no such node");
    if (!is_complete(f)) return fail(errc::invalid_input, "the fabric has open values: allocate first");
    if (facts.datapath != "netdev" && facts.datapath != "system")
        return fail(errc::invalid_input, "datapath \"" + facts.datapath + "\" is neither netdev nor system");
    for (const auto& d : validate(f))
        if (d.severity == severity::error) return fail(errc::invalid_input, d.to_string());

    compilation c{f,  n->first, n->second, facts, place_nics(f, n->second, facts), local_vlans(f, node, facts), {},
                  {}, {},       {},        {},    {}, {}, {}};
    if (c.vlans.size() < hosted_networks(f, node).size())
        return fail(errc::invalid_input, fmt::format("more networks than local VLANs ({}) on one node", highest_vlan(f)));
    c.space("");
    compile_nics(c);
    compile_guest_bridges(c);
    compile_switch(c);
    if (auto done = compile_taps(c); !done) return done.error();
    compile_routers(c);
    compile_dhcp(c);
    if (is_grizzly(f.overlay)) compile_grizzly(c);
    else compile_firewall(c);
    compile_defence(c);
    if (auto done = compile_vpn(c); !done) return done.error();
    auto state = finish(c);
    compile_checks(c, state);
    return state;
}

}  // namespace weft::roles
