// SPDX-License-Identifier: Apache-2.0
// What every lab test shares: the small cloud of the deployment guide (controller, network node, two computes, two tenants),
// a random short lab name, and a guard that takes the lab down even when the test fails. May include: the whole library.
#pragma once

#include "skip.hpp"
#include "weft/lab/lab.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/netlink/namespaces.hpp"
#include "weft/probe/probe.hpp"
#include "weft/roles/roles.hpp"

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

namespace weft::test {

inline const std::string two_tenants = R"(tenants:
  one:
    networks: { net1: { cidr: 50.50.1.0/24, dns: [8.8.8.8] } }
    routers: { router1: { external: external, networks: [net1] } }
    security-groups: { default: { ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ] } }
    ports:
      vm1: { node: compute1, network: net1, address: 50.50.1.11, floating: auto, security-groups: [default] }
      vm2: { node: compute2, network: net1, security-groups: [default] }
  two:
    networks: { net2: { cidr: 50.50.2.0/24 } }
    routers: { router2: { external: external, networks: [net2] } }
    security-groups: { default: { ingress: [ { protocol: icmp } ] } }
    ports:
      vm3: { node: compute1, network: net2, security-groups: [default] }
)";

inline std::string small_cloud_text(const std::string& overlay = "gre", const std::string& tenants = two_tenants) {
    return R"(version: 1
name: lt
networks:
  management: { cidr: 10.10.10.0/24 }
  vm-config: { cidr: 10.20.20.0/24, mtu: 1500 }
  external: { cidr: 192.168.100.0/24, gateway: 192.168.100.1, floating: 192.168.100.102-192.168.100.126 }
overlay: { type: )" + overlay + R"(, ids: 1-1000 }
nodes:
  controller:
    roles: [controller]
    nics: { eth0: { network: management, address: 10.10.10.51 }, eth1: { network: external, address: 192.168.100.51 } }
  network:
    roles: [network]
    nics:
      eth0: { network: management, address: 10.10.10.52 }
      eth1: { network: vm-config, address: 10.20.20.52 }
      eth2: { network: external }
  compute1:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.53 }, eth1: { network: vm-config, address: 10.20.20.53 } }
  compute2:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.54 }, eth1: { network: vm-config, address: 10.20.20.54 } }
)" + tenants + R"(lab:
  router: { lan: external, internet: 203.0.113.0/24 }
  hosts: { lan1: { network: external, address: 192.168.100.200 }, internet1: { network: internet, address: 203.0.113.10 } }
)";
}

inline fabric small_cloud(const std::string& overlay = "gre", const std::string& tenants = two_tenants) {
    const auto text = small_cloud_text(overlay, tenants);
    auto parsed = parse_fabric(text, "lt.yaml");
    for (const auto& d : parsed.diagnostics)
        if (d.severity == severity::error) FAIL(d.to_string());
    return roles::allocate(parsed.fabric, {}).value().fabric;
}

// Whether labs can stand here at all; says why not.
inline bool can_run() {
    if (::geteuid() != 0) return skip("labs need root"), false;
    if (::access("/usr/share/openvswitch/vswitch.ovsschema", R_OK) != 0) return skip("Open vSwitch is not installed"), false;
    ::setenv("WEFT_LIBEXEC", WEFT_BINARY_DIR "/bin", 0);
    return true;
}

inline std::string random_name() {
    static std::mt19937 generator{std::random_device{}()};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string name = "t";
    for (int i = 0; i < 5; ++i) name += letters[generator() % 36];
    return name;
}

inline std::set<std::string> namespaces_of(const std::string& lab) {
    std::set<std::string> out;
    if (const auto all = netlink::list_namespaces())
        for (const auto& name : *all)
            if (name.starts_with("weft-" + lab + "-")) out.insert(name);
    return out;
}

// Processes that run under this lab's name or in one of its namespaces.
inline std::set<int> processes_of(const std::set<std::string>& namespaces) {
    namespace fs = std::filesystem;
    std::set<fs::path> inodes;
    std::error_code ignored;
    std::set<int> out;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const auto pid = entry.path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        for (const auto& name : namespaces)
            if (fs::equivalent(entry.path() / "ns/net", "/run/netns/" + name, ignored)) out.insert(std::stoi(pid));
    }
    return out;
}

// Exit status of a command inside a member.
inline int run_inside(const std::string& lab, const std::string& member, const std::vector<std::string>& argv) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        (void)lab::exec(lab, member, argv);
        ::_exit(126);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class standing_lab {
public:
    explicit standing_lab(const weft::fabric& f, const lab::compiler& compile = roles::compile) : fabric(f), name(random_name()) {
        lab::up(f, compile, name).value();
    }
    ~standing_lab() { (void)lab::down(name); }
    standing_lab(const standing_lab&) = delete;
    standing_lab& operator=(const standing_lab&) = delete;

    netlink::namespace_handle at(const std::string& member) const {
        std::string flat = member;
        for (auto& c : flat)
            if (c == '/') c = '.';
        return std::move(netlink::namespace_handle::open("weft-" + name + "-" + flat).value());
    }

    weft::fabric fabric;
    std::string name;
};

}  // namespace weft::test
