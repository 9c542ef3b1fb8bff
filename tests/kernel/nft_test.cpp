// SPDX-License-Identifier: Apache-2.0
// Every sentence of the nftables rule builder against the running kernel, in a fresh namespace each: what is read back must
// equal what was applied. The nft program is the second opinion: it reads what we wrote, and edits it by hand.
#include "skip.hpp"
#include "weft/netlink/nftables.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>

namespace {

using namespace weft;
using nft::rule_builder;

// A namespace of its own for the case, gone at the end even when the case fails.
struct fresh_namespace {
    std::string name;
    netlink::namespace_handle handle;
    fresh_namespace() : name(make()), handle(netlink::namespace_handle::open(name).value()) {}
    ~fresh_namespace() { (void)netlink::delete_namespace(name); }
    static std::string make() {
        static std::atomic<int> count{0};
        std::string made = "weft-test-nft-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
        netlink::create_namespace(made).value();
        return made;
    }
};

bool can_run() {
    if (::geteuid() == 0) return true;
    test::skip("nftables tests need root");
    return false;
}

// The oracle of the tests; the library itself never runs a program.
std::string nft_program(const fresh_namespace& ns, const std::string& arguments, int* status = nullptr) {
    const std::string command = "ip netns exec " + ns.name + " nft " + arguments + " 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string out;
    std::array<char, 512> part{};
    while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe)) out.append(part.data(), got);
    const int ended = ::pclose(pipe);
    if (status != nullptr) *status = ended;
    return out;
}

std::vector<nft::table> read(const fresh_namespace& ns) {
    auto tables = netlink::nft_tables(ns.handle);
    INFO((tables ? "" : tables.error().message()));
    REQUIRE(tables.has_value());
    return *tables;
}

void apply(const fresh_namespace& ns, netlink::nft_change change) {
    auto done = netlink::nft_apply(ns.handle, change);
    INFO((done ? "" : done.error().message()));
    REQUIRE(done.has_value());
}

ip_prefix prefix(const char* text) { return parse_prefix(text).value(); }
ip_address address(const char* text) { return parse_ip(text).value(); }

nft::chain nat_chain(std::string name, std::uint32_t hook, std::int32_t priority, std::vector<nft::rule> rules) {
    return {std::move(name), "nat", hook, priority, 1, {}, std::move(rules)};
}

// The whole of what weft says in nftables, in one table; every builder sentence stands here at least once.
nft::table every_sentence() {
    nft::table t{nft::family::inet, "weft", {}};
    nft::chain filter{"forward", "filter", 2, 0, 0, {}, {}};
    filter.rules = {
        rule_builder().iifname("eth1").oifname("eth2", false).accept("names"),
        rule_builder().iifname("eth1", false).oifname("eth2").accept(),
        rule_builder().iifname("fifteen-letters").accept(),
        rule_builder().iifname_prefix("qr-*").drop("router ports"),
        rule_builder().iifname_prefix("qr-", false).drop(),
        rule_builder().iifname_prefix("*").counter().done(),
        rule_builder().iifname_prefix("*", false).drop(),
        rule_builder().nfproto(false).accept(),
        rule_builder().nfproto(true).accept(),
        rule_builder().saddr(prefix("10.0.0.1/32")).daddr(prefix("10.0.0.2/32"), false).accept(),
        rule_builder().saddr(prefix("10.0.0.0/24"), false).daddr(prefix("10.0.0.0/22")).accept(),
        rule_builder().saddr(prefix("10.1.2.3/17")).accept("host bits are dropped"),
        rule_builder().saddr(prefix("0.0.0.0/0")).accept(),
        rule_builder().saddr(prefix("fd00::1/128")).daddr(prefix("fd00::2/128"), false).accept(),
        rule_builder().saddr(prefix("fd00::/64"), false).daddr(prefix("fd00::/61")).accept(),
        rule_builder().daddr(prefix("::/0")).accept(),
        rule_builder().l4proto(6).dport(22).counter().accept("ssh"),
        rule_builder().l4proto(47).accept("gre"),
        rule_builder().ct_state(2 | 4).accept(),
        rule_builder().ct_state(1).drop(),
        rule_builder().ct_status_dnat(true).accept(),
        rule_builder().ct_status_dnat(false).drop(),
        rule_builder().mark(0x2, 0xffff).accept(),
        rule_builder().mark(7, 0xffffffffU).accept(),
        rule_builder().iifname("qg").set_mark(0x12345678).counter().done("outside"),
        rule_builder().counter().done(std::string(300, 'x')),
        rule_builder().counter().done(std::string(126, 'x') + "\xc3\xa4"),
        rule_builder().done("a rule without any expression"),
    };
    t.chains = {
        filter,
        nat_chain("out", 3, -100, {rule_builder().daddr(prefix("192.168.100.102/32")).dnat(address("50.50.1.11")).done()}),
        nat_chain("post", 4, 100,
                  {rule_builder().oifname("qg-1", false).ct_status_dnat(false).accept("stays inside"),
                   rule_builder().saddr(prefix("50.50.1.11/32")).snat(address("192.168.100.102")).done("floating"),
                   rule_builder().oifname("qg-1").snat(address("192.168.100.101")).done("router"),
                   rule_builder().mark(0, 0xffff).ct_status_dnat(true).snat(address("192.168.100.101")).done("hairpin"),
                   rule_builder().saddr(prefix("fd00::/64")).snat(address("fd01::1")).done(),
                   rule_builder().oifname("eth0").masquerade().done("rest")}),
        nat_chain("pre", 0, -100,
                  {rule_builder().daddr(prefix("192.168.100.102/32")).dnat(address("50.50.1.11")).done("floating"),
                   rule_builder().daddr(prefix("fd01::5/128")).dnat(address("fd00::5")).done()}),
        {"side", "", 0, 0, 1, {}, {rule_builder().drop("only jumped to")}},
    };
    return t;
}

}  // namespace

TEST_CASE("What the kernel gives back equals what was applied", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    const nft::table wanted = every_sentence();
    apply(ns, {{wanted}, {}});
    const auto seen = read(ns);
    INFO(nft_program(ns, "list ruleset"));
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].chains.size() == wanted.chains.size());
    for (std::size_t c = 0; c < wanted.chains.size(); ++c) {
        INFO("chain " << wanted.chains[c].name);
        REQUIRE(seen[0].chains[c].rules.size() == wanted.chains[c].rules.size());
        for (std::size_t r = 0; r < wanted.chains[c].rules.size(); ++r) {
            INFO("rule " << r << " " << wanted.chains[c].rules[r].comment);
            CHECK(seen[0].chains[c].rules[r] == wanted.chains[c].rules[r]);
        }
    }
    CHECK(seen[0] == wanted);
    CHECK(seen[0].chains[0].rules[0].comment == "names");
    CHECK(seen[0].chains[0].rules[25].comment == std::string(127, 'x'));
    CHECK(seen[0].chains[0].rules[26].comment == std::string(126, 'x'));
    CHECK(read(ns) == seen);

    // What was read can be written, and is the same again.
    apply(ns, {seen, {}});
    CHECK(read(ns) == seen);
}

TEST_CASE("The nft program reads our rules as they were meant", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    apply(ns, {{every_sentence()}, {}});
    const std::string listing = nft_program(ns, "list ruleset");
    INFO(listing);
    for (const char* sentence :
         {"iifname \"eth1\" oifname != \"eth2\" accept comment \"names\"", "iifname \"qr-*\" drop comment \"router ports\"",
          "iifname != \"qr-*\" drop", "meta nfproto ipv4 accept", "meta nfproto ipv6 accept",
          "ip saddr 10.0.0.1 ip daddr != 10.0.0.2 accept", "ip saddr != 10.0.0.0/24 ip daddr 10.0.0.0/22 accept",
          "ip saddr 10.1.0.0/17 accept", "ip6 saddr fd00::1 ip6 daddr != fd00::2 accept",
          "ip6 saddr != fd00::/64 ip6 daddr fd00::/61 accept", "tcp dport 22 counter packets 0 bytes 0 accept comment \"ssh\"",
          "meta l4proto 47 accept comment \"gre\"", "ct state established,related accept", "ct state invalid drop",
          "ct status dnat accept", "ct status ! dnat drop", "meta mark & 0x0000ffff == 0x00000002 accept",
          "meta mark 0x00000007 accept", "meta mark set 0x12345678", "snat ip to 192.168.100.102", "snat ip6 to fd01::1",
          "dnat ip to 50.50.1.11", "masquerade", "type nat hook prerouting priority dstnat; policy accept;",
          "type filter hook forward priority filter; policy drop;"}) {
        INFO(sentence);
        std::string found = listing;
        // Older and newer programs print these two alike but for a word.
        for (const auto& [from, to] : {std::pair<std::string, std::string>{"meta l4proto gre", "meta l4proto 47"}})
            for (auto at = found.find(from); at != std::string::npos; at = found.find(from)) found.replace(at, from.size(), to);
        CHECK(found.find(sentence) != std::string::npos);
    }
}

TEST_CASE("The nft program lists address matches in a table of one protocol", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    nft::table four{nft::family::ipv4, "weft", {}}, six{nft::family::ipv6, "weft", {}};
    four.chains = {nat_chain("out", 3, -100, {rule_builder(nft::family::ipv4).daddr(prefix("192.168.100.102/32")).dnat(address("50.50.1.11")).done()})};
    six.chains = {nat_chain("out", 3, -100, {rule_builder(nft::family::ipv6).daddr(prefix("fd01::5/128")).dnat(address("fd00::5")).done()})};
    apply(ns, {{four, six}, {}});
    int status = -1;
    const std::string listing = nft_program(ns, "list ruleset", &status);
    INFO(listing);
    CHECK(status == 0);
    CHECK(listing.find("ip daddr 192.168.100.102 dnat to 50.50.1.11") != std::string::npos);
    CHECK(listing.find("ip6 daddr fd01::5 dnat to fd00::5") != std::string::npos);
    CHECK(read(ns) == std::vector<nft::table>{four, six});
}

TEST_CASE("A netdev chain keeps its device", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    nft::table t{nft::family::netdev, "weft", {}};
    t.chains = {{"ingress", "filter", 0, -500, 1, {"lo"}, {rule_builder().drop("nothing enters here")}}};
    apply(ns, {{t, every_sentence()}, {}});
    const auto seen = read(ns);
    REQUIRE(seen.size() == 2);
    CHECK(seen[0] == every_sentence());
    CHECK(seen[1] == t);

    // Kernels before 6.16 refuse a device that is not there; later ones keep its name and wait for it.
    t.chains[0].devices = {"absent0"};
    const auto outcome = netlink::nft_apply(ns.handle, {{t}, {}});
    if (outcome.has_error()) {
        CHECK(outcome.error().code == errc::not_found);
        CHECK(outcome.error().object.find("chain ingress") != std::string::npos);
        CHECK(read(ns) == seen);
    } else {
        CHECK(read(ns) == std::vector<nft::table>{every_sentence(), t});
    }
}

TEST_CASE("A rule edited by hand shows as a difference", "[nft][kernel]") {
    if (!can_run()) return;
    const char* edits[] = {
        "add rule inet weft forward tcp dport 23 accept",
        "insert rule inet weft forward accept",
        "flush chain inet weft post",
        "add rule inet weft forward limit rate 5/second log prefix '\"x\"' reject",
        "'add rule inet weft forward tcp dport { 1, 2, 3 } accept'",
        "'add rule inet weft forward jump side'",
        "'add chain inet weft more'",
        "'add chain inet weft forward { policy accept; }'",
        "delete table inet weft",
    };
    for (const char* edit : edits) {
        INFO(edit);
        fresh_namespace ns;
        apply(ns, {{every_sentence()}, {}});
        int status = -1;
        INFO(nft_program(ns, edit, &status));
        REQUIRE(status == 0);
        const auto edited = read(ns);
        CHECK((edited.empty() || edited[0] != every_sentence()));
        // Read again, the difference is the same; applied again, it is gone.
        CHECK(read(ns) == edited);
        apply(ns, {{every_sentence()}, {}});
        CHECK(read(ns) == std::vector<nft::table>{every_sentence()});
    }
}

TEST_CASE("The nft program's own sentences equal ours", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    int status = -1;
    const std::string script =
        "'table inet weft { chain pre { type nat hook prerouting priority -100; "
        "iifname \"qr-*\" ip saddr 10.0.0.0/22 meta l4proto tcp tcp dport 80 dnat ip to 10.1.1.1; "
        "ct state established,related counter accept; ct status & dnat == 0 accept; "
        "meta mark & 0xff == 0x1 meta mark set 0x5; }; }'";
    INFO(nft_program(ns, script, &status));
    REQUIRE(status == 0);
    nft::table same{nft::family::inet, "weft", {}};
    same.chains = {nat_chain("pre", 0, -100,
                             {rule_builder()
                                  .iifname_prefix("qr-*")
                                  .saddr(prefix("10.0.0.0/22"))
                                  .l4proto(6)
                                  .dport(80)
                                  .dnat(address("10.1.1.1"))
                                  .done(),
                              rule_builder().ct_state(6).counter().accept(), rule_builder().ct_status_dnat(false).accept(),
                              rule_builder().mark(1, 0xff).set_mark(5).done()})};
    CHECK(read(ns) == std::vector<nft::table>{same});
}

TEST_CASE("Tables are removed, the absent without error, and foreign tables stay", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    int status = -1;
    nft_program(ns, "add table inet foreign", &status);
    REQUIRE(status == 0);
    CHECK(read(ns).empty());
    apply(ns, {{}, {{nft::family::inet, "weft"}, {nft::family::ipv6, "weft"}}});
    nft::table v4{nft::family::ipv4, "weft", {nat_chain("post", 4, 100, {rule_builder().masquerade().done()})}};
    apply(ns, {{v4, every_sentence()}, {}});
    CHECK(read(ns) == std::vector<nft::table>{every_sentence(), v4});
    apply(ns, {{}, {{nft::family::inet, "weft"}}});
    CHECK(read(ns) == std::vector<nft::table>{v4});
    const auto all = netlink::nft_tables(ns.handle, "");
    REQUIRE(all.has_value());
    REQUIRE(all->size() == 2);
    CHECK((*all)[0].name == "foreign");
    CHECK_FALSE((*all)[0].marked);
    CHECK((*all)[1].marked);
    // The name alone proves nothing, and what nft(8) itself changes in a table of ours leaves it ours.
    nft_program(ns, "'add table inet weft; add chain ip weft theirs'", &status);
    REQUIRE(status == 0);
    const auto ours = read(ns);
    REQUIRE(ours.size() == 2);
    CHECK_FALSE(ours[0].marked);
    CHECK(ours[1].marked);
}

TEST_CASE("A batch is all or nothing, and its error says where", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    apply(ns, {{every_sentence()}, {}});
    nft::table bad = every_sentence();
    bad.chains[1].rules.push_back(rule_builder().masquerade().done("masquerade in an output chain"));
    const auto failed = netlink::nft_apply(ns.handle, {{bad}, {}});
    REQUIRE(failed.has_error());
    CHECK(failed.error().object.find("chain out rule 1 (masquerade in an output chain)") != std::string::npos);
    CHECK(failed.error().errnum != 0);
    CHECK(read(ns) == std::vector<nft::table>{every_sentence()});

    bad.chains[1].rules.back().expressions[0].name = "nonsense";
    CHECK(netlink::nft_apply(ns.handle, {{bad}, {}}).error().code == errc::unsupported);
    bad.chains[1].rules.back().expressions = {{"immediate", {{1, 1}}, {{2, nft::bytes(65, 0)}}, {}}};
    CHECK(netlink::nft_apply(ns.handle, {{bad}, {}}).error().code == errc::invalid_input);
    bad.chains[1].name = std::string(256, 'n');
    CHECK(netlink::nft_apply(ns.handle, {{bad}, {}}).error().code == errc::invalid_input);
}

TEST_CASE("Only applying counts as a write, and nothing to do sends nothing", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    const auto before = netlink::nft_writes();
    apply(ns, {});
    (void)read(ns);
    CHECK(netlink::nft_writes() == before);
    apply(ns, {{every_sentence()}, {}});
    CHECK(netlink::nft_writes() == before + 1);
}

TEST_CASE("Five thousand rules go in one transaction", "[nft][kernel]") {
    if (!can_run()) return;
    fresh_namespace ns;
    nft::table t{nft::family::inet, "weft", {{"forward", "filter", 2, 0, 1, {}, {}}}};
    for (int i = 0; i < 5000; ++i)
        t.chains[0].rules.push_back(
            rule_builder().saddr({advance(address("10.0.0.0"), i), 32}).l4proto(6).dport(22).counter().accept("bulk"));
    apply(ns, {{t}, {}});
    CHECK((read(ns) == std::vector<nft::table>{t}));
}
