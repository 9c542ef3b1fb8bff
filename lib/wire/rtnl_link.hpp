// SPDX-License-Identifier: Apache-2.0
// Links to and from rtnetlink messages (RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK). Pure functions: names of other links come
// through resolvers. May include: core, model. A name that cannot be resolved is the caller's to check before.
#pragma once

#include "weft/model/link.hpp"
#include "wire/rtnl_message.hpp"

namespace weft::wire {

// A link as the kernel tells it, with numbers where `link` has names.
struct raw_link {
    link value;                    // master, device and veth's peer are not filled yet
    std::uint32_t master_index = 0;
    bool has_peer_namespace = false;
    std::string kind;              // IFLA_INFO_KIND
    std::string slave_kind;        // IFLA_INFO_SLAVE_KIND: the kind of the master
};

// The names that must be resolved before link_create (master, lower device).
std::vector<std::string> names_in_create(const link&);

// One message that makes the link. `peer_namespace_fd` is that of veth_options::peer_namespace, -1 for none.
message link_create(const link&, const index_of&, int peer_namespace_fd);
// What the kernel ignores or refuses on create: alias, and up after master or peer exist. nullopt: nothing is left.
std::optional<message> link_follow_up(const link&);
// Brings `seen` to the set fields of `wanted`. By name, as a number may have gone to another link since it was looked up.
message link_change(const link& wanted, const raw_link& seen, const index_of&);
// All that a tun device, which is made by ioctl, still needs; addressed by name.
message link_settings_by_name(const link& wanted, const index_of&);
message link_delete(const std::string& name);
message link_get(const std::string& name);
message link_get(std::uint32_t index);
message link_dump();

std::optional<raw_link> decode_link(const nlmsghdr*);
// Fills master, device and peer from the numbers.
void resolve_names(raw_link&, const name_of&);

}  // namespace weft::wire
