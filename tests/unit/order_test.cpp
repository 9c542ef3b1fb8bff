// SPDX-License-Identifier: Apache-2.0
// In which order the steps of a plan are taken back: never open before secure, as on the way there.
#include "model/order.hpp"

#include <catch2/catch.hpp>

using namespace weft;

namespace {

weft::link device(const std::string& name, bool up, link_options options = wireguard_options{}) {
    weft::link l{};
    l.name = name;
    l.up = up;
    l.options = std::move(options);
    return l;
}

step setting(const std::string& scope, const std::string& name, const std::string& was, const std::string& is) {
    const auto key = "net/ipv6/conf/" + name + "/disable_ipv6";
    return {scope, sysctl_object{key, was}, sysctl_object{key, is}, {}};
}

address_entry address(const std::string& name) {
    address_entry a;
    a.device = name;
    a.address = *parse_prefix("10.8.0.1/24");
    return a;
}

}  // namespace

TEST_CASE("a device that comes back is made down, and up only behind its settings, before what is on it") {
    const auto up = device("wg0", true), down = device("wg0", false);
    const auto of_all = setting("", "all", "1", "0"), of_it = setting("", "wg0", "1", "0"), of_another = setting("", "wg1", "1", "0");
    const auto back = inverses({{"", address("wg0"), std::nullopt, {}}, {"", up, std::nullopt, "wg0 is removed"}, of_another, of_it, of_all});
    REQUIRE(back.size() == 6);
    CHECK(back[0].after == of_all.before);
    CHECK(back[1].after == of_another.before);
    CHECK(!back[2].before);
    CHECK(back[2].after == state_object(down));
    CHECK(back[3].after == of_it.before);
    CHECK(back[4].before == state_object(down));
    CHECK(back[4].after == state_object(up));
    CHECK(back[5].after == state_object(address("wg0")));
}

TEST_CASE("one that comes up again gets its settings before it does, and one that goes down loses them after") {
    const auto up = device("br-int", true), down = device("br-int", false);
    const auto of_it = setting("", "br-int", "1", "0");
    const auto back = inverses({{"", up, down, {}}, of_it});
    REQUIRE(back.size() == 2);
    CHECK(back[0].after == of_it.before);
    CHECK(back[1].after == state_object(up));
    const auto there = setting("", "br-int", "0", "1");
    const auto undone = inverses({{"", std::nullopt, down, {}}, there, {"", down, up, {}}});
    REQUIRE(undone.size() == 3);
    CHECK(undone[0].after == state_object(down));
    CHECK(undone[1].after == there.before);
    CHECK(!undone[2].after);
}

TEST_CASE("settings of a device of the same name in another namespace wait for nothing") {
    const auto of_it = setting("qrouter-1", "wg0", "1", "0");
    const auto back = inverses({{"", device("wg0", true), std::nullopt, {}}, of_it});
    REQUIRE(back.size() == 2);
    CHECK(back[0].after == of_it.before);
    CHECK(back[1].after == state_object(device("wg0", true)));
}

TEST_CASE("an inner end of a veth pair is made again by its outer end alone") {
    const step inner{"qrouter-1", device("qr-1", true, veth_options{"tap-1", ""}), std::nullopt, {}};
    const step outer{"", device("tap-1", true, veth_options{"qr-1", "qrouter-1"}), std::nullopt, {}};
    const auto back = inverses({inner, outer});
    REQUIRE(back.size() == 1);
    CHECK(back[0].after == outer.before);
}
