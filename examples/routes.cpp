// SPDX-License-Identifier: Apache-2.0
// Adds a route and a blackhole to a namespace in one batch, lists the routes that are weft's, and removes them.
// Usage: routes NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft headers
// only.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: routes NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();
    const weft::link device{.name = "demo0", .options = bridge_options{}, .up = true};
    const address_entry address{.device = "demo0", .address = parse_prefix("192.0.2.1/24").value()};
    const route via{.destination = parse_prefix("198.51.100.0/24").value(),
                    .nexthops = {nexthop{.gateway = parse_ip("192.0.2.254").value(), .device = "demo0"}}};
    const route blackhole{.destination = parse_prefix("203.0.113.0/24").value(), .type = 6};

    // Four requests, one batch; each has an answer of its own.
    const netlink::change batch[] = {{netlink::verb::add, device},
                                     {netlink::verb::add, address},
                                     {netlink::verb::add, via},
                                     {netlink::verb::add, blackhole}};
    for (const auto& answer : session.run(batch)) answer.value();

    for (const route& r : session.routes().value())
        if (r.protocol == weft_protocol)
            std::printf("%s%s%s\n", r.destination.to_string().c_str(), r.nexthops.empty() ? "" : " dev ",
                        r.nexthops.empty() ? "" : r.nexthops.front().device.c_str());

    session.run_one({netlink::verb::remove, blackhole}).value();
    session.run_one({netlink::verb::remove, device}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "routes: %s\n", e.what()), 1;
}
