// SPDX-License-Identifier: Apache-2.0
// Telling a segment at which MAC an address is, without being asked, so that whoever remembers another one learns at
// once. May include: core, netlink.
#pragma once

#include <span>

#include "weft/core/address.hpp"
#include "weft/netlink/namespaces.hpp"

namespace weft::probe {

struct announcement {
    const netlink::namespace_handle* from = nullptr;  // must outlive the call
    std::string device;
    ip_address address;  // IPv4; others are passed over
};

// Three rounds for all of them together, 50 ms apart, each as a request and as an answer, as some hosts listen to one
// of the two only. An announcement whose device is not there ends nothing: the first such error is given after all
// others went out. Equivalent to: arping -c 3 -U and -A -I DEVICE ADDRESS.
result<void> announce(std::span<const announcement>);

}  // namespace weft::probe
