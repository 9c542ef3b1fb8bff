// SPDX-License-Identifier: Apache-2.0
// The firewall of br-int (DATAPLANE sections 6.2 and 7.1): a gate per port, anti-spoofing of what a VM sends, its egress
// rules, then the ingress rules of whoever receives. Everything that a VM sends or gets passes its own two tables; only
// ARP and neighbour discovery, whose content is pinned, are flooded by NORMAL. reg5 = the port, reg6 = local VLAN =
// conntrack zone. Pure; fails when two ports of a node have the same register value.
#include <fmt/format.h>

#include "roles/firewall.hpp"

namespace weft::roles {
namespace {

using namespace firewall;

constexpr const char* multicast = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
constexpr const char* zone = "zone=NXM_NX_REG6[0..15]";
// Connections that no rule allows any more bear this mark until they end, or until a rule allows them again.
constexpr const char* cut = "ct(commit,zone=NXM_NX_REG6[0..15],exec(load:1->NXM_NX_CT_MARK[]))";
constexpr const char* uncut = "ct(commit,zone=NXM_NX_REG6[0..15],exec(load:0->NXM_NX_CT_MARK[]))";
// ICMPv6 types: what a port must hear for its neighbours to be found, and what only a router may say.
constexpr int listener_query = 130, router_solicitation = 133, router_advertisement = 134, neighbour_solicitation = 135,
              neighbour_advertisement = 136, redirect = 137;

std::string to(std::uint8_t table) { return fmt::format("resubmit(,{})", table); }
std::string load5(std::uint32_t id) { return fmt::format("load:0x{:x}->NXM_NX_REG5[]", id); }
std::string load6(std::uint16_t vlan) { return fmt::format("load:0x{:x}->NXM_NX_REG6[]", vlan); }
std::string reg6(std::uint16_t vlan) { return fmt::format("reg6=0x{:x}", vlan); }
std::string icmp6(int type) { return fmt::format("icmp6,icmp_type={},icmp_code=0", type); }

class pipeline {
public:
    explicit pipeline(compilation& c) : c_(c) {}

    result<void> run() {
        std::map<std::uint32_t, std::string> holders;
        std::set<std::string> vms;
        for (const auto& b : c_.bound) {
            const auto path = port_path(b.tenant, b.name);
            vms.insert(b.device);
            protected_port p{c_.f.tenants.at(b.tenant), *b.port, path, b.device,
                             static_cast<std::uint32_t>(std::stoul(object_uuid(c_.f.name, path).substr(0, 8), nullptr, 16)),
                             c_.vlans.at(b.tenant + "/" + b.port->network)};
            if (const auto [other, is_new] = holders.emplace(p.id, path); !is_new || p.id == 0)
                return error{errc::invalid_input, "compile", path, "the start of its UUID is also that of " + other->second + ": rename one", 0};
            if (b.port->port_security)
                guarded_.push_back(std::move(p));
            else
                open_[p.vlan].push_back(b.device);
        }
        for (const auto& row : c_.bridges.at("br-int").ports) {
            gate(row);
            if (row.tag && !vms.count(row.name)) open_[*row.tag].push_back(row.name);
        }
        for (const auto& [vlan, devices] : open_)
            for (const auto& device : devices)
                add(begin, 100, "in_port=" + flow_port(device), load6(vlan) + "," + to(egress_accepted));
        shared();
        for (const auto& [network, vlan] : c_.vlans) network_flows(network, vlan);
        for (const auto& p : guarded_) {
            add(begin, 100, "in_port=" + flow_port(p.device), load5(p.id) + "," + load6(p.vlan) + "," + to(egress));
            pin(p);
            add_rules(c_, p, direction::egress);
            reach(p);
            add_rules(c_, p, direction::ingress);
        }
        return {};
    }

private:
    void add(std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
        c_.add_flow("br-int", table, priority, std::move(match), std::move(actions));
    }

    // A gate per bound port instead of a default to NORMAL: a port that nobody bound yet must not speak. Of the bridge's
    // ports only the patch bears tags; a tag that a VM makes itself would name another tenant's network.
    void gate(const ovs::port_row& row) {
        const auto port = "in_port=" + flow_port(row.name);
        add(0, 10, port, "goto_table:58");
        if (row.tag) add(0, 20, port + ",vlan_tci=0x1000/0x1000", "drop");
    }

    void shared() {
        // From the tunnels: ARP and neighbour discovery to all, as NORMAL learns from them. What has no flow is for a
        // port without filter.
        add(begin, 1, "", "NORMAL");
        for (const auto table : {begin, egress_accepted}) {
            add(table, 97, std::string("arp,") + multicast, to(forward));
            for (const int type : {listener_query, router_solicitation, router_advertisement, neighbour_solicitation, neighbour_advertisement})
                add(table, 97, fmt::format("icmp6,icmp_type={},{}", type, multicast), to(forward));
        }
        for (const auto table : {nd_source, egress, ingress, deliver}) add(table, 0, "", "drop");
        for (const auto table : {egress_rules, ingress_rules}) {
            const auto accepted = table == egress_rules ? egress_accepted : deliver;
            add(table, 100, "ct_state=+trk+inv", "drop");
            for (const char* answer : {"ct_state=+trk+rpl", "ct_state=+trk+rel"}) {
                add(table, 90, std::string(answer) + ",ct_mark=0", to(accepted));
                add(table, 80, answer, "drop");
            }
            for (const char* ip : {"ip", "ipv6"}) add(table, 40, fmt::format("ct_state=+trk+est,{}", ip), cut);
            add(table, 0, "", "drop");
        }
        // The last table that accepts a packet writes its connection down, so that the answer is known.
        for (const auto table : {egress_accepted, ingress_accepted}) {
            const auto next = to(table == egress_accepted ? forward : deliver);
            for (const char* ip : {"ip", "ipv6"}) {
                add(table, 90, fmt::format("ct_state=+trk+new,{}", ip), fmt::format("ct(commit,{}),{}", zone, next));
                add(table, 90, fmt::format("ct_state=+trk+est,ct_mark=1,{}", ip), fmt::format("{},{}", uncut, next));
            }
            add(table, 0, "", next);
        }
        add(egress_accepted, 95, multicast, to(flood));
        add(ingress, 100, "arp", to(deliver));
        for (const int type : {listener_query, router_advertisement, neighbour_solicitation, neighbour_advertisement})
            add(ingress, 100, fmt::format("icmp6,icmp_type={}", type), to(deliver));
        for (const char* ip : {"ip", "ipv6"}) {
            add(ingress, 90, fmt::format("ct_state=-trk,{}", ip), fmt::format("ct(table={},{})", ingress_rules, zone));
            add(ingress, 80, fmt::format("ct_state=+trk,{}", ip), to(ingress_rules));
        }
        add(forward, 0, "", "NORMAL");
    }

    void network_flows(const std::string& network, std::uint16_t vlan) {
        add(begin, 95, fmt::format("dl_vlan={},{}", vlan, multicast), "strip_vlan," + load6(vlan) + "," + to(flood));
        std::string copies;
        for (const auto& p : guarded_)
            if (p.vlan == vlan) copies += fmt::format("clone({},{}),", load5(p.id), to(ingress));
        for (const auto& device : open_[vlan]) copies += "output:" + flow_port(device) + ",";
        add(flood, 1, reg6(vlan), fmt::format("{}push_vlan:0x8100,set_field:{}->vlan_vid,output:patch-tun", copies, vlan | 0x1000));
        // The answer of a DHCP server comes from its own network only: none from beyond a router.
        const auto slash = network.find('/');
        const auto& cidr = c_.f.tenants.at(network.substr(0, slash)).networks.at(network.substr(slash + 1)).cidr;
        add(ingress, 95, fmt::format("{},udp,nw_src={},tp_src=67,tp_dst=68", reg6(vlan), cidr.to_string()), to(deliver));
        add(ingress, 95, fmt::format("{},udp6,ipv6_src=fe80::/10,tp_src=547,tp_dst=546", reg6(vlan)), to(deliver));
    }

    // What a VM may send: only from its own MAC and addresses, in ARP and neighbour discovery too; never as a DHCP server
    // or a router; nothing that is neither ARP, IPv4 nor IPv6.
    void pin(const protected_port& p) {
        const auto own = reg5(p.id) + ",";
        std::set<mac_address> macs;
        for (const auto& [mac, address] : identities_of(p.port)) {
            const auto from = fmt::format("dl_src={}", mac.to_string());
            const auto text = address.network().to_string();
            macs.insert(mac);
            if (!address.is_v6()) {
                add(egress, 95, fmt::format("{}arp,{},arp_sha={},arp_spa={}", own, from, mac.to_string(), text), to(forward));
                add(egress, 65, fmt::format("{}ip,{},nw_src={}", own, from, text), fmt::format("ct(table={},{})", egress_rules, zone));
                continue;
            }
            add(nd_source, 2, fmt::format("{}ipv6,{},ipv6_src={}", own, from, text), to(forward));
            add(egress, 65, fmt::format("{}ipv6,{},ipv6_src={}", own, from, text), fmt::format("ct(table={},{})", egress_rules, zone));
            // A neighbour advertisement speaks for its target, with a link-layer address or without.
            for (const auto& link_layer : {mac.to_string(), std::string("00:00:00:00:00:00")})
                add(egress, 95, fmt::format("{}{},{},nd_target={},nd_tll={}", own, icmp6(neighbour_advertisement), from, text, link_layer),
                    to(nd_source));
            // Nobody has the address yet, so it is asked for without a source.
            add(egress, 96, fmt::format("{}{},{},ipv6_src=::,nd_target={},nd_sll=00:00:00:00:00:00", own, icmp6(neighbour_solicitation), from, text),
                to(forward));
        }
        for (const auto& mac : macs) {
            const auto from = fmt::format("dl_src={}", mac.to_string());
            for (const auto& link_layer : {mac.to_string(), std::string("00:00:00:00:00:00")})
                add(egress, 95, fmt::format("{}{},{},nd_sll={}", own, icmp6(neighbour_solicitation), from, link_layer), to(nd_source));
            add(egress, 95, fmt::format("{}{},{}", own, icmp6(router_solicitation), from), to(nd_source));
            // A client without a lease has no address.
            add(egress, 80, fmt::format("{}udp,{},nw_src=0.0.0.0,tp_src=68,tp_dst=67", own, from), to(egress_accepted));
        }
        for (const auto& [mac, address] : identities_of(p.port))
            add(egress, 80,
                fmt::format("{}{},dl_src={},{}={},{}", own, address.is_v6() ? "udp6" : "udp", mac.to_string(),
                            address.is_v6() ? "ipv6_src" : "nw_src", address.network().to_string(),
                            address.is_v6() ? "tp_src=546,tp_dst=547" : "tp_src=68,tp_dst=67"),
                to(egress_accepted));
        add(egress, 70, own + "udp,tp_src=67,tp_dst=68", "drop");
        add(egress, 70, own + "udp6,tp_src=547,tp_dst=546", "drop");
        for (const int type : {router_advertisement, neighbour_solicitation, neighbour_advertisement, redirect})
            add(egress, 70, fmt::format("{}icmp6,icmp_type={}", own, type), "drop");
    }

    // How a VM is reached: by its own MAC alone. A MAC of its allowed addresses may be at another port at any time (VRRP), so
    // what is sent there goes to all ports of the network, each behind its own filter.
    void reach(const protected_port& p) {
        const auto mac = p.port.mac->to_string();
        add(begin, 90, fmt::format("dl_vlan={},dl_dst={}", p.vlan, mac),
            fmt::format("strip_vlan,{},{},{}", load5(p.id), load6(p.vlan), to(ingress)));
        add(egress_accepted, 100, fmt::format("{},dl_dst={}", reg6(p.vlan), mac), load5(p.id) + "," + to(ingress));
        for (const auto& pair : p.port.allowed_addresses)
            if (pair.mac && shared_macs_.emplace(p.vlan, *pair.mac).second) {
                const auto there = "dl_dst=" + pair.mac->to_string();
                add(begin, 85, fmt::format("dl_vlan={},{}", p.vlan, there), "strip_vlan," + load6(p.vlan) + "," + to(flood));
                add(egress_accepted, 94, reg6(p.vlan) + "," + there, to(flood));
            }
        add(deliver, 1, reg5(p.id), "output:" + flow_port(p.device));
    }

    compilation& c_;
    std::vector<protected_port> guarded_;
    std::map<std::uint16_t, std::vector<std::string>> open_;  // local VLAN → ports without filter
    std::set<std::pair<std::uint16_t, mac_address>> shared_macs_;
};

}  // namespace

result<void> compile_firewall(compilation& c) {
    if (!c.bridges.count("br-int")) return {};
    return pipeline(c).run();
}

}  // namespace weft::roles
