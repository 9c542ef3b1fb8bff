// SPDX-License-Identifier: Apache-2.0
// Named network namespaces. All entering and unsharing happens on threads of their own, which end afterwards, so that no
// thread of the caller ever changes its namespace. The layout is that of iproute2's ip/ipnetns.c. May include: core.
// What cannot be finished is undone: a failed creation leaves no file behind.
#include "weft/netlink/namespaces.hpp"

#include "core/fault.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <exception>
#include <system_error>
#include <thread>

namespace weft::netlink {
namespace {

constexpr const char* run_directory = "/run/netns";

std::string path_of(const std::string& name) { return std::string(run_directory) + "/" + name; }

result<void> check_name(const std::string& name, const char* operation) {
    if (name.empty() || name.size() > NAME_MAX || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos)
        return error{errc::invalid_input, operation, name, "not a name for a network namespace", 0};
    return {};
}

result<void> on_thread(const char* operation, const std::string& object, const std::function<result<void>()>& work) {
    result<void> outcome;
    std::exception_ptr thrown;
    try {
        std::thread([&] {
            try {
                outcome = work();
            } catch (...) {
                thrown = std::current_exception();
            }
        }).join();
    } catch (const std::system_error& e) {
        return errno_error(e.code().value(), operation, object, "cannot start a thread");
    }
    if (thrown) std::rethrow_exception(thrown);
    return outcome;
}

result<int> checked(int fd, const std::string& object) {
    struct statfs fs {};
    int type = 0;
    if (fstatfs(fd, &fs) != 0 || fs.f_type != NSFS_MAGIC || (type = ioctl(fd, NS_GET_NSTYPE)) != CLONE_NEWNET) {
        close(fd);
        return error{errc::invalid_input, "open namespace", object, "not a network namespace", 0};
    }
    return fd;
}

// Makes /run/netns a shared mount point, so that the bind mounts below it are seen from every mount namespace.
// The lock is iproute2's: two first creations at once must not mount twice.
result<void> prepare_directory() {
    if (mkdir(run_directory, 0755) != 0 && errno != EEXIST) return errno_error(errno, "create directory", run_directory);
    const int fd = open(run_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "open directory", run_directory);
    flock(fd, LOCK_EX);
    result<void> outcome;
    bool made_mount = false;
    while (mount("", run_directory, "none", MS_SHARED | MS_REC, nullptr) != 0) {
        if (errno != EINVAL || made_mount) {
            outcome = errno_error(errno, "share mount", run_directory);
            break;
        }
        if (mount(run_directory, run_directory, "none", MS_BIND | MS_REC, nullptr) != 0) {
            outcome = errno_error(errno, "bind mount", run_directory);
            break;
        }
        made_mount = true;
    }
    close(fd);  // gives the lock back
    return outcome;
}

}  // namespace

namespace_handle::namespace_handle(namespace_handle&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}

namespace_handle& namespace_handle::operator=(namespace_handle&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(name_, other.name_);
    return *this;
}

result<namespace_handle> namespace_handle::duplicate() const {
    const int fd = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return errno_error(errno, "open namespace", name_);
    return namespace_handle(fd, name_);
}

namespace_handle::~namespace_handle() {
    if (fd_ >= 0) close(fd_);
}

result<namespace_handle> namespace_handle::open(const std::string& name) {
    const char* operation = "open namespace";
    if (name.empty()) {
        const int fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (fd < 0) return errno_error(errno, operation, "of the caller");
        return namespace_handle(fd, name);
    }
    if (auto ok = check_name(name, operation); !ok) return ok.error();
    const int fd = ::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno_error(errno, operation, name);
    auto good = checked(fd, name);
    if (!good) return good.error();
    return namespace_handle(*good, name);
}

result<namespace_handle> namespace_handle::open_path(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "open namespace", path);
    auto good = checked(fd, path);
    if (!good) return good.error();
    return namespace_handle(*good, path);
}

result<void> create_namespace(const std::string& name) {
    const char* operation = "create namespace";
    if (auto ok = check_name(name, operation); !ok) return ok;
    if (auto ok = prepare_directory(); !ok) return ok;
    const std::string path = path_of(name);
    const int fd = open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) return errno_error(errno, operation, name);
    close(fd);
    auto outcome = on_thread(operation, name, [&]() -> result<void> {
        if (auto ok = fault::point("namespace-file", name); !ok) return ok;
        if (unshare(CLONE_NEWNET) != 0) return errno_error(errno, operation, name, "unshare");
        if (mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) != 0)
            return errno_error(errno, operation, name, "bind mount");
        return {};
    });
    if (!outcome) unlink(path.c_str());
    return outcome;
}

result<void> delete_namespace(const std::string& name) {
    const char* operation = "delete namespace";
    if (auto ok = check_name(name, operation); !ok) return ok;
    const std::string path = path_of(name);
    // Once unmounted, a name that cannot be unlinked would be neither the old namespace nor none, and a new one could not take its place.
    if (access(run_directory, W_OK) != 0) return errno_error(errno, operation, name);
    // EINVAL: a file without a mount, left by a creation that was killed; it only needs the unlink.
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL) return errno_error(errno, operation, name);
    if (unlink(path.c_str()) != 0) return errno_error(errno, operation, name);
    return {};
}

result<std::vector<std::string>> list_namespaces() {
    std::vector<std::string> names;
    DIR* directory = opendir(run_directory);
    if (directory == nullptr) {
        if (errno == ENOENT) return names;
        return errno_error(errno, "list namespaces", run_directory);
    }
    while (const dirent* entry = readdir(directory)) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

// A thread costs tens of microseconds, and a node's own namespace is entered for most of its objects.
bool is_of_caller(const namespace_handle& ns) {
    struct stat own {}, other {};
    return stat("/proc/thread-self/ns/net", &own) == 0 && fstat(ns.fd(), &other) == 0 && own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

result<void> run_in(const namespace_handle& ns, const std::function<result<void>()>& work) {
    if (is_of_caller(ns)) return work();
    return on_thread("enter namespace", ns.name(), [&]() -> result<void> {
        if (setns(ns.fd(), CLONE_NEWNET) != 0) return errno_error(errno, "enter namespace", ns.name());
        return work();
    });
}

}  // namespace weft::netlink
