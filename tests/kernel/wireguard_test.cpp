// SPDX-License-Identifier: Apache-2.0
// WireGuard between two namespaces, with a real handshake: once with links of the kernel, where it has them (the guest tier proves them), and once
// with wireguard-go. Both must look the same when they are read. Without root it skips.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "kernel/netns_fixture.hpp"
#include "kernel/private_run.hpp"
#include "services/spawn.hpp"
#include "weft/apply/apply.hpp"
#include "weft/core/secret.hpp"
#include "weft/netlink/key_file.hpp"
#include "weft/netlink/wireguard.hpp"
#include "weft/probe/probe.hpp"

using namespace weft;
using namespace weft::test;
namespace fs = std::filesystem;

namespace {

struct key_folder {
    std::string path;
    key_folder() {
        char name[] = "/tmp/weft-wg-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~key_folder() { fs::remove_all(path); }
    // The public half of a new key in the file.
    std::string make(const std::string& name) const {
        const auto key = new_private_key();
        netlink::write_key_file(path + "/" + name, key).value();
        return to_base64(public_half(key));
    }
};

struct side {
    std::string name, device, address, outer, public_key;
    int serves = 0;  // the wireguard-go
};

// Two hosts with a cable, each with a WireGuard link that knows the other.
struct pair_of_hosts {
    key_folder keys;
    scoped_namespace left{"wgl"}, right{"wgr"};
    bool userspace;
    side a{left.name, "", "10.99.0.1", "192.0.2.1", "", 0}, b{right.name, "", "10.99.0.2", "192.0.2.2", "", 0};
    std::string shared;

    explicit pair_of_hosts(bool go) : userspace(go) {
        // The sockets of all wireguard-go are in one folder.
        a.device = "wa" + std::to_string(::getpid());
        b.device = "wb" + std::to_string(::getpid());
        a.public_key = keys.make("a");
        b.public_key = keys.make("b");
        (void)keys.make("shared");
        shared = fingerprint(netlink::read_key_file(keys.path + "/shared").value());
        auto veth = make_link("e0", veth_options{"e0", right.name, {}, {}});
        veth.up = true;
        left.session().run_one({netlink::verb::add, veth}).value();
        for (auto* s : {&a, &b}) {
            auto session = netlink::session::open(handle(*s)).value();
            auto up = make_link("e0", physical_options{});
            up.up = true;
            session.run_one({netlink::verb::change, up}).value();
            session.run_one({netlink::verb::add, address_entry{"e0", *parse_prefix(s->outer + "/24")}}).value();
            if (go) start(*s);
            else session.run_one({netlink::verb::add, make_link(s->device, wireguard_options{})}).value();
        }
    }
    ~pair_of_hosts() {
        for (auto* s : {&a, &b})
            if (s->serves > 0) {
                ::kill(s->serves, SIGTERM);
                ::waitpid(s->serves, nullptr, 0);
            }
    }

    netlink::namespace_handle handle(const side& s) const { return netlink::namespace_handle::open(s.name).value(); }
    void start(side& s) {
        netlink::run_in(handle(s), [&]() -> result<void> {
            auto pid = services::spawn({"wireguard-go", "-f", s.device}, {});
            if (!pid) return pid.error();
            s.serves = *pid;
            return {};
        }).value();
        for (int i = 0; i < 1000 && !read(s); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        REQUIRE(read(s).has_value());
    }
    std::optional<wireguard_options> read(const side& s) const {
        if (userspace) return netlink::read_wireguard_go(s.device).value();
        return netlink::read_wireguard(handle(s), s.device).value();
    }
    wireguard_options wanted(const side& own, const side& other, const std::string& key) const {
        wireguard_options o;
        o.public_key = own.public_key;
        o.key_file = keys.path + "/" + key;
        o.port = 51820;
        o.userspace = userspace;
        wireguard_peer p;
        p.public_key = other.public_key;
        p.allowed = {*parse_prefix(other.address + "/32")};
        p.preshared = shared;
        p.preshared_file = keys.path + "/shared";
        if (&own == &a) p.endpoint = other.outer + ":51820";  // the other learns
        o.peers = {p};
        return o;
    }
    void set(const side& s, const wireguard_options& before, const wireguard_options& after) { netlink::change_wireguard(handle(s), s.device, before, after).value(); }
    void raise(const side& s) {
        auto session = netlink::session::open(handle(s)).value();
        auto up = make_link(s.device, physical_options{});
        up.up = true;
        session.run_one({netlink::verb::change, up}).value();
        session.run_one({netlink::verb::add, address_entry{s.device, *parse_prefix(s.address + "/24")}}).value();
    }
    bool speaks() { return probe::icmp(handle(a), *parse_ip(b.address), 56, false, std::chrono::seconds(8)).value().replied; }
};

wireguard_options without_files(wireguard_options o) {
    o.key_file.clear();
    o.userspace = false;
    for (auto& p : o.peers) p.preshared_file.clear(), p.endpoint.clear();
    return o;
}

void handshake(bool go) {
    pair_of_hosts hosts(go);
    const auto at_a = hosts.wanted(hosts.a, hosts.b, "a"), at_b = hosts.wanted(hosts.b, hosts.a, "b");
    hosts.set(hosts.a, {}, at_a);
    hosts.set(hosts.b, {}, at_b);
    hosts.raise(hosts.a);
    hosts.raise(hosts.b);
    REQUIRE(hosts.speaks());
    // What is read is what was wanted, from the kernel as from wireguard-go.
    CHECK(without_files(*hosts.read(hosts.a)) == without_files(at_a));
    CHECK(without_files(*hosts.read(hosts.b)) == without_files(at_b));
    CHECK(hosts.read(hosts.b)->peers.at(0).endpoint == hosts.a.outer + ":51820");

    const auto before = netlink::session::writes();
    hosts.set(hosts.a, *hosts.read(hosts.a), *hosts.read(hosts.a));
    CHECK(netlink::session::writes() == before);

    // A thousand more, and one more: the session goes on, and the one is one message.
    auto many = *hosts.read(hosts.b);
    for (int i = 0; i < 1000; ++i) {
        wireguard_peer p;
        public_key k{};
        k[0] = static_cast<std::uint8_t>(i >> 8);
        k[1] = static_cast<std::uint8_t>(i);
        k[31] = 1;
        p.public_key = to_base64(k);
        p.allowed = {{advance(*parse_ip("10.100.0.0"), i), 32}};
        many.peers.push_back(p);
    }
    std::sort(many.peers.begin(), many.peers.end(), [](const auto& x, const auto& y) { return x.public_key < y.public_key; });
    hosts.set(hosts.b, *hosts.read(hosts.b), many);
    const auto seen = *hosts.read(hosts.b);
    CHECK(seen.peers.size() == 1001);
    CHECK(without_files(seen) == without_files(many));
    CHECK(hosts.speaks());
    auto more = seen;
    wireguard_peer last;
    public_key k{};
    k[30] = 7;
    last.public_key = to_base64(k);
    last.allowed = {*parse_prefix("10.101.0.1/32")};
    more.peers.insert(std::lower_bound(more.peers.begin(), more.peers.end(), last, [](const auto& x, const auto& y) { return x.public_key < y.public_key; }), last);
    const auto count = netlink::session::writes();
    hosts.set(hosts.b, seen, more);
    CHECK(netlink::session::writes() == count + 1);
    CHECK(hosts.read(hosts.b)->peers.size() == 1002);
    CHECK(hosts.speaks());

    // A peer that goes is cut off at once.
    auto without = *hosts.read(hosts.b);
    std::erase_if(without.peers, [&](const auto& p) { return p.public_key == hosts.a.public_key; });
    hosts.set(hosts.b, *hosts.read(hosts.b), without);
    CHECK(hosts.read(hosts.b)->peers.size() == 1001);
    CHECK(!probe::icmp(hosts.handle(hosts.a), *parse_ip(hosts.b.address), 56, false, std::chrono::seconds(2)).value().replied);
}

// The whole way of `weft apply`: made, changed by one peer, observed, and taken off. What is observed is the same whoever serves.
void applied(bool go) {
    const key_folder keys;
    const scoped_namespace space("wga");
    const private_run mounts;
    weft::link l;
    l.name = "wc" + std::to_string(::getpid());
    l.mtu = 1420;
    l.group = weft_link_group;
    l.alias = "weft:wgtest/nodes/vpn/vpn";
    l.up = true;
    wireguard_options o;
    o.public_key = keys.make("own");
    o.key_file = keys.path + "/own";
    o.port = 51820;
    o.userspace = go;
    for (const char* name : {"a", "b"}) {
        wireguard_peer p;
        p.public_key = keys.make(name);
        p.allowed = {{advance(*parse_ip("10.8.0.2"), static_cast<std::int64_t>(o.peers.size())), 32}};
        p.keepalive = 25;
        o.peers.push_back(p);
    }
    std::sort(o.peers.begin(), o.peers.end(), [](const auto& x, const auto& y) { return x.public_key < y.public_key; });
    const auto state_with = [&](std::size_t peers) {
        auto with = o;
        with.peers.resize(peers);
        host_state wanted;
        wanted.fabric = "wgtest";
        wanted.node = "vpn";
        wanted.namespaces.push_back({});
        wanted.namespaces[0].links.push_back(l);
        wanted.namespaces[0].links[0].options = with;
        return wanted;
    };
    const apply::place where{space.name, "/nonexistent"};
    bool made = false;
    for (const std::size_t peers : {1, 2, 1}) {
        const auto wanted = state_with(peers);
        const auto done = apply::apply(where, [&] { return result<host_state>(wanted); }, {});
        if (!done) FAIL(done.error().message());
        CHECK(done->steps == (made ? 1 : 2));  // it is made down, and raised once it is whole
        made = true;
        const auto again = apply::apply(where, [&] { return result<host_state>(wanted); }, {});
        REQUIRE(again.has_value());
        CHECK(again->steps == 0);
        CHECK(again->netlink_writes == 0);
        const auto seen = apply::observe(where, wanted).value();
        CHECK(seen.services.empty());
        const auto& links = seen.namespaces.at(0).links;
        const auto at = std::find_if(links.begin(), links.end(), [&](const auto& one) { return one.name == l.name; });
        REQUIRE(at != links.end());
        // All that `weft show` prints of it.
        CHECK(kind_name(at->options) == "wireguard");
        CHECK((at->up && at->mtu == l.mtu && at->group == l.group && at->alias == l.alias && !at->mac && at->master.empty()));
        CHECK(without_files(std::get<wireguard_options>(at->options)) == without_files(std::get<wireguard_options>(wanted.namespaces[0].links[0].options)));
    }
    host_state nothing;
    nothing.fabric = "wgtest";
    nothing.node = "vpn";
    nothing.namespaces.push_back({});
    const auto off = apply::apply(where, [&] { return result<host_state>(nothing); }, {});
    if (!off) FAIL(off.error().message());
    for (const auto& one : space.session().links().value()) CHECK(one.name != l.name);
}

bool kernel_has_it() {
    const scoped_namespace probe("wgp");
    return netlink::kernel_has_wireguard(probe.handle()).value();
}

}  // namespace

TEST_CASE("WireGuard of the kernel: handshake, a thousand peers, and one that goes", "[wireguard-kernel]") {
    if (!may_make_namespaces()) return;
    if (!kernel_has_it()) return skip("this kernel has no WireGuard");
    handshake(false);
}

TEST_CASE("WireGuard by wireguard-go: handshake, a thousand peers, and one that goes", "[wireguard-go]") {
    if (!may_make_namespaces()) return;
    if (std::system("command -v wireguard-go >/dev/null") != 0) return skip("no wireguard-go");
    handshake(true);
}

TEST_CASE("apply with WireGuard of the kernel, as show tells it", "[wireguard-kernel]") {
    if (!may_make_namespaces()) return;
    if (!kernel_has_it()) return skip("this kernel has no WireGuard");
    applied(false);
}

TEST_CASE("apply with wireguard-go, as show tells it: the same", "[wireguard-go]") {
    if (!may_make_namespaces()) return;
    if (std::system("command -v wireguard-go >/dev/null") != 0) return skip("no wireguard-go");
    applied(true);
}

TEST_CASE("a key file that is no longer what was planned for changes nothing", "[wireguard-go]") {
    if (!may_make_namespaces()) return;
    if (std::system("command -v wireguard-go >/dev/null") != 0) return skip("no wireguard-go");
    pair_of_hosts hosts(true);
    auto wanted = hosts.wanted(hosts.a, hosts.b, "b");
    const auto done = netlink::change_wireguard(hosts.handle(hosts.a), hosts.a.device, {}, wanted);
    REQUIRE(!done);
    CHECK(done.error().code == errc::stale);
    wanted.key_file = hosts.keys.path + "/none";
    CHECK(!netlink::change_wireguard(hosts.handle(hosts.a), hosts.a.device, {}, wanted));
    CHECK(hosts.read(hosts.a)->peers.empty());
    CHECK(hosts.read(hosts.a)->public_key.empty());
}
