// SPDX-License-Identifier: Apache-2.0
// Plants a permanent neighbour, so that no ARP is needed for it, and lists the permanent ones.
// Usage: neighbours NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft
// headers only.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: neighbours NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();
    const weft::link device{.name = "demo0", .options = bridge_options{}, .up = true};
    session.run_one({netlink::verb::add, device}).value();

    const neighbour entry{
        .device = "demo0", .address = parse_ip("192.0.2.7").value(), .mac = parse_mac("02:00:00:00:00:07").value()};
    session.run_one({netlink::verb::add, entry}).value();
    for (const neighbour& n : session.neighbours().value())
        if (n.mac && !n.fdb)
            std::printf("%s %s %s\n", n.device.c_str(), n.address.to_string().c_str(), n.mac->to_string().c_str());

    session.run_one({netlink::verb::remove, entry}).value();
    session.run_one({netlink::verb::remove, device}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "neighbours: %s\n", e.what()), 1;
}
