// SPDX-License-Identifier: Apache-2.0
// A service: one program that a node keeps running in a network namespace (dnsmasq of a tenant network, haproxy of a
// router's metadata), with the files that it reads. May include: std.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace weft {

struct service_file {
    std::string text;
    bool reloadable = false;  // the program reads it again on SIGHUP; a change of any other file needs a restart
    friend bool operator==(const service_file&, const service_file&) = default;
};

struct service {
    std::string name;                           // "dnsmasq-<network uuid>", one per node
    std::string kind;                           // "dnsmasq"
    std::string space;                          // the network namespace that it runs in; "" = the host's own
    std::vector<std::string> argv;              // argv[0] is the program
    std::map<std::string, service_file> files;  // by name within service_folder()
    std::string listens_in;                     // another namespace, where it opens its listening sockets; "" = none
    std::string ready;  // a unix socket within service_folder() that answers a line once the program serves; "" = none
    friend bool operator==(const service&, const service&) = default;
};

// Where the files of a service are, and where it keeps what must outlive a restart of it (leases).
std::string service_folder(const std::string& fabric, const std::string& name);
std::string service_state_folder(const std::string& fabric, const std::string& name);

// Whether the running program can become `after` by reading its files again: all else is the same.
bool reload_is_enough(const service& before, const service& after);

}  // namespace weft
