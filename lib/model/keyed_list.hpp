// SPDX-License-Identifier: Apache-2.0
// A list of objects that changes while it is looked up, each look-up in constant time: objects are told apart by object_key, and keep
// the place that they came to. For a list that stays as it is there is index.hpp. Cannot fail; private to model. May include: core, model.
#pragma once

#include "model/index.hpp"
#include "weft/model/host_state.hpp"

#include <optional>
#include <tuple>

namespace weft {

// By what an object is the same before and after a change; what is never changed in place is told by all of its values.
inline auto object_key(const link& o) { return o.name; }
inline auto object_key(const address_entry& o) { return std::tuple(o.device, o.address); }
inline auto object_key(const route& o) { return std::tuple(o.destination, o.table, o.metric); }
inline auto object_key(const nft::table& o) { return std::tuple(o.family, o.name); }
inline auto object_key(const ovs::port_row& o) { return o.name; }
inline auto object_key(const ovs::flow& o) { return std::tuple(o.table, o.priority, o.match); }
inline auto object_key(const service& o) { return o.name; }
inline auto object_key(const nexthop_object& o) { return o; }
inline auto object_key(const rule& o) { return o; }
inline auto object_key(const neighbour& o) { return o; }

template <class T> class keyed_list {
public:
    keyed_list() = default;
    explicit keyed_list(const std::vector<T>& all) {
        for (const auto& one : all) put(one);
    }
    T* find(const T& like) {
        const auto at = at_.find(object_key(like));
        return at == at_.end() ? nullptr : &*slots_[at->second];
    }
    void put(const T& one) {
        const auto [at, fresh] = at_.emplace(object_key(one), slots_.size());
        if (fresh) slots_.emplace_back(one);
        else slots_[at->second] = one;
    }
    void drop(const T& like) {
        if (const auto at = at_.find(object_key(like)); at != at_.end()) {
            slots_[at->second].reset();
            at_.erase(at);
        }
    }
    std::vector<T> list() const {
        std::vector<T> all;
        for (const auto& slot : slots_)
            if (slot) all.push_back(*slot);
        return all;
    }

private:
    using key_type = decltype(object_key(std::declval<const T&>()));
    std::vector<std::optional<T>> slots_;  // empty ones are of what was dropped
    std::unordered_map<key_type, std::size_t, boost::hash<key_type>> at_;
};

}  // namespace weft
