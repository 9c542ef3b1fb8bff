// SPDX-License-Identifier: Apache-2.0
// The database file is written record by record; vswitchd is spoken to over its control socket. May
// include: core, the shim. A half-written file is the caller's to remove; a datapath that could not be
// warmed costs time only.
#include "ovs/switch_start.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>

#include "ovs/control.hpp"
#include "ovs/idl_shim.h"

namespace weft::ovs {
namespace {

std::string record(const std::string& text) {
    char digest[41];
    weft_sha1_hex(text.data(), text.size(), digest);
    return "OVSDB JSON " + std::to_string(text.size()) + " " + digest + "\n" + text;
}

}  // namespace

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
    const auto left = [&] { return std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()); };
    const std::string datapath = "netdev@weft-warm";
    for (;;) {
        auto added = ask_vswitchd(control_socket, "dpctl/add-dp", {datapath}, left());
        if (added) {
            // vswitchd itself removes it too, with its first bridge of that kind; then this finds nothing any more.
            (void)ask_vswitchd(control_socket, "dpctl/del-dp", {datapath}, left());
            return {};
        }
        // vswitchd knows the command only once it has read its database, some milliseconds after the socket is there.
        const bool too_early = added.error().detail.find("not a valid command") != std::string::npos;
        if (!too_early || std::chrono::steady_clock::now() >= end) return added.error();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace weft::ovs
