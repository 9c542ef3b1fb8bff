// SPDX-License-Identifier: Apache-2.0
// The helper program weft-node. `supervise` keeps a node's services running (services/supervisor.hpp), `guard` undoes what nobody
// confirms (apply/guardian.hpp); with the words that a
// DHCP client calls its script with, it is that script (lab/lease.hpp). `hold` makes one lab node a small host (its own mounts,
// host name and Open vSwitch) and stays as the parent of its daemons; a child of it applies the states that come on standard
// input, until its end. Answers go to standard output, one line each: "ready …", "ok" or an encoded error. It may call
// everything that the library may.
#include "apply/guardian.hpp"
#include "lab/folder.hpp"
#include "lab/lease.hpp"
#include "lab/lease6.hpp"
#include "lab/process.hpp"
#include "ovs/switch_start.hpp"
#include "lab/vpn.hpp"
#include "services/supervisor.hpp"
#include "weft/apply/apply.hpp"
#include "weft/model/json.hpp"
#include "weft/ovs/database.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>

namespace {

namespace fs = std::filesystem;
using weft::errc;
using weft::errno_error;
using weft::error;
using weft::result;

void say(const std::string& line) {
    for (std::size_t done = 0; done < line.size();) {
        const auto n = ::write(1, line.data() + done, line.size() - done);
        if (n <= 0) return;
        done += static_cast<std::size_t>(n);
    }
}

int answer(const result<void>& outcome) {
    say(outcome ? "ok\n" : weft::lab::encode(outcome.error()));
    return outcome ? 0 : 1;
}

result<void> enter(const std::string& path, int type) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "open namespace", path);
    const int outcome = ::setns(fd, type);
    const int problem = errno;
    ::close(fd);
    if (outcome < 0) return errno_error(problem, "enter namespace", path);
    return {};
}

result<void> mount_at(const char* type, const std::string& at, const char* options = nullptr) {
    if (::mount(type, at.c_str(), type, MS_NOSUID | MS_NODEV, options) < 0) return errno_error(errno, "mount " + std::string(type), at);
    return {};
}

// The copies of the outer namespaces' names would keep those namespaces alive after the lab has deleted them.
void forget_outer_namespaces() {
    std::istringstream table(weft::lab::read_file("/proc/self/mountinfo").value_or(""));
    std::vector<std::string> points;
    for (std::string line; std::getline(table, line);) {
        std::istringstream fields(line);
        std::string skip, point;
        fields >> skip >> skip >> skip >> skip >> point;
        if (point.starts_with("/run/netns")) points.push_back(point);
    }
    for (auto p = points.rbegin(); p != points.rend(); ++p) ::umount2(p->c_str(), MNT_DETACH);
}

// Everything private that a host of its own would have. What was under /run is hidden afterwards, save the OVS folder.
result<void> furnish(const std::string& lab, const std::string& node, const std::string& netns) {
    if (auto done = enter("/run/netns/" + netns, CLONE_NEWNET); !done) return done;
    if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0) return errno_error(errno, "unshare", node);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return errno_error(errno, "make mounts private", node);
    if (::sethostname(node.data(), node.size()) < 0) return errno_error(errno, "set host name", node);

    const auto folder = weft::lab::node_folder(lab, node);
    const auto fabric = weft::lab::read_file(weft::lab::lab_folder(lab) + "/fabric.json");
    const auto database = weft::lab::read_file(weft::lab::lab_folder(lab) + "/conf.db");
    auto keys = weft::lab::keys_of(lab, node);
    if (!keys) return keys.error();
    const int ovs = ::open((folder + "/ovs").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ovs < 0) return errno_error(errno, "open", folder + "/ovs");
    forget_outer_namespaces();
    if (auto done = mount_at("tmpfs", "/run", "mode=755"); !done) return done;
    std::error_code ignored;
    for (const char* made : {"/run/openvswitch", "/run/netns", "/run/lock", "/run/weft"}) fs::create_directories(made, ignored);
    if (::mount(("/proc/self/fd/" + std::to_string(ovs)).c_str(), "/run/openvswitch", nullptr, MS_BIND, nullptr) < 0)
        return errno_error(errno, "bind", "/run/openvswitch");
    ::close(ovs);
    // As ip-netns keeps it: names bound here are seen by every process of this node.
    if (::mount("/run/netns", "/run/netns", nullptr, MS_BIND, nullptr) < 0 || ::mount(nullptr, "/run/netns", nullptr, MS_SHARED, nullptr) < 0)
        return errno_error(errno, "share", "/run/netns");
    if (auto done = mount_at("sysfs", "/sys"); !done) return done;
    for (const char* own : {"/var/lib/weft", "/var/lib/openvswitch", "/etc/openvswitch", "/var/log/openvswitch"}) {
        fs::create_directories(own, ignored);
        if (auto done = mount_at("tmpfs", own, "mode=755"); !done) return done;
    }
    if (auto done = weft::lab::place_keys(*keys); !done) return done;
    // By this and not by the inode of its mounts alone is a node known, for the kernel gives the inode of what has gone to another.
    if (auto done = weft::lab::write_file("/run/weft/member-of", lab + "\n"); !done) return done;
    // The lab's allocation, so that `weft plan` and `weft apply` on the node use the same one.
    if (fabric)
        if (auto done = weft::lab::write_file("/run/weft/fabric.json", *fabric); !done) return done;
    if (database)
        if (auto done = weft::lab::write_file("/etc/openvswitch/conf.db", *database); !done) return done;
    return {};
}

// The supervisor has one thread, so that fork is safe here; the child dies with its supervisor.
template <typename Work>
pid_t start_child(const Work& work) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int s : {SIGINT, SIGHUP, SIGPIPE}) ::signal(s, SIG_DFL);
    work();
    ::_exit(127);
}

pid_t start_daemon(const std::vector<std::string>& argv) {
    return start_child([&] {
        const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::dup2(null, 0);
        ::dup2(2, 1);
        std::vector<char*> args;
        for (const auto& a : argv) args.push_back(const_cast<char*>(a.c_str()));
        args.push_back(nullptr);
        ::execvp(args[0], args.data());
        std::fprintf(stderr, "%s: %s\n", args[0], std::strerror(errno));
    });
}

result<void> wait_for(const std::string& path, pid_t daemon) {
    for (int i = 0; i < 5000; ++i) {
        if (::access(path.c_str(), F_OK) == 0) return {};
        if (::waitpid(daemon, nullptr, WNOHANG) == daemon) return error{errc::unavailable, "start", path, "the daemon ended at once; see node.log"};
        ::usleep(2000);
    }
    return error{errc::timed_out, "start", path, "it did not appear within 10 s"};
}

std::string control_socket(pid_t vswitchd) { return "/run/openvswitch/ovs-vswitchd." + std::to_string(vswitchd) + ".ctl"; }

result<void> start_switch(std::vector<pid_t>& daemons) {
    const pid_t server = start_daemon({"ovsdb-server", "/etc/openvswitch/conf.db", "--remote=punix:/run/openvswitch/db.sock",
                                       "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", "--pidfile", "--log-file", "-vconsole:warn",
                                       "-vsyslog:off"});
    daemons.push_back(server);
    if (auto done = wait_for("/run/openvswitch/db.sock", server); !done) return done;
    const pid_t vswitchd = start_daemon({"ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--pidfile", "--log-file", "--disable-system",
                                         "-vconsole:warn", "-vsyslog:off"});
    daemons.push_back(vswitchd);
    return wait_for(control_socket(vswitchd), vswitchd);
}

void end_daemons(const std::vector<pid_t>& daemons) {
    for (auto d = daemons.rbegin(); d != daemons.rend(); ++d) ::kill(*d, SIGKILL);
    while (::wait(nullptr) > 0) {}
}

result<void> plug(const weft::host_state& rows) {
    auto db = weft::ovs::database::connect("/run/openvswitch");
    if (!db) return db.error();
    weft::ovs::change_set changes;
    for (const auto& bridge : rows.bridges)
        for (const auto& port : bridge.ports) changes.ports.push_back({bridge.name, std::nullopt, port});
    auto outcomes = db->commit(changes);
    if (!outcomes) return outcomes.error();
    for (const auto& o : *outcomes)
        if (!o.error.empty()) return error{errc::protocol_error, "plug VM", o.interface, o.error};
    return {};
}

result<void> apply_one(const std::string& verb, const std::string& text) {
    auto state = weft::host_state_from_json(text);
    if (!state) return state.error();
    if (verb == "plug") return plug(*state);
    if (verb != "apply") return error{errc::protocol_error, "read command", verb, "expected apply or plug"};
    auto report = weft::apply::apply(
        {"", "/run/openvswitch"}, [&] { return weft::result<weft::host_state>(*state); }, {.before = {}, .made_from = {}, .announce = false});
    if (!report) return report.error();
    return {};
}

// Ends with its input, which is closed when the lab is up or its maker has gone.
[[noreturn]] void apply_states() {
    std::optional<weft::result<weft::ovs::database>> held;  // what is applied one after the other shares its connection
    std::string verb, text;
    std::size_t size = 0;
    while (std::cin >> verb >> size && std::cin.get() == '\n') {
        text.resize(size);
        if (!std::cin.read(text.data(), static_cast<std::streamsize>(size))) break;
        if (!held && ::access("/run/openvswitch/db.sock", F_OK) == 0) held = weft::ovs::database::connect("/run/openvswitch");
        if (answer(apply_one(verb, text)) != 0) break;
    }
    ::_exit(0);
}

int hold(const std::string& lab, const std::string& node, const std::string& netns, bool with_switch) {
    ::setsid();
    ::close_range(3, ~0U, 0);
    for (const int s : {SIGINT, SIGHUP, SIGPIPE}) ::signal(s, SIG_IGN);
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);

    std::vector<pid_t> daemons;
    auto done = furnish(lab, node, netns);
    const pid_t worker = done ? start_child(apply_states) : 0;
    if (worker > 0) daemons.push_back(worker);
    if (done && with_switch) done = start_switch(daemons);
    if (!done) {
        end_daemons(daemons);
        return answer(done);
    }
    if (::chdir("/") < 0) return answer(errno_error(errno, "change directory", "/"));
    const auto mounts = weft::lab::identify("/proc/self/ns/mnt").value_or(weft::lab::namespace_identity{});
    say("ready " + std::to_string(mounts.device) + " " + std::to_string(mounts.inode) + "\n");
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(null, 0);
    // Beside the first states, which go to other processes of this node. It costs time only if it fails.
    if (with_switch)
        if (auto warm = weft::ovs::warm_datapath(control_socket(daemons.back()), std::chrono::seconds(2)); !warm)
            std::cerr << warm.error().message() << std::endl;
    // A daemon that ends is reaped and stays ended: whoever tests a switch's death starts it again by hand.
    for (;;) {
        for (pid_t gone; (gone = ::waitpid(-1, nullptr, WNOHANG)) > 0;) {
            std::erase(daemons, gone);
            // The starter waits for the end of this pipe: then everything of its bringing-up has gone.
            if (gone == worker) ::dup2(null, 1);
        }
        if (::sigwaitinfo(&watched, nullptr) == SIGTERM) break;
    }
    end_daemons(daemons);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 5 && words[0] == "hold") return hold(words[1], words[2], words[3], words[4] == "ovs");
    if (words.size() == 1 && words[0] == "supervise") return weft::services::supervise();
    if (words.size() >= 3) {
        const weft::apply::place where{words[1] == "-" ? "" : words[1], words[2]};
        if (words[0] == "guard" && words.size() == 3) return weft::apply::guard(where, true);
        if (words[0] == "guard-twin" && words.size() == 4) return weft::apply::guard_guardian(where, std::atoi(words[3].c_str()));
        if (words[0] == "guard-act" && words.size() == 3) return weft::apply::guard_act(where);
    }
    // As a unit of systemd, which starts it again.
    if (words.size() == 1 && words[0] == "guard") return weft::apply::guard({}, false);
    if (words.size() >= 6 && words[0] == "vpn-client") return answer(weft::lab::become_client({words.begin() + 1, words.end()}));
    if (weft::lab::is_lease6_event(argc)) return weft::lab::on_lease6_event();
    if (words.size() == 1 && weft::lab::is_lease_event(words[0])) return weft::lab::on_lease_event(words[0]);
    std::cerr << "weft-node is started by weft itself: weft-node hold LAB NODE NETNS ovs|plain, weft-node supervise, "
                 "weft-node guard [NETNS|- OVS_RUNDIR], or weft-node deconfig|bound|renew|leasefail|nak\n";
    return 2;
}
