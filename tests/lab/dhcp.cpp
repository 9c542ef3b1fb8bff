// SPDX-License-Identifier: Apache-2.0
// Addresses by DHCP in a real lab: every VM holds the fabric's, a killed server comes back with its leases, whoever is
// no port of the network gets none, and nothing of it outlives the lab, whatever was killed before.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <sstream>
#include <thread>

#include "lab/folder.hpp"
#include "lab/lab_fixture.hpp"
#include "lab/process.hpp"
#include "weft/netlink/session.hpp"

using namespace weft;

namespace {

bool within(std::chrono::milliseconds bound, const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + bound;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
}

using std::chrono::seconds;

// Gone, or a zombie that waits for a parent that is not this program.
bool alive(int pid) {
    const auto status = lab::read_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
    const auto end = status.rfind(')');
    return end != std::string::npos && status[end + 2] != 'Z' && status[end + 2] != 'X';
}

int parent_of(int pid) {
    const auto status = lab::read_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
    const auto end = status.rfind(')');
    if (end == std::string::npos) return 0;
    std::istringstream rest(status.substr(end + 3));
    int parent = 0;
    rest >> parent;
    return parent;
}

// The files of the network node, seen from outside it.
std::string inside(const test::standing_lab& lab, const std::string& path) {
    const int pid = lab::living_node(lab.name, "network", "weft-" + lab.name + "-network");
    return "/proc/" + std::to_string(pid) + "/root" + path;
}

std::string dnsmasq_of(const test::standing_lab& lab, const std::string& network) {
    return "dnsmasq-" + object_uuid(lab.fabric.name, network);
}

int server_pid(const test::standing_lab& lab, const std::string& network) {
    const auto folder = service_folder(lab.fabric.name, dnsmasq_of(lab, network));
    return std::atoi(lab::read_file(inside(lab, folder + "/pid")).value_or("0").c_str());
}

std::vector<address_entry> addresses_of(const netlink::namespace_handle& at) {
    std::vector<address_entry> out;
    for (const auto& a : netlink::session::open(at).value().addresses().value())
        if (a.device == "eth0" && !a.address.is_v6()) out.push_back(a);
    return out;
}

// One client that asks once, without staying.
int ask_once(const netlink::namespace_handle& at, const char* device, const std::string& helper) {
    int status = -1;
    netlink::run_in(at, [&]() -> result<void> {
        auto client = lab::child::start(
            {"busybox", "udhcpc", "-n", "-q", "-f", "-t", "2", "-T", "1", "-i", device, "-s", helper});
        if (!client) return client.error();
        status = client->wait();
        return {};
    }).value();
    return status;
}

}  // namespace

TEST_CASE("every VM holds the address, the MTU and the default route of the fabric, told by DHCP") {
    if (!test::can_run()) return;
    const test::standing_lab lab(test::small_cloud());
    std::size_t vms = 0;
    for (const auto& [tenant_name, t] : lab.fabric.tenants)
        for (const auto& [name, port] : t.ports) {
            ++vms;
            INFO(tenant_name << "/" << name);
            const auto at = lab.at(tenant_name + "/" + name);
            const auto held = addresses_of(at);
            REQUIRE(held.size() == 1);
            const auto& network = t.networks.at(port.network);
            CHECK(held[0].address == ip_prefix{*port.address, network.cidr.length});
            auto session = std::move(netlink::session::open(at).value());
            CHECK(session.get_link("eth0").value().mtu == *network.mtu);
            const auto routes = session.routes().value();
            CHECK(std::any_of(routes.begin(), routes.end(), [&](const route& r) {
                return r.destination.length == 0 && r.nexthops.size() == 1 && r.nexthops[0].gateway == network.gateway;
            }));
            // The server gave it: its lease is written, to this MAC.
            const auto leases = lab::read_file(inside(
                lab, service_state_folder(lab.fabric.name, dnsmasq_of(lab, tenant_name + "/networks/" + port.network)) +
                         "/leases"));
            REQUIRE(leases);
            CHECK(leases->find(port.mac->to_string() + " " + port.address->to_string()) != std::string::npos);
        }
    CHECK(vms == 3);
}

TEST_CASE("a killed dnsmasq is back within two seconds, with its leases, and renews them") {
    if (!test::can_run()) return;
    const test::standing_lab lab(test::small_cloud());
    const std::string network = "one/networks/net1";
    const auto file = inside(lab, service_state_folder(lab.fabric.name, dnsmasq_of(lab, network)) + "/leases");
    const auto before = lab::read_file(file);
    REQUIRE(before);
    const int first = server_pid(lab, network);
    REQUIRE(alive(first));
    REQUIRE(::kill(first, SIGKILL) == 0);
    REQUIRE(within(seconds(2), [&] {
        const int now = server_pid(lab, network);
        return now != first && alive(now);
    }));
    CHECK(lab::read_file(file) == before);

    // The client asks the new one for more time (SIGUSR1), keeps its address, and the network goes on.
    const auto& vm1 = lab.fabric.tenants.at("one").ports.at("vm1");
    const auto clients = test::processes_of({"weft-" + lab.name + "-one.vm1"});
    REQUIRE(clients.size() == 1);
    // Leases are written to the second, so that a renewal in the same one does not show.
    CHECK(within(seconds(10), [&] {
        REQUIRE(::kill(*clients.begin(), SIGUSR1) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        return lab::read_file(file) != before;
    }));
    CHECK(lab::read_file(file)->find(vm1.mac->to_string()) != std::string::npos);
    const auto held = addresses_of(lab.at("one/vm1"));
    REQUIRE(held.size() == 1);
    CHECK(held[0].address.address == *vm1.address);
    CHECK(probe::icmp(lab.at("one/vm2"), *vm1.address, 56, false).value().replied);
}

TEST_CASE("who is no port of the network gets no address from it") {
    if (!test::can_run()) return;
    const test::standing_lab lab(test::small_cloud());
    const auto at = lab.at("two/vm3");
    const std::string helper = std::string(WEFT_BINARY_DIR) + "/bin/weft-node";
    REQUIRE(ask_once(at, "eth0", helper) == 0);
    weft::link stranger;
    stranger.name = "eth0";
    stranger.up = true;
    stranger.mac = *parse_mac("02:00:00:00:66:66");
    netlink::session::open(at).value().run_one({netlink::verb::change, stranger}).value();
    CHECK(ask_once(at, "eth0", helper) != 0);
}

TEST_CASE("of DHCP nothing outlives the lab, whatever was killed before") {
    if (!test::can_run()) return;
    const test::standing_lab lab(test::small_cloud());
    const auto spaces = test::namespaces_of(lab.name);
    auto processes = test::processes_of(spaces);  // with the clients and the supervisor
    const int server = server_pid(lab, "one/networks/net1");
    processes.insert(server);
    processes.insert(server_pid(lab, "two/networks/net2"));
    const int supervisor = parent_of(server);
    REQUIRE(processes.count(supervisor) == 1);
    const int node = lab::living_node(lab.name, "network", "weft-" + lab.name + "-network");
    SECTION("nothing was killed") {}
    SECTION("the supervisor was killed") {
        REQUIRE(::kill(supervisor, SIGKILL) == 0);
        CHECK(within(seconds(2), [&] { return !alive(server); }));
    }
    SECTION("the node's process was killed") { REQUIRE(::kill(node, SIGKILL) == 0); }
    SECTION("both were killed") {
        for (const int pid : {supervisor, node}) REQUIRE(::kill(pid, SIGKILL) == 0);
    }
    CHECK(lab::down(lab.name).has_value());
    CHECK(test::namespaces_of(lab.name).empty());
    for (const int pid : processes) {
        INFO(pid);
        CHECK_FALSE(alive(pid));
    }
}

TEST_CASE("lab.addresses static and dhcp: false give the VMs their addresses without a client") {
    if (!test::can_run()) return;
    auto fabric = test::small_cloud();
    std::size_t clients = 0;
    SECTION("the whole lab") { fabric.lab.static_addresses = true; }
    SECTION("one network") {
        auto& network = fabric.tenants.at("one").networks.at("net1");
        network.dhcp = false;
        network.dhcp_address.reset();
        clients = 1;  // two/vm3 still asks
    }
    const test::standing_lab lab(fabric);
    std::set<std::string> vms;
    for (const char* vm : {"one.vm1", "one.vm2", "two.vm3"}) vms.insert("weft-" + lab.name + "-" + vm);
    CHECK(test::processes_of(vms).size() == clients);
    const auto held = addresses_of(lab.at("one/vm1"));
    REQUIRE(held.size() == 1);
    CHECK(held[0].address.to_string() == "50.50.1.11/24");
}

TEST_CASE("a VM that is given another address than the fabric's fails the lab by its name, and nothing stays") {
    if (!test::can_run()) return;
    const auto name = test::random_name();
    const auto astray = [](const fabric& f, const std::string& node, const host_facts& facts) {
        auto state = roles::compile(f, node, facts);
        if (state)
            for (auto& s : state->services) {
                auto& hosts = s.files.at("hosts").text;
                if (const auto vm1 = hosts.find(",50.50.1.11,"); vm1 != std::string::npos)
                    hosts.replace(vm1, 12, ",50.50.1.99,");
            }
        return state;
    };
    const auto outcome = lab::up(test::small_cloud(), astray, name);
    REQUIRE(outcome.has_error());
    INFO(outcome.error().message());
    CHECK(outcome.error().object == "one/vm1");
    CHECK(outcome.error().message().find("50.50.1.99/24 instead of 50.50.1.11") != std::string::npos);
    CHECK(test::namespaces_of(name).empty());
    CHECK_FALSE(std::filesystem::exists("/run/weft/lab/" + name));
}
