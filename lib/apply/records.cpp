// SPDX-License-Identifier: Apache-2.0
// The two small records of apply. Files are 0600 in 0700 directories, created new and renamed, so that a crash leaves the old
// or the new content. May include: core, model, std, POSIX.
#include "apply/records.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace weft::apply {
namespace {

namespace fs = std::filesystem;

const char* const namespace_folder = "/run/weft/netns";
const char* const state_folder = "/var/lib/weft";

result<void> make_folder(const std::string& path) {
    std::error_code ec;
    fs::create_directories(path, ec);
    if (ec) return errno_error(ec.value(), "create directory", path);
    ::chmod(path.c_str(), 0700);
    return {};
}

result<void> write_file(const std::string& path, const std::string& text) {
    const std::string temporary = path + ".new";
    ::unlink(temporary.c_str());
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno_error(errno, "write", path);
    const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
    const int cause = errno;
    ::close(fd);
    if (!written || ::rename(temporary.c_str(), path.c_str()) != 0) {
        const int why = written ? errno : cause;
        ::unlink(temporary.c_str());
        return errno_error(why, "write", path);
    }
    return {};
}

std::string sysctl_path(const std::string& fabric, const std::string& node) {
    return std::string(state_folder) + "/" + fabric + "." + node + ".sysctls";
}

std::string fabric_path(const std::string& fabric, const std::string& node) {
    return std::string(state_folder) + "/" + fabric + "." + node + ".fabric";
}

}  // namespace

result<std::vector<std::string>> recorded_namespaces(const std::string& fabric) {
    std::vector<std::string> names;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(namespace_folder, ec)) {
        std::ifstream file(entry.path());
        std::string owner;
        std::getline(file, owner);
        if (fabric.empty() || owner == fabric) names.push_back(entry.path().filename().string());
    }
    return names;
}

result<void> record_namespace(const std::string& fabric, const std::string& name) {
    if (auto ok = make_folder(namespace_folder); !ok) return ok;
    return write_file(std::string(namespace_folder) + "/" + name, fabric + "\n");
}

void forget_namespace(const std::string& name) {
    ::unlink((std::string(namespace_folder) + "/" + name).c_str());
    ::rmdir(namespace_folder);  // with the last record
}

std::string link_key(const std::string& device, const std::string& setting) { return "link/" + device + "|" + setting; }

std::optional<std::pair<std::string, std::string>> split_link_key(const std::string& key) {
    const auto bar = key.find('|');
    if (!key.starts_with("link/") || bar == std::string::npos) return std::nullopt;
    return std::pair{key.substr(5, bar - 5), key.substr(bar + 1)};
}

result<settings_memory> found_settings(const std::string& fabric, const std::string& node) {
    settings_memory memory;
    std::ifstream file(sysctl_path(fabric, node));
    for (std::string line; std::getline(file, line);) {
        const auto equal = line.find('=');
        if (equal == std::string::npos) {
            return error{errc::invalid_input, "read", sysctl_path(fabric, node), "a line without '=': " + line, 0};
        }
        memory[line.substr(0, equal)] = line.substr(equal + 1);
    }
    return memory;
}

result<void> remember_settings(const std::string& fabric, const std::string& node, const settings_memory& memory) {
    const auto path = sysctl_path(fabric, node);
    if (memory.empty()) {
        ::unlink(path.c_str());
        return {};
    }
    if (auto ok = make_folder(state_folder); !ok) return ok;
    std::string text;
    for (const auto& [key, value] : memory) text += key + "=" + value + "\n";
    return write_file(path, text);
}

namespace {

// "moved/NIC|BRIDGE|WHAT"; no name of a link has a slash.
std::string moved_key(const moved_object& m) { return "moved/" + m.nic + "|" + m.bridge + "|" + m.what; }

}  // namespace

std::vector<moved_object> moved_in(const settings_memory& memory) {
    std::vector<moved_object> out;
    const std::string_view head = "moved/";
    for (auto at = memory.lower_bound(std::string(head)); at != memory.end() && at->first.starts_with(head); ++at) {
        const auto first = at->first.find('|'), second = at->first.find('|', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        out.push_back({at->first.substr(head.size(), first - head.size()), at->first.substr(first + 1, second - first - 1), at->first.substr(second + 1)});
    }
    return out;
}

result<void> remember_moved(const std::string& fabric, const std::string& node, const std::vector<moved_object>& begun,
                            const std::vector<moved_object>& over) {
    if (begun.empty() && over.empty()) return {};
    auto memory = found_settings(fabric, node);
    if (!memory) return memory.error();
    const auto before = *memory;
    for (const auto& m : begun) memory->emplace(moved_key(m), "1");
    for (const auto& m : over) memory->erase(moved_key(m));
    return *memory == before ? result<void>() : remember_settings(fabric, node, *memory);
}

std::string remembered_text(const std::string& fabric, const std::string& node) {
    std::ifstream file(fabric_path(fabric, node), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

result<void> remember_text(const std::string& fabric, const std::string& node, const std::string& text) {
    const auto path = fabric_path(fabric, node);
    if (text.empty()) {
        ::unlink(path.c_str());
        return {};
    }
    if (remembered_text(fabric, node) == text) return {};
    if (auto ok = make_folder(state_folder); !ok) return ok;
    return write_file(path, text);
}

}  // namespace weft::apply
