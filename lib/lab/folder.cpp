// SPDX-License-Identifier: Apache-2.0
// The lab's folder read and written. It may call the file system and nothing else; files are written to a temporary name
// and renamed, so that a reader never sees half of one. A record that cannot be read is reported, never guessed.
#include "lab/folder.hpp"

#include <boost/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace weft::lab {

namespace fs = std::filesystem;
namespace json = boost::json;

const record_member* record::find(const std::string& member) const {
    const record_member* found = nullptr;
    for (const auto& m : members) {
        if (m.name == member) return &m;
        if (m.kind == "vm" && m.name.substr(m.name.find('/') + 1) == member) {
            // A second VM of that short name makes it useless; exec then asks for the full one.
            for (const auto& other : members)
                if (&other != &m && other.kind == "vm" && other.name.substr(other.name.find('/') + 1) == member) return nullptr;
            found = &m;
        }
    }
    return found;
}

std::string lab_root() { return "/run/weft/lab"; }
std::string lab_folder(const std::string& lab) { return lab_root() + "/" + lab; }
std::string node_folder(const std::string& lab, const std::string& node) { return lab_folder(lab) + "/" + node; }

result<void> check_lab_name(const std::string& name) {
    const bool charset = std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.'; });
    if (name.empty() || name.size() > 64 || !charset || name[0] == '.' || name[0] == '-')
        return error{errc::invalid_input, "name a lab", name, "letters, digits, '_', '-' and '.', at most 64, not first '.' or '-'"};
    return {};
}

result<void> write_file(const std::string& path, const std::string& text) {
    const auto temporary = path + ".new";
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out || ::rename(temporary.c_str(), path.c_str()) < 0) return errno_error(errno != 0 ? errno : EIO, "write", path);
    return {};
}

std::optional<std::string> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return std::nullopt;
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

result<void> write_record(const record& r) {
    json::array members;
    for (const auto& m : r.members) members.push_back({{"name", m.name}, {"kind", m.kind}, {"netns", m.netns}});
    const json::object whole{{"name", r.name}, {"fabric_file", r.fabric_file}, {"members", std::move(members)}};
    return write_file(lab_folder(r.name) + "/lab.json", json::serialize(whole) + "\n");
}

result<record> read_record(const std::string& lab) {
    const auto path = lab_folder(lab) + "/lab.json";
    const auto text = read_file(path);
    if (!text) return error{errc::not_found, "find lab", lab, "no " + path};
    try {
        const auto whole = json::parse(*text);
        record out{lab, std::string(whole.at("fabric_file").as_string()), {}};
        for (const auto& m : whole.at("members").as_array())
            out.members.push_back({std::string(m.at("name").as_string()), std::string(m.at("kind").as_string()), std::string(m.at("netns").as_string())});
        return out;
    } catch (const std::exception& e) {
        return error{errc::protocol_error, "read lab", path, e.what()};
    }
}

std::vector<std::string> lab_names() {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(lab_root(), ignored))
        if (entry.is_directory(ignored)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

result<folder_lock> folder_lock::take(const std::string& lab) {
    const int fd = ::open(lab_folder(lab).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "lock lab", lab);
    folder_lock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK) return error{errc::busy, "lock lab", lab, "another weft is bringing it up or down"};
    return errno_error(errno, "lock lab", lab);
}

folder_lock::~folder_lock() {
    if (fd_ >= 0) ::close(fd_);
}

std::optional<namespace_identity> identify(const std::string& path) {
    struct stat st {};
    if (::stat(path.c_str(), &st) < 0) return std::nullopt;
    return namespace_identity{st.st_dev, st.st_ino};
}

int living_node(const std::string& lab, const std::string& node, const std::string& netns) {
    const auto text = read_file(node_folder(lab, node) + "/pid");
    const int pid = text ? std::atoi(text->c_str()) : 0;
    if (pid <= 0) return 0;
    // A process id may have been given anew, so that the namespace decides.
    const auto own = identify("/proc/" + std::to_string(pid) + "/ns/net");
    return own && own == identify("/run/netns/" + netns) ? pid : 0;
}

}  // namespace weft::lab
