// SPDX-License-Identifier: Apache-2.0
// DHCP and DNS of tenant networks (DATAPLANE 8.2): on the network's own node a namespace qdhcp-<uuid>, joined to br-int
// like a router's port, with one dnsmasq that knows the network's ports and answers nobody else. Another one announces the
// network's IPv6 subnet, from the router's own namespace, since an advertisement names its sender as the way out. Pure.
#include <fmt/format.h>

#include <algorithm>

#include "roles/compile.hpp"

namespace weft::roles {
namespace {

struct network_view {
    const std::string& tenant_name;
    const weft::tenant& tenant;
    const std::string& name;
    const weft::tenant_network& network;
    std::string uuid, space, device;
    bool routed;  // some router has the gateway's address
};

// What dnsmasq reads in a line of its hosts as something else than a name: a time (120, 45m, infinite) or a command.
bool means_more(const std::string& name) {
    const auto digits = name.find_first_not_of("0123456789");
    const bool time = digits != 0 && (digits == std::string::npos ||
                                      (digits + 1 == name.size() && std::string("smhdw").find(name[digits]) != std::string::npos));
    return time || name == "infinite" || name == "ignore";
}

// A port's name where it may be a host's; else one made of its address.
std::string host_name(const std::string& port, const ip_address& address) {
    const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (!port.empty() && port.size() <= 63 && port.front() != '-' && port.back() != '-' &&
        std::all_of(port.begin(), port.end(), fits) && !means_more(port))
        return port;
    auto name = "host-" + address.to_string();
    std::replace(name.begin(), name.end(), '.', '-');
    return name;
}

// Who may have an address, and which: "mac,address,name".
std::string hosts_file(const network_view& n) {
    std::string text;
    for (const auto& [name, port] : n.tenant.ports)
        if (port.network == n.name)
            text +=
                port.mac->to_string() + "," + port.address->to_string() + "," + host_name(name, *port.address) + "\n";
    return text;
}

std::string names_file(const network_view& n) {
    std::string text;
    for (const auto& [name, port] : n.tenant.ports)
        if (port.network == n.name) {
            const auto host = host_name(name, *port.address);
            text += port.address->to_string() + " " + host + "\n";
            if (port.address6) text += port.address6->to_string() + " " + host + "\n";
        }
    return text;
}

// Options 121 and 249 (the same for old Windows). A client that takes them leaves option 3 aside (RFC 3442), so that
// the default route is told again in them.
std::string classless_routes(const network_view& n) {
    std::string text;
    for (const auto& r : n.network.routes) text += "," + r.to.to_string() + "," + r.via.to_string();
    if (!text.empty() && n.routed) text += ",0.0.0.0/0," + n.network.gateway->to_string();
    return text;
}

std::string netmask(const ip_prefix& cidr) {
    const auto bits = cidr.length == 0 ? 0U : ~std::uint32_t{0} << (32 - cidr.length);
    return boost::asio::ip::address_v4(bits).to_string();
}

// What each dnsmasq is told, whatever it serves.
service dnsmasq_on(const compilation& c, const network_view& n, const std::string& name) {
    service s;
    s.name = name;
    s.kind = "dnsmasq";
    s.space = n.space;
    // Nothing of the host's own configuration, and no user or group that the host may not have. The kernel also forgets
    // that a process is to die with its parent when it changes its group.
    s.argv = {"/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--no-resolv",
              "--no-hosts", "--log-facility=-", "--quiet-dhcp", "--bind-dynamic", "--except-interface=lo",
              "--interface=" + n.device, "--pid-file=" + service_folder(c.f.name, name) + "/pid"};
    return s;
}

// Advertisements of the IPv6 subnet, and with `stateful` addresses by DHCPv6 for the ports that are known. DNS is the other's.
service announcer(const compilation& c, const network_view& n) {
    auto s = dnsmasq_on(c, n, "dnsmasq6-" + n.uuid);
    const auto folder = service_folder(c.f.name, s.name);
    const auto add = [&](std::string option) { s.argv.push_back(std::move(option)); };
    add("--port=0");
    add("--enable-ra");
    // Seconds: sent every 600, a way out for 1800 (the default of RFC 4861), and for none where nobody routes.
    add(fmt::format("--ra-param={},mtu:{},600,{}", n.device, network_mtu(c.f, n.tenant_name, n.name), n.routed ? 1800 : 0));
    const bool stateful = n.network.ipv6 == "stateful";
    const auto& cidr = *n.network.cidr6;
    add(fmt::format("--dhcp-range={},{},{},86400s", cidr.network().address.to_string(), stateful ? "static" : "ra-only", cidr.length));
    std::string servers;
    for (const auto& server : n.network.dns)
        if (server.is_v6()) servers += ",[" + server.to_string() + "]";
    if (!servers.empty()) add("--dhcp-option=option6:dns-server" + servers);
    if (!stateful) return s;
    for (const char* option : {"--dhcp-ignore=tag:!known", "--dhcp-authoritative", "--dhcp-lease-max=65536"}) add(option);
    add("--dhcp-hostsfile=" + folder + "/hosts");
    add("--dhcp-leasefile=" + service_state_folder(c.f.name, s.name) + "/leases");
    std::string hosts;
    for (const auto& [name, port] : n.tenant.ports)
        if (port.network == n.name)
            hosts += port.mac->to_string() + ",[" + port.address6->to_string() + "]," + host_name(name, *port.address) + "\n";
    s.files["hosts"] = {hosts, true};
    return s;
}

service dnsmasq(const compilation& c, const network_view& n) {
    auto s = dnsmasq_on(c, n, "dnsmasq-" + n.uuid);
    const auto folder = service_folder(c.f.name, s.name);
    const auto address = n.network.dhcp_address->to_string();
    const auto add = [&](std::string option) { s.argv.push_back(std::move(option)); };
    // Only what the network's ports are known by is ever given out, to them alone, so that nothing need be asked first.
    add("--dhcp-range=" + n.network.cidr.network().address.to_string() + ",static," + netmask(n.network.cidr) +
        ",86400s");
    for (const char* option :
         {"--dhcp-ignore=tag:!known", "--dhcp-authoritative", "--no-ping", "--dhcp-lease-max=65536"})
        add(option);
    add("--dhcp-hostsfile=" + folder + "/hosts");
    add("--addn-hosts=" + folder + "/names");
    add("--dhcp-leasefile=" + service_state_folder(c.f.name, s.name) + "/leases");
    // Forced, for a guest that does not ask for it would send what the tunnel cannot carry.
    add("--dhcp-option-force=26," + std::to_string(network_mtu(c.f, n.tenant_name, n.name)));
    // Without a value: no router, where dnsmasq would name itself.
    add("--dhcp-option=3" + (n.routed ? "," + n.network.gateway->to_string() : ""));
    std::string servers;
    for (const auto& server : n.network.dns) {
        if (server.is_v6()) continue;
        servers += "," + server.to_string();
        add("--server=" + server.to_string());
    }
    add("--dhcp-option=6" + (servers.empty() ? "," + address : servers));
    if (const auto routes = classless_routes(n); !routes.empty())
        for (const char* option : {"121", "249"}) add("--dhcp-option=" + std::string(option) + routes);
    s.files["hosts"] = {hosts_file(n), true};
    s.files["names"] = {names_file(n), true};
    return s;
}

void compile_network(compilation& c, network_view n) {
    auto& space = c.space(n.space);
    link loopback;
    loopback.name = "lo";
    loopback.up = true;
    space.links.push_back(std::move(loopback));
    for (const char* scope : {"all", "default"})
        space.sysctls[std::string("net/ipv6/conf/") + scope + "/disable_ipv6"] = "1";

    n.device = plug(c, n.space, dhcp_path(n.tenant_name, n.name), "dh-", network_mtu(c.f, n.tenant_name, n.name),
                    "br-int", n.tenant_name + "/" + n.name);
    // Old guests look at the checksum of an offer, which an offload would leave unfinished on either datapath.
    space.links.back().features["tx-checksum-ip-generic"] = false;
    address_entry entry;
    entry.device = n.device;
    entry.address = {*n.network.dhcp_address, n.network.cidr.length};
    entry.protocol = weft_protocol;
    space.addresses.push_back(std::move(entry));
    if (n.routed) {
        route route;
        route.destination = {boost::asio::ip::address_v4(), 0};
        route.nexthops = {nexthop{*n.network.gateway, n.device, 0, false}};
        space.routes.push_back(std::move(route));
    }
    c.services.push_back(dnsmasq(c, n));
    if (n.routed || !n.network.dhcp_address6) return;
    c.ipv6_of_port(n.space, n.device, object_mac(c.f.name, dhcp_path(n.tenant_name, n.name)), {{*n.network.dhcp_address6, n.network.cidr6->length}});
    c.services.push_back(announcer(c, n));
}

}  // namespace

void announce_ipv6(compilation& c, const std::string& tenant_name, const std::string& name, const std::string& space,
                   const std::string& device) {
    const auto& t = c.f.tenants.at(tenant_name);
    if (announcing_node(c.f, t, name) != c.name) return;
    c.services.push_back(announcer(c, {tenant_name, t, name, t.networks.at(name), object_uuid(c.f.name, network_path(tenant_name, name)),
                                       space, device, true}));
}

void compile_dhcp(compilation& c) {
    for (const auto& [tenant_name, t] : c.f.tenants)
        for (const auto& [name, n] : t.networks) {
            if (dhcp_node(c.f, t, name) != c.name) continue;
            const auto uuid = object_uuid(c.f.name, network_path(tenant_name, name));
            compile_network(c, {tenant_name, t, name, n, uuid, "qdhcp-" + uuid, {}, router_of(t, name) != nullptr});
        }
}

}  // namespace weft::roles
