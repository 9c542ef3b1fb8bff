// SPDX-License-Identifier: Apache-2.0
// What the rtnetlink tests share: a uniquely named namespace that goes away with its scope, and the question whether this
// kernel has a link kind. May include: the library. Without the rights for a namespace a test skips.
#pragma once

#include "skip.hpp"
#include "weft/netlink/session.hpp"

#include <unistd.h>

#include <atomic>

namespace weft::test {

struct scoped_namespace {
    std::string name;
    explicit scoped_namespace(const std::string& hint = "rt") {
        static std::atomic<int> number{0};
        name = "weft-t-" + hint + "-" + std::to_string(getpid()) + "-" + std::to_string(number++);
        netlink::create_namespace(name).value();
    }
    scoped_namespace(const scoped_namespace&) = delete;
    ~scoped_namespace() {
        (void)netlink::delete_namespace(name);
        ::unlink(("/run/weft/lock." + name).c_str());  // where it stood for a host
    }
    netlink::namespace_handle handle() const { return netlink::namespace_handle::open(name).value(); }
    netlink::session session() const { return netlink::session::open(handle()).value(); }
};

inline bool may_make_namespaces() {
    if (geteuid() == 0) return true;
    skip("needs root");
    return false;
}

inline link make_link(std::string name, link_options options) {
    link l;
    l.name = std::move(name);
    l.options = std::move(options);
    return l;
}

// Whether creation failed since the kernel has no such kind; says so.
inline bool unknown_kind(const result<void>& r, const std::string& kind) {
    if (r || r.error().code != errc::unsupported) return false;
    skip("this kernel has no link kind " + kind);
    return true;
}

}  // namespace weft::test
