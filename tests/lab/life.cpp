// SPDX-License-Identifier: Apache-2.0
// The life of a lab: up, a second one beside it, down, and down after parts of it were killed. Each case makes labs of
// random names and looks for what is left of them: processes, namespaces, files.
#include "lab_fixture.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

namespace {

using namespace weft;

int node_pid(const std::string& lab, const std::string& node) {
    const auto info = lab::status(lab).value();
    for (const auto& m : info.members)
        if (m.name == node) return m.pid;
    return 0;
}

bool alive(int pid) {
    ::waitpid(pid, nullptr, WNOHANG);
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(in, text);
    const auto end = text.rfind(')');
    return end != std::string::npos && text[end + 2] != 'Z' && text[end + 2] != 'X';  // a zombie is only its parent's concern
}

}  // namespace

TEST_CASE("a lab comes up, tells of itself, and goes without a trace") {
    if (!test::can_run()) return;
    const auto fabric = test::small_cloud();
    std::string name;
    std::set<std::string> spaces;
    std::set<int> processes;
    {
        test::standing_lab lab(fabric);
        name = lab.name;
        spaces = test::namespaces_of(name);
        CHECK(spaces.size() == 4 + 3 + 3 + 1);
        processes = test::processes_of(spaces);
        // A process per node; ovsdb-server and ovs-vswitchd on three of them; the supervisor of the network node's services,
        // whose dnsmasq are in namespaces of their own; a DHCP client per VM.
        CHECK(processes.size() == 4 + 3 * 2 + 1 + 3);
        const auto info = lab::status(name).value();
        CHECK(info.members.size() == spaces.size());
        for (const auto& m : info.members) {
            INFO(m.name);
            CHECK(m.alive);
        }
        const auto again = lab::up(fabric, roles::compile, name);
        REQUIRE(again.has_error());
        CHECK(again.error().code == errc::already_exists);
        CHECK(test::processes_of(spaces) == processes);
        const auto all = lab::list().value();
        CHECK(std::any_of(all.begin(), all.end(), [&](const auto& l) { return l.name == name; }));
        CHECK(lab::down(name).has_value());
    }
    CHECK(test::namespaces_of(name).empty());
    for (const int pid : processes) CHECK_FALSE(alive(pid));
    CHECK_FALSE(std::filesystem::exists("/run/weft/lab/" + name));
    const auto gone = lab::down(name);
    REQUIRE(gone.has_error());
    CHECK(gone.error().code == errc::not_found);
}

TEST_CASE("two labs of one fabric stand side by side") {
    if (!test::can_run()) return;
    const auto fabric = test::small_cloud();
    test::standing_lab first(fabric), second(fabric);
    const auto vm2 = *fabric.tenants.at("one").ports.at("vm2").address;
    CHECK(probe::icmp(first.at("one/vm1"), vm2).value().replied);
    CHECK(probe::icmp(second.at("one/vm1"), vm2).value().replied);
    CHECK(lab::down(first.name).has_value());
    CHECK(probe::icmp(second.at("one/vm1"), vm2).value().replied);
    CHECK(test::namespaces_of(first.name).empty());
}

TEST_CASE("a lab whose node process was killed can be taken down") {
    if (!test::can_run()) return;
    test::standing_lab lab(test::small_cloud());
    const auto spaces = test::namespaces_of(lab.name);
    const auto processes = test::processes_of(spaces);
    const int pid = node_pid(lab.name, "network");
    REQUIRE(pid > 0);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    // Its switch dies with it: a daemon without its node would be nobody's.
    for (int i = 0; i < 100 && test::processes_of(spaces).size() > processes.size() - 3; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(test::processes_of(spaces).size() == processes.size() - 3);
    CHECK(node_pid(lab.name, "network") == 0);
    CHECK(lab::down(lab.name).has_value());
    CHECK(test::namespaces_of(lab.name).empty());
    for (const int p : processes) CHECK_FALSE(alive(p));
}

TEST_CASE("a lab without its record is found by its names") {
    if (!test::can_run()) return;
    test::standing_lab lab(test::small_cloud());
    std::filesystem::remove("/run/weft/lab/" + lab.name + "/lab.json");
    CHECK(lab::down(lab.name).has_value());
    CHECK(test::namespaces_of(lab.name).empty());
}

// The kernel gives the inode of mounts that have gone to the next ones: here the record of the first lab names those of the second.
TEST_CASE("what another lab has got of a lab's old numbers is not taken down with it") {
    if (!test::can_run()) return;
    test::standing_lab first(test::small_cloud()), second(test::small_cloud());
    const int pid = node_pid(second.name, "compute1");
    REQUIRE(alive(pid));
    std::filesystem::copy_file("/run/weft/lab/" + second.name + "/compute1/mnt", "/run/weft/lab/" + first.name + "/compute1/mnt",
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(lab::down(first.name).has_value());
    CHECK(alive(pid));
    CHECK(test::namespaces_of(first.name).empty());
}

TEST_CASE("a failure on a node takes the whole lab down again") {
    if (!test::can_run()) return;
    const auto name = test::random_name();
    const auto refuse = [](const fabric& f, const std::string& node, const host_facts& facts) -> result<host_state> {
        if (node == "compute2") return error{errc::invalid_input, "compile", node, "refused by the test"};
        return roles::compile(f, node, facts);
    };
    const auto outcome = lab::up(test::small_cloud(), refuse, name);
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().detail == "refused by the test");
    CHECK(test::namespaces_of(name).empty());
    CHECK_FALSE(std::filesystem::exists("/run/weft/lab/" + name));
}

TEST_CASE("an open value is refused before anything is made") {
    auto fabric = test::small_cloud();
    fabric.tenants.at("one").ports.at("vm2").address.reset();
    const auto outcome = lab::up(fabric, roles::compile, test::random_name());
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().code == errc::invalid_input);
}

TEST_CASE("a command inside a node sees that node, and its status is its own") {
    if (!test::can_run()) return;
    test::standing_lab lab(test::small_cloud());
    CHECK(test::run_inside(lab.name, "network", {"sh", "-c", "test \"$(hostname)\" = network"}) == 0);
    CHECK(test::run_inside(lab.name, "network", {"sh", "-c", "ovs-vsctl show | grep -q br-tun"}) == 0);
    CHECK(test::run_inside(lab.name, "network", {"sh", "-c", "test \"$(ip netns list | grep -c qrouter)\" = 2"}) == 0);
    CHECK(test::run_inside(lab.name, "network", {"sh", "-c", "test ! -e /run/weft/lab && test -e /sys/class/net/eth2"}) == 0);
    CHECK(test::run_inside(lab.name, "compute1", {"sh", "-c", "exit 42"}) == 42);
    CHECK(test::run_inside(lab.name, "compute1", {"sh", "-c", "kill -TERM $$"}) == 128 + SIGTERM);
    CHECK(test::run_inside(lab.name, "vm2", {"sh", "-c", "test \"$(hostname)\" = vm2 && ip link show eth0"}) == 0);
    const auto wrong = lab::exec(lab.name, "nobody", {"true"});
    CHECK(wrong.code == errc::not_found);
}
