// SPDX-License-Identifier: Apache-2.0
// Sysctls below /proc/sys/net of a namespace. That tree shows the network namespace of the thread that opens it, so the files
// are opened on a thread inside. Paths are resolved beneath /proc/sys only (openat2), as names read back may be hostile.
// May include: core. An absent key is not_found, or found=false when several are read.
#include "weft/netlink/namespaces.hpp"

#include "core/fault.hpp"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace weft::netlink {
namespace {

result<void> check_key(const std::string& key, const char* operation) {
    bool good = key.starts_with("net/") && key.back() != '/' && key.find('\0') == std::string::npos;
    for (std::size_t start = 0; good && start <= key.size();) {
        const auto end = std::min(key.find('/', start), key.size());
        const auto part = key.substr(start, end - start);
        good = !part.empty() && part != "." && part != "..";
        start = end + 1;
    }
    if (good) return {};
    return error{errc::invalid_input, operation, key, "a sysctl key is net/… in slash form, without \"..\"", 0};
}

struct file {
    int fd = -1;
    ~file() {
        if (fd >= 0) close(fd);
    }
};

int open_key(const std::string& key, int flags) {
    const file root{open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (root.fd < 0) return -1;
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, root.fd, key.c_str(), &how, sizeof how);
    // Kernels before 5.6 and some sandboxes lack openat2; the key has been checked part by part.
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) return openat(root.fd, key.c_str(), flags | O_CLOEXEC | O_NOFOLLOW);
    return static_cast<int>(fd);
}

result<std::string> read_here(const std::string& key, const std::string& object) {
    const file f{open_key(key, O_RDONLY)};
    if (f.fd < 0) return errno_error(errno, "read sysctl", object);
    std::string text;
    char buffer[4096];
    for (;;) {
        const ssize_t n = read(f.fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "read sysctl", object);
        if (n == 0) break;
        text.append(buffer, static_cast<std::size_t>(n));
    }
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

result<void> write_here(const std::string& key, const std::string& value, const std::string& object) {
    const file f{open_key(key, O_WRONLY)};
    if (f.fd < 0) return errno_error(errno, "write sysctl", object);
    const std::string text = value + "\n";  // one write: the kernel parses each write on its own
    if (write(f.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return errno_error(errno, "write sysctl", object, "value \"" + value + "\"");
    return {};
}

std::string in(const std::string& key, const namespace_handle& ns) { return ns.name().empty() ? key : key + " in " + ns.name(); }

}  // namespace

result<std::vector<sysctl_value>> read_sysctls(const namespace_handle& ns, const std::vector<std::string>& keys) {
    for (const auto& key : keys)
        if (auto ok = check_key(key, "read sysctl"); !ok) return ok.error();
    std::vector<sysctl_value> values;
    auto outcome = run_in(ns, [&]() -> result<void> {
        for (const auto& key : keys) {
            auto text = read_here(key, in(key, ns));
            if (!text && text.error().errnum != ENOENT) return text.error();
            values.push_back({key, text ? *text : std::string(), text.has_value()});
        }
        return {};
    });
    if (!outcome) return outcome.error();
    return values;
}

result<std::string> read_sysctl(const namespace_handle& ns, const std::string& key) {
    if (auto ok = check_key(key, "read sysctl"); !ok) return ok.error();
    std::string value;
    auto outcome = run_in(ns, [&]() -> result<void> {
        auto text = read_here(key, in(key, ns));
        if (!text) return text.error();
        value = std::move(*text);
        return {};
    });
    if (!outcome) return outcome.error();
    return value;
}

result<void> write_sysctl(const namespace_handle& ns, const std::string& key, const std::string& value) {
    if (auto ok = check_key(key, "write sysctl"); !ok) return ok;
    return run_in(ns, [&] { return write_here(key, value, in(key, ns)); });
}

result<void> write_sysctls(const namespace_handle& ns, const std::vector<sysctl_value>& values, std::size_t& done) {
    for (const auto& v : values)
        if (auto ok = check_key(v.key, "write sysctl"); !ok) return ok;
    return run_in(ns, [&]() -> result<void> {
        for (const auto& v : values) {
            if (auto ok = fault::point("sysctl", v.key); !ok) return ok;
            auto written = write_here(v.key, v.value, in(v.key, ns));
            if (!written && written.error().code != errc::not_found) return written;
            ++done;
        }
        return {};
    });
}

}  // namespace weft::netlink
