// SPDX-License-Identifier: Apache-2.0
// A lab's VPN client: a WireGuard link in the namespace of a host outside, of the kernel or of a wireguard-go that lives in that namespace and
// goes with the lab. It sends all of the fabric's networks into the tunnel, so that what the gateway refuses is seen to be refused there.
// May include: core, model, netlink, services.
#include "lab/vpn.hpp"

#include "lab/process.hpp"
#include "services/spawn.hpp"
#include "weft/netlink/key_file.hpp"
#include "weft/netlink/session.hpp"
#include "weft/netlink/wireguard.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::lab {
namespace {

constexpr const char* device = "wg0";

// The socket of a wireguard-go has its name below /run, which here is this process's and its children's alone.
result<void> start_wireguard_go() {
    if (::unshare(CLONE_NEWNS) < 0) return errno_error(errno, "unshare", "mounts");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return errno_error(errno, "make mounts private", "/");
    // Below it are the key files, which are still to be read.
    if (::mount("tmpfs", "/run/wireguard", "tmpfs", MS_NOSUID | MS_NODEV, "mode=700") < 0) return errno_error(errno, "mount tmpfs", "/run/wireguard");
    services::dump_nothing();
    const auto pid = services::spawn({"wireguard-go", device}, {});
    if (!pid) return pid.error();
    if (services::wait_for(*pid) != 0) return error{errc::unavailable, "start wireguard-go", device, "it ended at once", 0};
    return {};
}

result<void> enter(const std::string& netns) {
    const auto path = "/run/netns/" + netns;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "open namespace", path);
    const int outcome = ::setns(fd, CLONE_NEWNET);
    const int problem = errno;
    ::close(fd);
    if (outcome < 0) return errno_error(problem, "enter namespace", path);
    return {};
}

}  // namespace

result<void> become_client(const std::vector<std::string>& words) {
    if (auto done = enter(words[0]); !done) return done;
    const auto here = netlink::namespace_handle::open("");
    if (!here) return here.error();
    const auto kernel = netlink::kernel_has_wireguard(*here);
    if (!kernel) return kernel.error();
    auto session = netlink::session::open(*here);
    if (!session) return session.error();
    link l;
    l.name = device;
    l.options = wireguard_options{};
    if (*kernel) {
        if (auto done = session->run_one({netlink::verb::add, l}); !done) return done;
    } else {
        ::mkdir("/run/wireguard", 0700);
        if (auto done = start_wireguard_go(); !done) return done;
    }
    const auto key = netlink::read_key_file(words[1]);
    const auto address = parse_prefix(words[5]);
    if (!key || !address) return key ? address.error() : key.error();
    wireguard_options wanted{to_base64(public_half(*key)), words[1], {}, {}, !*kernel};
    wireguard_peer gateway{words[3], words[4], {}, 0, {}, {}};
    if (words[2] != "-") {
        const auto shared = netlink::read_key_file(words[2]);
        if (!shared) return shared.error();
        gateway.preshared = fingerprint(*shared);
        gateway.preshared_file = words[2];
    }
    std::vector<netlink::change> changes;
    l.options = physical_options{};
    l.mtu = 1420;
    l.up = true;
    changes.push_back({netlink::verb::change, l});
    changes.push_back({netlink::verb::add, address_entry{device, *address}});
    for (auto word = words.begin() + 6; word != words.end(); ++word) {
        const auto to = parse_prefix(*word);
        if (!to) return to.error();
        gateway.allowed.push_back(*to);
        route r;
        r.destination = *to;
        r.nexthops.push_back({std::nullopt, device});
        changes.push_back({netlink::verb::add, r});
    }
    std::sort(gateway.allowed.begin(), gateway.allowed.end());
    wanted.peers.push_back(std::move(gateway));
    if (auto done = netlink::change_wireguard(*here, device, {}, wanted); !done) return done;
    for (auto& done : session->run(changes))
        if (!done) return done;
    return {};
}

result<void> start_clients(const vpn_plan& plan, const std::string& helper, const std::string& log) {
    for (const auto& c : plan.clients) {
        std::vector<std::string> words = {helper, "vpn-client", c.netns, c.key_file, c.preshared_file.empty() ? "-" : c.preshared_file, c.gateway_key, c.endpoint,
                                          c.address.to_string() + "/32"};
        for (const auto& r : c.routes) words.push_back(r.to_string());
        auto started = child::start(words, log);
        if (!started) return started.error();
        auto answer = started->read_line(std::chrono::seconds(30));
        const int status = started->wait();
        if (!answer) return answer.error();
        if (*answer != "ok" || status != 0) return decode_error(*answer);
    }
    return {};
}

}  // namespace weft::lab
