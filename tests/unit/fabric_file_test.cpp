// SPDX-License-Identifier: Apache-2.0
// The fabric file's form: what the parser refuses, with line, column and value; the lock file; the schema. Needs
// nothing but a temporary folder.
#include "weft/model/fabric_file.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace weft;

namespace {

const std::string head =
    "version: 1\n"
    "name: f\n"
    "networks:\n"
    "  management: { cidr: 10.0.0.0/24 }\n"
    "nodes:\n"
    "  n1: { roles: [controller], nics: { eth0: { network: management, address: 10.0.0.1 } } }\n";

struct expected {
    std::string text;
    int line, column;
    std::string value, problem;
};

// Parses and checks that this fault is among the diagnostics.
void refused(const expected& e) {
    const auto parsed = parse_fabric(e.text, "f.yaml");
    CHECK_FALSE(parsed.ok());
    const bool found = std::any_of(parsed.diagnostics.begin(), parsed.diagnostics.end(), [&](const diagnostic& d) {
        return d.place.line == e.line && d.place.column == e.column && d.value == e.value &&
               d.problem.find(e.problem) != std::string::npos;
    });
    std::string all;
    for (const auto& d : parsed.diagnostics) all += d.to_string() + "\n";
    INFO(e.text << "\n" << all);
    CHECK(found);
}

struct temporary_folder {
    std::string path;
    temporary_folder() {
        char name[] = "/tmp/weft-test-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~temporary_folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("the example of plan 1 parses without a fault", "[fabric_file]") {
    const auto parsed = load_fabric(std::string(WEFT_SOURCE_DIR) + "/examples/fabrics/grizzly.yaml");
    for (const auto& d : parsed.diagnostics) UNSCOPED_INFO(d.to_string());
    REQUIRE(parsed.ok());
    const auto& f = parsed.fabric;
    CHECK(f.name == "grizzly");
    CHECK(f.networks.at("external").floating->last.to_string() == "192.168.100.126");
    CHECK(f.nodes.at("network").nics.at("eth2").address == std::nullopt);
    CHECK(f.tenants.at("proj_one").ports.at("vm1").floating_auto);
    CHECK(f.tenants.at("proj_one").ports.at("vm1").place.line == 35);
    CHECK(f.expectations.at(0).port == 22);
    CHECK(f.checks.at("network").size() == 2);
    CHECK(f.lab.internet->to_string() == "203.0.113.0/24");
    CHECK(f.overlay.last_id == 1000);
}

TEST_CASE("what YAML may do and a fabric file may not", "[fabric_file]") {
    refused({head + "extra: 1\n", 7, 1, "extra", "unknown key"});
    refused({head + "name: g\n", 7, 1, "name", "duplicate key"});
    refused({head + "tenants: &a {}\n", 7, 10, "&", "anchor"});
    refused({head + "tenants: *a\n", 7, 10, "", "not YAML"});
    refused({head + "tenants: &a {}\nlab: *a\n", 8, 6, "*", "alias"});
    refused({head + "tenants: !!map {}\n", 7, 10, "tag:yaml.org,2002:map", "tag"});
    refused({head + "overlay: { type: !x gre }\n", 7, 18, "!x", "tag"});
    refused({head + "---\nversion: 1\n", 8, 1, "---", "second document"});
    refused({head + "tenants: {\n", 8, 1, "", "not YAML"});
    refused({head + "? [a]\n: b\n", 7, 3, "a list", "cannot be a key"});
    refused({head + "tenants: { \x01: {} }\n", 7, 12, "\\x01", "control byte"});
    refused({head + "tenants: { \xc2\x9b: {} }\n", 7, 12, "\\xc2", "control byte"});
    // Alone, cut short, longer than needed, a surrogate, beyond the last character.
    for (const std::string bad : {"\x8b", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
        char first[5];
        std::snprintf(first, sizeof first, "\\x%02x", static_cast<unsigned char>(bad[0]));
        refused({head + "# \xc3\xa9\n# \xc3\xa9" + bad + "\n", 8, 5, first, "is no UTF-8"});
    }
    CHECK(parse_fabric(head + "# \xc3\xa9 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\n", "f").ok());
    refused({"", 0, 0, "", "is nothing"});
    refused({"[]", 1, 1, "", "is a list"});
}

TEST_CASE("size and depth are bounded", "[fabric_file]") {
    refused({std::string((4u << 20) + 1, '#'), 1, 1, "4194305 bytes", "too large"});
    std::string deep = "a: ";
    for (int i = 0; i < 40; ++i) deep += "[";
    for (int i = 0; i < 40; ++i) deep += "]";
    refused({deep, 1, 35, "", "too deeply"});
    // Far more than any recursion guard: the parse must end, not crash.
    CHECK_FALSE(parse_fabric(std::string(1u << 20, '['), "f").ok());
    CHECK_FALSE(parse_fabric(std::string(1u << 20, '{'), "f").ok());
}

TEST_CASE("values of the wrong kind name their place", "[fabric_file]") {
    refused({"version: 2\n", 1, 10, "2", "out of range"});
    refused({"version: one\n", 1, 10, "one", "whole number"});
    refused({head + "overlay: { type: stt }\n", 7, 18, "stt", "choices"});
    refused({head + "overlay: { ids: 0-10 }\n", 7, 17, "0-10", "range of numbers"});
    refused({head + "overlay: { ids: 9-1 }\n", 7, 17, "9-1", "range of numbers"});
    refused({head + "overlay: [gre]\n", 7, 10, "", "is a list"});
    refused({head + "tenants: { \"../x\": {} }\n", 7, 12, "../x", "not a name"});
    refused({head + "tenants: { t: { networks: { n: { cidr: 10.1.0.0 } } } }\n", 7, 40, "10.1.0.0", "not a subnet"});
    refused(
        {head + "tenants: { t: { networks: { n: { cidr: 10.1.0.0/33 } } } }\n", 7, 40, "10.1.0.0/33", "not a subnet"});
    refused({head + "tenants: { t: { networks: { n: { } } } }\n", 7, 32, "cidr", "missing"});
    refused({head + "tenants: { t: { networks: { n: { cidr: 10.1.0.0/24, id: 0 } } } }\n", 7, 57, "0", "out of range"});
    refused({head + "tenants: { t: { networks: { n: { cidr: 10.1.0.0/24, mtu: 100 } } } }\n", 7, 58, "100",
             "out of range"});
    refused({head + "tenants: { t: { networks: { n: { cidr: 10.1.0.0/24, dns: 8.8.8.8 } } } }\n", 7, 58, "8.8.8.8",
             "is a value"});
    refused({head + "tenants: { t: { ports: { p: { node: n, network: n, address: 1.2.3 } } } }\n", 7, 61, "1.2.3",
             "not an IP"});
    refused({head + "tenants: { t: { ports: { p: { node: n, network: n, mac: \"01:00:00:00:00:01\" } } } }\n", 7, 57,
             "01:00:00:00:00:01", "unicast MAC"});
    refused({head + "tenants: { t: { ports: { p: { node: n, network: n, floating: never } } } }\n", 7, 62, "never",
             "not an IP"});
    refused({head + "expectations: [ { from: a, to: b, expect: maybe } ]\n", 7, 43, "maybe", "choices"});
    refused({head + "expectations: [ { from: a, to: b, protocol: tcp, expect: blocked } ]\n", 7, 17, "tcp",
             "needs a port"});
    refused({head + "checks: { n1: [ { ping: 1.1.1.1, arp: 1.1.1.1 } ] }\n", 7, 17, "", "exactly one kind"});
}

TEST_CASE("interface names and roles are checked where they stand", "[fabric_file]") {
    const auto with = [](const std::string& node) {
        return "version: 1\nname: f\nnetworks: {}\nnodes:\n  n: " + node + "\n";
    };
    refused({with("{ roles: [compute], nics: { sixteen-bytes-xx: { network: a } } }"), 5, 34, "sixteen-bytes-xx",
             "not an interface name"});
    refused(
        {with("{ roles: [compute], nics: { \"eth/0\": { network: a } } }"), 5, 34, "eth/0", "not an interface name"});
    refused({with("{ roles: [storage], nics: {} }"), 5, 16, "storage", "choices"});
}

TEST_CASE("all faults come in one run, in file order", "[fabric_file]") {
    const auto parsed =
        parse_fabric("version: 9\nname: \"\"\nnetworks: { a: { cidr: x, mtu: y } }\nnodes: []\nfoo: 1\n", "f.yaml");
    REQUIRE(parsed.diagnostics.size() == 6);
    for (std::size_t i = 1; i < 6; ++i) CHECK(parsed.diagnostics[i - 1].place.line <= parsed.diagnostics[i].place.line);
    CHECK(parsed.diagnostics[0].to_string() == "f.yaml:1:10: error: version: \"9\" is out of range (allowed: 1-1)");
}

TEST_CASE("a file that cannot be read is a diagnostic", "[fabric_file]") {
    CHECK_FALSE(load_fabric("/nonexistent/x.yaml").ok());
    CHECK_FALSE(load_fabric("/tmp").ok());
}

TEST_CASE("the lock file keeps what was saved", "[fabric_file]") {
    CHECK(lock_path("a.b/grizzly.yaml") == "a.b/grizzly.lock");
    CHECK(lock_path("a.b/grizzly") == "a.b/grizzly.lock");
    const temporary_folder folder;
    const auto path = folder.path + "/x.lock";
    CHECK(load_lock(path).value().empty());
    const std::map<std::string, std::string> lock = {{"t/networks/n/id", "7"}, {"t/ports/p/address", "fd00::1"}};
    REQUIRE(save_lock(path, lock).has_value());
    CHECK(load_lock(path).value() == lock);
    REQUIRE(save_lock(path, {}).has_value());
    CHECK(load_lock(path).value().empty());
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
    std::ofstream(path) << "a: [1]\n";
    CHECK(load_lock(path).error().code == errc::invalid_input);
    CHECK_FALSE(save_lock("/nonexistent/x.lock", lock).has_value());
}

TEST_CASE("the schema lists the keys that the reader takes", "[fabric_file]") {
    const auto schema = boost::json::parse(fabric_schema()).as_object();
    const auto& properties = schema.at("properties").as_object();
    CHECK(properties.contains("lab"));
    CHECK(schema.at("required").as_array().size() == 4);
    const auto& port =
        properties.at("tenants").at("additionalProperties").at("properties").at("ports").at("additionalProperties");
    CHECK(port.at("properties").as_object().contains("floating"));
    CHECK(port.at("additionalProperties") == false);
    CHECK(properties.at("checks").at("additionalProperties").at("type") == "array");
}
