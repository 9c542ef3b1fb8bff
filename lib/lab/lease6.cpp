// SPDX-License-Identifier: Apache-2.0
// A VM's IPv6 is off until its node is ready, so that its first solicitation is not lost in a switch that does not know the VM yet:
// the kernel would wait four seconds for the next. dhclient goes to the background by itself once it has a lease; it is found by
// its namespace when the lab goes. May include: core, model, netlink.
#include "lab/lease6.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "lab/lease.hpp"
#include "lab/process.hpp"
#include "weft/netlink/session.hpp"


namespace weft::lab {
namespace {

using clock = std::chrono::steady_clock;

struct waiting {
    const planned_member* vm;
    std::optional<child> client;  // of DHCPv6
};

result<void> listen(const planned_member& vm) {
    auto at = netlink::namespace_handle::open(vm.netns);
    if (!at) return at.error();
    const std::string key = "net/ipv6/conf/eth0/";
    // The file was checked for addresses given twice, so that no second is spent on asking for them. Solicitations each second.
    const std::vector<netlink::sysctl_value> values{
        {key + "accept_dad", "0", true}, {key + "accept_ra", "1", true}, {key + "router_solicitation_interval", "1", true}, {key + "disable_ipv6", "0", true}};
    std::size_t written = 0;
    return netlink::write_sysctls(*at, values, written);
}

result<child> ask(const planned_member& vm, const std::string& helper, const std::string& folder) {
    const auto file = folder + "/dhclient6-" + vm.netns;
    return start_in(vm.netns, {"dhclient", "-6", "-D", "LL", "-cf", "/dev/null", "-lf", file + ".leases", "-pf", file + ".pid", "-sf", helper, "eth0"},
                    folder + "/dhcp6.log");
}

result<void> wait_for(waiting& w, clock::time_point until, std::chrono::seconds deadline) {
    for (;;) {
        const auto addresses = addresses_of(*w.vm, true);
        if (!addresses) return addresses.error();
        std::string others;
        for (const auto& a : *addresses) {
            if (a.address == *w.vm->lease6) return {};
            others += " " + a.to_string();
        }
        if (!others.empty())
            return error{errc::protocol_error, "learn IPv6 address", w.vm->name, "it has" + others + " instead of " + w.vm->lease6->to_string()};
        if (w.client)
            if (const auto status = w.client->ended(); status && *status != 0)
                return error{errc::timed_out, "learn IPv6 address", w.vm->name, "dhclient ended with status " + std::to_string(*status)};
        if (interrupt_guard::interrupted()) return error{errc::busy, "learn IPv6 address", w.vm->name, "interrupted by a signal", EINTR};
        if (clock::now() > until)
            return error{errc::timed_out, "learn IPv6 address", w.vm->name,
                         std::string(w.client ? "no answer of DHCPv6" : "no router advertisement") + " within " + std::to_string(deadline.count()) + " s"};
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

std::string told(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

result<void> lease_addresses6(const topology& t, const std::string& helper, const std::string& folder) {
    std::vector<waiting> all;
    std::optional<error> first;
    for (const auto& m : t.members) {
        if (!m.lease6 || first) continue;
        if (auto done = listen(m); !done) {
            first = done.error();
            continue;
        }
        all.push_back({&m, {}});
        if (!m.by_dhcp6) continue;
        auto client = ask(m, helper, folder);
        if (client)
            all.back().client.emplace(std::move(*client));
        else
            first = client.error();
    }
    const std::chrono::seconds deadline(30 + all.size() / 3);
    const auto until = clock::now() + deadline;
    for (auto& w : all) {
        if (!first)
            if (auto done = wait_for(w, until, deadline); !done) first = done.error();
        if (!w.client) continue;
        // The client that has its lease is another process by now, and this one ends.
        if (first) w.client->kill(SIGTERM);
        w.client->wait();
    }
    if (first) return *first;
    return {};
}

bool is_lease6_event(int argc) { return argc == 1 && std::getenv("reason") != nullptr; }

int on_lease6_event() {
    const auto reason = told("reason"), device = told("interface");
    const bool gain = reason == "BOUND6" || reason == "RENEW6" || reason == "REBIND6";
    const bool lose = reason == "EXPIRE6" || reason == "RELEASE6" || reason == "STOP6" || reason == "DEPREF6";
    if (!gain && !lose) return 0;
    const auto address = parse_prefix(told(gain ? "new_ip6_address" : "old_ip6_address") + "/128");
    if (!address) {
        std::cerr << "weft-node " << reason << ": no address was told\n";
        return 1;
    }
    auto at = netlink::namespace_handle::open("");
    auto session = at ? netlink::session::open(*at) : result<netlink::session>(at.error());
    auto done = session ? session->run_one({gain ? netlink::verb::add : netlink::verb::remove, address_entry{device, *address}}) : result<void>(session.error());
    const bool is_so = !done && done.error().code == (gain ? errc::already_exists : errc::not_found);
    if (done || is_so) return 0;
    std::cerr << "weft-node " << reason << ": " << done.error().message() << std::endl;
    return 1;
}

}  // namespace weft::lab
