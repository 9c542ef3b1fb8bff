// SPDX-License-Identifier: Apache-2.0
// The kernel's connection tracking in one namespace over ctnetlink: read the entries, delete those that fit a filter.
// What is deleted is tracked anew at its next packet, by the rules of then. May include: core.
#pragma once

#include <optional>
#include <span>

#include "weft/core/address.hpp"
#include "weft/netlink/namespaces.hpp"

namespace weft::netlink {

// One entry. Its answers come from `reply_source` to `reply_destination`, which translation makes differ from the
// reverse of the original way. Ports are those of the original way, 0 where the protocol has none.
struct connection {
    ip_address original_source, original_destination, reply_source, reply_destination;
    std::uint8_t protocol = 0;
    std::uint16_t source_port = 0, destination_port = 0;
    std::uint16_t zone = 0;
    friend bool operator==(const connection&, const connection&) = default;
};

// Every field that stands must fit; an empty filter fits everything.
struct connection_filter {
    std::optional<ip_prefix> original_source, original_destination, reply_source, reply_destination;
    std::optional<std::uint8_t> protocol;
    std::optional<std::uint16_t> destination_port;
    std::optional<std::uint16_t> zone;
    bool fits(const connection&) const;
};

// Equivalent to: conntrack -L. Errors: unsupported where the kernel has no ctnetlink.
result<std::vector<connection>> connections(const namespace_handle&);
// Deletes what fits any of the filters, however many there are, over one reading of the table; one that ends meanwhile
// is no error. Gives the number deleted. Equivalent to: conntrack -D with -s, -d, -r, -q, -p, --dport and -w.
result<std::size_t> delete_connections(const namespace_handle&, std::span<const connection_filter>);

}  // namespace weft::netlink
