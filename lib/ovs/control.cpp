// SPDX-License-Identifier: Apache-2.0
// Implements control.hpp with poll(2) and Boost.JSON; and of weft/ovs/database.hpp what asks vswitchd itself:
// vswitchd_runs() and let_vswitchd_take_frames().
#include "ovs/control.hpp"

#include "ovs/unix_socket.hpp"
#include "weft/ovs/database.hpp"

#include <boost/json.hpp>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

namespace weft::ovs {
namespace {

namespace json = boost::json;
constexpr const char* operation = "ask ovs-vswitchd";

}  // namespace

result<std::string> vswitchd_socket(const std::string& rundir) {
    std::error_code problem;
    std::optional<error> kept_out;
    for (const auto& entry : std::filesystem::directory_iterator(rundir, problem)) {
        const auto name = entry.path().filename().string();
        if (name.find("vswitchd") == std::string::npos || !name.ends_with(".ctl")) {
            continue;
        }
        // A full backlog is a daemon that is there.
        const auto connected = connect_unix(entry.path(), operation);
        if (connected || connected.error().errnum == EAGAIN) {
            return std::string(entry.path());
        }
        // That one of a dead daemon is left says nothing; that none can be asked does.
        if (connected.error().code != errc::unavailable) {
            kept_out = connected.error();
        }
    }
    if (problem && problem != std::errc::no_such_file_or_directory && problem != std::errc::not_a_directory) {
        return errno_error(problem.value(), operation, rundir);
    }
    if (kept_out) {
        return *kept_out;
    }
    return error{errc::unavailable, operation, rundir, "it does not run: no control socket ovs-vswitchd.PID.ctl answers there", 0};
}

result<void> vswitchd_runs(const std::string& rundir) {
    const auto socket = vswitchd_socket(rundir);
    return socket ? result<void>() : socket.error();
}

result<std::string> ask_vswitchd(const std::string& control_socket, const std::string& command, const std::vector<std::string>& arguments,
                                 std::chrono::milliseconds deadline) {
    const auto fail = [&](errc code, std::string words) { return error{code, operation, command, std::move(words), 0}; };
    const auto end = std::chrono::steady_clock::now() + deadline;
    const auto socket = connect_unix(control_socket, operation);
    if (!socket) {
        return socket.error();
    }
    const json::array words(arguments.begin(), arguments.end());
    const auto request = json::serialize(json::object{{"method", command}, {"params", words}, {"id", 0}});
    json::stream_parser parser;
    std::array<char, 65536> chunk;
    for (std::size_t sent = 0; !parser.done();) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        if (left <= 0) {
            return fail(errc::timed_out, "no answer in time");
        }
        pollfd p{socket->get(), static_cast<short>(sent < request.size() ? POLLOUT : POLLIN), 0};
        if (::poll(&p, 1, static_cast<int>(left)) <= 0) {
            continue;
        }
        if (sent < request.size()) {
            const auto n = ::send(socket->get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != EINTR) {
                return errno_error(errno, operation, command);
            }
            sent += n > 0 ? static_cast<std::size_t>(n) : 0;
            continue;
        }
        const auto n = ::recv(socket->get(), chunk.data(), chunk.size(), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        boost::system::error_code bad;
        if (n > 0) {
            parser.write_some(chunk.data(), static_cast<std::size_t>(n), bad);
        }
        if (n <= 0 || bad) {
            return fail(n <= 0 ? errc::unavailable : errc::protocol_error, n <= 0 ? "the connection was closed" : "no JSON: " + bad.message());
        }
    }
    const auto answer = parser.release();
    const auto* object = answer.if_object();
    const auto text = [&](const char* key) -> const json::string* {
        const auto* member = object == nullptr ? nullptr : object->if_contains(key);
        return member == nullptr ? nullptr : member->if_string();
    };
    if (const auto* words = text("error")) {
        return fail(errc::protocol_error, std::string(*words));
    }
    const auto* good = text("result");
    if (good == nullptr) {
        return fail(errc::protocol_error, "the answer has no result");
    }
    return std::string(*good);
}

void let_vswitchd_take_frames(const std::string& rundir) {
    // Its main loop answers one command a round and takes a batch of 32 frames from each port; the round that answers the first command may
    // have looked at the ports before the call.
    constexpr int rounds = 4;
    const auto socket = vswitchd_socket(rundir);
    for (int i = 0; i < rounds && socket; ++i)
        if (!ask_vswitchd(*socket, "version", {}, std::chrono::seconds(1))) return;
}

}  // namespace weft::ovs
