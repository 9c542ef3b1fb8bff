// SPDX-License-Identifier: Apache-2.0
// validate(), profile grizzly: what its single table cannot do is refused where the file asks for it, and not left undone
// in silence. Pure.
#include "roles/validate.hpp"

namespace weft::roles {

void validate_grizzly(const fabric& f, findings& out) {
    if (!is_grizzly(f.overlay) || out.broken("overlay.profile")) return;
    if (f.overlay.type != "gre")
        out.error(f.overlay.place, "overlay.type", f.overlay.type, "is not spoken by profile grizzly, which knows GRE alone",
                  "gre, or profile: default");
    if (const auto underlay = f.networks.find(tunnel_network); underlay != f.networks.end() && underlay->second.cidr.is_v6())
        out.error(underlay->second.place, std::string("networks.") + tunnel_network + ".cidr", underlay->second.cidr.to_string(),
                  "is IPv6, over which profile grizzly has no tunnels", "an IPv4 subnet, or profile: default");
    // Grizzly filtered on a Linux bridge beside br-int, which was the hypervisor's; weft filters by tables of br-int that
    // this profile does not have.
    for (const auto& [tenant_name, t] : f.tenants) {
        for (const auto& [name, group] : t.security_groups)
            out.error(group.place, "tenants." + tenant_name + ".security-groups." + name, name,
                      "would not be enforced: profile grizzly has no tables for security groups", "no groups, or profile: default");
        for (const auto& [name, p] : t.ports)
            if (p.port_security)
                out.error(p.place, "tenants." + tenant_name + ".ports." + name + ".port-security", "true",
                          "would not be enforced: profile grizzly neither pins nor filters a port",
                          "port-security: false, or profile: default");
    }
}

}  // namespace weft::roles
