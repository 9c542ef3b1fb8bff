// SPDX-License-Identifier: Apache-2.0
// Reads and writes a sysctl of a namespace, without this program ever leaving its own.
// Usage: sysctl NAMESPACE. Touches that namespace only; prints the kernel's own words on failure. Includes weft headers
// only.
#include <cstdio>
#include <weft/netlink/namespaces.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: sysctl NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();
    const std::string key = "net/ipv4/ip_forward", found = netlink::read_sysctl(ns, key).value();
    netlink::write_sysctl(ns, key, "1").value();
    std::printf("%s was %s, is %s\n", key.c_str(), found.c_str(), netlink::read_sysctl(ns, key).value().c_str());
    netlink::write_sysctl(ns, key, found).value();
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "sysctl: %s\n", e.what()), 1;
}
