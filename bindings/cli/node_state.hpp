// SPDX-License-Identifier: Apache-2.0
// From a fabric file to the state of the node that this host is, for the verbs that look at a host. May include: weft
// headers.
#pragma once

#include "common.hpp"

namespace weft::cli {

// Reads the file, which must have the node.
fabric fabric_with_node(const options&);
// Reads this host's facts, and compiles what the node shall be.
result<host_state> compiled_here(const options&, const fabric&);

}  // namespace weft::cli
