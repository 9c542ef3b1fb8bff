// SPDX-License-Identifier: Apache-2.0
// A plan that was kept as JSON, held against the plan of now.
#include <catch2/catch.hpp>

#include "weft/model/json.hpp"

using namespace weft;

namespace {

plan two_steps(std::uint32_t mtu) {
    plan p{"f", "n1", {}, {}, {}};
    weft::link before;
    before.name = "eth0";
    before.mtu = 1500;
    auto after = before;
    after.mtu = mtu;
    p.steps.push_back({"", before, after, ""});
    p.steps.push_back({"br-int", std::nullopt, ovs::flow{0xffffffffffff0001, 0, 1, 0, 0, "ip", "drop"}, ""});
    return p;
}

error refusal(const std::string& kept, const plan& now) {
    const auto outcome = same_plan(kept, now);
    REQUIRE(outcome.has_error());
    return outcome.error();
}

}  // namespace

TEST_CASE("a plan carries names of the host that are no UTF-8, byte for byte", "[model]") {
    auto p = two_steps(1400);
    for (auto* side : {&p.steps[0].before, &p.steps[0].after}) std::get<weft::link>(**side).alias = "B\xfcro";
    const auto again = plan_from_json(to_json(p));
    REQUIRE(again.has_value());
    CHECK(std::get<weft::link>(*again->steps[0].before).alias == "B\xfcro");
    CHECK(to_json(*again) == to_json(p));
    CHECK(same_plan(to_json(p), p).has_value());
}

TEST_CASE("a kept plan is the plan of now as long as every step is the same, old values included", "[model]") {
    const auto now = two_steps(1400);
    CHECK(same_plan(to_json(now), now).has_value());
    CHECK(same_plan(to_json(plan{"f", "n1", {}, {}, {}}), plan{"f", "n1", {}, {}, {}}).has_value());
    // What is only told, not done, is no part of what was agreed to.
    auto pending = now;
    pending.pending = {"t/vm1"};
    CHECK(same_plan(to_json(now), pending).has_value());

    auto other = refusal(to_json(two_steps(1300)), now);
    CHECK(other.code == errc::stale);
    CHECK(other.detail.find("step 1: ~ link eth0 mtu 1500 → 1300") != std::string::npos);
    CHECK(other.detail.find("step 1: ~ link eth0 mtu 1500 → 1400") != std::string::npos);
    auto moved = now;
    std::get<weft::link>(*moved.steps[0].before).up = true;
    CHECK(refusal(to_json(moved), now).code == errc::stale);
}

TEST_CASE("a step more or less, another order and an edited file are told by their first difference", "[model]") {
    const auto now = two_steps(1400);
    auto shorter = now;
    shorter.steps.pop_back();
    CHECK(refusal(to_json(shorter), now).detail.find("the plan has no step 2; now it would be step 2: + flow") != std::string::npos);
    CHECK(refusal(to_json(now), shorter).detail.find("now it would be no step 2") != std::string::npos);
    auto turned = now;
    std::swap(turned.steps[0], turned.steps[1]);
    CHECK(refusal(to_json(turned), now).code == errc::stale);
    auto edited = to_json(now);
    edited.replace(edited.find("\"drop\""), 6, "\"NORMAL\"");
    CHECK(refusal(edited, now).detail.find("step 2") != std::string::npos);
}

TEST_CASE("what is no plan, or one of another fabric or node, is refused as that", "[model]") {
    const auto now = two_steps(1400);
    for (const char* text : {"", "{", "[]", "7", "{}", "{\"steps\": 3}"}) CHECK(refusal(text, now).code == errc::invalid_input);
    auto elsewhere = now;
    elsewhere.node = "n2";
    const auto e = refusal(to_json(elsewhere), now);
    CHECK(e.code == errc::invalid_input);
    CHECK(e.object == "node");
    CHECK(e.detail.find("\"n2\"") != std::string::npos);
    elsewhere = now;
    elsewhere.fabric = "g";
    CHECK(refusal(to_json(elsewhere), now).object == "fabric");
    CHECK(refusal("{\"steps\": []}", now).object == "fabric");
}
