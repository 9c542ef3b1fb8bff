// SPDX-License-Identifier: Apache-2.0
// What a watcher tells of an object and when it puts it back: once, at once, and with growing pauses where somebody
// else changes it again.
#include "apply/drift_book.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace weft;
using apply::drift_book;
using apply::drift_state;
using std::chrono::milliseconds;

namespace {

const drift_book::clock::time_point start{std::chrono::hours(1)};
const std::chrono::system_clock::time_point wall{std::chrono::hours(1)};

step missing(const std::string& to, const std::string& scope = "space") {
    route r;
    r.destination = *parse_prefix(to);
    r.protocol = weft_protocol;
    return {scope, std::nullopt, r, {}};
}
step missing_link(const std::string& name, const std::string& scope = "space") {
    weft::link l;
    l.name = name;
    l.options = dummy_options{};
    return {scope, std::nullopt, l, {}};
}
plan of(std::vector<step> steps) {
    plan p;
    p.steps = std::move(steps);
    return p;
}
std::vector<drift_state> states(drift_book& book) {
    std::vector<drift_state> out;
    for (const auto& d : book.news()) out.push_back(d.state);
    return out;
}
plan chosen(const drift_book& book, plan p, drift_book::clock::time_point now) {
    book.choose(p, now);
    return p;
}

// Somebody has changed it again right after it was put back, twice; what it is to be told is read.
drift_book::clock::time_point quarrel(drift_book& book, const plan& over, drift_book::clock::time_point now) {
    for (int i = 0; i < 2; ++i, now += milliseconds(10)) {
        book.look(over, now, wall);
        CHECK_FALSE(chosen(book, over, now).empty());
        book.repaired(over, now);
    }
    book.look(over, now, wall);
    (void)book.news();
    return now;
}

using states_t = std::vector<drift_state>;

}  // namespace

TEST_CASE("without healing a drift is told once, again when it changes, and when it is over; nothing is chosen",
          "[unit]") {
    drift_book book(false);
    auto p = of({missing("10.0.0.0/24")});
    book.look(p, start, wall);
    CHECK(chosen(book, p, start).empty());
    CHECK(states(book) == states_t{drift_state::seen});
    book.look(p, start + milliseconds(10), wall);
    CHECK(states(book).empty());

    auto other = std::get<route>(*p.steps[0].after);
    other.nexthops.push_back({std::nullopt, "eth0", 1, false});
    book.look(of({missing("10.0.0.0/24"), {"space", other, std::nullopt, {}}}), start + milliseconds(20), wall);
    CHECK(states(book) == states_t{drift_state::seen});  // another route is another object
    book.look({}, start + milliseconds(30), wall);
    CHECK(states(book) == states_t{drift_state::over, drift_state::over});
    book.look(p, start + milliseconds(40), wall);
    CHECK(states(book) == states_t{drift_state::seen});
}

TEST_CASE("a drift that its line does not show, but its details do, is told again when it changes", "[unit]") {
    const auto without = [](std::vector<std::string> peers) {
        weft::link l, whole;
        l.name = whole.name = "wg0";
        wireguard_options all{"key", "/k", 51820, {{"a", "", {}}, {"b", "", {}}}, false}, some = all;
        std::erase_if(some.peers, [&](const auto& p) { return std::find(peers.begin(), peers.end(), p.public_key) != peers.end(); });
        l.options = some, whole.options = all;
        return of({{"", l, whole, {}}});
    };
    const auto first = without({"a"}), second = without({"b"});
    REQUIRE(first.steps[0].to_string() == second.steps[0].to_string());
    drift_book book(false);
    book.look(first, start, wall);
    CHECK(states(book) == states_t{drift_state::seen});
    book.look(first, start, wall);
    CHECK(states(book) == states_t{});
    book.look(second, start, wall);
    CHECK(states(book) == states_t{drift_state::seen});
}

TEST_CASE("a repaired drift is told once; one that comes after some calm is repaired at once again", "[unit]") {
    drift_book book(true);
    const auto p = of({missing("10.0.0.0/24")});
    auto now = start;
    for (int i = 0; i < 5; ++i, now += milliseconds(600)) {
        book.look(p, now, wall);
        CHECK(chosen(book, p, now).steps.size() == 1);
        book.repaired(p, now);
        CHECK(states(book) == states_t{drift_state::repaired});
        book.look({}, now + milliseconds(5), wall);
        CHECK(states(book).empty());
        CHECK_FALSE(book.next(now + milliseconds(5)));
    }
}

TEST_CASE(
    "another writer is fought with growing pauses and reported; when he stops, the object is put back once more and "
    "stays",
    "[unit]") {
    drift_book book(true);
    const auto p = of({missing("10.0.0.0/24")});
    std::size_t repairs = 0, told = 0;
    auto now = start;
    // The other deletes it every 10 ms; a look follows each time.
    for (; now < start + std::chrono::seconds(30); now += milliseconds(10)) {
        book.look(p, now, wall);
        if (!chosen(book, p, now).empty()) {
            ++repairs;
            book.repaired(p, now);
        }
        const auto news = states(book);
        told += news.size();
        if (now > start + milliseconds(50)) CHECK(std::count(news.begin(), news.end(), drift_state::seen) == 0);
    }
    CHECK(repairs >= 6);
    CHECK(repairs <= 13);        // twice at once, 0.1 + 0.2 + … + 3.2 s, then every 5 s
    CHECK(told <= 2 * repairs);  // "held" and "repaired" in turn, not once per look
    CHECK(told >= 2 * repairs - 2);
    const auto last = book.next(now);
    REQUIRE(last);
    CHECK(*last - now <= drift_book::longest_pause);
    now = *last;
    book.look(p, now, wall);
    CHECK_FALSE(chosen(book, p, now).empty());
    book.repaired(p, now);
    book.look({}, now + milliseconds(10), wall);
    (void)book.news();
    // It stayed for long: the next deletion is nobody's quarrel.
    now += std::chrono::seconds(11);
    book.look({}, now, wall);
    book.look(p, now + milliseconds(10), wall);
    CHECK_FALSE(chosen(book, p, now + milliseconds(10)).empty());
}

TEST_CASE("who fights over one object holds back no other, but for what stands on it", "[unit]") {
    drift_book book(true);
    const auto fought = missing("10.0.0.0/24");
    const auto other = missing("10.1.0.0/24");
    const auto now = quarrel(book, of({fought}), start);
    book.look(of({fought, other}), now, wall);
    auto p = chosen(book, of({fought, other}), now);
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].object_name() == other.object_name());

    address_entry a;
    a.device = "eth0";
    a.address = *parse_prefix("10.0.0.1/24");
    const step address{"space", std::nullopt, a, {}};
    drift_book second(true);
    quarrel(second, of({address}), start);
    const auto elsewhere = missing("10.1.0.0/24", "elsewhere");
    second.look(of({address, other, elsewhere}), now, wall);
    p = chosen(second, of({address, other, elsewhere}), now);  // a route may need the address
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].scope == "elsewhere");

    drift_book third(true);
    quarrel(third, of({missing_link("veth1")}), start);
    third.look(of({missing_link("veth1"), elsewhere}), now, wall);
    CHECK(chosen(third, of({missing_link("veth1"), elsewhere}), now).empty());  // its peer may be anywhere
    REQUIRE(third.next(now));
    CHECK(chosen(third, of({missing_link("veth1"), elsewhere}), *third.next(now)).steps.size() == 2);
}

TEST_CASE("a repair that fails is told with its reason and tried again later; the step that the reason names alone",
          "[unit]") {
    drift_book book(true);
    const auto bad = missing("10.0.0.0/24"), good = missing("10.1.0.0/24");
    const auto p = of({bad, good});
    book.look(p, start, wall);
    book.failed(p, "add route: Network is unreachable; step: " + bad.to_string(), start);
    auto told = book.news();
    REQUIRE(told.size() == 1);
    CHECK(told[0].state == drift_state::failed);
    CHECK(told[0].detail.find("unreachable") != std::string::npos);
    book.look(p, start, wall);
    const auto next = chosen(book, p, start);
    REQUIRE(next.steps.size() == 1);
    CHECK(next.steps[0].object_name() == good.object_name());
    book.repaired(next, start);
    CHECK(states(book) == states_t{drift_state::repaired});

    auto now = start;
    std::size_t tries = 0;
    for (; now < start + std::chrono::seconds(20); now += milliseconds(50)) {
        book.look(of({bad}), now, wall);
        if (chosen(book, of({bad}), now).empty()) continue;
        ++tries;
        book.failed(of({bad}), "add route: Network is unreachable", now);
    }
    CHECK(tries >= 5);
    CHECK(tries <= 12);
    CHECK(book.news().size() == 1);  // the same words once
}

TEST_CASE("the steps that make one object anew are one difference", "[unit]") {
    drift_book book(false);
    weft::link old = std::get<weft::link>(*missing_link("veth1").after), now = old;
    old.mtu = 1400;
    now.mtu = 1500;
    book.look(of({{"space", old, std::nullopt, {}}, {"space", std::nullopt, now, {}}}), start, wall);
    const auto told = book.news();
    REQUIRE(told.size() == 1);
    CHECK(std::get<weft::link>(*told[0].difference.before) == old);
    CHECK(std::get<weft::link>(*told[0].difference.after) == now);
}
