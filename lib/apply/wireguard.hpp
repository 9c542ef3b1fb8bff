// SPDX-License-Identifier: Apache-2.0
// What observing and executing need for WireGuard links: a wireguard-go is part of its link, not a service of its own. Private to apply.
// May include: core, model, netlink, services.
#pragma once

#include "weft/model/fabric.hpp"
#include "weft/model/host_state.hpp"
#include "weft/netlink/namespaces.hpp"

#include <map>
#include <string>

namespace weft::apply {

inline constexpr const char* wireguard_go_kind = "wireguard-go";
std::string wireguard_go_name(const std::string& device);

// The files that the remembered fabric names for the node's gateway, by what is in them: an undo finds there what the wanted state names
// no longer. Read when first asked for. A file that cannot be read has no key.
class remembered_keys {
public:
    remembered_keys(std::string fabric, std::string node) : fabric_(std::move(fabric)), node_(std::move(node)) {}
    std::string of_public(const std::string& half);        // the file of the private key to it; "" = none
    std::string of_preshared(const std::string& fingerprint);

private:
    void read();
    std::string fabric_, node_;
    bool read_ = false;
    std::map<std::string, std::string> private_, preshared_;
};

// Fills in the options of the WireGuard links among those seen; a device that a wireguard-go of `ours` serves is a WireGuard link of ours.
// Key files are those of `wanted` where the keys are the same, else those that the fabric remembered of the node names.
result<void> read_wireguard_links(const netlink::namespace_handle&, namespace_state& seen, const namespace_state& wanted, const std::vector<service>& ours,
                                  remembered_keys&);
// Takes the wireguard-go out of the seen services and of `known`, but for those whose link is neither there nor wanted: they go.
void leave_out_wireguard(host_state& seen, std::vector<service>& known, const host_state& wanted);
// What compile must know of a gateway's host: whether its kernel has WireGuard, and the public halves of the keys. Errors name the file,
// and where in the fabric file it is named.
result<void> read_vpn_facts(const netlink::namespace_handle&, const fabric&, const std::string& node_name, host_facts& out);

}  // namespace weft::apply
