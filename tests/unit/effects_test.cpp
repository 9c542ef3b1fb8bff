// SPDX-License-Identifier: Apache-2.0
// What steps bring with them: which connections are forgotten and which addresses announced, for a run and for its
// undo.
#include "model/effects.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace weft;

namespace {

ip_address ip(const std::string& text) { return parse_ip(text).value(); }

// A router's rules with one floating address per pair of outside and fixed.
nft::table rules(const std::vector<std::pair<std::string, std::string>>& floating,
                 const std::string& own = "192.0.2.1") {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv4); };
    const auto only = [](const std::string& a) { return ip_prefix{ip(a), 32}; };
    nft::chain before{"prerouting", "nat", 0, -100, 1, {}, {}}, after{"postrouting", "nat", 4, 100, 1, {}, {}};
    for (const auto& [outside, fixed] : floating) {
        before.rules.push_back(rule().daddr(only(outside)).dnat(ip(fixed)).done("to " + fixed));
        after.rules.push_back(rule().saddr(only(fixed)).snat(ip(outside)).done());
    }
    after.rules.push_back(rule().oifname("qg-1").saddr(*parse_prefix("50.50.1.0/24")).snat(ip(own)).done());
    after.rules.push_back(rule().ct_status_dnat(true).snat(ip(own)).done("hairpin"));
    return {nft::family::ipv4, "weft", {after, before}};
}

address_entry address(const std::string& text, const std::string& device = "qg-1") {
    address_entry a;
    a.device = device;
    a.address = *parse_prefix(text);
    return a;
}

const std::string space = "qrouter-1";

}  // namespace

TEST_CASE("a floating address that stands for another machine is forgotten, those that stay are not") {
    const step moved{space,
                     rules({{"192.0.2.10", "50.50.1.11"}, {"192.0.2.11", "50.50.1.12"}}),
                     rules({{"192.0.2.10", "50.50.1.13"}, {"192.0.2.11", "50.50.1.12"}}),
                     {}};
    for (const auto& s : {moved, moved.inverse()}) {
        const auto effects = effects_of({s});
        REQUIRE(effects.size() == 1);
        CHECK(effects[0].scope == space);
        CHECK(effects[0].forget == std::vector{ip("192.0.2.10")});
        CHECK(effects[0].announce.empty());
    }
}

TEST_CASE("a network that comes to a router or another comment forgets nobody's connections") {
    auto wider = rules({{"192.0.2.10", "50.50.1.11"}});
    wider.chains[0].rules.push_back(nft::rule_builder(nft::family::ipv4)
                                        .oifname("qg-1")
                                        .saddr(*parse_prefix("50.50.2.0/24"))
                                        .snat(ip("192.0.2.1"))
                                        .done());
    auto renamed = rules({{"192.0.2.10", "50.50.1.11"}});
    renamed.chains[1].rules[0].comment = "to somebody";
    for (const auto& after : {wider, renamed})
        CHECK(effects_of({{space, rules({{"192.0.2.10", "50.50.1.11"}}), after, {}}}).empty());
}

TEST_CASE("an address that comes is announced and forgotten, one that goes is forgotten; the undo turns both round") {
    const step gone{space, address("192.0.2.10/32"), std::nullopt, {}};
    const step come{"qrouter-2", std::nullopt, address("192.0.2.10/32", "qg-2"), {}};
    auto effects = effects_of({gone, come});
    REQUIRE(effects.size() == 2);
    CHECK(effects[0].forget == std::vector{ip("192.0.2.10")});
    CHECK(effects[0].announce.empty());
    CHECK(effects[1].forget == std::vector{ip("192.0.2.10")});
    CHECK(effects[1].announce == std::vector{address("192.0.2.10/32", "qg-2")});
    effects = effects_of({come.inverse(), gone.inverse()});
    REQUIRE(effects.size() == 2);
    CHECK(effects[0].announce == std::vector{address("192.0.2.10/32")});
    CHECK(effects[1].announce.empty());
}

TEST_CASE("a namespace that is made or goes has nothing to forget, and the host's own is left alone") {
    const step made{space, std::nullopt, namespace_object{space}, {}};
    const step come{space, std::nullopt, address("192.0.2.10/32"), {}},
        table{space, std::nullopt, rules({{"192.0.2.10", "50.50.1.11"}}), {}};
    const auto effects = effects_of({made, table, come});
    REQUIRE(effects.size() == 1);
    CHECK(effects[0].forget.empty());
    CHECK(effects[0].announce.size() == 1);
    CHECK(effects_of({come.inverse(), table.inverse(), made.inverse()}).empty());
    CHECK(effects_of({{"", std::nullopt, address("10.10.10.51/24", "eth0"), {}}}).empty());
    // What is on lo is on no segment.
    CHECK(effects_of({{space, std::nullopt, address("169.254.169.254/32", "lo"), {}}}).at(0).announce.empty());
}

TEST_CASE("an address of the host's own that moved to another device is announced there, and its connections go on") {
    const step here{"", std::nullopt, address("192.0.2.52/24", "br-ex"), {}};
    const step off{"", address("192.0.2.52/24", "eth2"), std::nullopt, {}};
    const auto effects = effects_of({here, off});
    REQUIRE(effects.size() == 1);
    CHECK(effects[0].scope.empty());
    CHECK(effects[0].forget.empty());
    CHECK(effects[0].announce == std::vector{address("192.0.2.52/24", "br-ex")});
    const auto undone = effects_of({off.inverse(), here.inverse()});
    REQUIRE(undone.size() == 1);
    CHECK(undone[0].announce == std::vector{address("192.0.2.52/24", "eth2")});
    // A new one needs no word to anybody, nor has one that only goes and comes again on its device moved.
    CHECK(effects_of({here}).empty());
    CHECK(effects_of({off, off.inverse()}).empty());
}
