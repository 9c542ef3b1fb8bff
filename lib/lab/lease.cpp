// SPDX-License-Identifier: Apache-2.0
// udhcpc goes to the background by itself once its lease is put to use, and ends with a failure when it gets none, so
// that waiting for a client is waiting for a process. A client that stays is found by its namespace when the lab goes.
// May include: core, model, netlink.
#include "lab/lease.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <thread>

#include "lab/process.hpp"
#include "weft/netlink/session.hpp"

namespace weft::lab {
namespace {

using clock = std::chrono::steady_clock;

// One client has its lease within a second or two. Where many ask at once, each further one costs its tunnels and the server a broadcast and two
// answers, on one processor.
std::chrono::seconds deadline_of(std::size_t clients) { return std::chrono::seconds(30 + clients / 3); }

// After how long a client asks again. Where many ask, each question is answered behind those of all others: who asks again before that
// makes more of them, on a slow machine without end.
std::chrono::seconds patience_of(std::size_t clients) { return std::chrono::seconds(1 + clients / 50); }

struct client {
    const planned_member* vm;
    child process;
};

result<child> start(const planned_member& vm, std::size_t clients, const std::string& helper, const std::string& log) {
    const auto tries = std::to_string(deadline_of(clients) / patience_of(clients)), seconds = std::to_string(patience_of(clients).count());
    return start_in(vm.netns, {"busybox", "udhcpc", "-n", "-t", tries, "-T", seconds, "-i", "eth0", "-s", helper, "-O", "mtu", "-O", "staticroutes"}, log);
}

result<void> holds_its_address(const planned_member& vm) {
    const auto addresses = addresses_of(vm, false);
    if (!addresses) return addresses.error();
    std::string others;
    for (const auto& a : *addresses) {
        if (a.address == *vm.lease) return {};
        others += " " + a.to_string();
    }
    return error{errc::protocol_error, "lease address", vm.name,
                 "it has" + (others.empty() ? " none" : others) + " instead of " + vm.lease->to_string()};
}

// What the clients said at last: a lab that does not come up takes their log along.
std::string last_words(const std::string& log) {
    std::ifstream in(log);
    std::string line, last;
    while (std::getline(in, line))
        if (!line.empty()) last = std::move(line);
    return last.empty() ? "" : "; the last that the clients said: " + last;
}

result<void> wait_for(client& c, clock::time_point until, std::chrono::seconds deadline, const std::string& log) {
    for (;;) {
        if (const auto status = c.process.ended()) {
            if (*status == 0) return holds_its_address(*c.vm);
            return error{errc::timed_out, "lease address", c.vm->name,
                         "udhcpc ended with status " + std::to_string(*status) + last_words(log)};
        }
        if (interrupt_guard::interrupted())
            return error{errc::busy, "lease address", c.vm->name, "interrupted by a signal", EINTR};
        if (clock::now() > until)
            return error{errc::timed_out, "lease address", c.vm->name,
                         "no lease within " + std::to_string(deadline.count()) + " s" + last_words(log)};
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

// One broadcast from a DHCP client's port to a server's, which is all that a port without an address may send; it asks
// nothing, so that no server answers.
result<void> send_empty_request() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno_error(errno, "open socket", "eth0");
    const int yes = 1;
    const std::string device = "eth0";
    sockaddr_in from{}, to{};
    from.sin_family = to.sin_family = AF_INET;
    from.sin_port = htons(68);
    to.sin_port = htons(67);
    to.sin_addr.s_addr = INADDR_BROADCAST;
    const bool sent = ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), device.size()) == 0 &&
                      ::setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) == 0 &&
                      ::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 &&
                      ::sendto(fd, "", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 1;
    const int problem = errno;
    ::close(fd);
    if (!sent) return errno_error(problem, "send", device);
    return {};
}

// The userspace datapath drops what it would send to a tunnel peer whose MAC it does not know yet, and asks for it. A
// client that lost its first packet would wait a second, so that one frame per node goes ahead. It only saves time.
void wake_tunnels(const topology& t) {
    std::set<std::string> woken;
    for (const auto& p : t.plugs) {
        const auto vm = std::find_if(t.members.begin(), t.members.end(), [&](const auto& m) { return m.name == p.vm; });
        if (vm == t.members.end() || !vm->lease || !woken.insert(p.node).second) continue;
        if (const auto at = netlink::namespace_handle::open(vm->netns)) (void)netlink::run_in(*at, send_empty_request);
    }
    if (!woken.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// A value of the lease, as udhcpc hands it to its script.
std::string told(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

// The routes of a lease: classless ones (option 121) take the place of the router (option 3), by RFC 3442.
std::vector<route> routes_told(const std::string& device) {
    std::vector<route> routes;
    auto text = told("staticroutes");
    if (text.empty() && !told("router").empty()) text = "0.0.0.0/0 " + told("router");
    std::istringstream words(text);
    for (std::string to, via; words >> to >> via;) {
        const auto destination = parse_prefix(to);
        const auto gateway = parse_ip(via);
        if (!destination || !gateway) continue;
        route r;
        r.destination = *destination;
        // 0.0.0.0 as its gateway: the destination is on the link.
        r.nexthops.push_back({gateway->is_unspecified() ? std::nullopt : std::optional<ip_address>(*gateway), device});
        routes.push_back(std::move(r));
    }
    return routes;
}

result<void> use_lease(netlink::session& session, const std::string& device, const std::optional<ip_prefix>& wanted) {
    auto addresses = session.addresses();
    if (!addresses) return addresses.error();
    std::vector<netlink::change> changes;
    bool present = false;
    for (const auto& a : *addresses) {
        if (a.device != device || a.address.is_v6()) continue;
        if (wanted && a.address == *wanted)
            present = true;
        else
            changes.push_back({netlink::verb::remove, a});
    }
    if (wanted) {
        if (const auto mtu = std::atoi(told("mtu").c_str()); mtu > 0) {
            link l;
            l.name = device;
            l.up = true;
            l.mtu = static_cast<std::uint32_t>(mtu);
            changes.push_back({netlink::verb::change, l});
        }
        if (!present) changes.push_back({netlink::verb::add, address_entry{device, *wanted}});
        // With the address that they go by, its routes went as well.
        if (!present)
            for (auto& r : routes_told(device)) changes.push_back({netlink::verb::add, std::move(r)});
    }
    for (auto& done : session.run(changes))
        if (!done) return done;
    return {};
}

}  // namespace

result<std::vector<ip_prefix>> addresses_of(const planned_member& vm, bool v6) {
    auto at = netlink::namespace_handle::open(vm.netns);
    if (!at) return at.error();
    auto session = netlink::session::open(*at);
    if (!session) return session.error();
    auto addresses = session->addresses();
    if (!addresses) return addresses.error();
    std::vector<ip_prefix> own;
    for (const auto& a : *addresses)
        if (a.device == "eth0" && a.address.is_v6() == v6 && !(v6 && a.address.address.to_v6().is_link_local())) own.push_back(a.address);
    return own;
}

result<child> start_in(const std::string& netns, const std::vector<std::string>& argv, const std::string& log) {
    auto at = netlink::namespace_handle::open(netns);
    if (!at) return at.error();
    std::optional<result<child>> started;
    // A process starts in the namespace of the thread that starts it.
    auto inside = netlink::run_in(*at, [&]() -> result<void> {
        started.emplace(child::start(argv, log));
        return {};
    });
    if (!inside) return inside.error();
    if (!*started) {
        auto problem = started->error();
        problem.detail += "; the lab's VMs ask for their addresses with " + argv[0] + ", unless the file says lab: addresses: static";
        return problem;
    }
    return std::move(*started);
}

result<void> lease_addresses(const topology& t, const std::string& helper, const std::string& log) {
    wake_tunnels(t);
    std::vector<client> clients;
    const auto all = static_cast<std::size_t>(std::count_if(t.members.begin(), t.members.end(), [](const auto& m) { return m.lease.has_value(); }));
    const auto deadline = deadline_of(all);
    const auto until = clock::now() + deadline;
    std::optional<error> first;
    for (const auto& m : t.members) {
        if (!m.lease || first) continue;
        auto started = start(m, all, helper, log);
        if (started)
            clients.push_back({&m, std::move(*started)});
        else
            first = started.error();
    }
    for (auto& c : clients) {
        if (!first) {
            if (auto done = wait_for(c, until, deadline, log); !done) first = done.error();
        }
        if (first) {
            c.process.kill(SIGTERM);
            c.process.wait();
        }
    }
    if (first) return *first;
    return {};
}

bool is_lease_event(const std::string& word) {
    static const std::vector<std::string> events{"deconfig", "bound", "renew", "leasefail", "nak"};
    return std::find(events.begin(), events.end(), word) != events.end();
}

int on_lease_event(const std::string& word) {
    if (word == "leasefail" || word == "nak") return 0;  // a deconfig follows where an address must go
    const auto device = told("interface");
    std::optional<ip_prefix> wanted;
    if (word != "deconfig") {
        const auto prefix = parse_prefix(told("ip") + "/" + told("mask"));
        if (!prefix) {
            std::cerr << "weft-node " << word << ": \"" << told("ip") << "/" << told("mask") << "\" is no address\n";
            return 1;
        }
        wanted = *prefix;
    }
    auto at = netlink::namespace_handle::open("");
    auto session = at ? netlink::session::open(*at) : result<netlink::session>(at.error());
    auto done = session ? use_lease(*session, device, wanted) : result<void>(session.error());
    if (done) return 0;
    std::cerr << "weft-node " << word << ": " << done.error().message() << std::endl;
    return 1;
}

}  // namespace weft::lab
