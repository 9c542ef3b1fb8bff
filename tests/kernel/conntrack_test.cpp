// SPDX-License-Identifier: Apache-2.0
// Connection tracking of a real namespace: what is read is what was made, what fits a filter goes and nothing else
// does. Entries are made by UDP over lo.
#include "weft/netlink/conntrack.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "kernel/netns_fixture.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/nftables.hpp"

using namespace weft;

namespace {

ip_address ip(const std::string& text) { return parse_ip(text).value(); }
ip_prefix prefix(const std::string& text) { return parse_prefix(text).value(); }

void send_from(const netlink::namespace_handle& at, const std::string& to, std::uint16_t port) {
    netlink::run_in(at, [&]() -> result<void> {
        const int s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_port = htons(port);
        ::inet_pton(AF_INET, to.c_str(), &peer.sin_addr);
        const auto sent = ::sendto(s, "x", 1, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
        ::close(s);
        return sent == 1 ? result<void>{} : errno_error(errno, "send", to);
    }).value();
}

// lo up, with 192.0.2.0/24 on it, and 192.0.2.10 translated to 192.0.2.20; a rule that asks for it makes the kernel
// track.
struct tracked {
    test::scoped_namespace space{"ct"};
    netlink::namespace_handle at = space.handle();

    tracked() {
        auto session = space.session();
        weft::link lo;
        lo.name = "lo";
        lo.up = true;
        session.run_one({netlink::verb::change, lo}).value();
        address_entry all;
        all.device = "lo";
        all.address = prefix("192.0.2.1/24");
        session.run_one({netlink::verb::add, all}).value();
        nft::chain output{"output", "nat", 3, -100, 1, {}, {}};
        output.rules.push_back(
            nft::rule_builder(nft::family::ipv4).daddr(prefix("192.0.2.10/32")).dnat(ip("192.0.2.20")).done());
        netlink::nft_apply(at, {{nft::table{nft::family::ipv4, "weft", {output}}}, {}}).value();
    }

    void send(const std::string& to, std::uint16_t port) const { send_from(at, to, port); }

    std::vector<netlink::connection> to_port(std::uint16_t port) const {
        auto all = netlink::connections(at).value();
        std::erase_if(all, [&](const auto& c) { return c.protocol != IPPROTO_UDP || c.destination_port != port; });
        return all;
    }
};

}  // namespace

TEST_CASE("connections are read with both ways, and a filter deletes those that fit, by original or by answer") {
    if (!test::may_make_namespaces()) return;
    const tracked t;
    t.send("192.0.2.10", 1001);
    t.send("192.0.2.30", 1002);
    REQUIRE(t.to_port(1001).size() == 1);
    const auto translated = t.to_port(1001)[0];
    CHECK(translated.original_destination == ip("192.0.2.10"));
    CHECK(translated.reply_source == ip("192.0.2.20"));
    CHECK(translated.reply_destination == translated.original_source);
    CHECK(translated.source_port != 0);
    CHECK(translated.zone == 0);
    REQUIRE(t.to_port(1002).size() == 1);

    const auto remove = [&](netlink::connection_filter f) {
        return netlink::delete_connections(t.at, std::vector{f}).value();
    };
    // What does not fit in one field stays.
    CHECK(remove({.original_destination = prefix("192.0.2.20/32")}) == 0);
    CHECK(remove({.original_destination = prefix("192.0.2.10/32"), .protocol = IPPROTO_TCP}) == 0);
    CHECK(remove({.original_destination = prefix("192.0.2.10/32"), .zone = 7}) == 0);
    CHECK(remove({.original_destination = prefix("192.0.2.10/32"), .destination_port = 1}) == 0);
    CHECK(t.to_port(1001).size() == 1);
    CHECK(remove({.reply_source = prefix("192.0.2.20/32"), .zone = 0}) == 1);
    CHECK(t.to_port(1001).empty());
    CHECK(t.to_port(1002).size() == 1);
    CHECK(remove({.original_destination = prefix("192.0.2.0/24"), .protocol = IPPROTO_UDP}) >= 1);
    CHECK(t.to_port(1002).empty());
    CHECK(netlink::delete_connections(t.at, {}).value() == 0);
}

TEST_CASE("hundreds of connections go in one call, each once, and several filters are one reading") {
    if (!test::may_make_namespaces()) return;
    const tracked t;
    for (std::uint16_t port = 2000; port < 2300; ++port) t.send("192.0.2.10", port);
    t.send("192.0.2.40", 3000);
    t.send("192.0.2.50", 3001);
    const std::vector<netlink::connection_filter> filters = {{.original_destination = prefix("192.0.2.10/32")},
                                                             {.original_destination = prefix("192.0.2.40/32")},
                                                             {.reply_source = prefix("192.0.2.20/32")}};
    const auto count = [&] {
        const auto all = netlink::connections(t.at).value();
        return std::count_if(all.begin(), all.end(), [&](const auto& c) {
            return std::any_of(filters.begin(), filters.end(), [&](const auto& f) { return f.fits(c); });
        });
    };
    REQUIRE(count() == 301);
    CHECK(netlink::delete_connections(t.at, filters).value() == 301);
    CHECK(count() == 0);
    CHECK(t.to_port(3001).size() == 1);
    CHECK(netlink::delete_connections(t.at, filters).value() == 0);
}

TEST_CASE(
    "apply forgets the connections of an address that stands for another now, and so does the undo of one that fails") {
    if (!test::may_make_namespaces()) return;
    const test::scoped_namespace host{"ah"};
    const apply::place place{host.name, "/nonexistent/openvswitch"};
    host_state wanted;
    wanted.fabric = host.name;
    wanted.node = "n";
    wanted.namespaces.resize(2);
    auto& inner = wanted.namespaces[1];
    inner.name = host.name + "-in";
    weft::link lo;
    lo.name = "lo";
    lo.up = true;
    inner.links.push_back(lo);
    address_entry all;
    all.device = "lo";
    all.address = prefix("192.0.2.1/24");
    all.protocol = weft_protocol;
    inner.addresses.push_back(all);
    const auto rules = [](const std::string& fixed) {
        nft::chain output{"output", "nat", 3, -100, 1, {}, {}};
        for (const auto& [outside, to] :
             {std::pair<std::string, std::string>{"192.0.2.10", fixed}, {"192.0.2.11", "192.0.2.21"}})
            output.rules.push_back(
                nft::rule_builder(nft::family::ipv4).daddr(prefix(outside + "/32")).dnat(ip(to)).done());
        return nft::table{nft::family::ipv4, "weft", {output}};
    };
    inner.tables = {rules("192.0.2.20")};
    struct cleaner {
        const apply::place& place;
        std::string fabric;
        ~cleaner() { (void)apply::remove(place, fabric, "n"); }
    } const cleaner{place, host.name};
    apply::apply(place, wanted).value();

    const auto at = netlink::namespace_handle::open(inner.name).value();
    const auto count = [&](const std::string& outside) {
        const auto found = netlink::connections(at).value();
        return std::count_if(found.begin(), found.end(),
                             [&](const auto& c) { return c.original_destination == ip(outside); });
    };
    const auto begin = [&] {
        for (const char* outside : {"192.0.2.10", "192.0.2.11"}) send_from(at, outside, 1001);
        REQUIRE(count("192.0.2.10") >= 1);
    };
    begin();
    auto moved = wanted;
    moved.namespaces[1].tables = {rules("192.0.2.30")};
    apply::apply(place, moved).value();
    CHECK(count("192.0.2.10") == 0);
    CHECK(count("192.0.2.11") >= 1);
    CHECK(apply::apply(place, moved).value().steps == 0);

    // Back again, with something at the end that cannot be: all is undone, and what began meanwhile is forgotten too.
    begin();
    auto failing = wanted;
    failing.namespaces[1].tables = wanted.namespaces[1].tables;
    route impossible;
    impossible.destination = prefix("10.0.0.0/8");
    impossible.nexthops = {nexthop{ip("198.51.100.1"), "lo", 0, false}};
    failing.namespaces[1].routes.push_back(impossible);
    REQUIRE(apply::apply(place, failing).has_error());
    CHECK(count("192.0.2.10") == 0);
    CHECK(count("192.0.2.11") >= 1);
    CHECK(apply::make_plan(place, moved).value().empty());
}
