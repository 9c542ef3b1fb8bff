// SPDX-License-Identifier: Apache-2.0
// lab::down: finds all of a lab by its record and, where the record is lost, by the prefix of its names. It scans /proc for
// processes in the lab's namespaces; it never ends itself, nor anything that shares its own or init's namespaces.
#include "lab/teardown.hpp"
#include "weft/lab/lab.hpp"
#include "weft/netlink/namespaces.hpp"

#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

namespace weft::lab {
namespace {

namespace fs = std::filesystem;

struct targets {
    std::string lab;
    std::set<namespace_identity> network, mount;
};

// A zombie holds no namespace and needs only its parent, which is not always us.
bool is_zombie(const std::string& pid) {
    const auto text = read_file("/proc/" + pid + "/stat").value_or("");
    const auto end = text.rfind(')');
    return end == std::string::npos || end + 2 >= text.size() || text[end + 2] == 'Z' || text[end + 2] == 'X';
}

// A network namespace of ours is kept by its name for as long as we look; mounts that have gone leave their inode to others, another
// lab's node at the next moment, so they must say whose they are, too.
bool is_inside(const std::string& pid, const targets& t) {
    if (const auto network = identify("/proc/" + pid + "/ns/net"); network && t.network.contains(*network)) return true;
    const auto mount = identify("/proc/" + pid + "/ns/mnt");
    return mount && t.mount.contains(*mount) && read_file("/proc/" + pid + "/root/run/weft/member-of").value_or("") == t.lab + "\n";
}

// The number of a process that ends meanwhile may be another's when the signal is sent, so the process is held and looked at again.
void signal_inside(int pid, int signal, const targets& t) {
    const auto held = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (held < 0) return;
    if (is_inside(std::to_string(pid), t)) ::syscall(SYS_pidfd_send_signal, held, signal, nullptr, 0);
    ::close(held);
}

std::vector<int> processes_in(const targets& t) {
    std::vector<int> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const auto pid = entry.path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        const int number = std::atoi(pid.c_str());
        if (number == ::getpid() || number == 1) continue;
        if (is_inside(pid, t) && !is_zombie(pid)) found.push_back(number);
    }
    return found;
}

// The mount namespaces of the lab's nodes: as recorded at their start. A daemon in a router's namespace inside a node is
// found by these even after its node process was killed.
void add_mounts(const std::string& lab, targets& t) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(lab_folder(lab), ignored)) {
        if (!entry.is_directory(ignored)) continue;
        std::ifstream in(entry.path() / "mnt");
        namespace_identity id;
        if (in >> id.device >> id.inode) t.mount.insert(id);
        // A node process that died before it entered its namespaces' record is caught by its network namespace.
    }
}

result<void> end_processes(const targets& t) {
    const auto start = std::chrono::steady_clock::now();
    bool killed = false;
    std::set<int> seen;
    for (;;) {
        const auto found = processes_in(t);
        seen.insert(found.begin(), found.end());
        // A process on its way out has left its namespaces before it is gone: it is waited for, for a while, but gets no
        // further signal, since its number may be another's by then.
        std::erase_if(seen, [](int pid) { return is_zombie(std::to_string(pid)); });
        if (found.empty() && (seen.empty() || std::chrono::steady_clock::now() - start > std::chrono::seconds(5))) return {};
        const auto waited = std::chrono::steady_clock::now() - start;
        if (!found.empty() && waited > std::chrono::seconds(10))
            return error{errc::timed_out, "end process", std::to_string(found.front()), "it is still there after 10 s"};
        const bool hard = waited > std::chrono::seconds(2);  // a node process first ends and reaps its switch
        if (hard != killed || waited < std::chrono::milliseconds(1) || hard)
            for (const int pid : found) signal_inside(pid, hard ? SIGKILL : SIGTERM, t);
        killed = hard;
        for (const int pid : found) ::waitpid(pid, nullptr, WNOHANG);  // those that are our children
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

// All outer names of the lab: the recorded ones, and any of its prefix that no other lab has recorded ("a" and "a-b" share
// the beginning of their names).
std::vector<std::string> names_of(const std::string& lab) {
    std::set<std::string> names;
    if (auto own = read_record(lab)) {
        for (const auto& m : own->members) names.insert(m.netns);
    } else {
        std::set<std::string> others;
        for (const auto& other : lab_names())
            if (other != lab)
                if (auto r = read_record(other))
                    for (const auto& m : r->members) others.insert(m.netns);
        if (auto all = netlink::list_namespaces())
            for (const auto& name : *all)
                if (name.starts_with("weft-" + lab + "-") && !others.contains(name)) names.insert(name);
    }
    return {names.begin(), names.end()};
}

}  // namespace

result<void> take_down(const std::string& lab, const std::vector<std::string>& namespaces) {
    targets t{lab, {}, {}};
    for (const auto& name : namespaces)
        if (const auto id = identify("/run/netns/" + name)) t.network.insert(*id);
    add_mounts(lab, t);
    // Whatever a damaged record says, the caller's and init's namespaces are out of reach.
    for (const char* keep : {"/proc/self/ns/net", "/proc/1/ns/net"})
        if (const auto id = identify(keep)) t.network.erase(*id);
    for (const char* keep : {"/proc/self/ns/mnt", "/proc/1/ns/mnt"})
        if (const auto id = identify(keep)) t.mount.erase(*id);
    if (auto done = end_processes(t); !done) return done;
    std::optional<error> first;
    for (const auto& name : namespaces) {
        auto done = netlink::delete_namespace(name);
        if (!done && done.error().code != errc::not_found && !first) first = done.error();
    }
    std::error_code problem;
    fs::remove_all(lab_folder(lab), problem);
    if (problem && !first) first = error{errc::system_error, "remove", lab_folder(lab), problem.message(), problem.value()};
    // The parents go when the last lab has gone; a full one stays, which is no fault.
    ::rmdir(lab_root().c_str());
    ::rmdir("/run/weft");
    if (first) return *first;
    return {};
}

result<void> down(const std::string& name) {
    if (auto named = check_lab_name(name); !named) return named;
    const auto names = names_of(name);
    if (!fs::exists(lab_folder(name))) {
        const bool standing = std::any_of(names.begin(), names.end(), [](const std::string& n) { return fs::exists("/run/netns/" + n); });
        if (!standing) return error{errc::not_found, "take down lab", name, "no lab of that name"};
        return take_down(name, names);
    }
    auto lock = folder_lock::take(name);
    if (!lock) return lock.error();
    return take_down(name, names);
}

}  // namespace weft::lab
