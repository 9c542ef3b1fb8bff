// SPDX-License-Identifier: Apache-2.0
// The small records of apply, see the header. Files are 0600 in 0700 directories, created new and renamed, so that a crash leaves the old
// or the new content. May include: core, model, std, POSIX.
#include "apply/records.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <sstream>

namespace weft::apply {
namespace {

namespace fs = std::filesystem;

const char* const namespace_folder = "/run/weft/netns";

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

// "" is no file. One that cannot be read is an error: taken for none, what it remembers would be lost with the next writing.
result<std::string> text_of(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT ? result<std::string>(std::string()) : errno_error(errno, "read", path);
    std::string text;
    char piece[4096];
    ssize_t n = 0;
    while ((n = ::read(fd, piece, sizeof piece)) > 0) text.append(piece, static_cast<std::size_t>(n));
    const int cause = errno;
    ::close(fd);
    if (n < 0) return errno_error(cause, "read", path);
    return text;
}

// "" takes the file away.
result<void> put_text(const std::string& path, const std::string& text) {
    const auto now = text_of(path);
    if (!now) return now.error();
    if (*now == text) return {};
    if (!text.empty()) {
        if (auto ok = make_state_folder(); !ok) return ok;
        return write_file(path, text);
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error(errno, "remove", path);
    return {};
}

std::string sysctl_path(const std::string& fabric, const std::string& node) {
    return std::string(state_folder) + "/" + fabric + "." + node + ".sysctls";
}

std::string fabric_path(const std::string& fabric, const std::string& node) {
    return std::string(state_folder) + "/" + fabric + "." + node + ".fabric";
}

std::string cut_off_path(const std::string& suffix) { return std::string(state_folder) + "/earlier-boot" + suffix; }

}  // namespace

result<void> make_state_folder() { return make_folder(state_folder); }

result<std::vector<std::string>> recorded_namespaces(const std::string& fabric) {
    std::vector<std::string> names;
    std::error_code ec;
    for (auto at = fs::directory_iterator(namespace_folder, ec); !ec && at != fs::directory_iterator(); at.increment(ec)) {
        const auto text = text_of(at->path().string());
        if (!text) return text.error();
        const auto owner = text->substr(0, text->find('\n'));
        if (fabric.empty() || owner == fabric) names.push_back(at->path().filename().string());
    }
    if (ec && ec != std::errc::no_such_file_or_directory) return errno_error(ec.value(), "read directory", namespace_folder);
    return names;
}

result<std::string> namespace_owner(const std::string& name) {
    const auto text = text_of(std::string(namespace_folder) + "/" + name);
    if (!text) return text.error();
    return text->substr(0, text->find('\n'));
}

result<void> record_namespace(const std::string& fabric, const std::string& name) {
    if (auto ok = make_folder(namespace_folder); !ok) return ok;
    return write_file(std::string(namespace_folder) + "/" + name, fabric + "\n");
}

result<std::vector<std::string>> recorded_sysctls(const std::string& name) {
    const auto text = text_of(std::string(namespace_folder) + "/" + name);
    if (!text) return text.error();
    std::vector<std::string> keys;
    std::istringstream lines(*text);
    std::string line;
    std::getline(lines, line);  // its fabric
    while (std::getline(lines, line)) keys.push_back(line);
    return keys;
}

result<void> record_sysctls(const std::string& fabric, const std::string& name, const std::vector<std::string>& keys) {
    const auto known = recorded_sysctls(name);
    if (!known) return known.error();
    std::set<std::string> all(known->begin(), known->end());
    all.insert(keys.begin(), keys.end());
    if (all.size() == known->size()) return {};
    std::string text = fabric + "\n";
    for (const auto& key : all) text += key + "\n";
    return write_file(std::string(namespace_folder) + "/" + name, text);
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

namespace {

// `path` is what an error names.
result<settings_memory> settings_in(const std::string& text, const std::string& path) {
    settings_memory memory;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto equal = line.find('=');
        if (equal == std::string::npos) return error{errc::invalid_input, "read", path, "a line without '=': " + line, 0};
        memory[line.substr(0, equal)] = line.substr(equal + 1);
    }
    return memory;
}

}  // namespace

result<settings_memory> found_settings(const std::string& fabric, const std::string& node) {
    const auto text = settings_text(fabric, node);
    if (!text) return text.error();
    return settings_in(*text, sysctl_path(fabric, node));
}

result<void> remember_settings(const std::string& fabric, const std::string& node, const settings_memory& memory) {
    std::string text;
    for (const auto& [key, value] : memory) text += key + "=" + value + "\n";
    return restore_settings(fabric, node, text);
}

result<std::string> settings_text(const std::string& fabric, const std::string& node) { return text_of(sysctl_path(fabric, node)); }

result<void> restore_settings(const std::string& fabric, const std::string& node, const std::string& text) {
    return put_text(sysctl_path(fabric, node), text);
}

result<void> add_settings(const std::string& fabric, const std::string& node, const std::string& earlier) {
    auto memory = settings_in(earlier, sysctl_path(fabric, node));
    if (!memory) return memory.error();
    const auto now = found_settings(fabric, node);
    if (!now) return now.error();
    memory->insert(now->begin(), now->end());
    return *memory == *now ? result<void>() : remember_settings(fabric, node, *memory);
}

namespace {

// "moved/NIC|BRIDGE|WHAT" = what it was ("1" by an earlier weft, which kept that of none); no name of a link has a slash.
std::string moved_key(const moved_object& m) { return "moved/" + m.nic + "|" + m.bridge + "|" + m.what; }

}  // namespace

std::vector<moved_object> moved_in(const settings_memory& memory) {
    std::vector<moved_object> out;
    const std::string_view head = "moved/";
    for (auto at = memory.lower_bound(std::string(head)); at != memory.end() && at->first.starts_with(head); ++at) {
        const auto first = at->first.find('|'), second = at->first.find('|', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        out.push_back({at->first.substr(head.size(), first - head.size()), at->first.substr(first + 1, second - first - 1),
                       at->first.substr(second + 1), at->second});
    }
    return out;
}

result<void> remember_moved(const std::string& fabric, const std::string& node, const std::vector<moved_object>& begun,
                            const std::vector<moved_object>& over) {
    if (begun.empty() && over.empty()) return {};
    auto memory = found_settings(fabric, node);
    if (!memory) return memory.error();
    const auto before = *memory;
    for (const auto& m : begun) (*memory)[moved_key(m)] = m.was;
    for (const auto& m : over) memory->erase(moved_key(m));
    return *memory == before ? result<void>() : remember_settings(fabric, node, *memory);
}

result<std::string> remembered_text(const std::string& fabric, const std::string& node) { return text_of(fabric_path(fabric, node)); }

result<void> remember_text(const std::string& fabric, const std::string& node, const std::string& text) {
    return put_text(fabric_path(fabric, node), text);
}

namespace {

std::string unconfirmed_path(const std::string& fabric, const std::string& node) {
    return std::string(state_folder) + "/" + fabric + "." + node + ".unconfirmed";
}

}  // namespace

result<std::string> unconfirmed_text(const std::string& fabric, const std::string& node) { return text_of(unconfirmed_path(fabric, node)); }

result<void> remember_unconfirmed(const std::string& fabric, const std::string& node, const std::string& text) {
    return put_text(unconfirmed_path(fabric, node), text);
}

result<void> remember_cut_off(const std::string& suffix, const std::string& run) { return put_text(cut_off_path(suffix), run); }

result<std::string> cut_off_run(const std::string& suffix) { return text_of(cut_off_path(suffix)); }

}  // namespace weft::apply
