// SPDX-License-Identifier: Apache-2.0
// One port more on a switch of a thousand: what a bare OVSDB client needs for the row (a transaction, then the server's `wait` until
// ovs-vswitchd has caught up), what weft needs for the same row, what both need with the port's 22 flows, and what a whole run of weft
// costs, from observing the host to reading it back. Interleaved in one run, on a private ovsdb-server and ovs-vswitchd; prints a table of
// medians and what was written. May include: weft's public headers, the tests' private switch, Boost.JSON, std, fmt. Needs root.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <thread>

#include "ovs/switch_host.hpp"
#include "weft/model/fabric.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flows.hpp"

using namespace weft;

namespace {

namespace json = boost::json;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t ports = 1000, rules = 20;
constexpr int rounds = 11;

void need(bool held, const std::string& what) {
    if (!held) throw std::runtime_error(what);
}

template <class T>
T taken(result<T> r) {
    need(r.has_value(), r ? "" : r.error().message());
    return std::move(*r);
}

// No more than the row needs: one connection, one transaction, one wait.
class bare_client {
public:
    explicit bare_client(const std::string& rundir) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const auto path = rundir + "/db.sock";
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        need(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "cannot connect to the database");
    }
    ~bare_client() { ::close(fd_); }

    void add_port(const std::string& name) {
        json::array operations = {"Open_vSwitch"};
        operations.push_back({{"op", "insert"}, {"table", "Interface"}, {"uuid-name", "i"}, {"row", {{"name", name}, {"type", "internal"}}}});
        operations.push_back({{"op", "insert"}, {"table", "Port"}, {"uuid-name", "p"},
                              {"row", {{"name", name}, {"interfaces", json::array{"named-uuid", "i"}}, {"tag", 1},
                                       {"external_ids", json::array{"map", json::array{json::array{ovs::mark_fabric, "bench"},
                                                                                       json::array{ovs::mark_object, "t/ports/" + name}}}}}}});
        const json::array always;
        operations.push_back({{"op", "mutate"}, {"table", "Bridge"}, {"where", json::array{json::array{"name", "==", "br-int"}}},
                              {"mutations", json::array{json::array{"ports", "insert", json::array{"named-uuid", "p"}}}}});
        operations.push_back({{"op", "mutate"}, {"table", "Open_vSwitch"}, {"where", always},
                              {"mutations", json::array{json::array{"next_cfg", "+=", 1}}}});
        operations.push_back({{"op", "select"}, {"table", "Open_vSwitch"}, {"where", always}, {"columns", json::array{"next_cfg"}}});
        const auto done = call(operations);
        const auto cfg = done.back().at("rows").at(0).at("next_cfg").as_int64();
        call({"Open_vSwitch", json::object{{"op", "wait"}, {"table", "Open_vSwitch"}, {"where", always}, {"columns", json::array{"cur_cfg"}},
                                           {"until", "=="}, {"rows", json::array{json::object{{"cur_cfg", cfg}}}}, {"timeout", 10000}}});
    }

private:
    json::array call(const json::array& parameters) {
        const auto text = json::serialize(json::object{{"method", "transact"}, {"params", parameters}, {"id", ++id_}});
        need(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()), "cannot send");
        json::stream_parser parser;
        std::array<char, 65536> chunk;
        while (!parser.done()) {
            const auto got = ::recv(fd_, chunk.data(), chunk.size(), 0);
            need(got > 0, "the database closed the connection");
            parser.write_some(chunk.data(), static_cast<std::size_t>(got));
        }
        const auto answer = parser.release();
        for (const auto& part : answer.at("result").as_array())
            need(!part.is_object() || !part.as_object().contains("error"), json::serialize(part));
        return answer.at("result").as_array();
    }

    int fd_;
    std::int64_t id_ = 0;
};

ovs::port_row port_of(const std::string& name) {
    ovs::port_row p;
    p.name = name;
    p.tag = 1;
    p.external_ids = {{ovs::mark_fabric, "bench"}, {ovs::mark_object, "t/ports/" + name}};
    p.interfaces.push_back({.name = name, .type = "internal"});
    return p;
}

// br-int with so many ports, each with flows of its own: two gates and twenty rules.
host_state state_of(const std::vector<std::string>& names) {
    host_state s;
    s.fabric = "bench";
    s.node = "n";
    s.namespaces.emplace_back();
    ovs::bridge_row bridge{"br-int", "netdev", "secure", {}, {}, {{ovs::mark_fabric, "bench"}}, {}};
    auto& flows = s.flows["br-int"];
    for (const auto& name : names) {
        bridge.ports.push_back(port_of(name));
        const auto cookie = ovs::port_cookie(port_register("bench", "t/ports/" + name));
        flows.push_back({cookie, 0, 20, 0, 0, "in_port=" + name + ",vlan_tci=0x1000/0x1000", "drop"});
        flows.push_back({cookie, 0, 10, 0, 0, "in_port=" + name, "goto_table:60"});
        for (std::size_t i = 0; i < rules; ++i)
            flows.push_back({cookie, 82, 70, 0, 0, fmt::format("reg5=0x{:x},tcp,tp_dst={}", port_register("bench", "t/ports/" + name), 1000 + i), "resubmit(,83)"});
    }
    std::sort(bridge.ports.begin(), bridge.ports.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    s.bridges.push_back(std::move(bridge));
    return s;
}

struct measurement {
    std::string what;
    std::vector<double> ms;
    double median() {
        std::nth_element(ms.begin(), ms.begin() + static_cast<std::ptrdiff_t>(ms.size() / 2), ms.end());
        return ms[ms.size() / 2];
    }
};

void timed(measurement& m, const std::function<void()>& work) {
    // The switch still works at the port that went before, whoever took it away.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const auto start = clock_type::now();
    work();
    m.ms.push_back(std::chrono::duration<double, std::milli>(clock_type::now() - start).count());
}

int run() {
    test::switch_host h;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < ports; ++i) names.push_back(fmt::format("q{:05}", i));
    auto wanted = state_of(names);
    taken(apply::apply(h.place, wanted));
    const auto flow_file = h.sw.rundir() + "/flows";
    auto held = taken(ovs::database::connect(h.sw.rundir()));
    const auto take_away = [&](const std::string& name) { taken(held.commit({{}, {{"br-int", port_of(name), std::nullopt}}})); };

    measurement bare{"bare client: connect, transact, wait", {}}, row{"weft, the same row", {}},
        bare_flows{"bare client, then ovs-ofctl with its flows", {}}, change{"weft, from state to state, the same", {}},
        whole{"weft, a whole run: observe, do, read back", {}};
    const auto only_the_port = [](const apply::report& r) {
        need(r.ovsdb_writes == 1 && r.flow_writes == rules + 2 && r.netlink_writes == 0 && r.steps == rules + 3,
             fmt::format("the run wrote more than its port: {} steps, {} transactions, {} flows, {} netlink requests", r.steps,
                         r.ovsdb_writes, r.flow_writes, r.netlink_writes));
    };
    names.push_back("one-more");
    const auto with_one = state_of(names);
    {
        std::ofstream file(flow_file);
        const auto alone = state_of({"one-more"});
        for (const auto& f : alone.flows.at("br-int"))
            file << fmt::format("cookie=0x{:x},table={},priority={},{},actions={}\n", f.cookie, f.table, f.priority, f.match, f.actions);
    }
    apply::report report;
    for (int i = 0; i < rounds; ++i) {
        timed(bare, [&] { bare_client(h.sw.rundir()).add_port("one-more"); });
        take_away("one-more");
        timed(row, [&] { taken(held.commit({{}, {{"br-int", std::nullopt, port_of("one-more")}}})); });
        take_away("one-more");
        timed(bare_flows, [&] {
            bare_client(h.sw.rundir()).add_port("one-more");
            h.sw.ofctl({"--bundle", "add-flows", "unix:" + h.sw.rundir() + "/br-int.mgmt", flow_file});
        });
        taken(apply::apply(h.place, wanted));
        timed(change, [&] { report = taken(apply::change(h.place, wanted, with_one)); });
        only_the_port(report);
        taken(apply::apply(h.place, wanted));
        timed(whole, [&] { report = taken(apply::apply(h.place, with_one)); });
        only_the_port(report);
        taken(apply::apply(h.place, wanted));
    }
    fmt::print("One port more on a switch of {} ports with {} flows, medians of {}:\n", ports, ports * (rules + 2), rounds);
    for (auto* m : {&bare, &row, &bare_flows, &change, &whole})
        fmt::print("  {:<42} {:>8.2f} ms {:>6.2f} times the bare client\n", m->what, m->median(), m->median() / bare.median());
    fmt::print("  written by the whole run: {} OVSDB transaction, {} flows in one bundle, {} netlink requests; no other port's row or flow\n",
               report.ovsdb_writes, report.flow_writes, report.netlink_writes);
    return 0;
}

}  // namespace

int main() {
    try {
        if (const auto reason = test::no_switch_because(); !reason.empty()) throw std::runtime_error(reason);
        return run();
    } catch (const std::exception& e) {
        fmt::print(stderr, "bench_one_port: {}\n", e.what());
        return 1;
    }
}
