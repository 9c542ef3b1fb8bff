// SPDX-License-Identifier: Apache-2.0
// A connection with one monitor of all tables. The switch pauses it where too much waits to be read, and says so: that
// counts as a change. May include: core and the plain-C codec.
#include "weft/ovs/flow_monitor.hpp"

#include "ovs/flow_codec.h"
#include "ovs/openflow.hpp"

namespace weft::ovs {
namespace {

constexpr const char* operation = "watch flows";
constexpr auto patience = std::chrono::seconds(5);

}  // namespace

struct flow_monitor::impl {
    openflow_connection connection;
};

flow_monitor::flow_monitor(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
flow_monitor::flow_monitor(flow_monitor&&) noexcept = default;
flow_monitor& flow_monitor::operator=(flow_monitor&&) noexcept = default;
flow_monitor::~flow_monitor() = default;

result<flow_monitor> flow_monitor::open(const std::string& rundir, const std::string& bridge) {
    auto connection =
        openflow_connection::open(rundir, bridge, operation, openflow_connection::clock::now() + patience);
    if (!connection) {
        return connection.error();
    }
    weft_message m{};
    weft_encode_flow_monitor(connection->version(), &m);
    const auto asked = connection->send(m);
    weft_encode_barrier(connection->version(), &m);
    const auto barrier = connection->send(m);
    for (;;) {
        const auto message = connection->receive();
        if (!message) {
            return message.error();
        }
        const auto kind = weft_message_kind(message->data(), message->size());
        const auto xid = weft_message_xid(message->data());
        if (kind == WEFT_ERROR && xid == asked) {
            return connection->fail(errc::unsupported, error_words(*message));
        }
        if (kind == WEFT_BARRIER && xid == barrier) {
            return flow_monitor(std::unique_ptr<impl>(new impl{std::move(*connection)}));
        }
    }
}

int flow_monitor::fd() const noexcept { return impl_->connection.fd(); }

result<bool> flow_monitor::changed() {
    for (bool concern = false;;) {
        const auto message = impl_->connection.poll();
        if (!message) {
            return message.error();
        }
        if (!*message) {
            return concern;
        }
        const auto& m = **message;
        concern = concern || weft_message_kind(m.data(), m.size()) != WEFT_FLOW_UPDATES ||
                  weft_updates_concern(m.data(), m.size(), learned_cookie);
    }
}

}  // namespace weft::ovs
