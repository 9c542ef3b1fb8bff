// SPDX-License-Identifier: Apache-2.0
// What the files of the matrix share. Private to roles. Pure. May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"

#include <vector>

namespace weft::roles {

// A row, of ICMP.
expectation matrix_row(const std::string& from, const std::string& to, const std::string& via, bool reachable, const ip_address& address,
                       std::string why, std::optional<ip_address> planted = {});

// The word of `via` without the family, and whether it is IPv6's: "fixed/ipv6" is the fixed address of IPv6.
struct via_words {
    std::string way;
    bool ipv6 = false;
    explicit via_words(const std::string& via);
};

// The rows that a lab's VPN clients add.
std::vector<expectation> vpn_expectations(const fabric&);
// The rows to and from VMs' IPv6 addresses.
std::vector<expectation> tenant_ipv6_expectations(const fabric&);
// The rows to the underlay's IPv6 addresses.
std::vector<expectation> ipv6_expectations(const fabric&);

}  // namespace weft::roles
