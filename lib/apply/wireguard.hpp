// SPDX-License-Identifier: Apache-2.0
// What observing and executing need for WireGuard links: a wireguard-go is part of its link, not a service of its own. Private to apply.
// May include: core, model, netlink, services.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/host_state.hpp"
#include "weft/netlink/namespaces.hpp"

namespace weft::apply {

inline constexpr const char* wireguard_go_kind = "wireguard-go";
std::string wireguard_go_name(const std::string& device);

// Fills in the options of the WireGuard links among those seen; a device that a wireguard-go of `ours` serves is a WireGuard link of ours.
// Key files are those of `wanted`, where the keys are the same.
result<void> read_wireguard_links(const netlink::namespace_handle&, namespace_state& seen, const namespace_state& wanted, const std::vector<service>& ours);
// Takes the wireguard-go out of the seen services and of `known`, but for those whose link is neither there nor wanted: they go.
void leave_out_wireguard(host_state& seen, std::vector<service>& known, const host_state& wanted);
// What compile must know of a gateway's host: whether its kernel has WireGuard, and the public halves of the keys. Errors name the file,
// and where in the fabric file it is named.
result<void> read_vpn_facts(const netlink::namespace_handle&, const fabric&, const std::string& node_name, host_facts& out);

}  // namespace weft::apply
