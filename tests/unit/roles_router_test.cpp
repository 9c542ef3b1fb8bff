// SPDX-License-Identifier: Apache-2.0
// Routers: what source NAT, extra routes and metadata become in the namespace, and what the matrix expects of them.
#include <algorithm>

#include "roles_fixture.hpp"

using namespace weft;
using namespace weft::test;

namespace {

// The example with router1 of proj_one changed.
fabric with_router(const std::string& keys, const std::string& networks = "networks: [net1, net2] }") {
    auto f = parsed(changed(grizzly_text(), networks, networks.substr(0, networks.size() - 2) + ", " + keys + " }"));
    return roles::allocate(f, {}).value().fabric;
}

const std::string router1 = "qrouter-" + object_uuid("grizzly", "proj_one/routers/router1");

namespace_state space_of(const fabric& f) {
    const auto s = roles::compile(f, "network", facts_of()).value();
    const auto found =
        std::find_if(s.namespaces.begin(), s.namespaces.end(), [](const auto& n) { return n.name == router1; });
    REQUIRE(found != s.namespaces.end());
    return *found;
}

std::vector<std::string> comments(const namespace_state& n, const std::string& chain) {
    std::vector<std::string> out;
    for (const auto& t : n.tables)
        for (const auto& c : t.chains)
            if (c.name == chain)
                for (const auto& r : c.rules) out.push_back(r.comment);
    return out;
}

bool has(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

const expectation& cell(const std::vector<expectation>& rows, const std::string& from, const std::string& to,
                        const std::string& via, bool planted = false) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& e) {
        return e.from == from && e.to == to && e.via == via && e.planted_gateway.has_value() == planted &&
               e.protocol == "icmp";
    });
    INFO(from << " " << to << " " << via);
    REQUIRE(found != rows.end());
    return *found;
}

}  // namespace

TEST_CASE("without source NAT networks go out as they are, and floating addresses as before", "[roles][router]") {
    const auto on = space_of(complete_grizzly()), off = space_of(with_router("snat: false"));
    CHECK(has(comments(on, "postrouting"), "from network net1"));
    CHECK(has(comments(on, "forward"), "fixed addresses are not reached from outside"));
    for (const char* gone : {"from network net1", "from network net2"})
        CHECK_FALSE(has(comments(off, "postrouting"), gone));
    CHECK_FALSE(has(comments(off, "forward"), "fixed addresses are not reached from outside"));
    CHECK(has(comments(off, "forward"), "not from outside to outside"));
    for (const char* kept : {"within the tenant", "from proj_one/vm1", "from outside: source kept", "hairpin"})
        CHECK(has(comments(off, "postrouting"), kept));
    CHECK(has(comments(off, "prerouting"), "to proj_one/vm1"));
    CHECK(off.addresses == on.addresses);
}

TEST_CASE(
    "the matrix without source NAT: no answers from outside, and a route there opens the networks to the groups' rules",
    "[roles][router]") {
    const auto rows = roles::expectations(with_router("snat: false"));
    CHECK_FALSE(cell(rows, "proj_one/vm2", "lan1", "external").reachable);
    CHECK_FALSE(cell(rows, "proj_one/vm2", "internet1", "external").reachable);
    CHECK_FALSE(cell(rows, "proj_one/vm2", "controller", "external").reachable);
    CHECK_FALSE(cell(rows, "proj_one/vm2", "proj_two/vm1", "floating").reachable);
    CHECK(cell(rows, "proj_one/vm2", "proj_one/vm1", "floating").reachable);  // by hairpin, the router stands in
    CHECK(cell(rows, "proj_one/vm1", "lan1", "external").reachable);
    CHECK(cell(rows, "proj_two/vm2", "lan1", "external").reachable);
    CHECK_FALSE(cell(rows, "lan1", "proj_one/vm2", "fixed").reachable);
    CHECK(cell(rows, "lan1", "proj_one/vm2", "fixed", true).reachable);
    CHECK_FALSE(cell(rows, "lan1", "proj_two/vm2", "fixed", true).reachable);
    const auto closed =
        roles::allocate(
            parsed(changed(changed(grizzly_text(), "networks: [net1, net2] }", "networks: [net1, net2], snat: false }"),
                           "ingress: [ { protocol: icmp }, {", "ingress: [ {")),
            {})
            .value()
            .fabric;
    CHECK_FALSE(cell(roles::expectations(closed), "lan1", "proj_one/vm2", "fixed", true).reachable);
}

TEST_CASE(
    "next hops to one prefix are one route, each by the device of its network, and what is behind them goes out as the "
    "router",
    "[roles][router]") {
    const auto n = space_of(
        with_router("routes: [ { to: 10.9.0.0/16, via: 50.50.1.9 }, { to: 10.8.0.0/16, via: 192.168.100.200 }, "
                    "{ to: 10.9.0.0/16, via: 50.50.2.9 } ]"));
    REQUIRE(n.routes.size() == 3);
    const auto device = [&](const std::string& path, const std::string& prefix) {
        return device_name(prefix, object_uuid("grizzly", "proj_one/routers/router1/" + path));
    };
    for (const auto& r : n.routes) {
        std::vector<std::string> hops;
        for (const auto& hop : r.nexthops) hops.push_back(hop.gateway->to_string() + " " + hop.device);
        if (r.destination.to_string() == "10.9.0.0/16")
            CHECK(hops == std::vector{"50.50.1.9 " + device("networks/net1", "qr-"),
                                      "50.50.2.9 " + device("networks/net2", "qr-")});
        else
            CHECK(hops == std::vector{(r.destination.length == 0 ? "192.168.100.1 " : "192.168.100.200 ") +
                                      device("gateway", "qg-")});
    }
    CHECK(has(comments(n, "postrouting"), "from 10.9.0.0/16"));
    CHECK_FALSE(has(comments(n, "postrouting"), "from 10.8.0.0/16"));
}

TEST_CASE("metadata is an address of the router with one way in, and a proxy whose files hold no text of the fabric",
          "[roles][router]") {
    const auto f = with_router("metadata: { address: 10.10.10.51, port: 8775 }");
    const auto n = space_of(f);
    CHECK(std::any_of(n.addresses.begin(), n.addresses.end(),
                      [](const auto& a) { return a.device == "lo" && a.address.to_string() == "169.254.169.254/32"; }));
    CHECK(comments(n, "input") ==
          std::vector<std::string>{"metadata is for the inside", "metadata", "nothing else of it"});
    CHECK(comments(space_of(complete_grizzly()), "input").empty());
    for (const auto& every : {n, space_of(complete_grizzly())})
        CHECK(comments(every, "forward").at(0) == "link-local is not forwarded");

    const auto s = roles::compile(f, "network", facts_of()).value();
    std::vector<service> proxies;
    std::copy_if(s.services.begin(), s.services.end(), std::back_inserter(proxies),
                 [](const auto& one) { return one.kind == "haproxy"; });
    REQUIRE(proxies.size() == 1);
    const auto& proxy = proxies[0];
    const auto uuid = object_uuid("grizzly", "proj_one/routers/router1");
    CHECK(proxy.name == "metadata-" + uuid);
    CHECK(proxy.space.empty());
    CHECK(proxy.listens_in == router1);
    REQUIRE(proxy.files.size() == 1);
    const auto& text = proxy.files.at("haproxy.cfg").text;
    for (const auto& part : std::vector<std::string>{
             "bind 169.254.169.254:80 namespace " + router1 + "\n", "set-header X-Forwarded-For %[src]\n",
             "set-header X-Neutron-Router-ID " + uuid + "\n", "server endpoint ipv4@10.10.10.51:8775\n"})
        CHECK(text.find(part) != std::string::npos);
    for (const char* name : {"grizzly", "proj_one", "router1", "net1"}) CHECK(text.find(name) == std::string::npos);
    // A reload is not enough: haproxy reads its file once.
    auto other = proxy;
    other.files["haproxy.cfg"].text += "\n";
    CHECK_FALSE(reload_is_enough(proxy, other));
}

TEST_CASE("a router without an outside has routes and metadata, and nothing that would need an address there",
          "[roles][router]") {
    auto text = changed(grizzly_text(), "router1: { external: external, networks: [net1, net2] }",
                        "router1: { networks: [net1, net2], routes: [ { to: 0.0.0.0/0, via: 50.50.1.9 } ], metadata: { "
                        "address: 10.10.10.51, port: 8775 } }");
    text = changed(text, "address: 50.50.1.11, floating: auto", "address: 50.50.1.11");
    text = changed(text, "net2, floating: auto", "net2");
    text = changed(text,
                   "  - { from: lan1, to: proj_one/vm1, via: floating, protocol: tcp, port: 22, expect: reachable }\n",
                   "  - { from: lan1, to: controller, expect: reachable }\n");
    const auto n = space_of(roles::allocate(parsed(text), {}).value().fabric);
    REQUIRE(n.routes.size() == 1);
    CHECK(n.routes[0].destination.length == 0);
    REQUIRE(n.tables.size() == 1);
    CHECK(n.tables[0].chains.size() == 2);
    CHECK(comments(n, "input") == std::vector<std::string>{"metadata", "nothing else of it"});
}
