// SPDX-License-Identifier: Apache-2.0
// The matrix rows that the underlay's IPv6 addresses add: the same rules as for IPv4, from every node and lab host to what has an
// `address6`. Their `via` is "<network>/ipv6", so that no row of IPv4 is taken for one of them. Pure; cannot fail.
#include "roles/expectations.hpp"
#include "roles/topology.hpp"

namespace weft::roles {
namespace {

class rows_of_ipv6 {
public:
    explicit rows_of_ipv6(const fabric& f) : f_(f) {}

    std::vector<expectation> build() {
        for (const auto& [name, n] : f_.nodes) {
            for (const auto& [peer, other] : f_.nodes)
                if (peer != name) each_address(other, [&, &name = name, &peer = peer, &n = n](const std::string& network, const ip_address& address) {
                    const bool joined = has_leg(n, network);
                    row(name, peer, network, joined, address, joined ? "both have IPv6 on " + network : "no leg and no route on " + network);
                });
            for (const auto& [host_name, host] : f_.lab.hosts)
                if (host.address6 && host.network == outside) {
                    const bool joined = has_leg(n, f_.lab.router_lan);
                    row(name, host_name, f_.lab.router_lan, joined, *host.address6, joined ? "the LAN's router leads to the Internet" : "no default route");
                } else if (host.address6) {
                    const bool joined = has_leg(n, host.network);
                    row(name, host_name, host.network, joined, *host.address6, joined ? "a leg on the LAN" : "no leg and no route on the LAN");
                }
        }
        for (const auto& [name, host] : f_.lab.hosts)
            if (host.vpn.empty()) from_lab(name, host);
        return std::move(rows_);
    }

private:
    void row(const std::string& from, const std::string& to, const std::string& network, bool reachable, const ip_address& address,
             std::string why, std::optional<ip_address> planted = {}) {
        rows_.push_back(matrix_row(from, to, network + "/ipv6", reachable, address, std::move(why), planted));
    }

    // Calls `use` with every IPv6 address that the node has beside one of IPv4, and its network.
    template <class Use>
    void each_address(const node& n, Use use) const {
        for (const auto& [name, network] : f_.networks)
            if (const auto* nic = find_nic(n, name); nic && nic->second.address6) use(name, *nic->second.address6);
    }
    static bool has_leg(const node& n, const std::string& network) {
        const auto* nic = find_nic(n, network);
        return nic && nic->second.address6;
    }

    void from_lab(const std::string& name, const lab_host& host) {
        for (const auto& [node_name, n] : f_.nodes)
            each_address(n, [&, &to = node_name](const std::string& network, const ip_address& address) {
                const bool same = host.address6 && host.network == network;
                row(name, to, network, same, address,
                    same                      ? "the same LAN"
                    : !is_external(network)   ? "nothing outside reaches inside"
                    : host.network == outside ? "the LAN's router forwards nothing inwards"
                                              : "no IPv6 on that LAN");
                if (same || is_external(network) || !host.address6) return;
                for (const auto& [through, neighbour] : f_.nodes)
                    if (const auto* nic = find_nic(neighbour, host.network); nic && nic->second.address6)
                        row(name, to, network, false, address, "a static route through " + through + " opens nothing", nic->second.address6);
            });
        for (const auto& [other_name, other] : f_.lab.hosts) {
            if (other_name == name || !other.address6 || !host.address6) continue;
            if (other.network == host.network) {
                row(name, other_name, host.network == outside ? f_.lab.router_lan : host.network, true, *other.address6, "the same LAN");
            } else if (host.network == outside) {
                row(name, other_name, other.network, false, *other.address6, "the LAN's router forwards nothing inwards");
            } else if (other.network == outside) {
                const bool led = host.network == f_.lab.router_lan;
                row(name, other_name, host.network, led, *other.address6, led ? "the LAN's gateway" : "the LAN has no gateway");
            }
        }
    }

    static constexpr const char* outside = "internet";
    const fabric& f_;
    std::vector<expectation> rows_;
};

}  // namespace

std::vector<expectation> ipv6_expectations(const fabric& f) { return rows_of_ipv6(f).build(); }

}  // namespace weft::roles
