// SPDX-License-Identifier: Apache-2.0
// lab::up: namespaces, node processes side by side, cables meanwhile, then each node's wanted state applied inside it by a
// helper of its own; then the VMs ask for their addresses. All or nothing: on any error, SIGINT or SIGTERM what was made is
// taken down again, and the first error is what the caller gets.
#include "lab/folder.hpp"
#include "lab/lease.hpp"
#include "lab/lease6.hpp"
#include "lab/process.hpp"
#include "lab/teardown.hpp"
#include "lab/topology.hpp"
#include "lab/vpn.hpp"
#include "lab/wiring.hpp"
#include "ovs/switch_start.hpp"
#include "services/helper.hpp"
#include "weft/apply/apply.hpp"
#include "weft/lab/lab.hpp"
#include "weft/model/json.hpp"
#include "weft/netlink/namespaces.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <future>
#include <mutex>

namespace weft::lab {
namespace {

using std::chrono::seconds;

constexpr const char* ovs_schema = "/usr/share/openvswitch/vswitch.ovsschema";

struct bring_up {
    const fabric& f;
    const compiler& compile;
    std::string lab;
    topology plan;
    std::string helper;
    std::vector<std::string> made;  // namespaces
    std::map<std::string, child> holders;
    std::map<std::string, std::map<std::string, std::uint32_t>> users;  // by node: of its taps
    vpn_plan vpn;                   // keys, and the clients that come in with them
    std::mutex compiling;           // the caller's function may not be safe to call twice at once

    result<void> interrupted() const {
        if (interrupt_guard::interrupted()) return error{errc::busy, "bring up lab", lab, "interrupted by a signal", EINTR};
        return {};
    }

    bool any_switch() const {
        for (const auto& m : plan.members)
            if (m.ovs) return true;
        return false;
    }

    // Nodes come first, so that their switches start while the rest is made; of these the network nodes, which have most to do.
    int turn_of(const planned_member& m) const {
        if (m.kind != "node") return 2;
        return f.nodes.at(m.name).roles.contains("network") ? 0 : 1;
    }

    result<void> namespaces_and_nodes() {
        std::vector<const planned_member*> in_order;
        for (const auto& m : plan.members) in_order.push_back(&m);
        std::ranges::stable_sort(in_order, {}, [this](const auto* m) { return turn_of(*m); });
        for (const auto* m : in_order) {
            if (auto go = interrupted(); !go) return go;
            if (auto done = netlink::create_namespace(m->netns); !done) return done;
            made.push_back(m->netns);
            if (m->kind != "node") continue;
            if (auto done = start_node(*m); !done) return done;
        }
        return {};
    }

    result<void> start_node(const planned_member& m) {
        const auto folder = node_folder(lab, m.name);
        std::filesystem::create_directories(folder + "/ovs");
        auto holder = child::start({helper, "hold", lab, m.name, m.netns, m.ovs ? "ovs" : "plain"}, folder + "/node.log");
        if (!holder) return holder.error();
        // The process id is written before the process has done anything that must be taken down.
        if (auto done = write_file(folder + "/pid", std::to_string(holder->pid()) + "\n"); !done) return done;
        holders.emplace(m.name, std::move(*holder));
        return {};
    }

    host_facts facts_of(const planned_member& m, bool plugged) const {
        host_facts facts;
        facts.datapath = "netdev";
        for (const auto& n : m.nics) facts.nic_macs[n.device] = n.mac;
        facts.users = users.at(m.name);
        facts.kernel_wireguard = vpn.kernel;
        facts.public_keys = vpn.public_keys;
        facts.preshared_keys = vpn.preshared_keys;
        if (plugged)
            for (const auto& p : plan.plugs)
                if (p.node == m.name) facts.present_ports[p.iface_id] = p.tap;
        return facts;
    }

    // The rows that a hypervisor would make: on the dead VLAN until weft knows them.
    host_state plugged_rows(const std::string& node) const {
        host_state rows;
        ovs::bridge_row bridge;
        bridge.name = "br-int";
        for (const auto& p : plan.plugs) {
            if (p.node != node) continue;
            ovs::interface_row interface;
            interface.name = p.tap;
            interface.external_ids = {{"iface-id", p.iface_id}, {"attached-mac", p.mac.to_string()}, {"iface-status", "active"}, {"vm-id", p.vm_id}};
            ovs::port_row port;
            port.name = p.tap;
            port.tag = ovs::dead_vlan;
            port.interfaces.push_back(std::move(interface));
            bridge.ports.push_back(std::move(port));
        }
        if (!bridge.ports.empty()) rows.bridges.push_back(std::move(bridge));
        return rows;
    }

    result<void> send(child& worker, const char* verb, const host_state& state) const {
        const auto text = to_json(state);
        if (auto done = worker.write(std::string(verb) + " " + std::to_string(text.size()) + "\n" + text); !done) return done;
        auto answer = worker.read_line(seconds(60));
        if (!answer) return answer.error();
        if (*answer != "ok") return decode_error(*answer);
        return {};
    }

    result<void> apply_compiled(child& worker, const planned_member& m, bool plugged) {
        auto wanted = [&] {
            const std::lock_guard lock(compiling);
            return compile(f, m.name, facts_of(m, plugged));
        }();
        if (!wanted) return wanted.error();
        return send(worker, "apply", *wanted);
    }

    result<void> settle(const planned_member& m) {
        auto& node = holders.at(m.name);
        auto ready = node.read_line(seconds(30));
        if (!ready) return ready.error();
        if (!ready->starts_with("ready ")) return decode_error(*ready);
        if (auto done = write_file(node_folder(lab, m.name) + "/mnt", ready->substr(6) + "\n"); !done) return done;
        if (auto first = apply_compiled(node, m, false); !first) return first;
        if (auto joined = join_guests(plan, m.name); !joined) return joined;
        if (const auto rows = plugged_rows(m.name); !rows.bridges.empty()) {
            if (auto plugged = send(node, "plug", rows); !plugged) return plugged;
            if (auto second = apply_compiled(node, m, true); !second) return second;
            if (auto raised = raise_taps(plan, m.name); !raised) return raised;
        }
        // Its worker ends with its input, and its supervisor says no more: the line that does not come is the end of both pipes.
        node.close_input();
        (void)node.read_line(seconds(10));
        return {};
    }

    // A node that went away without a word may have left its last ones in its log, which goes with the lab.
    error with_last_words(error e, const std::string& node) const {
        if (e.code != errc::unavailable) return e;
        const auto log = read_file(node_folder(lab, node) + "/node.log").value_or("");
        constexpr std::size_t most = 600;
        if (!log.empty()) e.detail += "; the end of its log: " + log.substr(log.size() > most ? log.size() - most : 0);
        return e;
    }

    result<void> settle_all() {
        std::vector<std::pair<std::string, std::future<result<void>>>> running;
        for (const auto& m : plan.members)
            if (m.kind == "node") running.emplace_back(m.name, std::async(std::launch::async, [this, &m] { return settle(m); }));
        std::optional<error> first;
        for (auto& [name, outcome] : running) {
            auto done = outcome.get();
            if (done || first) continue;
            first = with_last_words(done.error(), name);
            first->object += first->object.empty() ? "node " + name : " on node " + name;
        }
        if (first) return *first;
        return {};
    }

    result<void> run() {
        // Made once and copied by every node.
        if (any_switch())
            if (auto done = ovs::create_database(lab_folder(lab) + "/conf.db", ovs_schema); !done) return done;
        if (auto done = namespaces_and_nodes(); !done) return done;
        if (auto done = wire(plan); !done) return done;
        if (auto go = interrupted(); !go) return go;
        if (auto done = settle_all(); !done) return done;
        if (auto done = lease_addresses(plan, helper, lab_folder(lab) + "/dhcp.log"); !done) return done;
        if (auto done = lease_addresses6(plan, helper, lab_folder(lab)); !done) return done;
        if (auto done = start_clients(vpn, helper, lab_folder(lab) + "/vpn.log"); !done) return done;
        return interrupted();
    }
};

}  // namespace

result<void> up(const fabric& f, const compiler& compile, const std::string& given) {
    const auto name = given.empty() ? f.name : given;
    if (auto named = check_lab_name(name); !named) return named;
    auto plan = plan_topology(f, name);
    if (!plan) return plan.error();
    auto helper = services::find_helper();
    if (!helper) return helper.error();

    // The nodes of a lab have the users of this machine.
    std::map<std::string, std::map<std::string, std::uint32_t>> users;
    for (const auto& [node, n] : f.nodes) {
        auto known = apply::users(f, node);
        if (!known) return known.error();
        users[node] = std::move(*known);
    }

    const interrupt_guard guard;
    std::error_code ignored;
    std::filesystem::create_directories(lab_root(), ignored);
    // Making the folder is the claim to the name: of two at once, one gets it.
    if (::mkdir(lab_folder(name).c_str(), 0755) < 0) {
        if (errno == EEXIST) return error{errc::already_exists, "bring up lab", name, "a lab of that name stands, whole or in part; take it down first"};
        return errno_error(errno, "bring up lab", name);
    }
    auto lock = folder_lock::take(name);
    bring_up work{f, compile, name, std::move(*plan), *helper, {}, {}, std::move(users), {}, {}};
    auto done = [&]() -> result<void> {
        if (!lock) return lock.error();
        record r{name, f.file.empty() ? std::string() : std::filesystem::absolute(f.file).string(), {}};
        for (const auto& m : work.plan.members) r.members.push_back({m.name, m.kind, m.netns});
        if (auto written = write_record(r); !written) return written;
        if (auto written = write_file(lab_folder(name) + "/fabric.json", to_json(f)); !written) return written;
        auto keys = make_keys(f, name);
        if (!keys) return keys.error();
        work.vpn = std::move(*keys);
        return work.run();
    }();
    if (done) return done;
    for (auto& [node, holder] : work.holders) holder.kill(SIGTERM);
    // The first error is the one that tells; what teardown says beside is seen when `down` is tried again.
    (void)take_down(name, work.made);
    for (auto& [node, holder] : work.holders) holder.wait();
    return done;
}

}  // namespace weft::lab
