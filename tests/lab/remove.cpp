// SPDX-License-Identifier: Apache-2.0
// What weft leaves when it is taken off again: every node of a cloud begins as a bare host, weft is applied, and after
// `weft remove` the host is as it was before the first apply. A VM that has not been plugged yet is no fault meanwhile.
#include "shell.hpp"

#include <chrono>
#include <thread>

using namespace weft;
using test::program;
using test::shell;

namespace {

// Nodes with their NICs and a running switch on which weft has never been.
result<host_state> nothing(const fabric& f, const std::string& node, const host_facts&) {
    host_state state;
    state.fabric = f.name;
    state.node = node;
    return state;
}

fabric without_vms(fabric f) {
    for (auto& [name, tenant] : f.tenants) tenant.ports.clear();
    return f;
}

std::string on(const test::standing_lab& lab, const std::string& node, const std::string& command) {
    const auto done = shell(command, lab.name, node);
    INFO(node << ": " << command << "\n" << done.text);
    REQUIRE(done.status == 0);
    return done.text;
}

// All that weft could have changed: links, addresses, routes, rules, namespaces, nftables, every sysctl of the network, the rows
// of the database and weft's own records. The number of tracked connections is no setting.
std::string state_of(const test::standing_lab& lab, const std::string& node, bool has_switch) {
    std::string text = on(lab, node,
                          "ip -d link && ip addr && ip route show table all && ip -6 rule && ip rule && ip netns list && nft list ruleset && "
                          "sysctl -a 2>/dev/null | grep ^net | grep -v -e nf_conntrack_count -e stable_secret | sort && "
                          "find /run/weft /var/lib/weft ! -name lock ! -name fabric.json | sort");
    if (has_switch)
        text += on(lab, node,
                   "for table in Bridge Port Interface Controller; do ovsdb-client dump unix:/run/openvswitch/db.sock Open_vSwitch $table;"
                   " done && ovs-vsctl --columns=bridges,external_ids,other_config list Open_vSwitch");
    return text;
}

}  // namespace

TEST_CASE("remove leaves every node as it was before the first apply") {
    if (!test::has_program() || !test::can_run()) return;
    const auto cloud = test::small_cloud();
    const test::fabric_file file(test::small_cloud_text());
    REQUIRE(shell(program + " allocate " + file.path.string()).status == 0);
    const test::standing_lab lab(without_vms(cloud), nothing);

    std::map<std::string, std::string> before;
    for (const auto& [node, n] : cloud.nodes) {
        // Otherwise the kernel's own link-local addresses come up between two looks at the host. NICs are up as on any host: weft raises
        // one that is not, and leaves it so.
        on(lab, node, "for key in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$key; done");
        for (const auto& [nic, unused] : n.nics) on(lab, node, "ip link set " + nic + " up");
        before[node] = state_of(lab, node, node != "controller");
    }
    for (const auto& [node, n] : cloud.nodes) {
        const auto arguments = file.path.string() + " --node " + node;
        const auto first = shell(program + " apply " + arguments, lab.name, node);
        INFO(first.text);
        CHECK(first.status == 0);
        // Its VMs have not been plugged: that is told, and is no error, nor a step that stays open.
        for (const auto& [tenant, t] : cloud.tenants)
            for (const auto& [name, port] : t.ports)
                if (port.node == node) CHECK(first.text.find("pending: " + tenant + "/" + name + " has no device yet") != std::string::npos);
        CHECK(shell(program + " plan " + arguments, lab.name, node).status == 0);
        CHECK(state_of(lab, node, node != "controller") != before[node]);
    }
    for (const auto& [node, n] : cloud.nodes) {
        INFO(node);
        on(lab, node, program + " remove --node " + node + " --fabric lt");
        // vswitchd drops its datapath a moment after the last bridge.
        std::string after;
        for (int i = 0; i < 50 && after != before[node]; ++i) {
            if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
            after = state_of(lab, node, node != "controller");
        }
        CHECK(after == before[node]);
    }
}
