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

// The number of a protocol that the tracker's table prints by its name or by the number itself (ct_dpif_format_ipproto).
std::optional<unsigned> protocol_number(const std::string& name) {
    static const std::map<std::string, unsigned> names = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17}, {"dccp", 33}, {"icmpv6", 58}, {"sctp", 132}, {"udplite", 136}};
    if (const auto found = names.find(name); found != names.end()) return found->second;
    if (name.empty() || name.size() > 3 || name.find_first_not_of("0123456789") != std::string::npos) return {};
    return static_cast<unsigned>(std::stoul(name));
}

// "udp,orig=(…),reply=(…),zone=5,mark=1…"; nothing for a line of another form and for a connection that is cut already.
std::optional<connection> parse_line(const std::string& line) {
    constexpr const char* start = ",orig=(";
    const auto orig = line.find(start), end = line.find(')');
    if (orig == std::string::npos || end == std::string::npos || end < orig) return {};
    const auto rest = line.substr(end) + ",";
    if (rest.find(",mark=1,") != std::string::npos) return {};
    const auto tuple = orig + std::string(start).size();
    auto f = fields_of(line.substr(tuple, end - tuple));
    if (!f.contains("src") || !f.contains("dst")) return {};
    const bool v6 = f["src"].find(':') != std::string::npos;
    const auto addresses = fmt::format("{0}_src={1},{0}_dst={2}", v6 ? "ipv6" : "nw", f["src"], f["dst"]);
    const auto number = protocol_number(line.substr(0, orig));
    if (!number) return {};
    connection c;
    if (*number == (v6 ? 58 : 1)) {
        c.flow = fmt::format("{0},{1},{2}_type={3},{2}_code={4}", v6 ? "icmp6" : "icmp", addresses, v6 ? "icmpv6" : "icmp", f["type"], f["code"]);
        c.icmp_id = static_cast<std::uint16_t>(std::strtoul(f["id"].c_str(), nullptr, 10));
    } else if (*number == 6 || *number == 17 || *number == 132) {
        const char* name = *number == 6 ? "tcp" : *number == 17 ? "udp" : "sctp";
        c.flow = fmt::format("{0}{1},{2},{0}_src={3},{0}_dst={4}", name, v6 ? "6" : "", addresses, f["sport"], f["dport"]);
    } else {
        c.flow = fmt::format("{},nw_proto={},{}", v6 ? "ipv6" : "ip", *number, addresses);
    }
    return c;
}

// Waits until the switch has done all that it was sent.
result<void> answered(openflow_connection& to_bridge) {
    weft_message m{};
    weft_encode_barrier(to_bridge.version(), &m);
    for (const auto barrier = to_bridge.send(m);;) {
        auto answer = to_bridge.receive();
        if (!answer) return answer.error();
        const auto kind = weft_message_kind(answer->data(), answer->size());
        if (kind == WEFT_ERROR) return to_bridge.fail(errc::protocol_error, error_words(*answer));
        if (kind == WEFT_BARRIER && weft_message_xid(answer->data()) == barrier) return {};
    }
}

}  // namespace

result<void> cut_denied_connections(const std::string& rundir, const std::string& bridge, const std::string& datapath,
                                    const std::set<std::uint16_t>& zones, std::chrono::milliseconds deadline) {
    static constexpr const char* operation = "cut connections";
    static constexpr std::size_t portion = 512;  // packets that the switch may have before it
    std::size_t asked = 0;
    const auto end = openflow_connection::clock::now() + deadline;
    const std::string table = datapath == "netdev" ? "netdev@ovs-netdev" : "system@ovs-system";
    const auto control = vswitchd_socket(rundir);
    if (!control) return control.error();
    std::optional<openflow_connection> to_bridge;
    for (const auto zone : zones) {
        if (zone == 0) continue;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - openflow_connection::clock::now());
        auto dump = ask_vswitchd(*control, "dpctl/dump-conntrack", {table, fmt::format("zone={}", zone)}, left);
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
            // What a VM has sent must not decide over the rules of others: a connection that cannot be asked for is passed over.
            if (char* words = weft_encode_packet_out(c->flow.c_str(), c->icmp_id, actions.c_str(), to_bridge->version(), &m)) {
                std::free(words);
                continue;
            }
            to_bridge->send(m);
            if (++asked % portion != 0) continue;
            if (auto ok = answered(*to_bridge); !ok) return ok;
        }
    }
    return to_bridge ? answered(*to_bridge) : result<void>{};
}

}  // namespace weft::ovs
