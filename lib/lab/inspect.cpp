// SPDX-License-Identifier: Apache-2.0
// lab::list, lab::status and lab::exec. The first two only read; exec turns the caller into a command inside a member.
// Fails with not_found, unavailable (the node's process is gone) or what the kernel says to setns and execve.
#include "lab/folder.hpp"
#include "weft/lab/lab.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

namespace weft::lab {
namespace {

lab_info inspect(const record& r) {
    lab_info info{r.name, r.fabric_file, {}};
    for (const auto& m : r.members) {
        member out{m.name, m.kind, 0, false, m.netns};
        if (m.kind == "node") out.pid = living_node(r.name, m.name, m.netns);
        out.alive = m.kind == "node" ? out.pid != 0 : identify("/run/netns/" + m.netns).has_value();
        info.members.push_back(std::move(out));
    }
    return info;
}

result<void> enter(const std::string& path, int type, const std::string& object) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "enter", object, path);
    const int outcome = ::setns(fd, type);
    const int problem = errno;
    ::close(fd);
    if (outcome < 0) return errno_error(problem, "enter", object, path);
    return {};
}

result<void> become(const record& lab, const record_member& m) {
    // Threads share their root and working directory; a mount namespace can be entered only by a thread that does not.
    if (::unshare(CLONE_FS) < 0) return errno_error(errno, "enter", m.name);
    if (m.kind == "node") {
        const int pid = living_node(lab.name, m.name, m.netns);
        if (pid == 0) return error{errc::unavailable, "enter", m.name, "its node process is gone; take the lab down and up again"};
        char directory[PATH_MAX] = "/";
        const bool known = ::getcwd(directory, sizeof directory) != nullptr;
        const auto proc = "/proc/" + std::to_string(pid) + "/ns/";
        // Descriptors are opened by path each, and /proc stays visible inside the node's mounts.
        for (const auto& [kind, type] : {std::pair{"uts", CLONE_NEWUTS}, {"net", CLONE_NEWNET}, {"mnt", CLONE_NEWNS}})
            if (auto done = enter(proc + kind, type, m.name); !done) return done;
        if (!known || ::chdir(directory) < 0)
            if (::chdir("/") < 0) return errno_error(errno, "change directory", m.name);
        return {};
    }
    if (auto done = enter("/run/netns/" + m.netns, CLONE_NEWNET, m.name); !done) return done;
    const auto hostname = m.name.substr(m.name.find('/') + 1);
    if (::unshare(CLONE_NEWUTS) < 0 || ::sethostname(hostname.data(), hostname.size()) < 0) return errno_error(errno, "name", m.name);
    return {};
}

}  // namespace

result<std::vector<lab_info>> list() {
    std::vector<lab_info> out;
    for (const auto& name : lab_names()) {
        auto r = read_record(name);
        // A lab without a readable record is half made; it is listed, so that it can be taken down.
        out.push_back(r ? inspect(*r) : lab_info{name, {}, {}});
    }
    return out;
}

result<lab_info> status(const std::string& name) {
    auto r = read_record(name);
    if (!r) return r.error();
    return inspect(*r);
}

error exec(const std::string& name, const std::string& member, const std::vector<std::string>& argv) {
    auto lab = read_record(name);
    if (!lab) return lab.error();
    const auto* m = lab->find(member);
    if (m == nullptr) return {errc::not_found, "find member", member, "lab " + name + " has none of that name, or several VMs of it"};
    if (auto done = become(*lab, *m); !done) return done.error();
    std::vector<std::string> words = argv;
    if (words.empty()) {
        // A start-up file would set a prompt of its own, so that the shell reads none.
        ::setenv("PS1", (m->name + "@" + name + ":\\w# ").c_str(), 1);
        words = ::access("/bin/bash", X_OK) == 0 ? std::vector<std::string>{"/bin/bash", "--norc", "-i"} : std::vector<std::string>{"/bin/sh", "-i"};
    }
    std::vector<char*> args;
    for (auto& w : words) args.push_back(w.data());
    args.push_back(nullptr);
    ::execvp(args[0], args.data());
    return errno_error(errno, "run", words[0]);
}

}  // namespace weft::lab
