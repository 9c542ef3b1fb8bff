// SPDX-License-Identifier: Apache-2.0
// The metadata proxy of a router (DATAPLANE 8.1): a haproxy that takes requests at 169.254.169.254, port 80, in the
// router's namespace and asks the endpoint from the host's own, telling it who asked by the headers that Nova knows.
// Nothing of its configuration is text of the fabric: an id that we computed, an address and a port. Pure.
#include "roles/compile.hpp"
#include "weft/model/nft.hpp"

namespace weft::roles {
namespace {

constexpr std::uint8_t tcp = 6;
constexpr std::uint16_t http = 80;

std::string server_address(const metadata_endpoint& e) {
    const auto text = e.address.to_string();
    return (e.address.is_v6() ? "ipv6@" + text : "ipv4@" + text) + ":" + std::to_string(e.port);
}

// A VM must not speak in another's name: the headers that say who asks are taken out in every spelling that a server
// could read as them, and a request is for the endpoint whatever it names. One VM alone cannot take all connections.
std::string configuration(const std::string& router_uuid, const std::string& space, const metadata_endpoint& e) {
    return R"(global
    nbthread 1
    maxconn 1024
    stats socket unix@ready mode 600 level user
defaults
    mode http
    retries 3
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 5s
frontend machines
    maxconn 512
    bind )" +
           metadata_address().to_string() + ":" + std::to_string(http) + " namespace " + space + R"(
    stick-table type ip size 4k expire 1m store conn_cur
    tcp-request connection track-sc0 src
    tcp-request connection reject if { sc0_conn_cur gt 32 }
    http-request deny deny_status 405 if METH_CONNECT
    http-request set-uri %[pathq]
    http-request del-header ^(forwarded|x[-_](real[-_]ip|forwarded|neutron|quantum|instance[-_]id|tenant[-_]id)([-_].*)?)$ -m reg
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Neutron-Router-ID )" +
           router_uuid + R"(
    default_backend endpoint
backend endpoint
    server endpoint )" +
           server_address(e) + "\n";
}

}  // namespace

nft::chain metadata_gate(const std::string& outside) {
    const auto rule = [] { return nft::rule_builder(nft::family::ipv4); };
    const auto here = host_prefix(metadata_address());
    nft::chain input{"input", "filter", 1, 0, 1, {}, {}};
    if (!outside.empty()) input.rules.push_back(rule().iifname(outside).daddr(here).drop("metadata is for the inside"));
    input.rules.push_back(rule().daddr(here).l4proto(tcp).dport(http).accept("metadata"));
    input.rules.push_back(rule().daddr(here).drop("nothing else of it"));
    return input;
}

service metadata_proxy(const std::string& router_uuid, const std::string& space, const metadata_endpoint& endpoint,
                       const std::string& fabric) {
    service s;
    s.name = "metadata-" + router_uuid;
    s.kind = "haproxy";
    s.listens_in = space;
    s.ready = "ready";
    // In the foreground, and without a user or group of its own: the kernel forgets with those that a process is to die
    // with its parent.
    s.argv = {"/usr/sbin/haproxy", "-db", "-C", service_folder(fabric, s.name), "-f", "haproxy.cfg"};
    s.files["haproxy.cfg"] = {configuration(router_uuid, space, endpoint), false};
    return s;
}

}  // namespace weft::roles
