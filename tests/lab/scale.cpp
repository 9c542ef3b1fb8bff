// SPDX-License-Identifier: Apache-2.0
// What an apply of many ports asks of the switch, in the switch's own words: the database's log of what was committed, and
// vswitchd's log of what it was sent. Our own counters are held against both.
#include "shell.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include <sstream>

using namespace weft;
using namespace weft::test;

namespace {

constexpr int ports = 200, rules = 20;

std::string crowd(int first_port) {
    std::string text = "tenants:\n  one:\n    networks: { net1: { cidr: 50.50.0.0/16, dhcp: false } }\n    security-groups:\n      default:\n        ingress:\n";
    for (int i = 0; i < rules; ++i) text += fmt::format("          - {{ protocol: tcp, ports: {}, remote: 10.{}.0.0/16 }}\n", first_port + i, i);
    text += "    ports:\n";
    for (int i = 0; i < ports; ++i)
        text += fmt::format("      p{:03}: {{ node: compute1, network: net1, address: 50.50.{}.{} }}\n", i, 1 + i / 100, 10 + i % 100);
    return text;
}

std::string on(const standing_lab& lab, const std::string& command) {
    const auto done = shell(command, lab.name, "compute1");
    INFO(command << ": " << done.text);
    REQUIRE(done.status == 0);
    return done.text;
}

struct seen {
    int transactions = 0;                      // of weft: those that raise next_cfg; vswitchd's own do not
    std::map<std::string, int> opened, committed;  // bundles by connection, of which each bridge has its own
    int flow_mods = 0, loose_flow_mods = 0;    // in bundles, and beside them
};

class witness {
public:
    explicit witness(const standing_lab& lab) : lab_(lab) {
        on(lab, "ovs-appctl vlog/disable-rate-limit vconn && ovs-appctl vlog/set vconn:file:dbg && ovs-appctl vlog/set console:off");
        transactions_ = count("grep -c next_cfg /etc/openvswitch/conf.db || true");
        lines_ = count("wc -l < /var/log/openvswitch/ovs-vswitchd.log");
    }
    ~witness() { (void)shell("ovs-appctl vlog/set vconn:file:info", lab_.name, "compute1"); }
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;

    seen now() const {
        seen s;
        s.transactions = count("grep -c next_cfg /etc/openvswitch/conf.db || true") - transactions_;
        std::istringstream log(on(lab_, fmt::format("tail -n +{} /var/log/openvswitch/ovs-vswitchd.log | grep -a -A1 'received: OFPT_' || true", lines_ + 1)));
        std::string connection;  // one per bridge and purpose
        for (std::string line; std::getline(log, line);) {
            // "…|DBG|unix#3: received: OFPT_BUNDLE_CONTROL (OF1.4) (xid=0x5):", and on the next line "… type=OPEN_REQUEST …"
            if (const auto start = line.find("DBG|"); start != std::string::npos) connection = line.substr(start + 4, line.find(':', start) - start - 4);
            if (line.find("type=OPEN_REQUEST") != std::string::npos) ++s.opened[connection];
            if (line.find("type=COMMIT_REQUEST") != std::string::npos) ++s.committed[connection];
            if (line.find("received: OFPT_BUNDLE_ADD_MESSAGE") != std::string::npos) ++s.flow_mods;
            if (line.find("received: OFPT_FLOW_MOD") != std::string::npos) ++s.loose_flow_mods;
        }
        return s;
    }

private:
    int count(const std::string& command) const { return std::stoi(on(lab_, command)); }
    const standing_lab& lab_;
    int transactions_ = 0, lines_ = 0;
};

boost::json::object apply(const standing_lab& lab, const fabric_file& file) {
    const auto said = on(lab, program + " apply --json " + file.path.string() + " --node compute1");
    return boost::json::parse(said.substr(said.find('{'))).as_object();
}

}  // namespace

TEST_CASE("200 ports of 20 rules on one node are bound by two transactions and one bundle per bridge, as the switch itself counts") {
    if (!can_run() || !has_program()) return;
    const standing_lab lab(small_cloud("gre", "tenants: { one: { networks: { net1: { cidr: 50.50.0.0/16, dhcp: false } } } }\n"));
    const fabric_file file(small_cloud_text("gre", crowd(1000)));
    // The devices, and their rows in one transaction of somebody else's.
    std::string links, rows = "ovs-vsctl";
    for (int i = 0; i < ports; ++i) {
        links += fmt::format("link add c{0:03} type veth peer name d{0:03}\n", i);
        rows += fmt::format(" -- add-port br-int c{0:03} -- set interface c{0:03} external_ids:iface-id={1}", i,
                            object_uuid("lt", fmt::format("one/ports/p{:03}", i)));
    }
    on(lab, "ip -batch - <<'E'\n" + links + "E\n" + rows);

    {
        const witness w(lab);
        const auto report = apply(lab, file);
        const auto s = w.now();
        CHECK(report.at("pending").as_array().empty());
        INFO("reported: " << boost::json::serialize(report));
        CHECK(s.transactions >= 1);
        CHECK(s.transactions <= 2);
        CHECK(s.transactions == report.at("ovsdb_writes").to_number<int>());
        CHECK(s.committed.size() == 2);  // br-int, and br-tun for the node's first network
        for (const auto& [connection, n] : s.committed) CHECK(n == 1);
        CHECK(s.opened == s.committed);
        CHECK(s.loose_flow_mods == 0);
        CHECK(s.flow_mods == report.at("flow_writes").to_number<int>());
        CHECK(s.flow_mods > ports * rules);
    }
    {
        // Every rule of every port is another.
        const fabric_file later(small_cloud_text("gre", crowd(3000)));
        const witness w(lab);
        const auto report = apply(lab, later);
        const auto s = w.now();
        INFO("reported: " << boost::json::serialize(report));
        CHECK(s.transactions == 0);
        REQUIRE(s.committed.size() == 1);
        CHECK(s.committed.begin()->second == 1);
        CHECK(s.opened == s.committed);
        CHECK(s.loose_flow_mods == 0);
        CHECK(s.flow_mods == 2 * ports * rules);
    }
    {
        const fabric_file later(small_cloud_text("gre", crowd(3000)));
        const witness w(lab);
        (void)apply(lab, later);
        const auto s = w.now();
        CHECK(s.transactions == 0);
        CHECK(s.opened.empty());
        CHECK(s.flow_mods + s.loose_flow_mods == 0);
    }
}
