// SPDX-License-Identifier: Apache-2.0
// The only file access of the model: reading a fabric file, reading and atomically writing its lock. The lock is a flat
// YAML map in name order, so that a change of it reads well in a review. Fails by diagnostics or by error with the
// errno.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "model/fabric_file_tree.hpp"
#include "weft/model/fabric_file.hpp"

namespace weft {
namespace {

class descriptor {
public:
    explicit descriptor(int fd) : fd_(fd) {}
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const { return fd_; }
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }

private:
    int fd_;
};

// Reads at most `limit` + 1 bytes, so that the parser sees that a file is too large without it being read whole.
result<std::string> read_file(const std::string& path, std::size_t limit) {
    // O_NONBLOCK: a FIFO given by mistake must not hang the program.
    const descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd.get() < 0) return errno_error(errno, "open", path);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return errno_error(errno, "stat", path);
    if (!S_ISREG(info.st_mode)) return error{errc::invalid_input, "read", path, "not a regular file", 0};
    std::string text;
    char buffer[65536];
    while (text.size() <= limit) {
        const auto got = ::read(fd.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path);
        if (got == 0) break;
        text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
}

result<void> write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const auto done = ::write(fd, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno_error(errno, "write", path);
        text.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
}

std::string directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

parsed_fabric load_fabric(const std::string& path) {
    const auto text = read_file(path, yaml::max_bytes);
    if (text) return parse_fabric(*text, path);
    parsed_fabric out;
    out.fabric.file = path;
    out.diagnostics.push_back({severity::error, path, {}, {}, {}, "cannot be read: " + text.error().message(), {}});
    return out;
}

std::string lock_path(const std::string& fabric_path) {
    const auto slash = fabric_path.rfind('/');
    const auto dot = fabric_path.rfind('.');
    // A dot in a folder's name, or the first of a hidden file, does not begin an extension.
    const std::size_t base = slash == std::string::npos ? 0 : slash + 1;
    const bool extension = dot != std::string::npos && dot > base;
    return (extension ? fabric_path.substr(0, dot) : fabric_path) + ".lock";
}

result<std::map<std::string, std::string>> load_lock(const std::string& path) {
    std::map<std::string, std::string> lock;
    const auto text = read_file(path, yaml::max_bytes);
    if (!text) {
        if (text.error().errnum == ENOENT) return lock;
        return text.error();
    }
    std::vector<diagnostic> faults;
    const auto tree = yaml::parse(*text, path, faults);
    if (faults.empty() && tree.kind != yaml::node::kind::map && tree.kind != yaml::node::kind::null)
        faults.push_back({severity::error, path, tree.place, {}, {}, "is not a map", "OBJECT: VALUE"});
    for (const auto& [key, value] : tree.entries) {
        if (value.kind == yaml::node::kind::scalar)
            lock[key.text] = value.text;
        else
            faults.push_back({severity::error, path, value.place, key.text, {}, "is not a value", "OBJECT: VALUE"});
    }
    if (!faults.empty()) return error{errc::invalid_input, "read lock", path, faults.front().to_string(), 0};
    return lock;
}

result<void> save_lock(const std::string& path, const std::map<std::string, std::string>& lock) {
    std::string text =
        "# What weft allocated for the fabric file beside this one. Keep it with that file: without it, values may "
        "change.\n";
    // Keys and values are names, numbers and addresses; quotes keep an address of IPv6 from reading as a map.
    for (const auto& [key, value] : lock) text += key + ": \"" + value + "\"\n";

    std::string temporary = path + ".XXXXXX";
    descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (fd.get() < 0) return errno_error(errno, "create", temporary);
    const auto give_up = [&](error e) {
        ::unlink(temporary.c_str());
        return e;
    };
    if (const auto written = write_all(fd.get(), text, temporary); !written) return give_up(written.error());
    if (::fchmod(fd.get(), 0644) != 0) return give_up(errno_error(errno, "chmod", temporary));
    if (::fsync(fd.get()) != 0) return give_up(errno_error(errno, "fsync", temporary));
    if (::close(fd.release()) != 0) return give_up(errno_error(errno, "close", temporary));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up(errno_error(errno, "rename", path));
    // Without this the rename itself may be lost by a power cut.
    const descriptor folder(::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() >= 0) ::fsync(folder.get());
    return {};
}

result<lock_claim> lock_claim::take(const std::string& lock_path, std::chrono::milliseconds patience) {
    const auto folder = directory_of(lock_path);
    lock_claim claim(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (claim.fd_ < 0) return errno_error(errno, "open", folder);
    for (const auto end = std::chrono::steady_clock::now() + patience; ::flock(claim.fd_, LOCK_EX | LOCK_NB) != 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR) return errno_error(errno, "lock", folder);
        if (std::chrono::steady_clock::now() > end)
            return error{errc::timed_out, "allocate", lock_path, "another process holds the lock's folder", 0};
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return claim;
}

lock_claim::lock_claim(lock_claim&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
lock_claim& lock_claim::operator=(lock_claim&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}
lock_claim::~lock_claim() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace weft
