// SPDX-License-Identifier: Apache-2.0
// A look-up by key over a list, in constant time. It points into the list, which must outlive it and stay as it is; of
// several with one key the first is found. Keys are what boost::hash knows: texts, numbers, addresses, tuples of them
// and described values. Cannot fail. May include: core, Boost.ContainerHash.
#pragma once

#include <boost/container_hash/hash.hpp>
#include <functional>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "weft/core/address.hpp"

// Asio tells only std::hash how to hash an address.
namespace boost::asio::ip {
inline std::size_t hash_value(const address& a) { return std::hash<address>()(a); }
}  // namespace boost::asio::ip

namespace weft {

inline std::size_t hash_value(const mac_address& m) { return boost::hash_range(m.bytes.begin(), m.bytes.end()); }
inline std::size_t hash_value(const ip_prefix& p) {
    return boost::hash<std::pair<ip_address, std::uint8_t>>()({p.address, p.length});
}

// What most lists are told apart by.
struct by_name {
    template <class T>
    std::string_view operator()(const T& one) const {
        return one.name;
    }
};

template <class T, class Key = by_name>
class index {
public:
    using key_type = std::decay_t<std::invoke_result_t<Key, const T&>>;

    explicit index(const std::vector<T>& all, Key key = {}) : key_(key) {
        at_.reserve(all.size());
        for (const auto& one : all) at_.emplace(key_(one), &one);
    }
    const T* find(const key_type& key) const {
        const auto at = at_.find(key);
        return at == at_.end() ? nullptr : at->second;
    }
    // The one of the list that has the same key as `other`.
    const T* like(const T& other) const { return find(key_(other)); }

private:
    [[no_unique_address]] Key key_;
    std::unordered_map<key_type, const T*, boost::hash<key_type>> at_;
};

}  // namespace weft
