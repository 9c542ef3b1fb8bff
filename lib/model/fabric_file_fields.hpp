// SPDX-License-Identifier: Apache-2.0
// The one list of the fabric file's keys: what each is called, what it takes, whether it must be there, what it is for.
// The reader (unknown and missing keys) and the JSON Schema are both driven by it. May include: std.
#pragma once

#include <span>
#include <string_view>

namespace weft::fields {

enum class kind {
    name,
    text,
    integer,
    address,
    prefix,
    range,
    mac,
    choice,
    floating,
    object,
    objects,
    list,
    names,
    addresses,
    roles,
    boolean,
    name_lists,
};

struct field;
using field_list = std::span<const field>;

struct field {
    std::string_view name;
    fields::kind kind;
    bool required = false;
    std::string_view allowed;        // a choice: "a|b"; an integer: "1-10"
    const field_list* of = nullptr;  // object: its fields; objects: those of each member; list: those of each item
    std::string_view help = {};
};

extern const field_list root, underlay, overlay, node, nic, vpn, vpn_peer, tenant, tenant_network, router, security_group,
    security_rule, tenant_port, static_route, metadata_endpoint, address_pair, expectation, check, lab, lab_router, lab_host, check_list;

inline constexpr std::string_view role_names = "controller|network|compute|vpn-gateway|hypervisor";

}  // namespace weft::fields
