// SPDX-License-Identifier: Apache-2.0
// Named namespaces and sysctls against the running kernel: what is made is seen by name, gone after removal, and the caller's
// own namespace is never touched. May include: the library.
#include "netns_fixture.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

using namespace weft;
using namespace weft::netlink;

namespace {
ino_t own_namespace() {
    struct stat s {};
    stat("/proc/thread-self/ns/net", &s);
    return s.st_ino;
}
}  // namespace

TEST_CASE("a namespace is made, listed, opened and removed", "[netns]") {
    if (!test::may_make_namespaces()) return;
    const auto before = own_namespace();
    std::string name;
    {
        test::scoped_namespace ns("life");
        name = ns.name;
        const auto names = list_namespaces().value();
        CHECK(std::count(names.begin(), names.end(), name) == 1);
        CHECK(std::is_sorted(names.begin(), names.end()));
        CHECK(create_namespace(name).error().code == errc::already_exists);
        struct stat s {};
        REQUIRE(fstat(ns.handle().fd(), &s) == 0);
        CHECK(s.st_ino != before);
        ino_t inside = 0;
        run_in(ns.handle(), [&]() -> result<void> { return inside = own_namespace(), result<void>(); }).value();
        CHECK(inside == s.st_ino);
        // lo stays down, as ip netns add leaves it.
        const auto links = ns.session().links().value();
        REQUIRE(links.size() == 1);
        CHECK(links[0].name == "lo");
        CHECK_FALSE(links[0].up);
    }
    CHECK(namespace_handle::open(name).error().code == errc::not_found);
    CHECK(delete_namespace(name).error().code == errc::not_found);
    CHECK(own_namespace() == before);
}

TEST_CASE("names and paths that are no namespaces are refused", "[netns]") {
    for (const std::string bad : {"..", ".", "a/b", "/etc"}) {
        CHECK(create_namespace(bad).error().code == errc::invalid_input);
        CHECK(namespace_handle::open(bad).error().code == errc::invalid_input);
        CHECK(delete_namespace(bad).error().code == errc::invalid_input);
    }
    CHECK(create_namespace("").error().code == errc::invalid_input);
    CHECK(namespace_handle::open_path("/proc/self/ns/mnt").error().code == errc::invalid_input);
    CHECK(namespace_handle::open_path("/dev/null").error().code == errc::invalid_input);
    CHECK(namespace_handle::open_path("/proc/self/ns/net").has_value());
}

TEST_CASE("sysctls are those of the namespace", "[netns]") {
    if (!test::may_make_namespaces()) return;
    test::scoped_namespace ns("ctl"), other("ctl");
    const auto h = ns.handle();
    write_sysctl(h, "net/ipv4/ip_forward", "1").value();
    CHECK(read_sysctl(h, "net/ipv4/ip_forward").value() == "1");
    CHECK(read_sysctl(other.handle(), "net/ipv4/ip_forward").value() == "0");
    write_sysctl(h, "net/ipv4/conf/lo/rp_filter", "2").value();
    const auto several = read_sysctls(h, {"net/ipv4/ip_forward", "net/ipv4/none_such", "net/ipv4/conf/lo/rp_filter"}).value();
    REQUIRE(several.size() == 3);
    CHECK(several[0].value == "1");
    CHECK_FALSE(several[1].found);
    CHECK(several[2].value == "2");
    CHECK(read_sysctl(h, "net/ipv4/none_such").error().code == errc::not_found);
    CHECK(write_sysctl(h, "net/ipv4/ip_forward", "many").error().errnum == EINVAL);
    for (const std::string bad : {"kernel/hostname", "net/../kernel/hostname", "/net/ipv4/ip_forward", "net//ipv4", "net/", "", "net"})
        CHECK(read_sysctl(h, bad).error().code == errc::invalid_input);
}

TEST_CASE("link names are checked", "[netns]") {
    CHECK(check_link_name("eth0.100").has_value());
    CHECK(check_link_name("123456789012345").has_value());
    for (const std::string bad : {"", "1234567890123456", ".", "..", "a/b", "a:b", "a%d", "a b", "a\tb", "a\x7f"})
        CHECK(check_link_name(bad).error().code == errc::invalid_input);
}
