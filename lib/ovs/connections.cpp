// SPDX-License-Identifier: Apache-2.0
// Implements weft/ovs/connections.hpp: reads the tracker's table by the control socket, a line a connection as ovs-dpctl(8) prints it,
// and sends a packet of each through the tables that ask (weft/model/ovs.hpp).
#include "weft/ovs/connections.hpp"

#include "ovs/control.hpp"
#include "ovs/openflow.hpp"
#include "weft/model/ovs.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>

namespace weft::ovs {
namespace {

struct connection {
    std::string flow;  // its first packet, as libopenvswitch reads it
    std::uint16_t icmp_id = 0;
};

// The values of "src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2".
std::map<std::string, std::string> fields_of(const std::string& tuple) {
    std::map<std::string, std::string> fields;
    std::istringstream parts(tuple);
    for (std::string part; std::getline(parts, part, ',');)
        if (const auto equals = part.find('='); equals != std::string::npos) fields[part.substr(0, equals)] = part.substr(equals + 1);
    return fields;
}

// "udp,orig=(…),reply=(…),zone=5,mark=1…"; nothing for a line of another form and for a connection that is cut already.
std::optional<connection> parse_line(const std::string& line) {
    constexpr const char* start = ",orig=(";
    const auto orig = line.find(start), end = line.find(')');
    if (orig == std::string::npos || end == std::string::npos || end < orig) return {};
    const auto rest = line.substr(end) + ",";
    if (rest.find(",mark=1,") != std::string::npos) return {};
    auto protocol = line.substr(0, orig);
    const auto tuple = orig + std::string(start).size();
    auto f = fields_of(line.substr(tuple, end - tuple));
    if (!f.contains("src") || !f.contains("dst")) return {};
    const bool v6 = f["src"].find(':') != std::string::npos;
    connection c;
    const auto addresses = fmt::format("{}_src={},{}_dst={}", v6 ? "ipv6" : "nw", f["src"], v6 ? "ipv6" : "nw", f["dst"]);
    if (protocol == "icmp" || protocol == "icmpv6") {
        c.flow = fmt::format("{0},{1},{2}_type={3},{2}_code={4}", v6 ? "icmp6" : "icmp", addresses, protocol,
                             f["type"], f["code"]);
        c.icmp_id = static_cast<std::uint16_t>(std::strtoul(f["id"].c_str(), nullptr, 10));
    } else if (protocol == "tcp" || protocol == "udp" || protocol == "sctp") {
        c.flow = fmt::format("{0}{1},{2},{0}_src={3},{0}_dst={4}", protocol, v6 ? "6" : "", addresses, f["sport"], f["dport"]);
    } else {
        c.flow = fmt::format("{},nw_proto={},{}", v6 ? "ipv6" : "ip", protocol, addresses);
    }
    return c;
}

}  // namespace

result<void> cut_denied_connections(const std::string& rundir, const std::string& bridge, const std::string& datapath,
                                    const std::set<std::uint16_t>& zones, std::chrono::milliseconds deadline) {
    static constexpr const char* operation = "cut connections";
    const auto end = openflow_connection::clock::now() + deadline;
    const std::string table = datapath == "netdev" ? "netdev@ovs-netdev" : "system@ovs-system";
    const auto control = vswitchd_socket(rundir);
    if (control.empty()) return error{errc::unavailable, operation, bridge, "no ovs-vswitchd answers in " + rundir, 0};
    std::optional<openflow_connection> to_bridge;
    for (const auto zone : zones) {
        if (zone == 0) continue;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - openflow_connection::clock::now());
        auto dump = ask_vswitchd(control, "dpctl/dump-conntrack", {table, fmt::format("zone={}", zone)}, left);
        if (!dump) return dump.error();
        const auto actions = fmt::format("load:{}->NXM_NX_REG6[],load:0x{:x}->NXM_NX_REG7[],clone(resubmit(,{})),resubmit(,{})", zone, asking,
                                         ask_sender_table, ask_receiver_table);
        std::istringstream lines(*dump);
        for (std::string line; std::getline(lines, line);) {
            const auto c = parse_line(line);
            if (!c) continue;
            if (!to_bridge) {
                auto opened = openflow_connection::open(rundir, bridge, operation, end);
                if (!opened) return opened.error();
                to_bridge = std::move(*opened);
            }
            weft_message m{};
            if (char* words = weft_encode_packet_out(c->flow.c_str(), c->icmp_id, actions.c_str(), to_bridge->version(), &m)) {
                const std::string why = words;
                std::free(words);
                return error{errc::protocol_error, operation, c->flow, why, 0};
            }
            to_bridge->send(m);
        }
    }
    if (!to_bridge) return {};
    weft_message m{};
    weft_encode_barrier(to_bridge->version(), &m);
    for (const auto barrier = to_bridge->send(m);;) {
        auto answer = to_bridge->receive();
        if (!answer) return answer.error();
        const auto kind = weft_message_kind(answer->data(), answer->size());
        if (kind == WEFT_ERROR) {
            char* words = weft_error_text(answer->data(), answer->size());
            auto failure = to_bridge->fail(errc::protocol_error, words);
            std::free(words);
            return failure;
        }
        if (kind == WEFT_BARRIER && weft_message_xid(answer->data()) == barrier) return {};
    }
}

}  // namespace weft::ovs
