// SPDX-License-Identifier: Apache-2.0
// The wanted state of every role, the matrix and the lock of the example fabric, compared with the files beside this
// one. To write them anew after a wanted change: WEFT_UPDATE_GOLDEN=1 test_golden, then read the difference.
#include <cstdlib>

#include "../unit/roles_fixture.hpp"
#include "dump.hpp"

using namespace weft;
using namespace weft::test;

namespace {

void compare(const std::string& name, const std::string& text) {
    const auto path = std::string(WEFT_SOURCE_DIR) + "/tests/golden/" + name;
    if (std::getenv("WEFT_UPDATE_GOLDEN")) {
        std::ofstream(path) << text;
        return;
    }
    std::ifstream in(path);
    REQUIRE(in.good());
    std::ostringstream golden;
    golden << in.rdbuf();
    // Line by line, so that a failure shows the line and not two whole states.
    std::istringstream is(text), was(golden.str());
    std::string is_line, was_line;
    for (int line = 1;; ++line) {
        const bool more = static_cast<bool>(std::getline(is, is_line)),
                   had = static_cast<bool>(std::getline(was, was_line));
        INFO(name << ":" << line);
        REQUIRE(more == had);
        if (!more) break;
        REQUIRE(is_line == was_line);
    }
}

// The VMs' taps are there on compute1, so that bound ports show; compute2's are pending.
host_facts golden_facts(const std::string& node, const std::string& datapath) {
    auto facts = facts_of(datapath);
    if (node == "compute1")
        facts.present_ports = {{object_uuid("grizzly", "proj_one/ports/vm1"), "tapone"},
                               {object_uuid("grizzly", "proj_two/ports/vm1"), "taptwo"}};
    return facts;
}

}  // namespace

TEST_CASE("wanted state of every node", "[golden]") {
    const auto f = complete_grizzly();
    for (const char* node : {"controller", "network", "compute1", "compute2"})
        for (const char* datapath : {"netdev", "system"})
            compare(std::string(node) + "." + datapath + ".txt",
                    dump(roles::compile(f, node, golden_facts(node, datapath)).value()));
}

TEST_CASE("wanted state of every node of the other deployments", "[golden]") {
    for (const char* deployment : {"all-in-one", "two-servers", "dual-stack"}) {
        const auto f = complete_example(deployment);
        for (const auto& [node, n] : f.nodes)
            compare(std::string(deployment) + "." + node + ".txt",
                    dump(roles::compile(f, node, facts_of("netdev")).value()));
    }
}

TEST_CASE("wanted state of a node with a tap and a plugged guest", "[golden]") {
    const auto f = complete_example("../guests/guests");
    auto facts = facts_of("netdev");
    facts.present_ports = {{object_uuid("guests", "proj_one/ports/vm1"), "vnet0"}};
    compare("guests.cloud.txt", dump(roles::compile(f, "cloud", facts).value()));
}

TEST_CASE("wanted state of nodes of the compatibility profile", "[golden]") {
    const auto f = complete_example("grizzly-compat");
    auto facts = facts_of("netdev");
    compare("grizzly-compat.network.txt", dump(roles::compile(f, "network", facts).value()));
    facts.present_ports = {{object_uuid("grizzly-compat", "proj_one/ports/vm1"), "tapone"}};
    facts.plugged_ports = {"tapone", "stranger"};
    compare("grizzly-compat.compute1.txt", dump(roles::compile(f, "compute1", facts).value()));
}

TEST_CASE("wanted state of a host of CloudStack", "[golden]") {
    compare("cloudstack.kvm1.txt", dump(roles::compile(complete_example("cloudstack"), "kvm1", facts_of("netdev")).value()));
}

TEST_CASE("lock of the example", "[golden]") {
    std::string text;
    for (const auto& [key, value] : roles::allocate(grizzly(), {}).value().lock) text += key + ": " + value + "\n";
    compare("grizzly.lock.txt", text);
}

TEST_CASE("matrix of every example", "[golden]") {
    for (const char* deployment : {"grizzly", "all-in-one", "two-servers", "three-tenants", "grizzly-compat", "cloudstack", "dual-stack"}) {
        std::string text;
        for (const auto& e : roles::expectations(complete_example(deployment))) {
            text += fmt::format("{:9} {} -> {} {} via {} {}", e.reachable ? "reachable" : "blocked", e.from, e.to,
                                e.address ? e.address->to_string() : "-", e.via, e.protocol);
            if (e.port) text += fmt::format("/{}", e.port);
            if (e.planted_gateway) text += " planted " + e.planted_gateway->to_string();
            text += "  # " + e.why + "\n";
        }
        compare(std::string(deployment) + ".matrix.txt", text);
    }
}
