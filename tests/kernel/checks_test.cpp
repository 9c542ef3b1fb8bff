// SPDX-License-Identifier: Apache-2.0
// Checks on a real kernel: a change that breaks what a check asks for is undone at once, and one that broke before does not count.
//
//   [host "…h"] eth0 10.10.10.52/24 ──veth── eth0 10.10.10.1/24 [wire "…w"], where port 8080 listens
#include "apply/checks.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "kernel/netns_fixture.hpp"
#include "weft/probe/probe.hpp"

using namespace weft;

namespace {

constexpr std::uint16_t open_port = 8080, shut_port = 8081;

struct host {
    test::scoped_namespace own{"ckh"}, wire{"ckw"};
    apply::place place{own.name, "/nonexistent/openvswitch"};
    int listener = -1;

    host() {
        auto nic = test::make_link("eth0", veth_options{"eth0", wire.name, std::nullopt, std::nullopt});
        own.session().run_one({netlink::verb::add, nic}).value();
        auto far = test::make_link("eth0", {});
        far.up = true;
        auto session = wire.session();
        session.run_one({netlink::verb::change, far}).value();
        session.run_one({netlink::verb::add, address_entry{"eth0", *parse_prefix("10.10.10.1/24"), 0, std::nullopt, 0, 0}}).value();
        netlink::run_in(wire.handle(), [this]() -> result<void> {
            listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            sockaddr_in at{};
            at.sin_family = AF_INET;
            at.sin_port = htons(open_port);
            if (::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0 || ::listen(listener, 64) < 0)
                return errno_error(errno, "listen", "8080");
            return {};
        }).value();
        apply::apply(place, wanted()).value();
    }
    ~host() {
        ::close(listener);
        (void)apply::remove(place, fabric, "n");
    }

    std::string fabric = "ck" + std::to_string(::getpid());
    host_state wanted(std::uint32_t mtu = 1500, const std::string& address = "10.10.10.52/24") const {
        host_state w;
        w.fabric = fabric;
        w.node = "n";
        namespace_state root;
        auto nic = test::make_link("eth0", {});
        nic.up = true;
        nic.mtu = mtu;
        root.links.push_back(nic);
        root.addresses.push_back({"eth0", *parse_prefix(address), 0, std::nullopt, weft_protocol, 0});
        route def;
        def.destination = *parse_prefix("0.0.0.0/0");
        def.nexthops = {{*parse_ip("10.10.10.1"), "eth0", 0, true}};
        root.routes.push_back(def);
        w.namespaces.push_back(root);
        return w;
    }
    std::string stands() const {
        auto session = own.session();
        std::string text;
        for (const auto& l : session.links().value()) text += l.name + " mtu " + std::to_string(l.mtu.value_or(0)) + (l.up ? " up" : " down") + "\n";
        for (const auto& a : session.addresses().value()) text += a.device + " " + a.address.to_string() + "\n";
        for (const auto& r : session.routes().value()) text += r.destination.to_string() + "\n";
        return text;
    }
};

host_check a_check(const std::string& kind, const std::string& target = "10.10.10.1") {
    host_check c;
    c.kind = kind;
    c.target = *parse_ip(target);
    if (kind == "tcp") c.port = open_port;
    if (kind == "arp") c.device = "eth0";
    return c;
}
host_check full(std::uint32_t mtu) {
    auto c = a_check("ping");
    c.full_mtu = true;
    c.mtu = mtu;
    return c;
}

error failure(const result<apply::report>& outcome) {
    REQUIRE(outcome.has_error());
    INFO(outcome.error().message());
    CHECK(outcome.error().code == errc::check_failed);
    CHECK(outcome.error().message().find("(all steps were undone)") != std::string::npos);
    return outcome.error();
}

}  // namespace

TEST_CASE("checks run side by side, each with what answered") {
    if (!test::may_make_namespaces()) return;
    host h;
    auto shut = a_check("tcp"), elsewhere = a_check("ping"), no_device = a_check("arp");
    shut.port = shut_port;
    elsewhere.space = "weft-t-none";
    no_device.device = "eth9";
    auto own_way = full(0);
    const auto seen = apply::run_checks(h.place, {a_check("ping"), full(1500), own_way, a_check("tcp"), a_check("arp"), full(1501), shut, a_check("ping", "10.10.10.9"),
                                                  a_check("arp", "10.10.10.9"), a_check("ping", "198.51.100.1"), elsewhere, no_device});
    REQUIRE(seen.size() == 12);
    for (std::size_t i = 0; i < seen.size(); ++i) {
        INFO(apply::to_string(seen[i]));
        CHECK(seen[i].passed == (i < 5));
        CHECK_FALSE(seen[i].answer.empty());
    }
    CHECK(seen[2].check.mtu == 1500);  // of the device that the route leaves by
    CHECK(seen[6].answer == "refused");
    CHECK(seen[9].answer.find("no answer to ") == 0);
    CHECK(seen[10].answer.find("weft-t-none") != std::string::npos);
    CHECK(seen[11].answer.find("eth9") != std::string::npos);
}

TEST_CASE("checks run over IPv6, and a full packet is as large as the way's MTU there too") {
    if (!test::may_make_namespaces()) return;
    host h;
    const auto has = [](const test::scoped_namespace& where, const char* address) {
        where.session().run_one({netlink::verb::add, address_entry{"eth0", *parse_prefix(address), 0, std::nullopt, 0, 0x02}}).value();  // IFA_F_NODAD
    };
    has(h.own, "2001:db8::52/64");
    has(h.wire, "2001:db8::1/64");
    const auto at = [](host_check c, const char* target) {
        c.target = *parse_ip(target);
        return c;
    };
    const auto seen = apply::run_checks(h.place, {at(a_check("ping"), "2001:db8::1"), at(full(1500), "2001:db8::1"), at(full(0), "2001:db8::1"),
                                                  at(full(1501), "2001:db8::1"), at(a_check("tcp"), "2001:db8::1"), at(full(0), "2001:db8:9::1")});
    REQUIRE(seen.size() == 6);
    for (std::size_t i = 0; i < seen.size(); ++i) {
        INFO(apply::to_string(seen[i]));
        CHECK(seen[i].passed == (i < 3));
    }
    CHECK(seen[2].check.mtu == 1500);
    CHECK(seen[4].answer == "refused");  // 8080 listens on IPv4 alone
    CHECK(seen[5].answer.find("no route") != std::string::npos);
    // One byte less than the MTU asks for would hide a way that is too small by one.
    h.own.session().run_one({netlink::verb::change, [] { auto l = test::make_link("eth0", {}); l.mtu = 1499; l.up = true; return l; }()}).value();
    CHECK_FALSE(apply::run_checks(h.place, {at(full(1500), "2001:db8::1")}).front().passed);
    CHECK(apply::run_checks(h.place, {at(full(0), "2001:db8::1")}).front().check.mtu == 1499);
}

TEST_CASE("only what passed before and fails now counts") {
    const auto outcome = [](bool passed) { return apply::check_outcome{a_check("ping"), passed, "x"}; };
    const std::vector before{outcome(true), outcome(true), outcome(false), outcome(false)};
    const std::vector after{outcome(true), outcome(false), outcome(true), outcome(false)};
    REQUIRE(apply::failed_now(before, after).size() == 1);
    CHECK(apply::failed_now(before, before).empty());
    CHECK(apply::failed_now({}, after).empty());
}

TEST_CASE("a change after which a check fails is undone at once, and the host is exactly as before") {
    if (!test::may_make_namespaces()) return;
    host h;
    const auto before = h.stands();
    SECTION("full packets no longer pass") {
        auto changed = h.wanted(1400);
        changed.checks = {a_check("ping"), full(1500)};
        const auto e = failure(apply::apply(h.place, changed));
        CHECK(e.object == "ping 10.10.10.1 (1500 bytes, DF) from the host");
    }
    SECTION("the address has another prefix, so that nothing is reached") {
        auto changed = h.wanted(1500, "10.10.99.52/24");
        changed.checks = {a_check("tcp"), a_check("ping"), a_check("arp")};
        const auto e = failure(apply::apply(h.place, changed));
        CHECK(e.message().find("tcp 10.10.10.1 port 8080") != std::string::npos);
        CHECK(e.message().find("also: ping 10.10.10.1") != std::string::npos);
        CHECK(e.message().find("arp") == std::string::npos);  // whoever asks from another subnet is answered all the same
    }
    SECTION("ARP goes unanswered, as all that comes in is dropped") {
        auto changed = h.wanted();
        nft::chain ingress{"ingress", "filter", 0, -300, 0, {"eth0"}, {}};
        changed.namespaces[0].tables = {{nft::family::netdev, "weft", {ingress}}};
        changed.checks = {a_check("arp")};
        const auto e = failure(apply::apply(h.place, changed));
        CHECK(e.message().find("arp 10.10.10.1 from the host dev eth0: no answer to ") != std::string::npos);
    }
    CHECK(h.stands() == before);
    CHECK(apply::make_plan(h.place, h.wanted()).value().empty());
}

TEST_CASE("a check that failed before does not count, and is told") {
    if (!test::may_make_namespaces()) return;
    host h;
    auto changed = h.wanted(1400);
    changed.checks = {a_check("ping"), a_check("ping", "10.10.10.9")};
    const auto done = apply::apply(h.place, changed);
    REQUIRE(done.has_value());
    REQUIRE(done->failed_checks.size() == 1);
    CHECK(done->failed_checks[0].find("ping 10.10.10.9 from the host: no answer to ") == 0);
    CHECK(h.own.session().get_link("eth0").value().mtu == 1400U);

    // Nothing to do: nothing is asked.
    CHECK(apply::apply(h.place, changed).value().failed_checks.empty());
    // Nobody is out there yet: nothing is asked either, and nothing is undone.
    changed = h.wanted(1300);
    changed.checks = {full(1400), a_check("ping", "10.10.10.9")};
    apply::say nobody_there;
    nobody_there.announce = false;
    const auto quiet = apply::apply(h.place, [&]() -> result<host_state> { return changed; }, nobody_there);
    REQUIRE(quiet.has_value());
    CHECK(quiet->failed_checks.empty());
    CHECK(h.own.session().get_link("eth0").value().mtu == 1300U);
}

TEST_CASE("ARP of several at once, of which one is answered") {
    if (!test::may_make_namespaces()) return;
    host h;
    const auto from = h.own.handle();
    const std::vector<probe::arp_request> both{{&from, "eth0", *parse_ip("10.10.10.1"), std::chrono::milliseconds(400), true},
                                               {&from, "eth0", *parse_ip("10.10.10.9"), std::chrono::milliseconds(400), true}};
    const auto answers = probe::arp(both).value();
    REQUIRE(answers.size() == 2);
    CHECK(answers[0].macs.size() == 1);
    CHECK(answers[1].macs.empty());
    CHECK(answers[1].sent >= 2);
}
