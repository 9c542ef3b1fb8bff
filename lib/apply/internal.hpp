// SPDX-License-Identifier: Apache-2.0
// What the files of apply share. Private to apply.
#pragma once

#include "weft/apply/apply.hpp"
#include "weft/ovs/flows.hpp"

namespace weft::apply {

ovs::port_numbers numbers_of(const std::vector<ovs::bridge_row>&, const std::string& bridge);
bool has_database(const place&);
// The part of observe() for which nothing is asked of Open vSwitch: the kernel, and weft's services.
result<host_state> observe_kernel(const place&, const host_state& wanted);
// What the files that weft keeps of a host end in: "" for the machine's own, ".NAME" for a named namespace.
inline std::string suffix_of(const place& where) { return where.netns.empty() ? "" : "." + where.netns; }

// What tells one failure from the next for whoever tells each once: its words, but of a change that waits not how long.
inline std::string reason(const error& e) { return e.code == errc::busy ? e.operation + " " + e.object : e.message(); }

}  // namespace weft::apply
