// SPDX-License-Identifier: Apache-2.0
// Short ways to say rows and change sets in the tests of this tier. May include: weft/ovs.
#pragma once

#include "weft/ovs/database.hpp"

#include <string>
#include <utility>

namespace weft::test {

inline ovs::bridge_row bridge(std::string name) {
    ovs::bridge_row b;
    b.name = std::move(name);
    b.datapath_type = "netdev";
    b.fail_mode = "secure";
    return b;
}

inline ovs::port_row port(std::string name, std::string type, ovs::string_map options = {}) {
    ovs::port_row p;
    p.name = name;
    p.interfaces.emplace_back();
    p.interfaces.back().name = std::move(name);
    p.interfaces.back().type = std::move(type);
    p.interfaces.back().options = std::move(options);
    return p;
}

inline ovs::change_set add_bridge(ovs::bridge_row b) {
    ovs::change_set c;
    c.bridges.push_back({std::nullopt, std::move(b)});
    return c;
}

inline ovs::change_set add_port(std::string bridge, ovs::port_row p) {
    ovs::change_set c;
    c.ports.push_back({std::move(bridge), std::nullopt, std::move(p)});
    return c;
}

// Without what only vswitchd knows.
inline ovs::bridge_row wanted(ovs::bridge_row b) {
    for (auto& p : b.ports) {
        for (auto& i : p.interfaces) {
            i.ofport.reset();
            i.error.clear();
        }
    }
    return b;
}

inline const ovs::port_outcome* outcome_of(const std::vector<ovs::port_outcome>& all, const std::string& name) {
    for (const auto& o : all) {
        if (o.interface == name) {
            return &o;
        }
    }
    return nullptr;
}

// "" or what went wrong: Catch2 cannot print a result.
template <class T>
std::string why(const result<T>& r) {
    return r ? "" : r.error().message();
}

}  // namespace weft::test
