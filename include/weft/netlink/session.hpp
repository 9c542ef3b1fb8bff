// SPDX-License-Identifier: Apache-2.0
// A request session with rtnetlink in one namespace: list, add, change and remove links, addresses, nexthop objects, routes,
// rules and neighbours. The socket is opened in the namespace once and used from anywhere; a session is for one thread at a
// time. Requests are matched by sequence number, acknowledged always, and fail with the kernel's extended-ack text.
// An ENOBUFS on the request socket means that the outcome is unknown: read back. Torn dumps (NLM_F_DUMP_INTR) are repeated a
// bounded number of times, then reported as events_lost. May include: core, model, Asio.
#pragma once

#include "weft/model/host_state.hpp"
#include "weft/netlink/namespaces.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <memory>
#include <span>
#include <variant>

namespace weft::netlink {

using object = std::variant<link, address_entry, nexthop_object, route, rule, neighbour>;
enum class verb {
    add,      // must be new: NLM_F_CREATE|NLM_F_EXCL
    change,   // exists: what is set in the object is brought to it (links: mac, mtu, master, up, alias, group, features)
    remove,   // deleting the absent succeeds
};
struct change {
    netlink::verb verb;
    netlink::object object;
};

class session {
public:
    static result<session> open(const namespace_handle&);
    session(session&&) noexcept;
    session& operator=(session&&) noexcept;
    ~session();

    // Dumps. Links carry features only if asked for by with_features (one ioctl more per link).
    result<std::vector<link>> links(bool with_features = false);
    result<link> get_link(const std::string& name);
    result<std::vector<address_entry>> addresses();
    result<std::vector<nexthop_object>> nexthops();
    result<std::vector<route>> routes();   // all tables but local (255), both families, without cloned and kernel-cached ones
    result<std::vector<rule>> rules();
    result<std::vector<neighbour>> neighbours();  // permanent and proxy entries, and FDB entries that are static

    // The number by which the kernel calls another namespace in this one (link::peer_namespace_id); assigned if there is none.
    result<std::int32_t> namespace_id(const namespace_handle& other);

    // Runs the changes in order, many messages per sendmsg; one result per change. The kernel goes on after an error, as a
    // rtnetlink batch is no transaction: with stop_at_error (the default) nothing after a failed change is sent, as far as
    // one sendmsg boundary allows; changes not sent give errc::interrupted-like outcome_unknown with detail "not sent".
    std::vector<result<void>> run(std::span<const change> changes);
    result<void> run_one(const change&);

    // The same on an executor; the handler is called on it exactly once. The session must outlive the call.
    void async_run(boost::asio::any_io_executor, std::vector<change> changes,
                   std::function<void(std::vector<result<void>>)> handler);

    // How many state-changing requests this process has sent so far, in all sessions (for tests and "nothing to do").
    static std::uint64_t writes() noexcept;

private:
    struct impl;
    explicit session(std::unique_ptr<impl>);
    std::unique_ptr<impl> impl_;
};

}  // namespace weft::netlink
