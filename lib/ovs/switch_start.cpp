// SPDX-License-Identifier: Apache-2.0
// The database file is written record by record; vswitchd is spoken to in JSON-RPC over its control socket. May
// include: core, Boost.JSON, the shim. A half-written file is the caller's to remove; a datapath that could not be
// warmed costs time only.
#include "ovs/switch_start.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "ovs/idl_shim.h"
#include "ovs/unix_socket.hpp"

namespace weft::ovs {
namespace {

std::string record(const std::string& text) {
    char digest[41];
    weft_sha1_hex(text.data(), text.size(), digest);
    return "OVSDB JSON " + std::to_string(text.size()) + " " + digest + "\n" + text;
}

using time_point = std::chrono::steady_clock::time_point;

result<std::string> command(const std::string& socket_path, const std::string& method, const std::string& argument, time_point end) {
    auto socket = connect_unix(socket_path, "run command of vswitchd");
    if (!socket) return socket.error();
    boost::json::array arguments;
    if (!argument.empty()) arguments.emplace_back(argument);
    const auto request = boost::json::serialize(boost::json::object{{"id", 0}, {"method", method}, {"params", std::move(arguments)}});
    // A hundred bytes fit an empty socket's buffer whole.
    if (::send(socket->get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return errno_error(errno, method, socket_path);
    boost::json::stream_parser parser;
    while (!parser.done()) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return error{errc::timed_out, method, argument, "vswitchd did not answer"};
        pollfd wait{socket->get(), POLLIN, 0};
        if (::poll(&wait, 1, static_cast<int>(left.count())) <= 0) continue;
        char chunk[512];
        const auto n = ::recv(socket->get(), chunk, sizeof chunk, 0);
        if (n <= 0) return error{errc::unavailable, method, argument, "vswitchd closed the connection"};
        boost::system::error_code bad;
        parser.write_some(chunk, static_cast<std::size_t>(n), bad);
        if (bad) return error{errc::protocol_error, method, argument, bad.message()};
    }
    const auto answer = parser.release();
    const auto* problem = answer.is_object() ? answer.as_object().if_contains("error") : nullptr;
    const auto* said = answer.is_object() ? answer.as_object().if_contains("result") : nullptr;
    if (problem == nullptr || problem->is_null()) return said && said->is_string() ? std::string(said->as_string()) : std::string();
    return error{errc::protocol_error, method, argument, problem->is_string() ? std::string(problem->as_string()) : boost::json::serialize(*problem)};
}

}  // namespace

std::string vswitchd_socket(const std::string& rundir) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(rundir, ignored)) {
        const auto name = entry.path().filename().string();
        if (name.find("vswitchd") == std::string::npos || !name.ends_with(".ctl")) continue;
        // A full backlog is a daemon that is there.
        const auto connected = connect_unix(entry.path(), "find ovs-vswitchd");
        if (connected || connected.error().errnum == EAGAIN) return entry.path();
    }
    return {};
}

result<std::string> ask_vswitchd(const std::string& control_socket, const std::string& method, const std::string& argument,
                                 std::chrono::milliseconds deadline) {
    return command(control_socket, method, argument, std::chrono::steady_clock::now() + deadline);
}

result<void> create_database(const std::string& path, const std::string& schema) {
    std::ifstream in(schema, std::ios::binary);
    std::ostringstream tables;
    tables << in.rdbuf();
    if (!in || tables.str().empty())
        return error{errc::unavailable, "read schema", schema, "Open vSwitch is not installed there"};
    // One root row for the life of this file: any UUID will do, and a fixed one makes the file the same each time.
    const std::string root = R"({"Open_vSwitch":{"77656674-0000-4000-8000-000000000001":{}}})";
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << record(tables.str()) << record(root + "\n");
    out.close();
    if (!out) return errno_error(errno != 0 ? errno : EIO, "write database", path);
    return {};
}

result<void> warm_datapath(const std::string& control_socket, std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    const std::string datapath = "netdev@weft-warm";
    for (;;) {
        auto added = command(control_socket, "dpctl/add-dp", datapath, end);
        if (added) {
            // vswitchd itself removes it too, with its first bridge of that kind; then this finds nothing any more.
            (void)command(control_socket, "dpctl/del-dp", datapath, end);
            return {};
        }
        // vswitchd knows the command only once it has read its database, some milliseconds after the socket is there.
        const bool too_early = added.error().detail.find("not a valid command") != std::string::npos;
        if (!too_early || std::chrono::steady_clock::now() >= end) return added.error();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace weft::ovs
