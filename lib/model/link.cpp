// SPDX-License-Identifier: Apache-2.0
// The names of link kinds, and what an interface may be called. May include: core, model.
// A bad name fails with invalid_input and says why.
#include "weft/model/link.hpp"

#include <type_traits>

namespace weft {

std::string kind_name(const link_options& options) {
    return std::visit(
        [](const auto& o) -> std::string {
            using t = std::decay_t<decltype(o)>;
            if constexpr (std::is_same_v<t, physical_options>) return o.kind;
            if constexpr (std::is_same_v<t, bridge_options>) return "bridge";
            if constexpr (std::is_same_v<t, veth_options>) return "veth";
            if constexpr (std::is_same_v<t, vxlan_options>) return "vxlan";
            if constexpr (std::is_same_v<t, gretap_options>) return "gretap";
            if constexpr (std::is_same_v<t, geneve_options>) return "geneve";
            if constexpr (std::is_same_v<t, vlan_options>) return "vlan";
            if constexpr (std::is_same_v<t, dummy_options>) return "dummy";
            if constexpr (std::is_same_v<t, bond_options>) return "bond";
            if constexpr (std::is_same_v<t, macvlan_options>) return "macvlan";
            if constexpr (std::is_same_v<t, vrf_options>) return "vrf";
            if constexpr (std::is_same_v<t, ifb_options>) return "ifb";
            if constexpr (std::is_same_v<t, wireguard_options>) return "wireguard";
            if constexpr (std::is_same_v<t, tun_options>) return "tun";
        },
        options);
}

result<void> check_link_name(std::string_view name) {
    const auto refuse = [&](std::string why) -> result<void> {
        return error{errc::invalid_input, "check link name", std::string(name), std::move(why), 0};
    };
    if (name.empty() || name.size() > 15) return refuse("an interface name has 1 to 15 bytes");
    if (name == "." || name == "..") return refuse("\".\" and \"..\" are no interface names");
    for (const char c : name) {
        const auto u = static_cast<unsigned char>(c);
        // '%' is a template to the kernel, ':' an old alias; the rest would break paths and listings.
        if (c == '/' || c == ':' || c == '%') return refuse("'/', ':' and '%' cannot be in an interface name");
        if (u <= 0x20 || u == 0x7f) return refuse("blanks and control bytes cannot be in an interface name");
    }
    return {};
}

}  // namespace weft
