// SPDX-License-Identifier: Apache-2.0
// The release of Open vSwitch that runs, and what is known to be wrong with it. A distribution mends faults without a new
// number (Debian 12: 3.1.0-2+deb12u1), so that only a release which no distribution mends any more is refused; the others'
// faults are told, and docs/security.md says what weft's flows have to do with each. May include: core.
#pragma once

#include "weft/core/error.hpp"

#include <string>
#include <vector>

namespace weft::ovs {

// "3.1.0", as the ovs-vswitchd of this run directory says itself; ovs_version of the database is only what a start script once
// wrote there. Errors: unavailable, timed_out, protocol_error.
result<std::string> vswitchd_version(const std::string& rundir);

// CVEs of the release as it was published, oldest first; none for text that is no version.
std::vector<std::string> known_faults(const std::string& version);

// Fails with `unavailable` for a release that weft does not work with: before 2.11 a refused bundle could end the switch
// (CVE-2018-17205), and that is how weft writes flows.
result<void> check_version(const std::string& version);

}  // namespace weft::ovs
