// SPDX-License-Identifier: Apache-2.0
// The firewall of br-int (DATAPLANE sections 6.2 and 7.1): a gate per port, anti-spoofing of what a VM sends, its egress
// rules, then the ingress rules of whoever receives. Ports and MACs are known, so every output is named and NORMAL is
// not used: no frame comes to a port that weft has not bound, and none to a VM that is another's. reg5 = the port, reg6 =
// local VLAN = conntrack zone. What serves one port alone bears the port in its cookie, and every way to the port leads through
// such a flow: without them it is mute and deaf, and nobody else notices. Pure.
#include <fmt/format.h>

#include <algorithm>

#include "roles/firewall.hpp"

namespace weft::roles {
namespace {

using namespace firewall;

constexpr const char* multicast = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
constexpr const char* zone = "zone=NXM_NX_REG6[0..15]";
// Connections that no rule allows any more bear this mark until they end, or until a rule allows them again. apply asks for each when
// rules went (ask()); what it cannot ask for, such as a packet out of a TCP window on the kernel's datapath, is cut by the next packet
// of the side that began.
constexpr const char* cut = "ct(commit,zone=NXM_NX_REG6[0..15],exec(load:1->NXM_NX_CT_MARK[]))";
constexpr const char* uncut = "ct(commit,zone=NXM_NX_REG6[0..15],exec(load:0->NXM_NX_CT_MARK[]))";
// ICMPv6 types: what a port must hear for its neighbours to be found, and what only a router may say.
constexpr int listener_query = 130, router_solicitation = 133, router_advertisement = 134, neighbour_solicitation = 135,
              neighbour_advertisement = 136, redirect = 137;

std::string to(std::uint8_t table) { return fmt::format("resubmit(,{})", table); }
std::string load5(std::uint32_t id) { return fmt::format("load:0x{:x}->NXM_NX_REG5[]", id); }
std::string load6(std::uint16_t vlan) { return fmt::format("load:0x{:x}->NXM_NX_REG6[]", vlan); }
std::string icmp6(int type) { return fmt::format("icmp6,icmp_type={},icmp_code=0", type); }

class pipeline {
    // Adds flows that bear this cookie: those that serve one port alone.
    auto adder(std::uint64_t cookie) {
        return [this, cookie](std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
            c_.add_flow("br-int", table, priority, std::move(match), std::move(actions), cookie);
        };
    }

public:
    explicit pipeline(compilation& c) : c_(c) {}

    void run() {
        std::map<std::uint32_t, std::string> holders;
        std::map<std::string, std::uint64_t> vms;
        for (const auto& b : c_.bound) {
            const auto path = port_path(b.tenant, b.name);
            protected_port p{c_.f.tenants.at(b.tenant), *b.port, path, network_path(b.tenant, b.port->network), b.device,
                             port_register(c_.f.name, path), c_.vlans.at(b.tenant + "/" + b.port->network)};
            if (!b.port->port_security) {
                vms.emplace(b.device, ovs::flow_cookie);
                open_[p.vlan].push_back({b.device, *b.port->mac, true});
                continue;
            }
            vms.emplace(b.device, ovs::port_cookie(p.id));
            const auto [holder, is_new] = holders.emplace(p.id, b.tenant + "/" + b.name);
            if (is_new && ovs::is_port_cookie(ovs::port_cookie(p.id))) {
                guarded_.push_back(std::move(p));
                continue;
            }
            silent_.insert(b.device);
            c_.quarantined.push_back({b.tenant + "/" + b.name, is_new ? "the start of its UUID is reserved: rename it"
                                                                      : "the start of its UUID is also that of " + holder->second + ": rename one"});
        }
        for (const auto& row : c_.bridges.at("br-int").ports) {
            const auto vm = vms.find(row.name);
            if (!silent_.count(row.name)) gate(row, vm == vms.end() ? ovs::flow_cookie : vm->second);
            if (!row.tag || vm != vms.end()) continue;
            const auto mac = parse_mac(row.interfaces.at(0).external_ids.at("attached-mac"));
            open_[*row.tag].push_back({row.name, mac.value(), false});
        }
        shared();
        for (const auto& [network, vlan] : c_.vlans) network_flows(network, vlan);
        for (const auto& p : guarded_) {
            adder(ovs::port_cookie(p.id))(begin, 100, "in_port=" + flow_port(p.device), load5(p.id) + "," + load6(p.vlan) + "," + to(egress));
            pin(p);
            rules_.add_rules(c_, p, direction::egress);
            reach(p);
            rules_.add_rules(c_, p, direction::ingress);
        }
        rules_.finish(c_);
        ask();
    }

private:
    // A port that is not filtered: of a router or a server, which has one MAC, or of a VM with port-security off, behind which
    // there may be others.
    struct open_port {
        std::string device;
        mac_address mac;
        bool vm = false;
    };

    void add(std::uint8_t table, std::uint16_t priority, std::string match, std::string actions) {
        c_.add_flow("br-int", table, priority, std::move(match), std::move(actions));
    }

    // A gate per bound port instead of a default to NORMAL: a port that nobody bound yet must not speak. Of the bridge's
    // ports only the patch bears tags; a tag that a VM makes itself would name another tenant's network.
    void gate(const ovs::port_row& row, std::uint64_t cookie) {
        const auto add = adder(cookie);
        const auto port = "in_port=" + flow_port(row.name);
        add(0, 10, port, "goto_table:58");
        if (row.tag) add(0, 20, port + ",vlan_tci=0x1000/0x1000", "drop");
    }

    void shared() {
        for (const int type : {listener_query, router_solicitation, router_advertisement, neighbour_solicitation, neighbour_advertisement})
            add(egress_accepted, 97, fmt::format("icmp6,icmp_type={},{}", type, multicast), to(forward));
        add(egress_accepted, 97, std::string("arp,") + multicast, to(forward));
        for (const auto table : {nd_source, begin, egress, flood, ingress, deliver, forward}) add(table, 0, "", "drop");
        for (const auto table : {egress_rules, ingress_rules}) {
            const auto accepted = table == egress_rules ? egress_accepted : deliver;
            add(table, 100, "ct_state=+trk+inv", "drop");
            for (const char* answer : {"ct_state=+trk+rpl", "ct_state=+trk+rel"}) {
                add(table, 90, std::string(answer) + ",ct_mark=0", to(accepted));
                add(table, 80, answer, "drop");
            }
            for (const char* ip : {"ip", "ipv6"}) {
                add(table, 40, fmt::format("ct_state=+trk+est,{}", ip), cut);
                add(table, 10, fmt::format("reg7=0x{:x},{}", ovs::asking, ip), cut);
            }
            add(table, 0, "", "drop");
        }
        // The userspace datapath's conntrack gives a packet's fragments back one by one. One that waited for the rest in vain comes out of it
        // unknown, beside whatever packet is next. Those of a connection that a rule let through, and that is not cut, go on, as they show no
        // port to ask the rules for. All of a packet must match alike: pieces that several tables send to conntrack are put together there,
        // and one that was denied would come along.
        for (const auto table : {egress_rules, ingress_rules})
            for (const char* ip : {"ip", "ipv6"}) {
                add(table, 110, fmt::format("ct_state=-trk,{},nw_frag=yes", ip), "drop");
                add(table, 85, fmt::format("ct_state=+trk+est-inv-rel-rpl,ct_mark=0,{},nw_frag=yes", ip), to(table == egress_rules ? egress_accepted : ingress_accepted));
            }
        for (const auto table : {egress_accepted, ingress_accepted}) add(table, 200, fmt::format("reg7=0x{:x}", ovs::asking), "drop");
        for (const auto table : {ovs::ask_sender_table, ovs::ask_receiver_table}) add(table, 0, "", "drop");
        // A fragment shows no ports, so one of a DHCP server's answer passes the pins by its source alone. Conntrack puts the
        // packet together and knows them, as the connection's first ones or as the answer to a client's.
        for (const char* ip : {"ip", "ipv6"}) {
            const auto [server, client] = ip == std::string("ip") ? std::pair{67, 68} : std::pair{547, 546};
            add(egress_rules, 105, fmt::format("ct_state=+trk-inv-rpl,{},ct_nw_proto=17,ct_tp_src={},ct_tp_dst={}", ip, server, client), "drop");
            add(egress_rules, 105, fmt::format("ct_state=+trk-inv+rpl,{},ct_nw_proto=17,ct_tp_src={},ct_tp_dst={}", ip, client, server), "drop");
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
    }

    void network_flows(const std::string& network, std::uint16_t vlan) {
        add(begin, 90, fmt::format("in_port=patch-tun,dl_vlan={}", vlan), "strip_vlan," + load6(vlan) + "," + to(egress_accepted));
        // To all: ARP and neighbour discovery, whose content was pinned at the sender, straight to each port; other broadcasts and
        // multicasts through each port's rules. The switch itself never sends a frame back to where it came from.
        std::vector<std::string> everybody, filtered, unpinned;
        for (const auto& p : guarded_) {
            if (p.vlan != vlan) continue;
            everybody.push_back(fmt::format("clone({},{})", load5(p.id), to(deliver)));
            filtered.push_back(fmt::format("clone({},{})", load5(p.id), to(ingress)));
        }
        for (const auto& port : open_[vlan]) {
            const auto output = "output:" + flow_port(port.device);
            everybody.push_back(output);
            filtered.push_back(output);
            if (port.vm) unpinned.push_back(output);
            add(begin, 100, "in_port=" + flow_port(port.device), load6(vlan) + "," + to(egress_accepted));
            add(forward, 10, fmt::format("{},dl_dst={}", reg6(vlan), port.mac.to_string()), output);
        }
        const auto tunnels = fmt::format("push_vlan:0x8100,set_field:{}->vlan_vid,output:patch-tun", vlan | 0x1000);
        to_many(forward, 5, fmt::format("{},{}", reg6(vlan), multicast), everybody, tunnels);
        to_many(flood, 1, reg6(vlan), filtered, tunnels);
        // A MAC that no port here is known by: on another node, or behind a port with port-security off.
        to_many(forward, 1, reg6(vlan), unpinned, tunnels);
        // The answer of a DHCP server comes from its own network only: none from beyond a router.
        const auto slash = network.find('/');
        const auto& cidr = c_.f.tenants.at(network.substr(0, slash)).networks.at(network.substr(slash + 1)).cidr;
        add(ingress, 95, fmt::format("{},udp,nw_src={},tp_src=67,tp_dst=68", reg6(vlan), cidr.to_string()), to(deliver));
        add(ingress, 95, fmt::format("{},udp6,ipv6_src=fe80::/10,tp_src=547,tp_dst=546", reg6(vlan)), to(deliver));
    }

    // One flow's actions have to fit a message of 64 KiB, so they go on in another one of the same table, numbered by reg7.
    void to_many(std::uint8_t table, std::uint16_t priority, const std::string& match, std::vector<std::string> outputs, const std::string& last) {
        constexpr std::size_t most = 256;
        outputs.push_back(last);
        for (std::size_t part = 0; part * most < outputs.size(); ++part) {
            std::string actions;
            for (std::size_t i = part * most; i < std::min(outputs.size(), (part + 1) * most); ++i)
                actions += (actions.empty() ? "" : ",") + outputs[i];
            if ((part + 1) * most < outputs.size()) actions += fmt::format(",load:{}->NXM_NX_REG7[],{}", part + 1, to(table));
            add(table, priority, fmt::format("{},reg7={}", match, part), actions);
        }
    }

    // What a VM may send: only from its own MAC and addresses, in ARP and neighbour discovery too; never as a DHCP server
    // or a router; nothing that is neither ARP, IPv4 nor IPv6.
    void pin(const protected_port& p) {
        const auto add = adder(ovs::port_cookie(p.id));
        const auto own = reg5(p.id) + ",";
        std::set<mac_address> macs;
        for (const auto& [mac, address] : identities_of(p.port)) {
            const auto from = fmt::format("dl_src={}", mac.to_string());
            const auto text = address.network().to_string();
            macs.insert(mac);
            if (!address.is_v6()) {
                add(egress, 95, fmt::format("{}arp,{},arp_sha={},arp_spa={}", own, from, mac.to_string(), text), to(egress_accepted));
                add(egress, 65, fmt::format("{}ip,{},nw_src={}", own, from, text), fmt::format("ct(table={},{})", egress_rules, zone));
                continue;
            }
            add(nd_source, 2, fmt::format("{}ipv6,{},ipv6_src={}", own, from, text), to(egress_accepted));
            add(egress, 65, fmt::format("{}ipv6,{},ipv6_src={}", own, from, text), fmt::format("ct(table={},{})", egress_rules, zone));
            // A neighbour advertisement speaks for its target, with a link-layer address or without.
            for (const auto& link_layer : {mac.to_string(), std::string("00:00:00:00:00:00")})
                add(egress, 95, fmt::format("{}{},{},nd_target={},nd_tll={}", own, icmp6(neighbour_advertisement), from, text, link_layer),
                    to(nd_source));
            // Nobody has the address yet, so it is asked for without a source.
            add(egress, 96, fmt::format("{}{},{},ipv6_src=::,nd_target={},nd_sll=00:00:00:00:00:00", own, icmp6(neighbour_solicitation), from, text),
                to(egress_accepted));
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

    // Whose rules a packet that asks goes through: those of the port that has its source, and of the one that has its target. A prefix that
    // several ports may send from (VRRP) is asked for nowhere, for a connection that one of them denies may be the other's.
    void ask() {
        std::map<std::pair<std::uint16_t, ip_prefix>, std::set<std::uint32_t>> holders;
        for (const auto& p : guarded_)
            for (const auto& [mac, address] : identities_of(p.port)) holders[{p.vlan, address.network()}].insert(p.id);
        for (const auto& [at, ids] : holders) {
            const auto& [vlan, address] = at;
            const bool alone = ids.size() == 1;
            const auto add = adder(alone ? ovs::port_cookie(*ids.begin()) : ovs::flow_cookie);
            for (const bool sender : {true, false})
                add(sender ? ovs::ask_sender_table : ovs::ask_receiver_table, static_cast<std::uint16_t>(1 + address.length),
                    fmt::format("{},{},{}_{}={}", reg6(vlan), address.is_v6() ? "ipv6" : "ip", address.is_v6() ? "ipv6" : "nw",
                                sender ? "src" : "dst", address.to_string()),
                    alone ? load5(*ids.begin()) + "," + to(sender ? egress_rules : ingress_rules) : "drop");
        }
    }

    // How a VM is reached: by its own MAC alone. A MAC of its allowed addresses may be at another port at any time (VRRP), so
    // what is sent there goes to all ports of the network, each behind its own filter.
    void reach(const protected_port& p) {
        const auto own = adder(ovs::port_cookie(p.id));
        own(egress_accepted, 100, fmt::format("{},dl_dst={}", reg6(p.vlan), p.port.mac->to_string()), load5(p.id) + "," + to(ingress));
        own(deliver, 1, reg5(p.id), "output:" + flow_port(p.device));
        for (const auto& pair : p.port.allowed_addresses)
            if (pair.mac && shared_macs_.emplace(p.vlan, *pair.mac).second)
                add(egress_accepted, 98, fmt::format("{},dl_dst={}", reg6(p.vlan), pair.mac->to_string()), to(flood));
    }

    compilation& c_;
    std::set<std::string> silent_;  // devices of quarantined ports
    conjunctions rules_;
    std::vector<protected_port> guarded_;
    std::map<std::uint16_t, std::vector<open_port>> open_;  // by local VLAN
    std::set<std::pair<std::uint16_t, mac_address>> shared_macs_;
};

}  // namespace

void compile_firewall(compilation& c) {
    if (c.bridges.count("br-int")) pipeline(c).run();
}

}  // namespace weft::roles
