// SPDX-License-Identifier: Apache-2.0
// Makes a namespace, joins it to a given one by a veth pair, and removes it; the pair goes with it.
// Usage: namespaces NAMESPACE. Touches that namespace and NAMESPACE-peer only. Includes weft headers only; says why it
// fails.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: namespaces NAMESPACE\n"), 2;
    using namespace weft;
    const std::string peer = std::string(argv[1]) + "-peer";
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();

    netlink::create_namespace(peer).value();
    const weft::link cable{
        .name = "demo1", .options = veth_options{.peer = "demo2", .peer_namespace = peer}, .up = true};
    const auto joined = session.run_one({netlink::verb::add, cable});
    for (const std::string& name : netlink::list_namespaces().value())
        if (name.starts_with(argv[1])) std::printf("%s\n", name.c_str());

    netlink::delete_namespace(peer).value();
    joined.value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "namespaces: %s\n", e.what()), 1;
}
