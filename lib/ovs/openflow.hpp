// SPDX-License-Identifier: Apache-2.0
// One OpenFlow connection to a bridge's management socket: greeting, sending in bulk and reading messages with a deadline.
// May include: core and the plain-C codec. Errors: unavailable (no switch), timed_out, outcome_unknown or unavailable when it
// breaks (the caller says which), protocol_error.
#pragma once

#include "ovs/flow_codec.h"
#include "ovs/unix_socket.hpp"
#include "weft/core/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weft::ovs {

// What an error message of the switch says.
std::string error_words(const std::vector<std::uint8_t>& message);

class openflow_connection {
public:
    using clock = std::chrono::steady_clock;

    static result<openflow_connection> open(const std::string& rundir, const std::string& bridge, const char* operation,
                                            clock::time_point deadline);
    std::uint8_t version() const { return version_; }
    // Queues a message; it leaves while receive() waits. Takes the message's memory. Returns its xid.
    std::uint32_t send(weft_message&);
    // The next message. Echo requests are answered and never seen here.
    result<std::vector<std::uint8_t>> receive();
    // What is there already, without waiting; nothing where no whole message is. For connections that stay, so the deadline does
    // not count. Sends what is queued as far as it goes.
    result<std::optional<std::vector<std::uint8_t>>> poll();
    int fd() const { return fd_.get(); }
    // What a broken connection means from now on.
    void set_broken(errc code) { broken_ = code; }
    error fail(errc code, std::string detail) const { return {code, operation_, object_, std::move(detail), 0}; }

private:
    openflow_connection() = default;
    result<void> wait();
    result<void> write_some();
    result<bool> read_some();  // whether there was anything
    result<std::optional<std::vector<std::uint8_t>>> taken_message();

    unique_fd fd_;
    std::string operation_, object_;
    clock::time_point deadline_;
    std::uint8_t version_ = 0;
    errc broken_ = errc::unavailable;
    std::vector<std::uint8_t> out_, in_;
    std::size_t sent_ = 0, taken_ = 0;
};

}  // namespace weft::ovs
