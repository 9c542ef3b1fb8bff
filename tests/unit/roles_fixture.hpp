// SPDX-License-Identifier: Apache-2.0
// The example fabric for the tests of roles, and a way to change one line of it. Fails the test case when the text to
// be changed is not there, so that no test passes by accident.
#pragma once

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "weft/model/fabric_file.hpp"
#include "weft/roles/roles.hpp"

namespace weft::test {

inline std::string example_text(const std::string& name) {
    std::ifstream in(std::string(WEFT_SOURCE_DIR) + "/examples/fabrics/" + name + ".yaml");
    REQUIRE(in.good());
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}
inline std::string grizzly_text() { return example_text("grizzly"); }

inline std::string changed(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

inline fabric parsed(const std::string& text, const std::string& file = "grizzly.yaml") {
    auto p = parse_fabric(text, file);
    for (const auto& d : p.diagnostics) UNSCOPED_INFO(d.to_string());
    REQUIRE(p.ok());
    return std::move(p.fabric);
}

inline fabric grizzly() { return parsed(grizzly_text()); }
inline fabric complete_example(const std::string& name) {
    return roles::allocate(parsed(example_text(name), name + ".yaml"), {}).value().fabric;
}
inline fabric complete_grizzly() { return roles::allocate(grizzly(), {}).value().fabric; }

inline host_facts facts_of(const std::string& datapath = "netdev") {
    host_facts facts;
    facts.datapath = datapath;
    facts.nic_macs = {{"eth0", *parse_mac("02:00:00:00:00:10")},
                      {"eth1", *parse_mac("02:00:00:00:00:11")},
                      {"eth2", *parse_mac("02:00:00:00:00:12")}};
    return facts;
}

}  // namespace weft::test
