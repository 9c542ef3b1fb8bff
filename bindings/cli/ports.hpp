// SPDX-License-Identifier: Apache-2.0
// What whoever starts a node's guests must know of their ports: ids, MACs, addresses, devices. Pure. May include: weft
// headers and Boost.JSON.
#pragma once

#include <boost/json/array.hpp>

#include "weft/model/fabric.hpp"

namespace weft::cli {

// One object per port of the node: "port", "id", "mac", "address", "network", "mtu", "attach", "tap", "device".
// "tap" is the name that weft and Nova give; "device" the one that carries the port now, "" if there is none.
boost::json::array ports_json(const fabric&, const std::string& node, const host_facts&);
std::string ports_text(const boost::json::array&);

}  // namespace weft::cli
