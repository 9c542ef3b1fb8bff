// SPDX-License-Identifier: Apache-2.0
// Implements switch_fixture.hpp with posix_spawn of `setpriv --pdeathsig` and `unshare --net`, both of which exec the daemon, so
// that the pid is the daemon's own. No shell.
#include "ovs/switch_fixture.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

extern char** environ;

// OpenSSL keeps one block for the life of the process, which LeakSanitizer cannot see a pointer to.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto"; }

namespace weft::test {
namespace {

namespace fs = std::filesystem;

std::vector<char*> pointers(std::vector<std::string>& v) {
    std::vector<char*> out;
    for (auto& s : v) {
        out.push_back(s.data());
    }
    out.push_back(nullptr);
    return out;
}

int start(std::vector<std::string> argv, std::vector<std::string> env, int output) {
    for (char** e = environ; *e; e++) {
        env.emplace_back(*e);
    }
    auto args = pointers(argv), envs = pointers(env);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    pid_t pid = -1;
    const int failed = posix_spawnp(&pid, args[0], &actions, nullptr, args.data(), envs.data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        throw std::runtime_error("cannot start " + argv[0]);
    }
    return pid;
}

void kill_and_reap(int& pid) {
    if (pid > 0) {
        ::kill(pid, SIGKILL);
        ::kill(pid, SIGCONT);
        ::waitpid(pid, nullptr, 0);
        pid = -1;
    }
}

std::string tail_of(const fs::path& file) {
    std::ifstream in(file);
    std::string all((std::istreambuf_iterator<char>(in)), {});
    return all.size() > 1500 ? all.substr(all.size() - 1500) : all;
}

// A daemon binds its socket before it listens: that the file is there is not enough.
bool listens(const fs::path& socket) {
    // By its folder's number, as the path may be longer than an address holds.
    const int folder = ::open(socket.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, socket.filename().c_str());
    const bool answered = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    ::close(folder);
    return answered;
}

void wait_for(const fs::path& socket, const fs::path& log) {
    for (int i = 0; i < 500; i++) {
        if (listens(socket)) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error(socket.string() + " did not answer: " + tail_of(log));
}

}  // namespace

std::string run(const std::vector<std::string>& argv) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::runtime_error("pipe");
    }
    const int pid = start(argv, {}, ends[1]);
    ::close(ends[1]);
    std::string out;
    std::array<char, 4096> chunk;
    for (ssize_t n; (n = ::read(ends[0], chunk.data(), chunk.size())) > 0;) {
        out.append(chunk.data(), static_cast<std::size_t>(n));
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 0) {
        throw std::runtime_error(argv[0] + " failed: " + out);
    }
    return out;
}

std::string no_switch_because() {
    if (::geteuid() != 0) {
        return "root is needed for a private network namespace";
    }
    for (const char* program : {"/usr/sbin/ovsdb-server", "/usr/sbin/ovs-vswitchd", "/usr/bin/ovsdb-tool"}) {
        if (!fs::exists(program)) {
            return std::string(program) + " is missing";
        }
    }
    return {};
}

private_switch::private_switch(bool start_it, bool long_path) {
    std::string pattern = (fs::temp_directory_path() / "weft-ovs-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) {
        throw std::runtime_error("mkdtemp");
    }
    root_ = pattern;
    try {
        directory_ = long_path ? root_ / std::string(130, 'x') : root_;
        fs::create_directories(directory_ / "run");
        create_database();
        start_server(false);
        if (start_it) {
            start_switchd();
        }
    } catch (...) {
        kill_and_reap(switchd_);
        kill_and_reap(server_);
        fs::remove_all(root_);
        throw;
    }
}

private_switch::~private_switch() {
    kill_and_reap(switchd_);
    kill_and_reap(server_);
    std::error_code ignored;
    fs::remove_all(root_, ignored);
}

int private_switch::spawn(std::vector<std::string> argv) {
    const int log = ::open((directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    argv.insert(argv.begin(), {"setpriv", "--pdeathsig", "KILL", "unshare", "--net"});
    const int pid = start(std::move(argv), {"OVS_RUNDIR=" + rundir(), "OVS_LOGDIR=" + directory_.string(), "OVS_DBDIR=" + directory_.string(),
                                            "OVS_SYSCONFDIR=" + directory_.string()}, log);
    ::close(log);
    return pid;
}

void private_switch::create_database() {
    fs::remove(directory_ / "conf.db");
    fs::remove(directory_ / ".conf.db.~lock~");
    run({"ovsdb-tool", "create", directory_ / "conf.db", "/usr/share/openvswitch/vswitch.ovsschema"});
}

void private_switch::start_server(bool fresh_database) {
    if (fresh_database) {
        create_database();
    }
    fs::remove(fs::path(rundir()) / "db.sock");
    server_ = spawn({"ovsdb-server", directory_ / "conf.db", "--remote=p" + database(), "--no-chdir", "-vconsole:warn",
                     "--unixctl=" + rundir() + "/server.ctl"});
    wait_for(fs::path(rundir()) / "db.sock", directory_ / "log");
}

void private_switch::stop_server() { kill_and_reap(server_); }

void private_switch::start_switchd() {
    const auto control = rundir() + "/ovs-vswitchd.0.ctl";
    fs::remove(control);
    switchd_ = spawn({"ovs-vswitchd", database(), "--no-chdir", "-vconsole:warn", "--unixctl=" + control});
    wait_for(control, directory_ / "log");
}

void private_switch::stop_switchd() { kill_and_reap(switchd_); }

std::string private_switch::vsctl(std::vector<std::string> args) const {
    args.insert(args.begin(), {"ovs-vsctl", "--db=" + database(), "--timeout=10"});
    return run(args);
}

std::string private_switch::ofctl(std::vector<std::string> args) const {
    args.insert(args.begin(), {"ovs-ofctl", "-OOpenFlow14", "--timeout=10"});
    return run(args);
}

}  // namespace weft::test
