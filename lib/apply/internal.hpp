// SPDX-License-Identifier: Apache-2.0
// What the files of apply share. Private to apply.
#pragma once

#include "weft/apply/apply.hpp"
#include "weft/ovs/flows.hpp"

namespace weft::apply {

ovs::port_numbers numbers_of(const std::vector<ovs::bridge_row>&, const std::string& bridge);
bool has_database(const place&);

}  // namespace weft::apply
