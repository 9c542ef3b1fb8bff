// SPDX-License-Identifier: Apache-2.0
// Adds a veth pair and a bridge to a namespace, makes one end a port of the bridge, and lists what is there.
// Usage: add_link NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft
// headers only.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: add_link NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();

    weft::link bridge{.name = "demo0", .options = bridge_options{}, .up = true};
    weft::link veth{
        .name = "demo1", .options = veth_options{.peer = "demo2"}, .mtu = 1400, .master = "demo0", .up = true};
    session.run_one({netlink::verb::add, bridge}).value();
    session.run_one({netlink::verb::add, veth}).value();

    for (const weft::link& l : session.links().value())
        std::printf("%u: %s %s%s%s\n", l.index, l.name.c_str(), kind_name(l.options).c_str(),
                    l.master.empty() ? "" : " master ", l.master.c_str());

    // Removing one end of a pair removes the other.
    session.run_one({netlink::verb::remove, veth}).value();
    session.run_one({netlink::verb::remove, bridge}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "add_link: %s\n", e.what()), 1;
}
