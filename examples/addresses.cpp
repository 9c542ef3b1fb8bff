// SPDX-License-Identifier: Apache-2.0
// Gives a device of a namespace an IPv4 and an IPv6 address, lists them and takes them away.
// Usage: addresses NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft
// headers only.
#include <cstdio>
#include <weft/netlink/session.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: addresses NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    auto session = netlink::session::open(ns).value();
    const weft::link device{.name = "demo0", .options = bridge_options{}, .up = true};
    session.run_one({netlink::verb::add, device}).value();

    for (const char* text : {"192.0.2.1/24", "2001:db8::1/64"}) {
        const address_entry address{
            .device = "demo0", .address = parse_prefix(text).value(), .protocol = weft_protocol};
        session.run_one({netlink::verb::add, address}).value();
    }
    for (const address_entry& a : session.addresses().value())
        std::printf("%s %s\n", a.device.c_str(), a.address.to_string().c_str());

    session.run_one({netlink::verb::remove, device}).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "addresses: %s\n", e.what()), 1;
}
