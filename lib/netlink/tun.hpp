// SPDX-License-Identifier: Apache-2.0
// Persistent tun and tap devices through /dev/net/tun, which rtnetlink cannot make. May include: core, model.
// A name that is taken fails with already_exists; nothing stays after a failure.
#pragma once

#include "weft/model/link.hpp"
#include "weft/netlink/namespaces.hpp"

namespace weft::netlink {

// The device itself with owner and group; MAC, MTU and the rest follow by rtnetlink.
result<void> create_tun(const namespace_handle&, const std::string& name, const tun_options&);
// Owner and group of a device that stands, in place: it stays the port of its switch. Fails with busy while a guest has it
// open, which holds for the owner that it was opened under.
result<void> change_tun_owner(const namespace_handle&, const std::string& name, const tun_options&);

}  // namespace weft::netlink
