// SPDX-License-Identifier: Apache-2.0
// From a complete fabric to the members, cables and plugs of a lab. Pure: no I/O, same input, same output. May include:
// core, model. Fails with invalid_input only, before anything is made.
#include "lab/topology.hpp"
#include "lab/vpn.hpp"

#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"

#include <algorithm>

namespace weft::lab {
namespace {

error open_value(const std::string& what) {
    return {errc::invalid_input, "plan lab", what, "the fabric is not complete; allocate fills what the file leaves open"};
}

// Of a member that nobody else configures: an address of IPv6 is there at once, since the file is checked for double ones.
address_entry own_address(const ip_address& address, std::uint8_t length, const char* device = "eth0") {
    address_entry a{device, {address, length}};
    constexpr std::uint32_t no_dad = 0x02;  // IFA_F_NODAD
    if (address.is_v6()) a.flags = no_dad;
    return a;
}

route default_route(const ip_address& gateway, const std::string& device) {
    route r;
    r.destination = {ip_address(boost::asio::ip::address_v4::any()), 0};
    if (gateway.is_v6()) r.destination = {ip_address(boost::asio::ip::address_v6::any()), 0};
    r.nexthops.push_back({gateway, device});
    return r;
}

struct builder {
    const fabric& f;
    std::string lab;
    topology out;
    std::size_t cables = 0;

    planned_member member(std::string name, std::string kind) const {
        planned_member m;
        m.netns = netns_name(lab, name);
        m.name = std::move(name);
        m.kind = std::move(kind);
        return m;
    }

    const segment* find_segment(const std::string& network) const {
        const auto name = segment_of(f, network);
        const auto found = std::find_if(out.segments.begin(), out.segments.end(), [&](const segment& s) { return s.name == name; });
        return found == out.segments.end() ? nullptr : &*found;
    }

    result<void> cable(planned_member& m, const std::string& device, const std::string& network, const std::string& path) {
        const auto* s = find_segment(network);
        if (s == nullptr) return error{errc::invalid_input, "plan lab", m.name + "/" + device, "no network named " + network};
        m.nics.push_back({device, "c" + std::to_string(cables++), s->bridge, netns_name(lab, "cables"), object_mac(f.name, path), s->mtu});
        return {};
    }

    // A guest's NIC hangs on its hypervisor's bridge, as libvirt would do it.
    result<void> guest_cable(planned_member& m, const std::string& device, const std::string& host, const std::string& network) {
        const auto h = f.nodes.find(host);
        const auto bridge = h == f.nodes.end() ? std::string() : bridge_for(f, h->second, network);
        if (bridge.empty())
            return error{errc::invalid_input, "plan lab", m.name + "/" + device, host + " has no bridge on network " + network};
        m.nics.push_back({device, "vnet" + std::to_string(cables++), bridge, netns_name(lab, host),
                          object_mac(f.name, "nodes/" + m.name + "/nics/" + device), segment_mtu(f, segment_of(f, network))});
        return {};
    }

    void segments() {
        for (const auto& [name, network] : f.networks)
            if (find_segment(name) == nullptr) {
                const auto s = segment_of(f, name);
                out.segments.push_back({s, "seg" + std::to_string(out.segments.size()), segment_mtu(f, s)});
            }
        if (f.lab.internet) out.segments.push_back({"internet", "seg" + std::to_string(out.segments.size()), 1500});
    }

    result<void> nodes() {
        for (const auto& [name, node] : f.nodes) {
            auto m = member(name, "node");
            m.ovs = node.roles.contains("network") || node.roles.contains("compute");
            for (const auto& [device, nic] : node.nics) {
                auto done = node.host.empty() ? cable(m, device, nic.network, "nodes/" + name + "/nics/" + device)
                                              : guest_cable(m, device, node.host, nic.network);
                if (!done) return done;
            }
            out.members.push_back(std::move(m));
        }
        return {};
    }

    result<void> vms() {
        for (const auto& [tenant_name, tenant] : f.tenants) {
            for (const auto& [port_name, port] : tenant.ports) {
                // A tap waits for a guest of its own: QEMU, or whoever may open it.
                if (port.attach == "tap") continue;
                const auto path = tenant_name + "/ports/" + port_name;
                if (!port.address || !port.mac) return open_value(path);
                const auto network = tenant.networks.find(port.network);
                if (network == tenant.networks.end() || !f.nodes.contains(port.node))
                    return error{errc::invalid_input, "plan lab", path, "its node or network does not exist"};
                if (!network->second.gateway) return open_value(tenant_name + "/networks/" + port.network);
                auto m = member(tenant_name + "/" + port_name, "vm");
                // Allocation gives a DHCP address to the networks that are served.
                if (!f.lab.static_addresses && network->second.dhcp && network->second.dhcp_address) {
                    m.lease = port.address;
                } else {
                    m.addresses.push_back({"eth0", {*port.address, network->second.cidr.length}});
                    m.routes.push_back(default_route(*network->second.gateway, "eth0"));
                }
                if (port.address6) {
                    const auto& n = network->second;
                    if (f.lab.static_addresses || n.ipv6 == "static") {
                        m.addresses.push_back(own_address(*port.address6, n.cidr6->length));
                        m.routes.push_back(default_route(*n.gateway6, "eth0"));
                    } else {
                        m.lease6 = port.address6;
                        m.by_dhcp6 = n.ipv6 == "stateful";
                        m.sysctls["net/ipv6/conf/eth0/disable_ipv6"] = "1";  // until it is to listen
                    }
                }
                if (const auto& on = f.nodes.at(port.node); is_cloudstack(on)) {
                    // As libvirt would do it, after the bridge is there.
                    const auto bridge = guest_devices_of(f, on, network->second.id.value_or(0)).bridge;
                    m.nics.push_back({"eth0", "vnet" + std::to_string(cables++), bridge, netns_name(lab, port.node), *port.mac,
                                      network_mtu(f, tenant_name, port.network)});
                    out.members.push_back(std::move(m));
                    continue;
                }
                plug p;
                p.vm = m.name;
                p.node = port.node;
                p.vm_netns = m.netns;
                p.node_netns = netns_name(lab, port.node);
                p.iface_id = object_uuid(f.name, path);
                p.vm_id = object_uuid(f.name, "lab/" + m.name);
                p.tap = device_name("tap", p.iface_id);
                p.mac = *port.mac;
                p.mtu = network_mtu(f, tenant_name, port.network);
                out.plugs.push_back(std::move(p));
                out.members.push_back(std::move(m));
            }
        }
        return {};
    }

    ip_address internet_router() const { return advance(f.lab.internet->network().address, 1); }
    ip_address internet_router6() const { return advance(f.lab.internet6->network().address, 1); }

    result<void> router() {
        if (f.lab.router_lan.empty()) return {};
        const auto lan = f.networks.find(f.lab.router_lan);
        if (lan == f.networks.end() || !lan->second.gateway)
            return error{errc::invalid_input, "plan lab", "lab/router", "network " + f.lab.router_lan + " has no gateway"};
        auto m = member("router", "router");
        if (auto done = cable(m, "eth0", f.lab.router_lan, "lab/router/lan"); !done) return done;
        m.addresses.push_back({"eth0", {*lan->second.gateway, lan->second.cidr.length}});
        m.sysctls["net/ipv4/ip_forward"] = "1";
        if (lan->second.cidr6 && lan->second.gateway6) {
            m.addresses.push_back(own_address(*lan->second.gateway6, lan->second.cidr6->length));
            tenants_behind(m);
        }
        if (f.lab.internet) {
            if (auto done = cable(m, "eth1", "internet", "lab/router/internet"); !done) return done;
            m.addresses.push_back({"eth1", {internet_router(), f.lab.internet->length}});
            m.tables.push_back(home_router(f));
            if (f.lab.internet6) {
                m.addresses.push_back(own_address(internet_router6(), f.lab.internet6->length, "eth1"));
                m.tables.push_back(home_router6());
            }
        }
        out.members.push_back(std::move(m));
        return {};
    }

    // It knows the way to the tenants' IPv6 subnets, which are routed as they are.
    void tenants_behind(planned_member& m) const {
        m.sysctls["net/ipv6/conf/all/forwarding"] = "1";
        for (const auto& [tenant_name, t] : f.tenants)
            for (const auto& [name, r] : t.routers) {
                if (r.external != f.lab.router_lan || !r.address6) continue;
                for (const auto& network : r.networks)
                    if (const auto& subnet = t.networks.at(network).cidr6) {
                        route way;
                        way.destination = *subnet;
                        way.nexthops.push_back({*r.address6, "eth0"});
                        m.routes.push_back(std::move(way));
                    }
            }
    }

    // As routers at home are: the LAN goes out masqueraded, nothing comes in unasked. Chains are sorted by name.
    static nft::table home_router(const fabric& f) {
        nft::chain forward{"forward", "filter", 2, 0, 0, {}, {}};
        forward.rules.push_back(nft::rule_builder().iifname("eth0").oifname("eth1").accept("the LAN may go out"));
        forward.rules.push_back(nft::rule_builder().ct_state(2 | 4).accept("answers come back"));
        nft::chain postrouting{"postrouting", "nat", 4, 100, 1, {}, {}};
        postrouting.rules.push_back(nft::rule_builder().oifname("eth1").masquerade().done("one address for the LAN"));
        nft::table table{nft::family::ipv4, "lab", {}};
        nft::chain prerouting{"prerouting", "nat", 0, -100, 1, {}, {}};
        constexpr std::uint8_t udp = 17;
        for (const auto& gateway : vpn_gateways(f)) {
            const auto asked = [&] { return nft::rule_builder(nft::family::ipv4).iifname("eth1").l4proto(udp).dport(gateway.vpn->port); };
            if (gateway.network != f.lab.router_lan) continue;
            prerouting.rules.push_back(asked().dnat(gateway.address).done("WireGuard to " + gateway.node));
            forward.rules.push_back(asked().oifname("eth0").ct_status_dnat(true).accept("WireGuard to " + gateway.node));
        }
        table.chains = {forward, postrouting};
        if (!prerouting.rules.empty()) table.chains.push_back(prerouting);
        return table;
    }

    // The same without translation. What the LAN sends to the tenants' subnets goes in and out by one leg.
    static nft::table home_router6() {
        const auto rule = [] { return nft::rule_builder(nft::family::ipv6); };
        nft::chain forward{"forward", "filter", 2, 0, 0, {}, {}};
        forward.rules.push_back(rule().iifname("eth0").accept("the LAN and what is behind it may go out"));
        forward.rules.push_back(rule().ct_state(2 | 4).accept("answers come back"));
        return {nft::family::ipv6, "lab", {forward}};
    }

    result<void> hosts() {
        for (const auto& [name, host] : f.lab.hosts) {
            auto m = member(name, "host");
            if (auto done = cable(m, "eth0", host.network, "lab/hosts/" + name); !done) return done;
            const bool outside = host.network == "internet";
            const auto length = outside ? f.lab.internet->length : f.networks.at(host.network).cidr.length;
            m.addresses.push_back({"eth0", {host.address, length}});
            if (host.address6 && outside) {
                m.addresses.push_back(own_address(*host.address6, f.lab.internet6->length));
                if (!f.lab.router_lan.empty()) m.routes.push_back(default_route(internet_router6(), "eth0"));
            } else if (host.address6) {
                const auto& network = f.networks.at(host.network);
                m.addresses.push_back(own_address(*host.address6, network.cidr6->length));
                if (network.gateway6 && host.network == f.lab.router_lan) m.routes.push_back(default_route(*network.gateway6, "eth0"));
            }
            if (outside && !f.lab.router_lan.empty()) m.routes.push_back(default_route(internet_router(), "eth0"));
            if (host.network == f.lab.router_lan) m.routes.push_back(default_route(*f.networks.at(host.network).gateway, "eth0"));
            out.members.push_back(std::move(m));
        }
        return {};
    }
};

}  // namespace

std::string netns_name(const std::string& lab, const std::string& member) {
    std::string flat = member;
    std::replace(flat.begin(), flat.end(), '/', '.');
    return "weft-" + lab + "-" + flat;
}

result<topology> plan_topology(const fabric& f, const std::string& lab) {
    builder b{f, lab, {}, 0};
    auto cables = b.member("cables", "cables");
    cables.sysctls = {{"net/ipv6/conf/all/disable_ipv6", "1"}, {"net/ipv6/conf/default/disable_ipv6", "1"},
                      {"net/bridge/bridge-nf-call-iptables", "0"}, {"net/bridge/bridge-nf-call-ip6tables", "0"},
                      {"net/bridge/bridge-nf-call-arptables", "0"}};
    b.out.members.push_back(std::move(cables));
    b.segments();
    for (const auto part : {&builder::nodes, &builder::vms, &builder::router, &builder::hosts})
        if (auto done = (b.*part)(); !done) return done.error();
    std::vector<std::string> names;
    for (const auto& m : b.out.members) names.push_back(m.netns);
    std::sort(names.begin(), names.end());
    if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
        return error{errc::invalid_input, "plan lab", *twice, "two members of the lab have this name"};
    return std::move(b.out);
}

}  // namespace weft::lab
