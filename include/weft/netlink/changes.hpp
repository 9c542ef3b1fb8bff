// SPDX-License-Identifier: Apache-2.0
// Tells that something changed in a namespace – links, addresses, routes, rules, nexthop objects, forwarding and
// rp_filter settings, nft tables of one name – and not what: for a caller who reads the state anew then, so that a lost
// event costs nothing. Neighbours are left out, as the kernel tells each step of their discovery; so are the local
// table and what the kernel caches. May include: core, model.
#pragma once

#include <array>
#include <memory>

#include "weft/netlink/namespaces.hpp"

namespace weft::netlink {

struct news {
    bool changed = false;  // also where `lost`
    bool lost = false;     // a socket overflowed: events are missing
};

class change_notices {
public:
    // `receive_buffer` bytes for the burst between two looks; 0 takes the library's default. The sockets keep the
    // namespace alive: close them as soon as its name goes. Without nftables in the kernel its changes are not told.
    static result<change_notices> open(const namespace_handle&, const std::string& nft_table = "weft",
                                       std::size_t receive_buffer = 0);
    change_notices(change_notices&&) noexcept;
    change_notices& operator=(change_notices&&) noexcept;
    ~change_notices();

    std::array<int, 2> fds() const noexcept;  // readable when events wait; -1 for one that is not had
    // All that is there now; never waits. At most some thousand events, so that a flood cannot hold the caller.
    result<news> drain();

private:
    struct impl;
    explicit change_notices(std::unique_ptr<impl>);
    std::unique_ptr<impl> impl_;
};

}  // namespace weft::netlink
