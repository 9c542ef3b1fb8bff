// SPDX-License-Identifier: Apache-2.0
// What a lab's switch starts from: the database file as Open vSwitch's own tool reads it, and the datapath warmed in advance.
#include "ovs/switch_start.hpp"

#include "ovs/switch_fixture.hpp"
#include "skip.hpp"

#include <catch2/catch.hpp>

#include <stdlib.h>

#include <filesystem>

using namespace weft;

namespace {

constexpr const char* schema = "/usr/share/openvswitch/vswitch.ovsschema";

struct temporary_folder {
    std::filesystem::path path;
    temporary_folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "weft-db-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~temporary_folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("a database file made here is Open vSwitch's own, with one empty root row") {
    if (const auto why = test::no_switch_because(); !why.empty()) return test::skip(why);
    const temporary_folder folder;
    const auto file = (folder.path / "conf.db").string();
    REQUIRE(ovs::create_database(file, schema).has_value());
    CHECK(test::run({"ovsdb-tool", "db-name", file}) == "Open_vSwitch\n");
    CHECK(test::run({"ovsdb-tool", "db-cksum", file}) == test::run({"ovsdb-tool", "schema-cksum", schema}));
    CHECK(test::run({"ovsdb-tool", "query", file,
                     R"(["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[],"columns":["bridges"]}])"}) ==
          R"([{"rows":[{"bridges":["set",[]]}]}])"
          "\n");
}

TEST_CASE("a database of a schema that is not there is refused and no file is made") {
    const temporary_folder folder;
    const auto outcome = ovs::create_database(folder.path / "conf.db", folder.path / "none.ovsschema");
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().code == errc::unavailable);
    CHECK(outcome.error().object == folder.path / "none.ovsschema");
    CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("warming leaves no datapath behind and a bridge can be made afterwards") {
    if (const auto why = test::no_switch_because(); !why.empty()) return test::skip(why);
    test::private_switch node;
    const auto socket = node.rundir() + "/ovs-vswitchd.0.ctl";
    ovs::warm_datapath(socket, std::chrono::seconds(5)).value();
    CHECK_THROWS_WITH(test::run({"ovs-appctl", "-t", socket, "dpctl/show", "netdev@weft-warm"}), Catch::Contains("No such device"));
    node.vsctl({"add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"});
    CHECK(node.vsctl({"get", "interface", "br0", "ofport"}) == "65534\n");
    CHECK_NOTHROW(test::run({"ovs-appctl", "-t", socket, "dpctl/show", "netdev@ovs-netdev"}));
}

TEST_CASE("a switch that is not there cannot be warmed, and it is said at once") {
    const temporary_folder folder;
    const auto outcome = ovs::warm_datapath(folder.path / "gone.ctl", std::chrono::seconds(5));
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().code == errc::unavailable);
}
