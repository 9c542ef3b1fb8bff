// SPDX-License-Identifier: Apache-2.0
// The fabric file to a fabric: walks the YAML tree along the field tables and puts the values together. It checks form
// (types, keys, names); meaning (overlaps, references, ranges) is roles::validate's. Fails by diagnostics, all in one
// run.
#include "weft/model/fabric_file.hpp"

#include <algorithm>

#include "model/fabric_file_reader.hpp"

namespace weft {
namespace {

using yaml::cursor;
using members = std::map<std::string, cursor>;

cursor get(const members& from, const char* key) {
    const auto found = from.find(key);
    return found == from.end() ? cursor{} : found->second;
}

// One method per table of fabric_file_fields.cpp, in the same order.
class assembler {
public:
    assembler(const std::string& file, std::vector<diagnostic>& faults) : in_(file, faults) {}

    fabric build(const cursor& at) {
        fabric f;
        const auto m = in_.object(at, fields::root);
        if (const auto version = get(m, "version")) in_.integer(version, "1-1");
        f.name = in_.name(get(m, "name"));
        for (const auto& [name, place, value] : in_.objects(get(m, "networks")))
            f.networks[name] = build_underlay(value, place);
        if (const auto overlay = get(m, "overlay")) f.overlay = build_overlay(overlay);
        for (const auto& [name, place, value] : in_.objects(get(m, "nodes"))) f.nodes[name] = build_node(value, place);
        for (const auto& [name, place, value] : in_.objects(get(m, "tenants")))
            f.tenants[name] = build_tenant(value, place);
        for (const auto& item : in_.list(get(m, "expectations"))) f.expectations.push_back(build_expectation(item));
        for (const auto& [name, place, value] : in_.objects(get(m, "checks")))
            for (const auto& item : in_.list(value)) f.checks[name].push_back(build_check(item));
        if (const auto lab = get(m, "lab")) f.lab = build_lab(lab);
        return f;
    }

private:
    underlay_network build_underlay(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::underlay);
        underlay_network n{.place = place};
        n.cidr = in_.prefix(get(m, "cidr")).value_or(ip_prefix{});
        n.mtu = static_cast<std::uint32_t>(in_.integer(get(m, "mtu"), "576-65535").value_or(n.mtu));
        n.gateway = in_.address(get(m, "gateway"));
        n.floating = in_.range(get(m, "floating"));
        if (const auto segment = get(m, "segment")) n.segment = in_.name(segment);
        n.cidr6 = in_.prefix(get(m, "cidr6"));
        n.gateway6 = in_.address(get(m, "gateway6"));
        n.floating6 = in_.range(get(m, "floating6"));
        return n;
    }

    overlay_options build_overlay(const cursor& at) {
        const auto m = in_.object(at, fields::overlay);
        overlay_options o;
        o.place = at.value->place;
        o.type = in_.choice(get(m, "type"), "gre|vxlan|geneve|vlan", o.type);
        o.profile = in_.choice(get(m, "profile"), "default|grizzly", o.profile);
        // What the header can carry is validate's business; here only that it is a range of 32-bit numbers.
        if (const auto ids = in_.integer_range(get(m, "ids"), 1, 0xffffffff)) {
            o.first_id = static_cast<std::uint32_t>(ids->first);
            o.last_id = static_cast<std::uint32_t>(ids->second);
        }
        o.endpoints = in_.choice(get(m, "endpoints"), "ipv4|ipv6", o.endpoints);
        return o;
    }

    node build_node(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::node);
        node n{.place = place};
        for (const auto& item : in_.list(get(m, "roles")))
            if (const auto role = in_.choice(item, fields::role_names, ""); !role.empty()) n.roles.insert(role);
        for (const auto& [name, nic_place, value] : in_.objects(get(m, "nics"), true))
            n.nics[name] = build_nic(value, nic_place);
        if (const auto host = get(m, "host")) n.host = in_.name(host);
        for (const auto& [name, bridge_place, value] : in_.objects(get(m, "bridges"), true))
            n.bridges[name] = names(value);
        if (const auto profile = get(m, "profile")) n.profile = in_.choice(profile, "cloudstack", n.profile);
        if (const auto vpn = get(m, "vpn")) n.vpn = build_vpn(vpn);
        return n;
    }

    vpn_gateway build_vpn(const cursor& at) {
        const auto m = in_.object(at, fields::vpn);
        vpn_gateway v{.place = at.value->place};
        if (const auto key = get(m, "key-file")) v.key_file = in_.text(key);
        v.port = static_cast<std::uint16_t>(in_.integer(get(m, "port"), "1-65535").value_or(v.port));
        v.pool = in_.prefix(get(m, "pool")).value_or(ip_prefix{});
        v.return_path = in_.choice(get(m, "return"), "route|masquerade", v.return_path);
        v.fixed = in_.boolean(get(m, "fixed"), v.fixed);
        if (const auto endpoint = get(m, "endpoint")) v.endpoint = in_.text(endpoint);
        for (const auto& [name, place, value] : in_.objects(get(m, "peers"))) v.peers[name] = build_vpn_peer(value, place);
        return v;
    }

    vpn_peer build_vpn_peer(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::vpn_peer);
        vpn_peer p{.place = place};
        if (const auto key = get(m, "public-key")) p.public_key = in_.text(key);
        if (const auto file = get(m, "public-key-file")) p.public_key_file = in_.text(file);
        p.address = in_.address(get(m, "address")).value_or(ip_address{});
        if (const auto endpoint = get(m, "endpoint")) p.endpoint = in_.text(endpoint);
        p.keepalive = static_cast<std::uint16_t>(in_.integer(get(m, "keepalive"), "1-65535").value_or(0));
        if (const auto file = get(m, "preshared-key-file")) p.preshared_key_file = in_.text(file);
        return p;
    }

    nic build_nic(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::nic);
        nic n{.place = place};
        n.network = in_.name(get(m, "network"));
        n.address = in_.address(get(m, "address"));
        n.match_mac = in_.mac(get(m, "mac"));
        if (const auto path = get(m, "path")) n.match_path = in_.text(path);
        if (const auto driver = get(m, "driver")) n.match_driver = in_.text(driver);
        n.address6 = in_.address(get(m, "address6"));
        return n;
    }

    tenant build_tenant(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::tenant);
        tenant t{.place = place};
        for (const auto& [name, p, value] : in_.objects(get(m, "networks"))) t.networks[name] = build_network(value, p);
        for (const auto& [name, p, value] : in_.objects(get(m, "routers"))) t.routers[name] = build_router(value, p);
        for (const auto& [name, p, value] : in_.objects(get(m, "security-groups")))
            t.security_groups[name] = build_group(value, p);
        for (const auto& [name, p, value] : in_.objects(get(m, "ports"))) t.ports[name] = build_port(value, p);
        return t;
    }

    tenant_network build_network(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::tenant_network);
        tenant_network n{.place = place};
        n.cidr = in_.prefix(get(m, "cidr")).value_or(ip_prefix{});
        for (const auto& item : in_.list(get(m, "dns")))
            if (const auto server = in_.address(item)) n.dns.push_back(*server);
        n.gateway = in_.address(get(m, "gateway"));
        if (const auto id = in_.integer(get(m, "id"), "1-4294967295")) n.id = static_cast<std::uint32_t>(*id);
        if (const auto mtu = in_.integer(get(m, "mtu"), "576-65535")) n.mtu = static_cast<std::uint32_t>(*mtu);
        n.dhcp = in_.boolean(get(m, "dhcp"), n.dhcp);
        n.dhcp_address = in_.address(get(m, "dhcp-address"));
        n.routes = build_routes(get(m, "routes"));
        n.cidr6 = in_.prefix(get(m, "cidr6"));
        n.gateway6 = in_.address(get(m, "gateway6"));
        n.ipv6 = in_.choice(get(m, "ipv6"), "slaac|stateful|static", n.ipv6);
        n.dhcp_address6 = in_.address(get(m, "dhcp-address6"));
        return n;
    }

    router build_router(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::router);
        router r{.place = place};
        r.external = in_.name(get(m, "external"));
        r.networks = names(get(m, "networks"));
        r.address = in_.address(get(m, "address"));
        r.address6 = in_.address(get(m, "address6"));
        r.routes = build_routes(get(m, "routes"));
        r.snat = in_.boolean(get(m, "snat"), r.snat);
        if (const auto metadata = get(m, "metadata")) {
            const auto e = in_.object(metadata, fields::metadata_endpoint);
            metadata_endpoint endpoint;
            endpoint.address = in_.address(get(e, "address")).value_or(ip_address{});
            endpoint.port = static_cast<std::uint16_t>(in_.integer(get(e, "port"), "1-65535").value_or(0));
            r.metadata = endpoint;
        }
        return r;
    }

    std::vector<static_route> build_routes(const cursor& at) {
        std::vector<static_route> routes;
        for (const auto& item : in_.list(at)) {
            const auto m = in_.object(item, fields::static_route);
            static_route route{.place = item.value->place};
            route.to = in_.prefix(get(m, "to")).value_or(ip_prefix{});
            route.via = in_.address(get(m, "via")).value_or(ip_address{});
            routes.push_back(route);
        }
        return routes;
    }

    security_group build_group(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::security_group);
        security_group g{.place = place};
        g.ingress = build_rules(get(m, "ingress"));
        if (const auto egress = get(m, "egress")) g.egress = build_rules(egress);
        return g;
    }

    std::vector<security_rule> build_rules(const cursor& at) {
        std::vector<security_rule> rules;
        for (const auto& item : in_.list(at)) {
            const auto m = in_.object(item, fields::security_rule);
            security_rule rule;
            if (const auto protocol = get(m, "protocol")) rule.protocol = in_.text(protocol);
            if (const auto ports = get(m, "ports")) rule.ports = in_.text(ports);
            if (const auto remote = get(m, "remote")) rule.remote = in_.text(remote);
            rule.place = item.value->place;
            if (const auto type = in_.integer(get(m, "type"), "0-255")) rule.type = static_cast<std::uint8_t>(*type);
            if (const auto code = in_.integer(get(m, "code"), "0-255")) rule.code = static_cast<std::uint8_t>(*code);
            rule.family = in_.choice(get(m, "family"), "ipv4|ipv6", "");
            rules.push_back(std::move(rule));
        }
        return rules;
    }

    tenant_port build_port(const cursor& at, source_place place) {
        const auto m = in_.object(at, fields::tenant_port);
        tenant_port p{.place = place};
        p.node = in_.name(get(m, "node"));
        p.network = in_.name(get(m, "network"));
        p.address = in_.address(get(m, "address"));
        p.mac = in_.mac(get(m, "mac"));
        if (const auto floating = get(m, "floating")) {
            p.floating_auto = floating.value->kind == yaml::node::kind::scalar && floating.value->text == "auto";
            if (!p.floating_auto) p.floating = in_.address(floating);
        }
        p.address6 = in_.address(get(m, "address6"));
        if (const auto floating = get(m, "floating6")) {
            p.floating6_auto = floating.value->kind == yaml::node::kind::scalar && floating.value->text == "auto";
            if (!p.floating6_auto) p.floating6 = in_.address(floating);
        }
        p.security_groups = names(get(m, "security-groups"));
        p.port_security = in_.boolean(get(m, "port-security"), p.port_security);
        for (const auto& item : in_.list(get(m, "allowed-addresses"))) {
            const auto a = in_.object(item, fields::address_pair);
            address_pair pair{.place = item.value->place};
            pair.address = in_.prefix(get(a, "address")).value_or(ip_prefix{});
            pair.mac = in_.mac(get(a, "mac"));
            p.allowed_addresses.push_back(pair);
        }
        p.attach = in_.choice(get(m, "attach"), "plugged|tap", p.attach);
        if (const auto user = get(m, "user")) p.user = in_.text(user);
        if (const auto vm = get(m, "vm-uuid")) p.vm_uuid = in_.text(vm);
        return p;
    }

    expectation build_expectation(const cursor& at) {
        const auto m = in_.object(at, fields::expectation);
        expectation e;
        e.place = at.value->place;
        e.from = in_.text(get(m, "from"));
        e.to = in_.text(get(m, "to"));
        if (const auto via = get(m, "via")) e.via = in_.text(via);
        e.protocol = in_.choice(get(m, "protocol"), "icmp|tcp|udp", e.protocol);
        e.port = static_cast<std::uint16_t>(in_.integer(get(m, "port"), "1-65535").value_or(0));
        e.reachable = in_.choice(get(m, "expect"), "reachable|blocked", "reachable") == "reachable";
        e.why = "a row of the fabric file";
        if (e.protocol == "icmp" && e.port != 0)
            in_.fault(get(m, "port"), std::to_string(e.port), "needs tcp or udp", "protocol: tcp");
        if (e.protocol != "icmp" && !get(m, "port")) in_.fault(at, e.protocol, "needs a port", "port: 1-65535");
        return e;
    }

    check build_check(const cursor& at) {
        const auto m = in_.object(at, fields::check);
        check c;
        c.place = at.value->place;
        int kinds = 0;
        for (const char* kind : {"ping", "arp", "tcp"})
            if (const auto target = get(m, kind)) {
                ++kinds;
                c.kind = kind;
                if (const auto address = in_.address(target)) c.target = *address;
            }
        if (kinds != 1) in_.fault(at, {}, "must have exactly one kind", "ping, arp, tcp");
        c.port = static_cast<std::uint16_t>(in_.integer(get(m, "port"), "1-65535").value_or(0));
        c.full_mtu = in_.choice(get(m, "mtu"), "full", "") == "full";
        if (c.kind == "tcp" && c.port == 0) in_.fault(at, "tcp", "needs a port", "port: 1-65535");
        return c;
    }

    lab_options build_lab(const cursor& at) {
        const auto m = in_.object(at, fields::lab);
        lab_options lab;
        if (const auto router = get(m, "router")) {
            const auto r = in_.object(router, fields::lab_router);
            lab.router_lan = in_.name(get(r, "lan"));
            lab.internet = in_.prefix(get(r, "internet"));
            lab.internet6 = in_.prefix(get(r, "internet6"));
        }
        for (const auto& [name, place, value] : in_.objects(get(m, "hosts"))) {
            const auto h = in_.object(value, fields::lab_host);
            lab_host host{.place = place};
            host.network = in_.name(get(h, "network"));
            host.address = in_.address(get(h, "address")).value_or(ip_address{});
            if (const auto vpn = get(h, "vpn")) host.vpn = in_.name(vpn);
            host.address6 = in_.address(get(h, "address6"));
            lab.hosts[name] = host;
        }
        lab.static_addresses = in_.choice(get(m, "addresses"), "dhcp|static", "dhcp") == "static";
        return lab;
    }

    std::vector<std::string> names(const cursor& at) {
        std::vector<std::string> out;
        for (const auto& item : in_.list(at))
            if (auto name = in_.name(item); !name.empty()) {
                if (std::find(out.begin(), out.end(), name) != out.end())
                    in_.fault(item, name, "is there twice", "each name once");
                else
                    out.push_back(std::move(name));
            }
        return out;
    }

    yaml::reader in_;
};

}  // namespace

bool parsed_fabric::ok() const {
    return std::none_of(diagnostics.begin(), diagnostics.end(),
                        [](const auto& d) { return d.severity == severity::error; });
}

std::string with_place(const fabric& f, const std::string& path) {
    const auto at = f.places.by_path.find(path);
    if (at == f.places.by_path.end() || at->second.line <= 0) return path;
    return f.file + ":" + std::to_string(at->second.line) + ":" + std::to_string(at->second.column) + ": " + path;
}

parsed_fabric parse_fabric(std::string_view text, const std::string& file) {
    parsed_fabric out;
    const auto tree = yaml::parse(text, file, out.diagnostics);
    // A text that is no YAML leaves no tree; an empty one would only add that it has no keys.
    if (out.ok() || tree.kind == yaml::node::kind::map) {
        out.fabric = assembler(file, out.diagnostics).build({&tree, {}});
        out.fabric.places = yaml::places_of(tree);
    }
    std::stable_sort(out.diagnostics.begin(), out.diagnostics.end(), [](const auto& a, const auto& b) {
        return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
    out.fabric.file = file;
    return out;
}

}  // namespace weft
