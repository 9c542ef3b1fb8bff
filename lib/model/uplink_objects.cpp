// SPDX-License-Identifier: Apache-2.0
// See the header. Numbers are those of linux/rtnetlink.h. Pure.
#include "model/uplink_objects.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft {
namespace {

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
    // A gateway must be reachable on its device when its route is made: what has none comes first.
    std::stable_partition(out.routes.begin(), out.routes.end(), [](const route& r) {
        return std::none_of(r.nexthops.begin(), r.nexthops.end(), [](const auto& hop) { return hop.gateway.has_value(); });
    });
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
