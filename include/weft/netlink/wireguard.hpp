// SPDX-License-Identifier: Apache-2.0
// WireGuard devices: what they are configured as, and bringing them to something else, peer by peer. The kernel's by generic netlink in
// the device's namespace; those of a userspace wireguard-go by its socket /run/wireguard/NAME.sock. Keys are read from their files when
// they are written to a device, into memory that is locked, kept out of core dumps, and wiped. May include: core, model.
#pragma once

#include "weft/model/link.hpp"
#include "weft/netlink/namespaces.hpp"

#include <optional>

namespace weft::netlink {

// Whether the kernel has WireGuard; asking loads its module where there is one.
result<bool> kernel_has_wireguard(const namespace_handle&);

// Equivalent to: wg show NAME dump. Without key files; what it has of secrets is told as public key and fingerprints only.
// Errors: not_found, unsupported (the kernel has no WireGuard), permission_denied.
result<wireguard_options> read_wireguard(const namespace_handle&, const std::string& name);
// The same of a wireguard-go; nothing where none serves a device of this name.
result<std::optional<wireguard_options>> read_wireguard_go(const std::string& name);

// Equivalent to: wg set NAME …, with what differs only: an unchanged peer is not named, so that its session goes on; a peer that went
// is cut off at once. Nothing is sent where nothing differs. Errors: invalid_input, not_found (a key file; nothing was written), the kernel's.
result<void> change_wireguard(const namespace_handle&, const std::string& name, const wireguard_options& before, const wireguard_options& after);

}  // namespace weft::netlink
