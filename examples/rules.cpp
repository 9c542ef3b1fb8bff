// SPDX-License-Identifier: Apache-2.0
// Sends what comes from a prefix to a routing table of its own, by a policy rule, and lists the rules that are weft's.
// Usage: rules NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft headers
// only.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: rules NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();

    const rule from{.priority = 1000, .from = parse_prefix("192.0.2.0/24").value(), .table = 100};
    session.run_one({netlink::verb::add, from}).value();
    for (const rule& r : session.rules().value())
        if (r.protocol == weft_protocol)
            std::printf("%u: from %s table %u\n", r.priority, r.from ? r.from->to_string().c_str() : "all", r.table);
    session.run_one({netlink::verb::remove, from}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "rules: %s\n", e.what()), 1;
}
