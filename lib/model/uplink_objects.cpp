// SPDX-License-Identifier: Apache-2.0
// See the header. Numbers are those of linux/rtnetlink.h. Pure.
#include "model/uplink_objects.hpp"

#include "weft/model/json.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft {
namespace {

constexpr std::uint32_t secondary = 0x01;  // IFA_F_SECONDARY
constexpr std::uint8_t protocol_redirect = 1, protocol_kernel = 2, protocol_ra = 9;

// A kernel older than IFA_PROTO does not say that it made a link-local address; it makes it from the MAC.
bool made_from_mac(const address_entry& a, const std::optional<mac_address>& mac) {
    if (!a.address.is_v6() || !a.address.address.to_v6().is_link_local() || !mac) return false;
    const auto b = a.address.address.to_v6().to_bytes();
    const auto& m = mac->bytes;
    return b[8] == (m[0] ^ 2) && b[9] == m[1] && b[10] == m[2] && b[11] == 0xff && b[12] == 0xfe && b[13] == m[3] && b[14] == m[4] &&
           b[15] == m[5];
}

// Whether the kernel makes the route with an address of the device, and takes it away with it. Some programs make such routes themselves,
// under the kernel's protocol number, for addresses that come without.
bool comes_with_address(const route& r, const std::vector<address_entry>& addresses, const std::string& device) {
    if (r.protocol != protocol_kernel) return false;
    if (r.destination.is_v6() && (r.destination.address.to_v6().is_link_local() || r.destination.address.is_multicast())) return true;
    constexpr std::uint32_t no_prefix_route = 0x200;  // IFA_F_NOPREFIXROUTE
    return std::any_of(addresses.begin(), addresses.end(), [&](const address_entry& a) {
        if (a.device != device || (a.flags & no_prefix_route) != 0) return false;
        return ip_prefix{a.peer.value_or(a.address.address), a.address.length}.network() == r.destination ||
               (a.address.length == (a.address.is_v6() ? 128 : 32) && r.destination.address == a.address.address);
    });
}

bool through(const route& r, const std::string& device) {
    return std::any_of(r.nexthops.begin(), r.nexthops.end(), [&](const auto& hop) { return hop.device == device; });
}

std::string hex(const std::vector<std::uint8_t>& bytes) {
    std::string out;
    for (const auto b : bytes) out += fmt::format("{:02x}", b);
    return out;
}

// A gateway must be reachable on its device when its route is made: what has none comes first.
void reachable_first(std::vector<route>& routes) {
    std::stable_partition(routes.begin(), routes.end(), [](const route& r) {
        return std::none_of(r.nexthops.begin(), r.nexthops.end(), [](const auto& hop) { return hop.gateway.has_value(); });
    });
}

// A state with nothing but this object.
template <class T> std::string alone(std::vector<T> namespace_state::*list, const T& one) {
    host_state only;
    (only.namespaces.emplace_back().*list).push_back(one);
    return to_json(only);
}

void rename(std::string& name, const std::string& from, const std::string& to) {
    if (name == from) name = to;
}

}  // namespace

held_objects held_by(const namespace_state& space, const std::string& device) {
    held_objects out;
    std::optional<mac_address> mac;
    for (const auto& l : space.links)
        if (l.name == device) mac = l.mac;
    for (const auto& a : space.addresses)
        if (a.device == device && !a.passing && !made_from_mac(a, mac)) out.addresses.push_back(a);
    for (const auto& n : space.nexthops)
        if (n.group.empty() && n.hop.device == device) out.nexthops.push_back(n);
    for (const auto& r : space.routes) {
        const bool passing = r.passing || r.protocol == protocol_redirect || (r.destination.is_v6() && r.protocol == protocol_ra);
        if (through(r, device) && !passing && !comes_with_address(r, space.addresses, device)) out.routes.push_back(r);
    }
    reachable_first(out.routes);
    for (const auto& r : space.rules)
        if (r.input_device == device || r.output_device == device) out.rules.push_back(r);
    for (const auto& n : space.neighbours)
        if (n.device == device && !n.fdb) out.neighbours.push_back(n);
    return out;
}

address_entry on_device(address_entry a, const std::string& from, const std::string& to) {
    a.device = to;
    constexpr std::size_t longest = 15;
    if (a.label.starts_with(from + ":") && to.size() + a.label.size() - from.size() <= longest) a.label.replace(0, from.size(), to);
    return a;
}
nexthop_object on_device(nexthop_object n, const std::string& from, const std::string& to) {
    rename(n.hop.device, from, to);
    return n;
}
route on_device(route r, const std::string& from, const std::string& to) {
    for (auto& hop : r.nexthops) rename(hop.device, from, to);
    return r;
}
rule on_device(rule r, const std::string& from, const std::string& to) {
    rename(r.input_device, from, to);
    rename(r.output_device, from, to);
    return r;
}
neighbour on_device(neighbour n, const std::string& from, const std::string& to) {
    rename(n.device, from, to);
    return n;
}

std::string kept_text(const address_entry& a) { return alone(&namespace_state::addresses, a); }
std::string kept_text(const nexthop_object& n) { return alone(&namespace_state::nexthops, n); }
std::string kept_text(const route& r) { return alone(&namespace_state::routes, r); }
std::string kept_text(const rule& r) { return alone(&namespace_state::rules, r); }
std::string kept_text(const neighbour& n) { return alone(&namespace_state::neighbours, n); }

held_objects from_kept(const std::vector<std::string>& texts) {
    held_objects out;
    const auto add = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    for (const auto& text : texts) {
        const auto kept = host_state_from_json(text);
        if (!kept) continue;
        for (const auto& space : kept->namespaces) {
            add(out.addresses, space.addresses);
            add(out.nexthops, space.nexthops);
            add(out.routes, space.routes);
            add(out.rules, space.rules);
            add(out.neighbours, space.neighbours);
        }
    }
    // The first address of a subnet is its primary one.
    std::stable_partition(out.addresses.begin(), out.addresses.end(), [](const address_entry& a) { return (a.flags & secondary) == 0; });
    reachable_first(out.routes);
    return out;
}

held_objects lost_with(const std::string& bridge, const std::string& nic, const namespace_state& root, const std::set<moved_object>& moved) {
    if (std::any_of(root.links.begin(), root.links.end(), [&](const auto& l) { return l.name == bridge; })) return {};
    const auto on_nic = held_by(root, nic).addresses;
    if (std::any_of(on_nic.begin(), on_nic.end(), [](const auto& a) { return a.protocol != weft_protocol; })) return {};
    std::vector<std::string> kept;
    for (const auto& m : moved)
        if (m.nic == nic && m.bridge == bridge) kept.push_back(m.was);
    return from_kept(kept);
}

std::string identity(const address_entry& a, const std::string&) { return "address " + a.address.to_string(); }
std::string identity(const nexthop_object& n, const std::string&) { return "nexthop " + std::to_string(n.id); }
std::string identity(const route& r, const std::string&) {
    return fmt::format("route {} table {} metric {} tos {}", r.destination.to_string(), r.table, r.metric, r.tos);
}
std::string identity(const rule& given, const std::string& device) {
    const auto r = on_device(given, device, "@");
    const auto prefix = [](const std::optional<ip_prefix>& p) { return p ? p->to_string() : std::string("all"); };
    auto text = fmt::format("rule {} priority {} from {} to {} iif {} oif {} mark {}/{} table {} action {} suppress {} invert {} tos {} {}",
                       r.v6 ? "v6" : "v4", r.priority, prefix(r.from), prefix(r.to), r.input_device, r.output_device, r.fwmark.value_or(0),
                       r.fwmask.value_or(0), r.table, r.action, r.suppress_prefix_length.value_or(-1), r.invert ? 1 : 0, r.tos, hex(r.rest));
    std::replace_if(text.begin(), text.end(), [](char c) { return c == '=' || c == '|'; }, '_');  // of another device's name
    return text;
}
std::string identity(const neighbour& n, const std::string&) {
    return fmt::format("neighbour {} {}", n.address.to_string(), n.flags);
}

}  // namespace weft
