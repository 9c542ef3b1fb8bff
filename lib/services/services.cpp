// SPDX-License-Identifier: Apache-2.0
// The client of the supervisor: writes a service's files and specification, starts the supervisor where there is none,
// and tells it what to do. One command per connection. Errors carry the supervisor's words. May call: libc.
#include "weft/services/services.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "services/helper.hpp"
#include "services/spawn.hpp"
#include "services/supervisor.hpp"
#include "weft/model/json.hpp"

namespace weft::services {
namespace {

namespace fs = std::filesystem;

struct descriptor {
    int fd = -1;
    explicit descriptor(int given) : fd(given) {}
    descriptor(descriptor&& other) noexcept : fd(other.fd) { other.fd = -1; }
    ~descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

sockaddr_un control_address() {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, control_socket.c_str(), sizeof at.sun_path - 1);
    return at;
}

// Whole and renamed, so that a program that reads at this moment sees the old file or the new one. For nobody but root: all
// services run as root, and what they are told may be a tenant's.
result<void> write_whole(const std::string& path, const std::string& text) {
    const auto draft = path + ".new";
    ::unlink(draft.c_str());
    const descriptor out(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (out.fd < 0) return errno_error(errno, "write", draft);
    for (std::size_t done = 0; done < text.size();) {
        const auto n = ::write(out.fd, text.data() + done, text.size() - done);
        if (n < 0 && errno != EINTR) return errno_error(errno, "write", draft);
        if (n > 0) done += static_cast<std::size_t>(n);
    }
    if (::rename(draft.c_str(), path.c_str()) < 0) return errno_error(errno, "rename", path);
    return {};
}

result<void> make_folder(const std::string& path) {
    std::error_code problem;
    fs::create_directories(path, problem);
    if (problem) return errno_error(problem.value(), "make folder", path);
    return {};
}

// The listening socket is made here and handed over, so that the first command finds it in any case.
result<void> start_supervisor() {
    auto helper = find_helper();
    if (!helper) return helper.error();
    if (auto made = make_folder(root_folder); !made) return made;
    const descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (listener.fd < 0) return errno_error(errno, "open socket", control_socket);
    const auto at = control_address();
    ::unlink(control_socket.c_str());  // nobody listens there any more
    if (::bind(listener.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0 ||
        ::chmod(control_socket.c_str(), 0600) < 0 || ::listen(listener.fd, 16) < 0)
        return errno_error(errno, "listen", control_socket);

    const auto pid = spawn({*helper, "supervise"}, {.in = listener.fd});
    if (!pid) return errno_error(pid.error().errnum, "start", *helper);
    (void)wait_for(*pid);  // it goes on in a process of its own and ends this one at once
    return {};
}

// Nothing where no supervisor listens.
result<std::optional<descriptor>> connect() {
    descriptor peer(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (peer.fd < 0) return errno_error(errno, "open socket", control_socket);
    const timeval patience{30, 0};
    ::setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(peer.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const auto at = control_address();
    if (::connect(peer.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0)
        return std::optional(std::move(peer));
    if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<descriptor>{};
    return errno_error(errno, "connect", control_socket);
}

result<std::string> converse(const descriptor& peer, const std::string& command) {
    if (::send(peer.fd, command.data(), command.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(command.size()))
        return errno_error(errno, "send", command);
    ::shutdown(peer.fd, SHUT_WR);
    std::string answer;
    char bytes[4096];
    for (;;) {
        const auto n = ::read(peer.fd, bytes, sizeof bytes);
        if (n > 0)
            answer.append(bytes, static_cast<std::size_t>(n));
        else if (n == 0)
            return answer;
        else if (errno == EAGAIN)
            return error{errc::timed_out, "ask supervisor", command, "no answer within 30 s", 0};
        else if (errno != EINTR)
            return errno_error(errno, "read answer to", command);
    }
}

// The answer; empty when no supervisor is there and none is to be started.
result<std::string> ask(const std::string& command, bool start) {
    // One that is about to end, its last service gone, may close the connection without an answer.
    for (int attempt = 0; attempt < 3; ++attempt) {
        auto peer = connect();
        if (!peer) return peer.error();
        if (!*peer && !start) return std::string();
        if (!*peer) {
            if (auto started = start_supervisor(); !started) return started.error();
            continue;
        }
        auto answer = converse(**peer, command);
        if (answer && !answer->empty()) return answer;
        if (!answer && answer.error().code == errc::timed_out) return answer;
    }
    return error{errc::unavailable, "ask supervisor", command, "it ends before it answers", 0};
}

result<void> order(const std::string& verb, const std::string& fabric, const std::string& name, bool start) {
    auto answer = ask(verb + " " + fabric + " " + name, start);
    if (!answer) return answer.error();
    if (*answer == "ok" || answer->empty()) return {};
    // "error NUMBER what it said"
    std::istringstream words(*answer);
    std::string skip, detail;
    int number = 0;
    words >> skip >> number >> std::ws;
    std::getline(words, detail);
    auto problem = number != 0 ? errno_error(number, verb + " service", name)
                               : error{errc::unavailable, verb + " service", name, {}, 0};
    if (!detail.empty()) problem.detail += (problem.detail.empty() ? "" : ": ") + detail;
    return problem;
}

// The files of a service as they stand now; one that has gone, or cannot be read, is not among them.
service with_present_files(const std::string& fabric, service s) {
    for (auto at = s.files.begin(); at != s.files.end();) {
        auto text = read_text(service_folder(fabric, s.name) + "/" + at->first);
        if (text) (at++)->second.text = std::move(*text);
        else at = s.files.erase(at);
    }
    return s;
}

// What the supervisor has; verb "list": those that do their work, "all": dead ones too.
result<std::vector<service>> told(const std::string& verb, const std::string& fabric) {
    auto answer = ask(verb + " " + fabric, false);
    if (!answer) return answer.error();
    if (answer->empty()) return std::vector<service>{};
    auto seen = host_state_from_json(*answer);
    if (!seen) return seen.error();
    return std::move(seen->services);
}

void sort_by_name(std::vector<service>& all) {
    std::sort(all.begin(), all.end(), [](const service& a, const service& b) { return a.name < b.name; });
}

result<void> write_down(const std::string& fabric, const service& s) {
    const auto folder = service_folder(fabric, s.name);
    for (const auto& path : {folder, service_state_folder(fabric, s.name)})
        if (auto made = make_folder(path); !made) return made;
    for (const auto& [name, file] : s.files)
        if (auto written = write_whole(folder + "/" + name, file.text); !written) return written;
    host_state spec;
    spec.fabric = fabric;
    spec.services.push_back(s);
    return write_whole(spec_path(fabric, s.name), to_json(spec));
}

// All but what it kept.
void remove_files(const std::string& fabric, const std::string& name) {
    std::error_code ignored;
    for (const auto& path : {service_folder(fabric, name), spec_path(fabric, name), log_path(fabric, name)}) fs::remove_all(path, ignored);
    // The fabric's folder goes with its last service; a full one stays, which is no fault. The supervisor ends meanwhile; whoever of the
    // two comes last removes the root.
    ::rmdir((root_folder + "/" + fabric).c_str());
    ::rmdir(root_folder.c_str());
}

// Removes the folders above what services kept, where they are empty.
void remove_empty_state(const std::string& fabric, const std::string& name) {
    const fs::path folder = service_state_folder(fabric, name);
    ::rmdir(folder.c_str());
    ::rmdir(folder.parent_path().c_str());
    ::rmdir(folder.parent_path().parent_path().c_str());
}

// Whether the program may go on after a SIGHUP: what it read when it started is what it would read now.
bool read_what_stands(const service& as_started, const service& present) {
    return std::all_of(as_started.files.begin(), as_started.files.end(), [&](const auto& file) {
        const auto at = present.files.find(file.first);
        return at != present.files.end() && (file.second.reloadable || at->second.text == file.second.text);
    });
}

}  // namespace

std::string spec_path(const std::string& fabric, const std::string& name) {
    return root_folder + "/" + fabric + "/" + name + ".json";
}
std::string log_path(const std::string& fabric, const std::string& name) {
    return root_folder + "/" + fabric + "/" + name + ".log";
}

result<std::string> read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return errno_error(errno, "read", path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

result<std::vector<service>> running(const std::string& fabric) {
    auto all = told("list", fabric);
    if (!all) return all;
    for (auto& s : *all) s = with_present_files(fabric, std::move(s));
    sort_by_name(*all);
    return all;
}

result<std::vector<service>> known(const std::string& fabric) {
    if (fabric.empty()) return std::vector<service>{};  // a look at a host, which concerns no fabric
    auto all = told("all", fabric);
    if (!all) return all;
    std::set<std::string> names;
    for (const auto& s : *all) names.insert(s.name);
    std::error_code ec, ignored;
    const auto folder = root_folder + "/" + fabric;
    for (auto at = fs::directory_iterator(folder, ec); !ec && at != fs::directory_iterator(); at.increment(ec)) {
        const auto& path = at->path();
        const auto name = at->is_directory(ignored)      ? path.filename().string()
                          : path.extension() == ".json" ? path.stem().string()
                                                        : std::string();
        if (name.empty() || !names.insert(name).second) continue;
        const auto text = read_text(spec_path(fabric, name));
        auto left = text ? host_state_from_json(*text) : result<host_state>(text.error());
        service s;
        s.name = name;
        if (left && left->services.size() == 1 && left->services[0].name == name) s = std::move(left->services[0]);
        all->push_back(std::move(s));
    }
    if (ec && ec != std::errc::no_such_file_or_directory) return errno_error(ec.value(), "read directory", folder);
    sort_by_name(*all);
    return all;
}

result<void> put(const std::string& fabric, const service& s) {
    auto all = told("all", fabric);
    if (!all) return all.error();
    const auto had = std::find_if(all->begin(), all->end(), [&](const service& one) { return one.name == s.name; });
    const bool replaces = had != all->end();
    // A file that was altered by hand is put back by an undo as it was.
    const auto present = replaces ? with_present_files(fabric, *had) : service{};
    const bool restart = replaces && !read_what_stands(*had, present);
    auto outcome = write_down(fabric, s);
    if (outcome) outcome = order(restart ? "restart" : "put", fabric, s.name, true);
    if (outcome) return outcome;
    auto failure = outcome.error();
    if (!replaces) {
        remove_files(fabric, s.name);
        remove_empty_state(fabric, s.name);
        return failure;
    }
    for (const auto& [name, file] : s.files)
        if (!present.files.contains(name)) ::unlink((service_folder(fabric, s.name) + "/" + name).c_str());
    auto back = write_down(fabric, present);
    if (back) back = order("put", fabric, s.name, true);
    failure.detail += back ? "; the one before runs again" : "; nor does the one before start again: " + back.error().message();
    return failure;
}

result<void> remove(const std::string& fabric, const std::string& name) {
    if (auto ended = order("remove", fabric, name, false); !ended) return ended;
    remove_files(fabric, name);
    remove_empty_state(fabric, name);
    return {};
}

void forget(const std::string& fabric, const std::string& name) {
    std::error_code ignored;
    const fs::path folder = service_state_folder(fabric, name.empty() ? "any" : name);
    fs::remove_all(name.empty() ? folder.parent_path() : folder, ignored);
    remove_empty_state(fabric, name.empty() ? "any" : name);
}

}  // namespace weft::services
