// SPDX-License-Identifier: Apache-2.0
// The program's refusals, seen from a shell: a faulty file, and a host that lacks something or on which a name is
// taken. Each must exit with 1, name the object and change nothing. A lab of one network node stands for the host; the
// lab's own guard takes it down. May include: the whole library.
#include "shell.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

namespace {

using namespace weft;

using test::fabric_file;
using test::outcome;
using test::program;
using test::shell;

const std::string fabric_text = R"(version: 1
name: rf
networks:
  management: { cidr: 10.10.10.0/24 }
  vm-config: { cidr: 10.20.20.0/24 }
  external: { cidr: 192.168.100.0/24, gateway: 192.168.100.1, floating: 192.168.100.102-192.168.100.126 }
nodes:
  network:
    roles: [network]
    nics:
      eth0: { network: management, address: 10.10.10.52 }
      eth1: { network: vm-config, address: 10.20.20.52 }
      eth2: { network: external }
tenants:
  one:
    networks: { net1: { cidr: 50.50.1.0/24, id: 7 } }
    routers: { router1: { external: external, networks: [net1], address: 192.168.100.102 } }
)";

// The network node of a lab from which weft was taken off again: NICs and a running switch, and nothing else.
class bare_host {
public:
    explicit bare_host(const fabric& f) : lab_(f) {
        run_or_fail(program + " remove --node network");
        // Otherwise the kernel's own link-local addresses come up between two looks at the host.
        run_or_fail("for key in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$key; done");
    }
    outcome run(const std::string& command) const { return shell(command, lab_.name, "network"); }
    std::string run_or_fail(const std::string& command) const {
        const auto done = run(command);
        INFO(command << "\n" << done.text);
        REQUIRE(done.status == 0);
        return done.text;
    }
    // All that weft could have changed here.
    std::string state() const {
        return run_or_fail(
            "ip -d link && ip addr && ip route show table all && ip rule && ip netns list && nft list ruleset && "
            "ovs-vsctl show &&"
            " ovs-vsctl --columns=name,external_ids,other_config list bridge && (test ! -e /run/weft/netns || find /run/weft/netns) &&"
            " cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/arp_ignore "
            "/proc/sys/net/ipv6/conf/*/disable_ipv6");
    }

private:
    test::standing_lab lab_;
};

fabric parsed(const std::string& text) {
    const auto p = parse_fabric(text, "f.yaml");
    for (const auto& d : p.diagnostics) UNSCOPED_INFO(d.to_string());
    REQUIRE(p.ok());
    return roles::allocate(p.fabric, {}).value().fabric;
}

// plan and apply must refuse with each of `words`, and leave the host as it is.
void refused(const bare_host& host, const std::string& arguments, const std::vector<std::string>& words) {
    const auto before = host.state();
    for (const std::string verb : {" plan ", " apply "}) {
        const auto done = host.run(program + verb + arguments);
        INFO(verb << arguments << "\n" << done.text);
        CHECK(done.status == 1);
        CHECK(done.text.starts_with("weft: "));
        for (const auto& word : words) {
            INFO(word);
            CHECK(done.text.find(word) != std::string::npos);
        }
    }
    CHECK(host.state() == before);
}

void leave_dead_socket(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);
}

}  // namespace

TEST_CASE("every verb tells all faults of a file with their places, exits with 1 and changes nothing") {
    if (!test::has_program() || !test::can_run()) return;
    auto text = fabric_text;
    const auto spoil = [&](const std::string& from, const std::string& to) {
        REQUIRE(text.find(from) != std::string::npos);
        text.replace(text.find(from), from.size(), to);
    };
    spoil("cidr: 10.10.10.0/24", "cidr: 10.10.10.1/24");
    spoil("cidr: 10.20.20.0/24 }", "cidr: 10.20.20.0/24, mut: 9000 }");
    spoil("roles: [network]", "roles: [network, storage]");
    spoil("eth2: { network: external }", "sixteen-bytes-xx: { network: external }");
    spoil("networks: [net1]", "networks: [net1, net3]");
    const fabric_file file(text);
    const bare_host host(parsed(fabric_text));
    const auto before = host.state();
    const auto name = file.path.string();
    for (const auto& verb : {"check " + name, "allocate " + name, "compile " + name + " --node network",
                             "plan " + name + " --node network", "apply " + name + " --node network", "lab up " + name,
                             "lab test " + name}) {
        const auto done = host.run(program + " " + verb + " 2>&1 >/dev/null");
        INFO(verb << "\n" << done.text);
        CHECK(done.status == 1);
        const std::vector<std::string> lines = {
            ":4:23: error: networks.management.cidr: \"10.10.10.1/24\" is misaligned: it has host bits (allowed: "
            "10.10.10.0/24)\n",
            ":5:37: error: networks.vm-config.mut: \"mut\" is an unknown key (allowed: cidr, mtu, gateway, floating, "
            "segment, cidr6, gateway6, floating6)\n",
            ":9:22: error: nodes.network.roles[1]: \"storage\" is not one of the choices (allowed: controller, "
            "network, ",
            ":13:7: error: nodes.network.nics.sixteen-bytes-xx: \"sixteen-bytes-xx\" is not an interface name "
            "(allowed: 1 to 15 bytes",
            ":17:64: error: tenants.one.routers.router1.networks: \"net3\" is an unknown network of the router's "
            "tenant (allowed: net1)\n",
            "weft: read fabric " + name + ": 5 errors\n"};
        std::size_t at = 0;
        for (const auto& line : lines) {
            const auto wanted = line[0] == ':' ? name + line : line;
            INFO(wanted);
            const auto found = done.text.find(wanted, at);
            CHECK(found != std::string::npos);
            if (found != std::string::npos) at = found;
        }
        CHECK(static_cast<std::size_t>(std::count(done.text.begin(), done.text.end(), '\n')) == lines.size());
    }
    CHECK(host.state() == before);
    CHECK(std::distance(std::filesystem::directory_iterator(file.folder), {}) == 1);  // no lock beside it
}

TEST_CASE("a host that lacks what weft needs is refused by what is missing, and left as it is") {
    if (!test::has_program() || !test::can_run()) return;
    const auto fabric = parsed(fabric_text);
    const fabric_file file(fabric_text);
    const auto arguments = file.path.string() + " --node network";
    const bare_host host(fabric);

    refused(host, arguments + " --ovs-rundir /nonexistent", {"/nonexistent/db.sock", "No such file or directory"});
    refused(host, arguments + " --netns no-such-place", {"no-such-place", "No such file or directory"});
    refused(host, file.path.string() + " --node netwrok", {"netwrok", "the fabric has network"});

    // A socket that a dead server left behind.
    std::filesystem::create_directory(file.folder / "run");
    leave_dead_socket((file.folder / "run/db.sock").string());
    refused(host, arguments + " --ovs-rundir " + (file.folder / "run").string(), {"run/db.sock", "Connection refused"});

    host.run_or_fail("ip link set eth2 down && ip link set eth2 name gone0");
    refused(host, arguments, {"NIC eth2", "this host has no such link", "nothing was changed"});
    host.run_or_fail("ip link set gone0 name eth2 && ip link set eth2 up");

    // The database server alone would take the rows, and nothing would come of them.
    host.run_or_fail("for s in /run/openvswitch/ovs-vswitchd.*.ctl; do mv $s $s.aside; done");
    refused(host, arguments, {"ovs-vswitchd of /var/run/openvswitch", "it does not run", "nothing was changed"});
    host.run_or_fail("for s in /run/openvswitch/*.aside; do mv $s ${s%.aside}; done");

    // What was refused works when the host is whole again.
    CHECK(host.run(program + " apply " + arguments).status == 0);
}

TEST_CASE("without the rights each verb that looks at a host says what it could not touch and what it needs") {
    if (!test::has_program() || !test::can_run()) return;
    const fabric_file file(fabric_text);
    const auto on_node = file.path.string() + " --node network";
    const bare_host host(parsed(fabric_text));
    const std::string needs = " needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)\n";
    const auto before = host.state();

    // Root without any capability still opens the switch's socket and the lock; nftables it may not read.
    const std::string bare_root = "setpriv --bounding-set=-all --inh-caps=-all ";
    const std::vector<std::string> all = {"show", "show " + on_node, "plan " + on_node, "apply " + on_node,
                                          "remove --node network"};
    for (const auto& verb : all) {
        const auto done = host.run(bare_root + program + " " + verb);
        INFO(verb << "\n" << done.text);
        CHECK(done.status == 1);
        CHECK(done.text ==
              "weft: read nftables own namespace: Operation not permitted; " + verb.substr(0, verb.find(' ')) + needs);
    }
    CHECK(host.state() == before);

    const std::string nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups ";
    if (host.run(nobody + program + " --version").status != 0) return test::skip("nobody may not run " + program);
    const std::vector<std::pair<std::string, std::string>> verbs = {
        {"show", "read nftables own namespace"},
        {"plan " + on_node, "connect to database /var/run/openvswitch/db.sock"},
        {"apply " + on_node, "lock /run/weft/lock"},
        {"remove --node network --fabric rf", "lock /run/weft/lock"},
    };
    for (const auto& [verb, object] : verbs) {
        const auto done = host.run(nobody + program + " " + verb);
        INFO(verb << "\n" << done.text);
        CHECK(done.status == 1);
        CHECK(done.text.starts_with("weft: " + object + ": "));
        CHECK(done.text.ends_with("; " + verb.substr(0, verb.find(' ')) + needs));
    }
    CHECK(host.state() == before);
}

TEST_CASE("a name that is taken by an object of somebody else is refused, and the object left alone") {
    if (!test::has_program() || !test::can_run()) return;
    const auto fabric = parsed(fabric_text);
    const fabric_file file(fabric_text);
    const auto arguments = file.path.string() + " --node network";
    const bare_host host(fabric);
    host_facts facts;
    for (const auto* nic : {"eth0", "eth1", "eth2"}) facts.nic_macs[nic] = mac_address{{2, 0, 0, 0, 0, 1}};
    const auto wanted = roles::compile(fabric, "network", facts).value();
    const auto& links = wanted.namespaces.at(0).links;
    const auto tap = std::find_if(links.begin(), links.end(),
                                  [](const auto& l) { return std::holds_alternative<veth_options>(l.options); });
    REQUIRE(tap != links.end());
    const auto& router = wanted.namespaces.at(1).name;

    struct taken {
        std::string what, make, unmake;
    };
    const std::vector<taken> names = {
        {"link " + tap->name, "ip link add " + tap->name + " type veth peer name theirs0", "ip link del " + tap->name},
        {"namespace " + router, "ip netns add " + router, "ip netns del " + router},
        {"bridge br-int", "ovs-vsctl --timeout=10 add-br br-int -- set bridge br-int datapath_type=netdev",
         "ovs-vsctl --timeout=10 del-br br-int"},
        {"nft table inet weft", "nft 'table inet weft { chain theirs { counter; }; }'", "nft delete table inet weft"},
    };
    for (const auto& n : names) {
        host.run_or_fail(n.make);
        refused(host, arguments, {n.what, "the name is taken", "nothing was changed"});
        // Nor does remove touch it.
        const auto before = host.state();
        CHECK(host.run(program + " remove --node network --fabric rf").status == 0);
        CHECK(host.state() == before);
        host.run_or_fail(n.unmake);
    }
    CHECK(host.run(program + " apply " + arguments).status == 0);
}
