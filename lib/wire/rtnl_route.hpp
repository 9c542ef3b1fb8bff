// SPDX-License-Identifier: Apache-2.0
// Addresses, nexthop objects, routes, rules and neighbours to and from rtnetlink messages. Pure functions; device names come
// through resolvers. May include: core, model. Decoders give nullopt for what weft does not list (cloned routes, learnt
// neighbours, …) and for messages too short.
#pragma once

#include "weft/model/route.hpp"
#include "wire/rtnl_message.hpp"

namespace weft::wire {

enum class write { add, change, remove };

message encode(const address_entry&, write, const index_of&);
message encode(const nexthop_object&, write, const index_of&);
message encode(const route&, write, const index_of&);
message encode(const rule&, write, const index_of&);
message encode(const neighbour&, write, const index_of&);

// The device names that the encoder asks for.
std::vector<std::string> names_in(const address_entry&);
std::vector<std::string> names_in(const nexthop_object&);
std::vector<std::string> names_in(const route&);
std::vector<std::string> names_in(const rule&);
std::vector<std::string> names_in(const neighbour&);

message address_dump();
message nexthop_dump();
message route_dump(std::uint8_t family);
message rule_dump(std::uint8_t family);
message neighbour_dump(std::uint8_t family, bool proxies);  // AF_BRIDGE: the FDB

std::optional<address_entry> decode_address(const nlmsghdr*, const name_of&);
std::optional<nexthop_object> decode_nexthop(const nlmsghdr*, const name_of&);
std::optional<route> decode_route(const nlmsghdr*, const name_of&);
std::optional<rule> decode_rule(const nlmsghdr*);
std::optional<neighbour> decode_neighbour(const nlmsghdr*, const name_of&);

}  // namespace weft::wire
