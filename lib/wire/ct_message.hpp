// SPDX-License-Identifier: Apache-2.0
// The bytes of ctnetlink: asking for all entries, reading one, and deleting the very entry that was read. No socket.
// May include: core, std. Reading gives nothing for a message that is cut short.
#pragma once

#include "wire/rtnl_message.hpp"

namespace weft::wire {

struct ct_tuple {
    ip_address source, destination;
    std::uint8_t protocol = 0;
    std::uint16_t source_port = 0, destination_port = 0;  // 0 where the protocol has none
};

struct ct_entry {
    ct_tuple original, reply;
    std::uint16_t zone = 0;
    std::uint8_t family = 0;
    std::vector<std::uint8_t> key;    // the original tuple as the kernel wrote it
    std::optional<std::uint32_t> id;  // in the kernel's byte order, as read
};

message ct_dump(std::uint8_t family);  // AF_UNSPEC: every family
message ct_delete(const ct_entry&);
std::optional<ct_entry> decode_ct(const nlmsghdr*);

}  // namespace weft::wire
