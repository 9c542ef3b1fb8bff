// SPDX-License-Identifier: Apache-2.0
// Effects of addresses that come or go, and of rules of address translation that are not the same before and after.
// Pure.
#include "model/effects.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "model/nft_constants.hpp"

namespace weft {
namespace {

namespace k = nft::constants;

std::optional<std::uint64_t> number(const nft::expression& e, std::uint16_t key) {
    for (const auto& [at, value] : e.numbers)
        if (at == key) return value;
    return std::nullopt;
}

std::optional<ip_address> address(const nft::expression& e, std::uint16_t key) {
    for (const auto& [at, bytes] : e.data)
        if (at == key && bytes.size() == 4)
            return ip_address(boost::asio::ip::address_v4({bytes[0], bytes[1], bytes[2], bytes[3]}));
    return std::nullopt;
}

// The address that a rule of translation makes stand for one other: what a dnat is for, or what a snat of a single
// source gives.
std::optional<ip_address> stands_for_one(const nft::rule& r) {
    std::optional<ip_address> source, destination, given;
    std::optional<std::uint64_t> loaded;  // offset of the address field in the register
    for (const auto& e : r.expressions) {
        if (e.name == "payload" && number(e, k::payload_base) == k::network_header && number(e, k::payload_len) == 4U) {
            loaded = number(e, k::payload_offset);
            continue;
        }
        if (e.name == "cmp" && loaded && number(e, k::cmp_op) == k::cmp_eq) {
            if (*loaded == k::ipv4_source_offset) source = address(e, k::cmp_data);
            if (*loaded == k::ipv4_destination_offset) destination = address(e, k::cmp_data);
        }
        if (e.name == "immediate") given = address(e, k::immediate_data);
        if (e.name == "nat") return number(e, k::nat_type) == k::nat_dnat ? destination : source ? given : std::nullopt;
        loaded.reset();  // a mask came between: it is a subnet's
    }
    return std::nullopt;
}

using translations = std::map<ip_address, std::vector<nft::rule>>;

translations translations_of(const std::optional<state_object>& o) {
    translations all;
    const auto* table = o ? std::get_if<nft::table>(&*o) : nullptr;
    if (table == nullptr) return all;
    for (const auto& chain : table->chains)
        for (const auto& rule : chain.rules)
            if (chain.type == "nat")
                if (const auto outside = stands_for_one(rule)) all[*outside].push_back(rule);
    return all;
}

std::set<ip_address> changed_translations(const step& s) {
    const auto before = translations_of(s.before), after = translations_of(s.after);
    std::set<ip_address> changed;
    for (const auto& [one, other] : {std::pair(&before, &after), std::pair(&after, &before)})
        for (const auto& [outside, rules] : *one)
            if (const auto at = other->find(outside); at == other->end() || at->second != rules)
                changed.insert(outside);
    return changed;
}

}  // namespace

std::vector<step_effects> effects_of(const std::vector<step>& steps) {
    std::set<std::string> fresh, gone;
    for (const auto& s : steps)
        for (const auto& [side, names] : {std::pair(&s.after, &fresh), std::pair(&s.before, &gone)})
            if (*side)
                if (const auto* n = std::get_if<namespace_object>(&**side)) names->insert(n->name);
    // In the host's own namespace connections go on; what moved to another device is announced there.
    std::map<ip_address, std::set<std::string>> left;
    for (const auto& s : steps)
        if (const auto* a = s.before && !s.after ? std::get_if<address_entry>(&*s.before) : nullptr; a && s.scope.empty())
            left[a->address.address].insert(a->device);
    std::map<std::string, std::set<ip_address>> forget;
    std::map<std::string, std::vector<address_entry>> announce;
    for (const auto& s : steps) {
        const auto* old_address = s.before ? std::get_if<address_entry>(&*s.before) : nullptr;
        const auto* new_address = s.after ? std::get_if<address_entry>(&*s.after) : nullptr;
        const bool table = std::holds_alternative<nft::table>(s.after ? *s.after : *s.before);
        // With a namespace goes what it tracked, and a new one has tracked nothing.
        if (s.scope.empty() && new_address && new_address->address.address.is_v4() && left.contains(new_address->address.address) &&
            !left.at(new_address->address.address).contains(new_address->device))
            announce[s.scope].push_back(*new_address);
        if (s.scope.empty() || gone.contains(s.scope) || (!old_address && !new_address && !table)) continue;
        if (new_address && new_address->address.address.is_v4() && new_address->device != "lo")
            announce[s.scope].push_back(*new_address);
        if (fresh.contains(s.scope)) continue;
        auto& addresses = forget[s.scope];
        for (const auto* entry : {old_address, new_address})
            if (entry != nullptr) addresses.insert(entry->address.address);
        if (table) addresses.merge(changed_translations(s));
    }
    std::set<std::string> scopes;
    for (const auto& [scope, addresses] : forget)
        if (!addresses.empty()) scopes.insert(scope);
    for (const auto& [scope, entries] : announce) scopes.insert(scope);
    std::vector<step_effects> out;
    for (const auto& scope : scopes)
        out.push_back({scope, {forget[scope].begin(), forget[scope].end()}, announce[scope]});
    return out;
}

}  // namespace weft
