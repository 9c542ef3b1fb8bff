// SPDX-License-Identifier: Apache-2.0
// Implements openflow.hpp with poll(2). Reading and writing go on together, so that a switch that answers while we still send
// never blocks either side.
#include "ovs/openflow.hpp"

#include "ovs/idl_shim.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace weft::ovs {

std::string error_words(const std::vector<std::uint8_t>& message) {
    char* text = weft_error_text(message.data(), message.size());
    std::string words = text;
    std::free(text);
    return words;
}

result<openflow_connection> openflow_connection::open(const std::string& rundir, const std::string& bridge, const char* operation,
                                                      clock::time_point deadline) {
    weft_ovs_init();
    if (bridge.empty() || bridge.find('/') != std::string::npos) {
        return error{errc::invalid_input, operation, bridge, "not a bridge name", 0};
    }
    auto fd = connect_unix(rundir + "/" + bridge + ".mgmt", operation);
    if (!fd) {
        return fd.error();
    }
    openflow_connection c;
    c.fd_ = std::move(*fd);
    c.operation_ = operation;
    c.object_ = bridge;
    c.deadline_ = deadline;
    weft_message hello{};
    weft_encode_hello(&hello);
    c.send(hello);
    auto answer = c.receive();
    if (!answer) {
        return answer.error();
    }
    switch (weft_message_kind(answer->data(), answer->size())) {
    case WEFT_HELLO: c.version_ = weft_hello_version(answer->data(), answer->size()); break;
    case WEFT_ERROR: return c.fail(errc::unsupported, error_words(*answer));
    default: return c.fail(errc::protocol_error, "the switch did not greet");
    }
    if (c.version_ == 0) {
        return c.fail(errc::unsupported, "the bridge speaks neither OpenFlow 1.3 nor 1.4");
    }
    return c;
}

std::uint32_t openflow_connection::send(weft_message& m) {
    out_.insert(out_.end(), m.data, m.data + m.size);
    std::free(m.data);
    m.data = nullptr;
    return m.xid;
}

result<void> openflow_connection::wait() {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock::now()).count();
    if (left <= 0) {
        return fail(broken_ == errc::outcome_unknown ? broken_ : errc::timed_out, "the switch did not answer in time");
    }
    pollfd p{fd_.get(), static_cast<short>(POLLIN | (sent_ < out_.size() ? POLLOUT : 0)), 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::min<long long>(left, 60000)));
    if (n < 0 && errno != EINTR) {
        return errno_error(errno, operation_, object_);
    }
    if (n <= 0) {
        return {};
    }
    if (p.revents & POLLOUT) {
        if (auto ok = write_some(); !ok) {
            return ok;
        }
    }
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
        if (auto ok = read_some(); !ok) {
            return ok.error();
        }
    }
    return {};
}

result<void> openflow_connection::write_some() {
    const auto done = ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (done > 0) {
        sent_ += static_cast<std::size_t>(done);
        if (sent_ == out_.size()) {
            out_.clear();
            sent_ = 0;
        }
    } else if (errno != EAGAIN && errno != EINTR) {
        return fail(broken_, std::strerror(errno));
    }
    return {};
}

result<bool> openflow_connection::read_some() {
    std::array<std::uint8_t, 65536> chunk;
    const auto got = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (got > 0) {
        in_.insert(in_.end(), chunk.begin(), chunk.begin() + got);
        return true;
    }
    if (got == 0) {
        return fail(broken_, "the switch closed the connection");
    }
    if (errno != EAGAIN && errno != EINTR) {
        return fail(broken_, std::strerror(errno));
    }
    return false;
}

// The next whole message of those that were read. Echo requests are answered on the way.
result<std::optional<std::vector<std::uint8_t>>> openflow_connection::taken_message() {
    while (in_.size() - taken_ >= WEFT_HEADER_SIZE) {
        const auto size = weft_message_size(in_.data() + taken_);
        if (size < WEFT_HEADER_SIZE) {
            return fail(errc::protocol_error, "a message shorter than its header");
        }
        if (in_.size() - taken_ < size) {
            break;
        }
        std::vector<std::uint8_t> message(in_.begin() + static_cast<std::ptrdiff_t>(taken_),
                                          in_.begin() + static_cast<std::ptrdiff_t>(taken_ + size));
        taken_ += size;
        if (weft_message_kind(message.data(), message.size()) != WEFT_ECHO) {
            return std::optional(std::move(message));
        }
        weft_message reply{};
        weft_encode_echo_reply(message.data(), message.size(), &reply);
        send(reply);
    }
    // Only what has not been taken yet stays; this keeps the buffer at about one chunk.
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
    return std::optional<std::vector<std::uint8_t>>();
}

result<std::vector<std::uint8_t>> openflow_connection::receive() {
    for (;;) {
        auto message = taken_message();
        if (!message) {
            return message.error();
        }
        if (*message) {
            return std::move(**message);
        }
        if (auto ok = wait(); !ok) {
            return ok.error();
        }
    }
}

result<std::optional<std::vector<std::uint8_t>>> openflow_connection::poll() {
    for (;;) {
        auto message = taken_message();
        if (!message || *message) {
            return message;
        }
        if (sent_ < out_.size()) {
            if (auto ok = write_some(); !ok) {
                return ok.error();
            }
        }
        const auto more = read_some();
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return message;
        }
    }
}

}  // namespace weft::ovs
