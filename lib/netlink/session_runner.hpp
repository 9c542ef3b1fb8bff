// SPDX-License-Identifier: Apache-2.0
// The state machine behind session::run and session::async_run. It never touches the netlink socket: output() gives the bytes
// of the next sendmsg, input() takes a datagram, so both drivers behave alike. Name lookups ride in the same batches as the
// changes. (The ioctls for tun devices and features, which have no asynchronous form, are made inside output().)
// May include: core, model, wire. Failures become the result of their change.
#pragma once

#include "netlink/features.hpp"
#include "netlink/socket.hpp"
#include "weft/netlink/session.hpp"
#include "wire/rtnl_link.hpp"
#include "wire/rtnl_route.hpp"

#include <deque>
#include <map>
#include <set>

namespace weft::netlink {

class runner {
public:
    runner(const namespace_handle&, feature_control&, std::uint32_t& sequence, std::span<const change> changes);

    // What to send next; empty while answers are awaited, and when done().
    std::vector<std::uint8_t> output();
    void input(wire::byte_span datagram);
    // The transport failed after sending: what has no answer yet is outcome_unknown, nothing more is sent.
    void fail(const std::string& detail);
    bool done() const { return done_; }
    std::vector<result<void>> take_results();

private:
    struct request {
        enum { write, lookup } kind;
        std::size_t change;       // of a write
        std::string name;         // of a lookup
        wire::message bytes;
        bool follow_up = false;
        bool answered = false;
    };
    enum class planned { queued, needs_names, needs_empty_batch, settled };

    planned plan(std::size_t i, bool batch_empty);
    result<void> fault_once(std::size_t i);
    planned plan_link(std::size_t i, const link&, bool batch_empty);
    bool resolve(std::size_t i, const std::vector<std::string>& names, bool& missing);
    void queue(std::size_t i, wire::message, bool follow_up = false);
    void queue_lookups(std::size_t from);
    void settle(std::size_t i, result<void>);
    void fail_change(std::size_t i, error);
    void finish_batch();
    void acknowledged(request&, const nlmsghdr*);
    std::string object_of(std::size_t i) const;
    wire::index_of index() const;

    const namespace_handle& ns_;
    feature_control& features_;
    std::uint32_t& sequence_;
    std::span<const change> changes_;
    std::vector<result<void>> results_;
    std::size_t next_ = 0;
    std::size_t faults_passed_ = 0;                 // changes that have met fault::point
    std::optional<std::size_t> looked_up_for_;      // names of this change have been asked for
    std::map<std::string, wire::raw_link> links_;   // what this run has looked up; dropped when it changes
    std::vector<request> batch_;
    std::uint32_t batch_start_ = 0;                 // sequence number of batch_[0]
    std::size_t answered_ = 0;
    std::map<std::size_t, wire::message> pending_follow_ups_;       // by change, until its creation is acknowledged
    std::deque<std::pair<std::size_t, wire::message>> follow_ups_;  // of changes whose first message succeeded
    std::vector<namespace_handle> peers_;           // open until the batch that names them is answered
    std::set<std::size_t> with_features_;           // changes whose features are still to be set
    bool stopped_ = false;
    std::string failure_;  // of the transport: why nothing more is sent
    bool done_ = false;
};

// What the change is called in errors: "create link", "eth0".
std::string operation_name(const change&);
std::string object_name(const object&);

void count_write();

}  // namespace weft::netlink
