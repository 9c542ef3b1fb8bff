// SPDX-License-Identifier: Apache-2.0
// See the header. It looks at the host's own namespace only, since NICs are nowhere else. Pure.
#include "model/dead_addresses.hpp"

#include <map>

#include "model/index.hpp"

namespace weft {
namespace {

// The links that are to be ports of a bridge and are not yet, with that bridge.
std::map<std::string, std::string> joining_ports(const host_state& seen, const host_state& wanted) {
    std::map<std::string, std::string> joining;
    const index spaces(seen.namespaces);
    if (const auto* root = spaces.find("")) {
        const index links(root->links);
        for (const auto& space : wanted.namespaces)
            for (const auto& w : space.links)
                if (const auto* h = links.like(w);
                    h && space.name.empty() && !w.master.empty() && h->master != w.master)
                    joining[w.name] = w.master;
    }
    const index bridges(seen.bridges);
    for (const auto& b : wanted.bridges) {
        static const std::vector<ovs::port_row> none;
        const auto* have = bridges.like(b);
        const index ports(have ? have->ports : none);
        for (const auto& p : b.ports)
            if (!ports.like(p)) joining[p.name] = b.name;
    }
    return joining;
}

}  // namespace

result<void> no_address_dies(const host_state& seen, const host_state& wanted) {
    const auto joining = joining_ports(seen, wanted);
    for (const auto& space : seen.namespaces) {
        if (!space.name.empty()) continue;
        for (const auto& a : space.addresses) {
            const auto at = joining.find(a.device);
            // IPv6 comes by itself from whoever is on the wire, so that nobody could take it off for good.
            if (at == joining.end() || a.protocol == weft_protocol || a.address.is_v6()) continue;
            return error{errc::foreign_object, "plan", "address " + a.address.to_string() + " dev " + a.device,
                         a.device + " shall be a port of " + at->second +
                             ", where an address is dead; take it off first, weft puts the node's own on the bridge; "
                             "nothing was changed",
                         0};
        }
    }
    return {};
}

}  // namespace weft
