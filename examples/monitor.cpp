// SPDX-License-Identifier: Apache-2.0
// Watches a namespace while a bridge is made and removed in it, and prints what the kernel tells of links.
// Usage: monitor NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft
// headers only.
#include <cstdio>
#include <weft/netlink/monitor.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: monitor NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto monitor = netlink::monitor::open(ns).value();
    auto session = netlink::session::open(ns).value();
    const weft::link bridge{.name = "demo0", .options = bridge_options{}, .up = true};
    session.run_one({netlink::verb::add, bridge}).value();
    session.run_one({netlink::verb::remove, bridge}).value();

    bool made = false, gone = false;
    for (;;) {
        const auto events = monitor.poll(std::chrono::milliseconds(200)).value();
        if (events.empty()) break;
        for (const netlink::event& e : events) {
            if (e.kind == netlink::event_kind::lost) std::printf("events were lost: dump again\n");
            const auto* link = e.object ? std::get_if<weft::link>(&*e.object) : nullptr;
            if (!link) continue;
            std::printf("%s %s\n", e.kind == netlink::event_kind::present ? "present" : "removed", link->name.c_str());
            (e.kind == netlink::event_kind::present ? made : gone) |= link->name == "demo0";
        }
    }
    return made && gone ? 0 : 1;
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "monitor: %s\n", e.what()), 1;
}
