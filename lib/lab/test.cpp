// SPDX-License-Identifier: Apache-2.0
// lab::test: one probe per expectation, all side by side, and what makes a blocked cell believable: the probe was seen to
// leave, and somebody reached the same address in the same run. It opens probe sockets in members' namespaces and, for rows
// with a planted gateway, puts a marked route there that only the probe uses and that is removed in every case.
#include "lab/folder.hpp"
#include "lab/topology.hpp"
#include "weft/lab/lab.hpp"
#include "weft/netlink/session.hpp"
#include "weft/probe/probe.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace weft::lab {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t planted_table = 7171;  // first of the tables, marks and priorities of planted routes

// The routes planted for one run, one table per gateway of a source. Gone with the value.
class planting {
public:
    ~planting() {
        for (auto& [at, changes] : done_)
            if (auto session = netlink::session::open(*at))
                for (auto c = changes.rbegin(); c != changes.rend(); ++c) (void)session->run_one({netlink::verb::remove, c->object});
    }

    // Gives the mark that a probe must bear to use the route.
    result<std::uint32_t> plant(const netlink::namespace_handle& at, const ip_address& target, const ip_address& gateway) {
        auto session = netlink::session::open(at);
        if (!session) return session.error();
        auto& mark = marks_[{&at, gateway}];
        if (mark == 0) {
            mark = planted_table + static_cast<std::uint32_t>(marks_.size()) - 1;
            rule r;
            r.v6 = target.is_v6();
            r.priority = mark;
            r.fwmark = mark;
            r.table = mark;
            if (auto done = add(*session, at, r); !done) return done.error();
        }
        if (!planted_.insert({mark, target}).second) return mark;
        auto device = device_towards(*session, gateway);
        if (!device) return device.error();
        route way;
        way.destination = {target, static_cast<std::uint8_t>(target.is_v6() ? 128 : 32)};
        way.table = mark;
        way.nexthops.push_back({gateway, *device});
        if (auto done = add(*session, at, way); !done) return done.error();
        return mark;
    }

private:
    result<void> add(netlink::session& session, const netlink::namespace_handle& at, const netlink::object& object) {
        const netlink::change change{netlink::verb::add, object};
        if (auto done = session.run_one(change); !done) return done;
        done_[&at].push_back(change);
        return {};
    }

    static result<std::string> device_towards(netlink::session& session, const ip_address& gateway) {
        auto addresses = session.addresses();
        if (!addresses) return addresses.error();
        for (const auto& a : *addresses)
            if (a.address.contains(gateway)) return a.device;
        return error{errc::not_found, "plant route", gateway.to_string(), "the source has no leg in the gateway's network"};
    }

    std::map<const netlink::namespace_handle*, std::vector<netlink::change>> done_;
    std::map<std::pair<const netlink::namespace_handle*, ip_address>, std::uint32_t> marks_;
    std::set<std::pair<std::uint32_t, ip_address>> planted_;
};

struct row {
    const expectation* wanted = nullptr;
    std::size_t probe = 0;
    std::string problem;  // why no probe could be sent
};

struct test_run {
    const fabric& f;
    record lab;
    std::map<std::string, std::unique_ptr<netlink::namespace_handle>> handles;  // by member's full name
    std::vector<probe::request> requests;
    std::vector<probe::listener> listeners;
    std::vector<row> rows;
    std::multimap<ip_address, std::size_t> liveness;  // target → probes that would prove it alive
    planting planted;

    result<const netlink::namespace_handle*> at(const std::string& member) {
        const auto* m = lab.find(member);
        if (m == nullptr) return error{errc::not_found, "find member", member, "lab " + lab.name + " has none of that name"};
        auto& handle = handles[m->name];
        if (!handle) {
            auto opened = netlink::namespace_handle::open(m->netns);
            if (!opened) return opened.error();
            handle = std::make_unique<netlink::namespace_handle>(std::move(*opened));
        }
        return handle.get();
    }

    void listen(const expectation& e) {
        if (e.protocol == "icmp" || lab.find(e.to) == nullptr) return;
        const auto target = at(e.to);
        if (!target) return;
        const probe::listener l{*target, e.protocol == "udp" ? probe::kind::udp : probe::kind::tcp, e.port};
        if (std::find(listeners.begin(), listeners.end(), l) == listeners.end()) listeners.push_back(l);
    }

    result<void> add(const expectation& e) {
        row r{&e, requests.size(), {}};
        auto from = at(e.from);
        if (!from) return from.error();
        if (!e.address) {
            r.problem = "the row has no address to probe";
            rows.push_back(std::move(r));
            return {};
        }
        probe::request q{.from = *from, .target = *e.address, .port = e.port};
        q.kind = e.protocol == "tcp" ? probe::kind::tcp : e.protocol == "udp" ? probe::kind::udp : probe::kind::icmp;
        q.patience = e.reachable ? milliseconds(3000) : milliseconds(1200);
        if (e.planted_gateway) {
            auto mark = planted.plant(**from, *e.address, *e.planted_gateway);
            if (!mark) return mark.error();
            q.mark = *mark;
        }
        listen(e);
        requests.push_back(q);
        rows.push_back(std::move(r));
        return {};
    }

    std::optional<ip_address> fixed_address(const std::string& vm, bool v6) const {
        const auto slash = vm.find('/');
        if (slash == std::string::npos) return {};
        const auto t = f.tenants.find(vm.substr(0, slash));
        if (t == f.tenants.end()) return {};
        const auto p = t->second.ports.find(vm.substr(slash + 1));
        return p == t->second.ports.end() ? std::nullopt : v6 ? p->second.address6 : p->second.address;
    }

    // Who should reach an address if anybody does: members with a leg in its network, and its owner itself.
    std::vector<std::string> witnesses(const expectation& e) const {
        std::vector<std::string> out;
        if (lab.find(e.to) != nullptr) out.push_back(e.to);
        for (const auto& [name, network] : f.networks) {
            const bool by_v6 = network.cidr6 && network.cidr6->contains(*e.address);
            if (!by_v6 && !network.cidr.contains(*e.address)) continue;
            for (const auto& [host, h] : f.lab.hosts)
                if (h.network == name && (!by_v6 || h.address6)) out.push_back(host);
            for (const auto& [node, n] : f.nodes)
                for (const auto& [device, nic] : n.nics)
                    if (nic.network == name && (by_v6 ? nic.address6 : nic.address)) out.push_back(node);
        }
        for (const auto& internet : {f.lab.internet, f.lab.internet6})
            if (internet && internet->contains(*e.address) && !f.lab.router_lan.empty()) out.push_back("router");
        if (out.size() > 4) out.resize(4);
        return out;
    }

    void add_liveness() {
        std::set<ip_address> expected_alive;
        for (const auto& r : rows)
            if (r.wanted->reachable && r.wanted->address) expected_alive.insert(*r.wanted->address);
        for (const auto& r : rows) {
            if (r.wanted->reachable || !r.wanted->address || !r.problem.empty()) continue;
            const auto& target = *r.wanted->address;
            if (expected_alive.contains(target) || liveness.contains(target)) continue;
            // Behind its security groups nobody may reach a VM's floating address; that the VM is up, it can say itself.
            if (const auto fixed = fixed_address(r.wanted->to, target.is_v6()); fixed && *fixed != target)
                if (const auto own = at(r.wanted->to)) {
                    liveness.emplace(target, requests.size());
                    requests.push_back({.from = *own, .target = *fixed, .patience = milliseconds(1200)});
                }
            for (const auto& name : witnesses(*r.wanted)) {
                const auto from = at(name);
                if (!from) continue;
                liveness.emplace(target, requests.size());
                requests.push_back({.from = *from, .target = target, .patience = milliseconds(1200)});
            }
        }
    }

    bool proved_alive(const ip_address& target, std::size_t but, const std::vector<probe::answer>& answers) const {
        for (const auto& r : rows)
            if (r.problem.empty() && r.probe != but && r.wanted->address == target && answers[r.probe].replied) return true;
        const auto [first, last] = liveness.equal_range(target);
        return std::any_of(first, last, [&](const auto& l) { return answers[l.second].replied; });
    }

    cell judge(const row& r, const std::vector<probe::answer>& answers) const {
        const auto& e = *r.wanted;
        cell c{e.from, e.to, e.via, e.reachable, false, {}};
        // A row that proves nothing must not pass, whichever way it was meant.
        const auto unproved = [&](const std::string& why) {
            c.observed = !c.expected;
            c.detail = why;
            return c;
        };
        if (!r.problem.empty()) return unproved(r.problem);
        const auto& a = answers[r.probe];
        c.observed = a.replied;
        c.detail = a.detail;
        if (e.reachable) {
            if (!a.replied && c.detail.empty()) c.detail = "no answer to " + std::to_string(a.sent) + " probes";
            return c;
        }
        if (a.replied) return c;
        if (a.refused) return unproved("refused: the packets passed both ways");
        if (!a.no_route && a.sent == 0) return unproved("the probe did not leave: " + a.detail);
        if (!proved_alive(*e.address, r.probe, answers)) return unproved("target not proved alive");
        if (a.no_route) c.detail = "no route at the source";
        else c.detail = std::to_string(a.sent) + " sent" + (a.detail.empty() ? ", no answer" : ", " + a.detail);
        return c;
    }
};

bool is_tap(const fabric& f, const std::string& name) {
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [port_name, port] : t.ports)
            if (port.attach == "tap" && name == tenant_name + "/" + port_name) return true;
    return false;
}

}  // namespace

result<std::vector<cell>> test(const fabric& f, const std::vector<expectation>& expectations, const std::string& given) {
    const auto name = given.empty() ? f.name : given;
    auto lab = read_record(name);
    if (!lab) return lab.error();
    test_run run{f, std::move(*lab), {}, {}, {}, {}, {}, {}};
    run.requests.reserve(expectations.size() * 4);
    for (const auto& e : expectations) {
        if (is_tap(f, e.from) || is_tap(f, e.to)) continue;  // the lab has no guest that would speak there
        if (auto done = run.add(e); !done) return done.error();
    }
    run.add_liveness();
    auto answers = probe::run(run.requests, run.listeners);
    if (!answers) return answers.error();
    std::vector<cell> cells;
    for (const auto& r : run.rows) cells.push_back(run.judge(r, *answers));
    return cells;
}

}  // namespace weft::lab
