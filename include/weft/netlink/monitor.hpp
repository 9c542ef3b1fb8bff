// SPDX-License-Identifier: Apache-2.0
// What changes in a namespace, as the kernel tells it: links, addresses, routes, nexthop objects, rules and neighbours.
// A socket of its own, apart from requests. When events were lost (the socket overflowed) that is an event too: dump again,
// nothing before it can be trusted to be complete. May include: core, model, Asio.
#pragma once

#include "weft/netlink/session.hpp"

#include <chrono>

namespace weft::netlink {

enum class event_kind {
    present,  // made or changed: `object` is as it is now
    removed,  // `object` as it was
    lost,     // errc::events_lost: no object
};

struct event {
    event_kind kind = event_kind::present;
    std::optional<netlink::object> object;
};

class monitor {
public:
    // `receive_buffer` bytes for the burst between two polls; 0 takes the library's default.
    static result<monitor> open(const namespace_handle&, std::size_t receive_buffer = 0);
    monitor(monitor&&) noexcept;
    monitor& operator=(monitor&&) noexcept;
    ~monitor();

    // Waits for at most `timeout`, then gives all that is there; empty is a time-out. Local-table routes are left out.
    result<std::vector<event>> poll(std::chrono::milliseconds timeout);
    // The same on an executor: the handler is called on it once, with at least one event or an error. The monitor must outlive
    // the call; cancel() ends it with an empty list.
    void async_poll(boost::asio::any_io_executor, std::function<void(result<std::vector<event>>)> handler);
    void cancel();

    int fd() const noexcept;  // readable when events wait

private:
    struct impl;
    explicit monitor(std::unique_ptr<impl>);
    std::unique_ptr<impl> impl_;
};

}  // namespace weft::netlink
