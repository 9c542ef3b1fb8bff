// SPDX-License-Identifier: Apache-2.0
// Fills what a fabric file leaves open: tunnel ids, gateways, MTUs, router, DHCP, fixed and floating addresses of both
// families, MACs. A value in the file wins, then the lock's, then the first free one in name order; so a change to one object moves no other.
// Pure; fails with invalid_input when a range is exhausted.
#include <charconv>

#include "roles/topology.hpp"
#include "weft/roles/roles.hpp"

namespace weft::roles {
namespace {

// One pool: what is taken, and the addresses it may give.
struct pool {
    std::set<ip_address> taken;
    address_range range;
    ip_address next;  // no address before it is free, so that filling a large pool stays linear

    bool holds(const ip_address& a) const {
        return a.is_v6() == range.first.is_v6() && !(a < range.first) && !(range.last < a);
    }
    // Nothing when the pool is exhausted.
    std::optional<ip_address> take() {
        while (holds(next) && taken.count(next)) next = advance(next, 1);
        if (!holds(next)) return {};
        taken.insert(next);
        return next;
    }
};

class allocator {
public:
    allocator(const fabric& f, const lock& remembered) : remembered_(remembered) { out_.fabric = f; }

    result<allocation> run() {
        if (auto done = fill_networks(); !done) return done.error();
        for (const bool v6 : {false, true})
            if (auto done = fill_external(v6); !done) return done.error();
        if (auto done = fill_ports(); !done) return done.error();
        if (auto done = fill_ports6(); !done) return done.error();
        return std::move(out_);
    }

private:
    static error exhausted(const std::string& object, std::string detail) {
        return {errc::invalid_input, "allocate", object, std::move(detail), 0};
    }

    std::optional<std::string> remembered(const std::string& key) const {
        const auto found = remembered_.find(key);
        return found == remembered_.end() ? std::nullopt : std::optional(found->second);
    }

    // Takes the lock's address for `key` if it is still free and in the pool.
    bool restore(const std::string& key, pool& from, std::optional<ip_address>& into) {
        const auto text = remembered(key);
        if (!text) return false;
        const auto address = parse_ip(*text);
        if (!address || !from.holds(*address) || !from.taken.insert(*address).second) return false;
        into = *address;
        out_.lock[key] = *text;
        return true;
    }

    result<void> draw(const std::string& key, pool& from, std::optional<ip_address>& into, const std::string& what) {
        into = from.take();
        if (!into)
            return exhausted(key, "no free address left in " + what + " (" + from.range.first.to_string() + "-" +
                                      from.range.last.to_string() + ")");
        out_.lock[key] = into->to_string();
        return {};
    }

    result<void> fill_networks() {
        auto& f = out_.fabric;
        std::set<std::uint32_t> used;
        std::vector<std::pair<std::string, tenant_network*>> open;
        for (auto& [tenant_name, t] : f.tenants)
            for (auto& [name, network] : t.networks) {
                if (!network.gateway) network.gateway = first_host(network.cidr);
                if (network.cidr6 && !network.gateway6) network.gateway6 = first_host(*network.cidr6);
                if (!network.mtu) network.mtu = network_mtu(f, tenant_name, name);
                if (network.id)
                    used.insert(*network.id);
                else
                    open.emplace_back(network_path(tenant_name, name) + "/id", &network);
            }
        // All that the lock remembers first, so that a new network cannot take an old one's id.
        for (auto& [key, network] : open)
            if (const auto text = remembered(key)) {
                std::uint32_t id = 0;
                const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), id);
                const bool good = ec == std::errc() && end == text->data() + text->size();
                if (!good || id < f.overlay.first_id || id > f.overlay.last_id || !used.insert(id).second) continue;
                network->id = id;
                out_.lock[key] = *text;
            }
        std::uint64_t next = f.overlay.first_id;
        for (auto& [key, network] : open) {
            if (network->id) continue;
            while (next <= f.overlay.last_id && used.count(static_cast<std::uint32_t>(next))) ++next;
            if (next > f.overlay.last_id)
                return exhausted(key, "no free tunnel id left in overlay.ids (" + std::to_string(f.overlay.first_id) +
                                          "-" + std::to_string(f.overlay.last_id) + ")");
            network->id = static_cast<std::uint32_t>(next++);
            out_.lock[key] = std::to_string(*network->id);
        }
        return {};
    }

    // Router and floating addresses come from one pool per external network and family.
    result<void> fill_external(bool v6) {
        struct request {
            std::string key, external;
            std::optional<ip_address>* into;
        };
        std::vector<request> open;
        std::map<std::string, pool> pools;
        const std::string six = v6 ? "6" : "";
        for (auto& [name, network] : out_.fabric.networks)
            if (const auto& range = v6 ? network.floating6 : network.floating)
                pools[name] = {taken_addresses(out_.fabric, name), *range, range->first};
        const auto consider = [&](const std::string& key, const std::string& external, std::optional<ip_address>& into,
                                  bool wanted) {
            if (into && pools.count(external)) pools[external].taken.insert(*into);
            if (!into && wanted) open.push_back({key, external, &into});
        };
        for (auto& [tenant_name, t] : out_.fabric.tenants) {
            for (auto& [name, r] : t.routers)
                consider(router_path(tenant_name, name) + "/address" + six, r.external, v6 ? r.address6 : r.address,
                         v6 ? routes_ipv6(out_.fabric, t, r) : !r.external.empty());
            for (auto& [name, port] : t.ports)
                if (const auto* r = router_of(t, port.network))
                    consider(port_path(tenant_name, name) + "/floating" + six, r->second.external, v6 ? port.floating6 : port.floating,
                             v6 ? port.floating6_auto : port.floating_auto);
        }
        for (auto& wanted : open)
            if (const auto from = pools.find(wanted.external); from != pools.end())
                restore(wanted.key, from->second, *wanted.into);
        for (auto& wanted : open) {
            if (*wanted.into) continue;
            const auto from = pools.find(wanted.external);
            if (from == pools.end())
                return exhausted(wanted.key, "network " + wanted.external + " has no floating" + six + " range");
            if (auto done = draw(wanted.key, from->second, *wanted.into, "networks." + wanted.external + ".floating" + six);
                !done)
                return done;
        }
        return {};
    }

    result<void> fill_ports() {
        auto& f = out_.fabric;
        for (auto& [tenant_name, t] : f.tenants) {
            std::map<std::string, pool> pools;
            for (auto& [name, network] : t.networks)
                pools[name] = {
                    {*network.gateway}, {first_host(network.cidr), last_host(network.cidr)}, first_host(network.cidr)};
            for (auto& [name, port] : t.ports) {
                if (!port.mac) port.mac = object_mac(f.name, port_path(tenant_name, name));
                if (port.address && pools.count(port.network)) pools[port.network].taken.insert(*port.address);
            }
            for (const auto& [name, network] : t.networks)
                if (network.dhcp_address) pools[name].taken.insert(*network.dhcp_address);
            const auto key = [&tenant = tenant_name](const std::string& name) { return port_path(tenant, name) + "/address"; };
            for (auto& [name, port] : t.ports)
                if (const auto from = pools.find(port.network); !port.address && from != pools.end())
                    restore(key(name), from->second, port.address);
            // DHCP after all that the lock remembers, so that it moves no port of a lock older than itself; before new
            // ports, so that they do not decide where it is.
            for (auto& [name, network] : t.networks) {
                const auto path = dhcp_path(tenant_name, name);
                if (network.dhcp_address || dhcp_node(f, t, name).empty()) continue;
                if (restore(path, pools[name], network.dhcp_address)) continue;
                if (auto done = draw(path, pools[name], network.dhcp_address,
                                     "tenants." + tenant_name + ".networks." + name + ", not even for DHCP; dhcp: false does without");
                    !done)
                    return done;
            }
            for (auto& [name, port] : t.ports) {
                const auto from = pools.find(port.network);
                if (port.address) continue;
                if (from == pools.end()) return exhausted(key(name), "unknown network " + port.network);
                if (auto done = draw(key(name), from->second, port.address,
                                     "tenants." + tenant_name + ".networks." + port.network);
                    !done)
                    return done;
            }
        }
        return {};
    }

    // With SLAAC a VM's address is what it makes of its MAC; else it is drawn, in the order of fill_ports.
    result<void> fill_ports6() {
        auto& f = out_.fabric;
        for (auto& [tenant_name, t] : f.tenants) {
            std::map<std::string, pool> pools;
            for (auto& [name, network] : t.networks)
                if (network.cidr6)
                    pools[name] = {{*network.gateway6}, {first_host(*network.cidr6), last_host(*network.cidr6)}, first_host(*network.cidr6)};
            for (auto& [name, port] : t.ports) {
                const auto n = t.networks.find(port.network);
                if (n == t.networks.end() || !n->second.cidr6) continue;
                if (n->second.ipv6 == "slaac") port.address6 = eui64(*n->second.cidr6, *port.mac);
                if (port.address6) pools[port.network].taken.insert(*port.address6);
            }
            for (const auto& [name, network] : t.networks)
                if (network.dhcp_address6) pools[name].taken.insert(*network.dhcp_address6);
            const auto key = [&tenant = tenant_name](const std::string& name) { return port_path(tenant, name) + "/address6"; };
            for (auto& [name, port] : t.ports)
                if (const auto from = pools.find(port.network); !port.address6 && from != pools.end()) restore(key(name), from->second, port.address6);
            for (auto& [name, network] : t.networks) {
                if (network.dhcp_address6 || !needs_dhcp_address6(f, t, name)) continue;
                const auto path = dhcp6_path(tenant_name, name), what = "tenants." + tenant_name + ".networks." + name + ".cidr6";
                if (restore(path, pools[name], network.dhcp_address6)) continue;
                if (auto done = draw(path, pools[name], network.dhcp_address6, what); !done) return done;
            }
            for (auto& [name, port] : t.ports)
                if (const auto from = pools.find(port.network); !port.address6 && from != pools.end())
                    if (auto done = draw(key(name), from->second, port.address6, "tenants." + tenant_name + ".networks." + port.network + ".cidr6"); !done)
                        return done;
        }
        return {};
    }

    const lock& remembered_;
    allocation out_;
};

// One without anything where the port names none that is there: is_complete and lock_of are also asked about fabrics that are not valid.
const tenant_network& network_of(const tenant& t, const tenant_port& port) {
    static const tenant_network none{};
    const auto n = t.networks.find(port.network);
    return n == t.networks.end() ? none : n->second;
}

}  // namespace

result<allocation> allocate(const fabric& f, const lock& remembered) { return allocator(f, remembered).run(); }

bool is_complete(const fabric& f) {
    for (const auto& [tenant_name, t] : f.tenants) {
        for (const auto& [name, n] : t.networks)
            if (!n.id || !n.gateway || !n.mtu || (!n.dhcp_address && !dhcp_node(f, t, name).empty()) || (n.cidr6 && !n.gateway6) ||
                (!n.dhcp_address6 && needs_dhcp_address6(f, t, name)))
                return false;
        for (const auto& [name, r] : t.routers)
            if (!r.external.empty() && (!r.address || (!r.address6 && routes_ipv6(f, t, r)))) return false;
        for (const auto& [name, p] : t.ports)
            if (!p.address || !p.mac || (p.floating_auto && !p.floating) || (p.floating6_auto && !p.floating6) ||
                (network_of(t, p).cidr6 && !p.address6))
                return false;
    }
    return true;
}

lock lock_of(const fabric& complete) {
    lock out;
    for (const auto& [tenant_name, t] : complete.tenants) {
        for (const auto& [name, network] : t.networks) {
            if (network.id) out[network_path(tenant_name, name) + "/id"] = std::to_string(*network.id);
            if (network.dhcp_address) out[dhcp_path(tenant_name, name)] = network.dhcp_address->to_string();
            if (network.dhcp_address6) out[dhcp6_path(tenant_name, name)] = network.dhcp_address6->to_string();
        }
        for (const auto& [name, r] : t.routers) {
            if (r.address) out[router_path(tenant_name, name) + "/address"] = r.address->to_string();
            if (r.address6) out[router_path(tenant_name, name) + "/address6"] = r.address6->to_string();
        }
        for (const auto& [name, port] : t.ports) {
            if (port.address) out[port_path(tenant_name, name) + "/address"] = port.address->to_string();
            if (port.floating) out[port_path(tenant_name, name) + "/floating"] = port.floating->to_string();
            // What SLAAC makes of a MAC needs no memory.
            if (port.address6 && network_of(t, port).ipv6 != "slaac")
                out[port_path(tenant_name, name) + "/address6"] = port.address6->to_string();
            if (port.floating6) out[port_path(tenant_name, name) + "/floating6"] = port.floating6->to_string();
        }
    }
    return out;
}

}  // namespace weft::roles
