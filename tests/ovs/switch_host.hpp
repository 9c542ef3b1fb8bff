// SPDX-License-Identifier: Apache-2.0
// A host to apply to: a private switch, and a namespace that stands for the host's own. Both go with their scope. May include: the
// private switch, weft's public headers.
#pragma once

#include <unistd.h>

#include <string>

#include "ovs/switch_fixture.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/namespaces.hpp"

namespace weft::test {

struct switch_host {
    private_switch sw;
    std::string name = "wsh" + std::to_string(::getpid());
    apply::place place{name, sw.rundir()};
    switch_host() { netlink::create_namespace(name).value(); }
    ~switch_host() {
        (void)netlink::delete_namespace(name);
        ::unlink(("/run/weft/lock." + name).c_str());
    }
    switch_host(const switch_host&) = delete;
    switch_host& operator=(const switch_host&) = delete;
};

}  // namespace weft::test
