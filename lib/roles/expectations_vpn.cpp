// SPDX-License-Identifier: Apache-2.0
// The rows of the matrix that a lab's VPN clients add (DATAPLANE section 12): what they reach through the tunnel, what they must not, and that
// nobody but the gateway begins a connection with them. Pure.
#include "roles/expectations.hpp"
#include "roles/groups.hpp"
#include "roles/vpn.hpp"

namespace weft::roles {
namespace {

class client_rows {
public:
    client_rows(const fabric& f, const std::string& name, const vpn_client& c) : f_(f), name_(name), c_(c) {}

    std::vector<expectation> build() {
        for (const auto& [node_name, n] : f_.nodes) {
            for (const char* inside : {management_network, tunnel_network})
                if (const auto address = node_address(n, inside)) row(name_, node_name, inside, false, *address, "the gateway forwards to the LAN only");
            if (const auto address = node_address(n, c_.way.network)) row(name_, node_name, c_.way.network, true, *address, "through the tunnel, as a host of the LAN");
        }
        for (const auto& [host_name, host] : f_.lab.hosts)
            if (host.network == c_.way.network) row(name_, host_name, host.network, true, host.address, "through the tunnel, as a host of the LAN");
        for (const auto& [tenant_name, t] : f_.tenants)
            for (const auto& [port_name, port] : t.ports) vm(tenant_name + "/" + port_name, t, port);
        row(c_.way.node, name_, "vpn", true, c_.peer->address, "the gateway's own tunnel");
        for (const auto& [host_name, host] : f_.lab.hosts)
            if (host.network == c_.way.network)
                row(host_name, name_, "vpn", false, c_.peer->address, "a static route through the gateway opens nothing", c_.way.address);
        return std::move(rows_);
    }

private:
    void row(const std::string& from, const std::string& to, const std::string& via, bool reachable, const ip_address& address, std::string why,
             std::optional<ip_address> planted = {}) {
        rows_.push_back(matrix_row(from, to, via, reachable, address, std::move(why), planted));
    }

    void vm(const std::string& full, const tenant& t, const tenant_port& port) {
        const auto* r = router_of(t, port.network);
        if (!port.address) return;
        const bool same = r != nullptr && r->second.external == c_.way.network;
        const auto source = c_.way.by_route() ? c_.peer->address : c_.way.address;
        const bool in = passes(t, port, direction::ingress, {"icmp", 0, source});
        const std::string closed = "no ingress rule of the receiver's groups";
        const bool fixed = same && c_.way.gateway->fixed;
        row(name_, full, "fixed", fixed && in, *port.address, !fixed ? "fixed addresses stay inside" : in ? "the file asks for fixed addresses" : closed);
        if (port.floating) row(name_, full, "floating", same && in, *port.floating, !same ? "another network than the gateway's" : in ? "through the tunnel and the router's NAT" : closed);
        if (same) row(full, name_, "vpn", false, c_.peer->address, "the gateway lets answers back only");
    }

    const fabric& f_;
    const std::string& name_;
    const vpn_client& c_;
    std::vector<expectation> rows_;
};

}  // namespace

std::vector<expectation> vpn_expectations(const fabric& f) {
    std::vector<expectation> all;
    for (const auto& [name, host] : f.lab.hosts)
        if (const auto client = vpn_client_of(f, host))
            for (auto& row : client_rows(f, name, *client).build()) all.push_back(std::move(row));
    return all;
}

}  // namespace weft::roles
