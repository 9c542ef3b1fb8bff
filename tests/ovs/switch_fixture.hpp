// SPDX-License-Identifier: Apache-2.0
// A private ovsdb-server and ovs-vswitchd, in a temporary directory and a fresh network namespace of their own. The destructor
// kills both by pid and removes the directory; should the test program die, the kernel kills them (parent death signal).
// May include: std and POSIX. Failing to start throws std::runtime_error with the end of the daemon's log.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace weft::test {

// Why switches cannot be started here ("" if they can): root and Open vSwitch are needed.
std::string no_switch_because();

// Runs a program to its end and returns its output; throws if it fails.
std::string run(const std::vector<std::string>& argv);

class private_switch {
public:
    // `long_path` makes the run directory longer than a socket address can hold.
    explicit private_switch(bool start_switchd = true, bool long_path = false);
    ~private_switch();
    private_switch(const private_switch&) = delete;
    private_switch& operator=(const private_switch&) = delete;

    std::string rundir() const { return directory_ / "run"; }
    std::string database() const { return "unix:" + rundir() + "/db.sock"; }
    void start_server(bool fresh_database);
    void stop_server();
    void start_switchd();
    void stop_switchd();
    int switchd_pid() const { return switchd_; }
    int server_pid() const { return server_; }
    std::string vsctl(std::vector<std::string> args) const;
    std::string ofctl(std::vector<std::string> args) const;

private:
    int spawn(std::vector<std::string> argv);
    void create_database();
    std::filesystem::path root_, directory_;
    int server_ = -1, switchd_ = -1;
};

}  // namespace weft::test
