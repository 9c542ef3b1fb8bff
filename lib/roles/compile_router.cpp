// SPDX-License-Identifier: Apache-2.0
// Tenant routers of the network node: one namespace each, joined to br-int and br-ex by veth pairs (an internal port
// would not survive a restart of the switch, DATAPLANE 15.1), with NAT in the order of section 8.1, extra routes, and the
// metadata proxy of compile_metadata.cpp. Pure.
#include <algorithm>

#include "roles/compile.hpp"
#include "roles/vpn.hpp"
#include "weft/model/nft.hpp"

namespace weft::roles {
namespace {

struct router_view {
    const std::string& tenant_name;
    const weft::tenant& tenant;
    const std::string& name;
    const weft::router& router;
    std::string space;    // qrouter-<uuid>
    std::string outside;  // qg-<11>, "" without an external network
    std::map<std::string, std::string> inside;  // network → qr-<11>
};

// A floating address and the fixed one it stands for.
struct floating {
    ip_address outside, fixed;
    std::string port;
};

std::vector<floating> floating_of(const router_view& r) {
    std::vector<floating> list;
    for (const auto& [name, port] : r.tenant.ports) {
        const auto* own = router_of(r.tenant, port.network);
        if (port.floating && own && own->first == r.name)
            list.push_back({*port.floating, *port.address, r.tenant_name + "/" + name});
    }
    return list;
}

}  // namespace

std::string plug(compilation& c, const std::string& space, const std::string& path, const std::string& prefix,
                 std::uint32_t mtu, const std::string& bridge, const std::string& network) {
    const auto uuid = object_uuid(c.f.name, path);
    const auto mac = object_mac(c.f.name, path);
    const auto tap = device_name("tap", uuid), inner = device_name(prefix, uuid);

    link outer;
    outer.name = tap;
    outer.options = veth_options{inner, space, mac, mtu};
    outer.mtu = mtu;
    outer.group = weft_link_group;
    outer.alias = c.alias(path);
    outer.up = true;
    link end = outer;
    end.name = inner;
    end.options = veth_options{tap, "", {}, {}};
    end.mac = mac;
    // A veth leaves checksums to hardware that is not there; the userspace datapath would carry them unfinished.
    if (c.netdev()) end.features["tx-checksum-ip-generic"] = false;
    c.space("").links.push_back(std::move(outer));
    c.space(space).links.push_back(std::move(end));

    ovs::port_row port;
    port.name = tap;
    port.external_ids = c.marks(path);
    ovs::interface_row interface;
    interface.name = tap;
    interface.external_ids = {{"iface-id", uuid}, {"iface-status", "active"}, {"attached-mac", mac.to_string()}};
    port.interfaces = {std::move(interface)};
    if (!network.empty()) {
        port.tag = c.vlans.at(network);
        port.other_config = vlan_memory(c, network);
    }
    c.bridges[bridge].ports.push_back(std::move(port));
    c.guard(tap);
    return inner;
}

namespace {

void add_address(compilation& c, const router_view& r, const std::string& device, const ip_prefix& address) {
    address_entry entry;
    entry.device = device;
    entry.address = address;
    entry.protocol = weft_protocol;
    c.space(r.space).addresses.push_back(std::move(entry));
}

void set_sysctls(compilation& c, const router_view& r) {
    auto& keys = c.space(r.space).sysctls;
    keys["net/ipv4/ip_forward"] = "1";
    keys["net/ipv4/conf/all/arp_ignore"] = "1";
    keys["net/ipv4/conf/all/arp_announce"] = "2";
    // A new namespace has this from the host's own; where it is 1, answers that come by another next hop would be lost.
    keys["net/ipv4/conf/all/rp_filter"] = "0";
    // Windows that conntrack cannot follow (offloads, asymmetric starts) must not break connections.
    keys["net/netfilter/nf_conntrack_tcp_be_liberal"] = "1";
    keys["net/ipv6/conf/all/disable_ipv6"] = "1";
    keys["net/ipv6/conf/default/disable_ipv6"] = "1";
    // On in every new namespace; bridged frames would pass the forward chain.
    for (const char* key : {"arptables", "ip6tables", "iptables"})
        keys[std::string("net/bridge/bridge-nf-call-") + key] = "0";
}

// A way out beside the connected networks: the prefix, and the device of each of its next hops.
struct extra_route {
    ip_prefix to;
    std::vector<nexthop> hops;
    bool inside = false;  // it leads into the tenant's networks
};

std::vector<extra_route> extra_routes(const router_view& r) {
    std::vector<extra_route> all;
    for (const auto& given : r.router.routes) {
        auto at = std::find_if(all.begin(), all.end(), [&](const extra_route& e) { return e.to == given.to; });
        if (at == all.end()) at = all.insert(at, extra_route{given.to, {}, false});
        std::string device = r.outside;
        for (const auto& [network, inner] : r.inside)
            if (const auto& n = r.tenant.networks.at(network); n.cidr.contains(given.via) || (n.cidr6 && n.cidr6->contains(given.via))) {
                device = inner;
                at->inside = true;
            }
        at->hops.push_back({given.via, device, 0, false});
    }
    return all;
}

// The source NAT of one router, in the order of DATAPLANE 8.1.
void add_translation(const router_view& r, nft::chain& prerouting, nft::chain& output, nft::chain& postrouting) {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv4); };
    const auto own = *r.router.address;
    const auto floats = floating_of(r);
    for (const auto& f : floats) {
        prerouting.rules.push_back(rule().daddr(host_prefix(f.outside)).dnat(f.fixed).done("to " + f.port));
        output.rules.push_back(rule().daddr(host_prefix(f.outside)).dnat(f.fixed).done("to " + f.port));
    }
    postrouting.rules.push_back(rule().oifname(r.outside, false).ct_status_dnat(false).accept("within the tenant"));
    for (const auto& f : floats)
        postrouting.rules.push_back(rule().saddr(host_prefix(f.fixed)).snat(f.outside).done("from " + f.port));
    const auto masquerade = [&](const ip_prefix& from, const std::string& what) {
        postrouting.rules.push_back(rule().oifname(r.outside).saddr(from).snat(own).done("from " + what));
    };
    if (r.router.snat) {
        for (const auto& name : r.router.networks) masquerade(r.tenant.networks.at(name).cidr, "network " + name);
        for (const auto& extra : extra_routes(r))
            if (extra.inside && !extra.to.is_v6()) masquerade(extra.to, extra.to.to_string());
    }
    // Hairpin: a VM that speaks to a floating address must get its answer through here, so the router stands in for it.
    // What came from outside keeps its source address.
    postrouting.rules.push_back(rule().mark(from_outside_mark, mark_mask).accept("from outside: source kept"));
    postrouting.rules.push_back(rule().ct_status_dnat(true).snat(own).done("hairpin"));
}

nft::table router_table(const router_view& r, const std::vector<vpn_way>& gateways) {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv4); };
    nft::table table{nft::family::ipv4, "weft", {}};
    nft::chain mark{"mark", "filter", 0, -150, 1, {}, {}};
    nft::chain forward{"forward", "filter", 2, 0, 1, {}, {}};
    nft::chain prerouting{"prerouting", "nat", 0, -100, 1, {}, {}};
    nft::chain output{"output", "nat", 3, -100, 1, {}, {}};
    nft::chain postrouting{"postrouting", "nat", 4, 100, 1, {}, {}};

    // RFC 3927: link-local addresses are not routed; outside, somebody's metadata service might answer for them.
    forward.rules.push_back(rule().daddr(link_local_prefix()).drop("link-local is not forwarded"));
    if (!r.outside.empty()) {
        mark.rules.push_back(rule().iifname(r.outside).set_mark(from_outside_mark).done("came in from outside"));
        constexpr std::uint32_t state_new = 8;
        for (const auto& way : gateways)
            if (way.gateway->fixed)
                forward.rules.push_back(rule().iifname(r.outside).saddr(way.seen_as()).accept("clients of " + way.node + " reach fixed addresses"));
        auto begins_outside = rule().iifname(r.outside);
        if (r.router.snat) {
            // A static route on the LAN towards the tenant's subnet must not open it: only a floating address begins a
            // connection.
            forward.rules.push_back(begins_outside.ct_state(state_new).ct_status_dnat(false).drop(
                "fixed addresses are not reached from outside"));
        } else {
            // The networks are routed; the router is still no way between hosts outside.
            forward.rules.push_back(begins_outside.oifname(r.outside).ct_state(state_new).ct_status_dnat(false).drop(
                "not from outside to outside"));
        }
        add_translation(r, prerouting, output, postrouting);
    }
    table.chains = {std::move(forward)};
    if (r.router.metadata) table.chains.push_back(metadata_gate(r.outside));
    if (!r.outside.empty())
        for (auto* chain : {&mark, &output, &postrouting, &prerouting}) table.chains.push_back(std::move(*chain));
    return table;
}

void compile_router(compilation& c, router_view r) {
    auto& space = c.space(r.space);
    link loopback;
    loopback.name = "lo";
    loopback.up = true;
    space.links.push_back(std::move(loopback));
    set_sysctls(c, r);
    for (const auto& name : r.router.networks) {
        const auto& network = r.tenant.networks.at(name);
        const auto inner = plug(c, r.space, router_port_path(r.tenant_name, r.name, name), "qr-",
                                network_mtu(c.f, r.tenant_name, name), "br-int", r.tenant_name + "/" + name);
        add_address(c, r, inner, {*network.gateway, network.cidr.length});
        r.inside[name] = inner;
    }
    if (!r.router.external.empty()) {
        const auto& external = c.f.networks.at(r.router.external);
        r.outside = plug(c, r.space, gateway_port_path(r.tenant_name, r.name), "qg-", external.mtu,
                         external_bridge(c.f, r.router.external), "");
        add_address(c, r, r.outside, {*r.router.address, external.cidr.length});
        for (const auto& f : floating_of(r)) add_address(c, r, r.outside, host_prefix(f.outside));
        // Nobody outside speaks as one of the tenant's own: a security group with a remote would believe it.
        space.sysctls["net/ipv4/conf/" + r.outside + "/rp_filter"] = "1";
        if (external.gateway) {
            route route;
            route.destination = {boost::asio::ip::address_v4(), 0};
            route.nexthops = {nexthop{*external.gateway, r.outside, 0, false}};
            space.routes.push_back(std::move(route));
        }
    }
    std::vector<vpn_way> gateways = vpn_gateways(c.f);
    std::erase_if(gateways, [&](const vpn_way& way) { return r.outside.empty() || way.network != r.router.external; });
    for (const auto& way : gateways) {
        if (!way.by_route()) continue;
        route back;
        back.destination = way.gateway->pool;
        back.nexthops = {nexthop{way.address, r.outside, 0, false}};
        space.routes.push_back(std::move(back));
    }
    for (auto& extra : extra_routes(r)) {
        route route;
        route.destination = extra.to;
        route.nexthops = std::move(extra.hops);
        space.routes.push_back(std::move(route));
    }
    if (r.router.metadata) {
        add_address(c, r, "lo", host_prefix(metadata_address()));
        c.services.push_back(metadata_proxy(object_uuid(c.f.name, router_path(r.tenant_name, r.name)), r.space,
                                            *r.router.metadata, c.f.name));
    }
    space.tables.push_back(router_table(r, gateways));
    compile_router6(c, r.tenant_name, r.name, r.space, r.outside, r.inside);
}

}  // namespace

void compile_routers(compilation& c) {
    for (const auto& [tenant_name, t] : c.f.tenants)
        for (const auto& [name, r] : t.routers)
            if (router_node(c.f, r.external) == c.name)
                compile_router(
                    c,
                    {tenant_name, t, name, r, "qrouter-" + object_uuid(c.f.name, router_path(tenant_name, name)), {}, {}});
}

}  // namespace weft::roles
