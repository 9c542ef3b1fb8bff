// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "apply/journal.hpp"

#include "apply/internal.hpp"
#include "apply/records.hpp"
#include "core/fault.hpp"
#include "weft/model/json.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/crc.hpp>
#include <boost/json.hpp>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <utility>

namespace weft::apply {
namespace {

namespace json = boost::json;

constexpr std::int64_t version = 2, oldest_version = 1;  // of the format, and which is read; another one is refused. 2: bridges' mtu_request

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string boot_id() { return first_line("/proc/sys/kernel/random/boot_id"); }

// The machine by the name that systemd and D-Bus give it; one without that by its host name.
std::string host_id() {
    if (auto id = first_line("/etc/machine-id"); !id.empty()) return id;
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    return name;
}

std::string checksum(std::string_view text) {
    boost::crc_32_type crc;
    crc.process_bytes(text.data(), text.size());
    char hex[9];
    std::snprintf(hex, sizeof hex, "%08x", crc.checksum());
    return hex;
}

std::string record(const json::value& v) {
    const auto text = json::serialize(v);
    return checksum(text) + " " + text + "\n";
}

bool sound(std::string_view line) { return line.size() >= 10 && line[8] == ' ' && checksum(line.substr(9)) == line.substr(0, 8); }

// The JSON of a line, if its checksum is right. Names and words of the host in it need not be UTF-8.
std::optional<json::value> parsed(std::string_view line) {
    if (!sound(line)) return std::nullopt;
    boost::system::error_code problem;
    json::parse_options any_bytes;
    any_bytes.allow_invalid_utf8 = true;
    auto value = json::parse({line.data() + 9, line.size() - 9}, problem, {}, any_bytes);
    if (problem || !value.is_object()) return std::nullopt;
    return value;
}

result<void> sync_folder() {
    const int fd = ::open(state_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno_error(errno, "open", state_folder);
    const bool synced = ::fsync(fd) == 0;
    const int cause = errno;
    ::close(fd);
    // A file system that cannot do it says EINVAL and has nothing to lose.
    if (!synced && cause != EINVAL) return errno_error(cause, "sync", state_folder);
    return {};
}

// What of the header is made of the model's values.
std::string values_text(const journal_header& h) {
    host_state only;
    only.flows = h.flows;
    only.moved = h.given_back;
    return to_json(only);
}

json::value header_of(const place& where, const journal_header& h) {
    json::object o{{"journal", version}, {"boot", boot_id()}, {"host", host_id()}, {"netns", where.netns},
                   {"ovs_rundir", where.ovs_rundir}, {"pid", ::getpid()}, {"verb", h.verb}, {"fabric", h.fabric},
                   {"node", h.node}, {"confirm", h.confirm}, {"settings", h.settings_before},
                   {"fabric_before", h.fabric_before}, {"forget_settings", h.forget_settings}, {"whole", h.whole}, {"values", values_text(h)}};
    if (h.fabric_after) o["fabric_after"] = *h.fabric_after;
    return o;
}

error unreadable(const std::string& path, const std::string& why) {
    return {errc::invalid_input, "read journal", path, why + "; it was left as it is", 0};
}

error foreign(const std::string& path, const std::string& why) {
    return {errc::unsupported, "read journal", path, why + "; nothing was changed", 0};
}

}  // namespace

bool same_folder(const std::string& a, const std::string& b) {
    std::error_code ignored;
    namespace fs = std::filesystem;
    return a == b || fs::weakly_canonical(a, ignored) == fs::weakly_canonical(b, ignored);
}

namespace {

// Throws what Boost.JSON throws where a field is missing or of another type: its caller calls that unreadable.
found_journal with_header(const json::object& o) {
    found_journal found;
    const auto text = [&](const char* key) { return std::string(o.at(key).as_string()); };
    found.pid = o.at("pid").to_number<std::int64_t>();
    found.this_boot = text("boot") == boot_id();
    auto& h = found.header;
    h.verb = text("verb");
    h.fabric = text("fabric");
    h.node = text("node");
    h.confirm = o.at("confirm").to_number<std::uint32_t>();
    h.settings_before = text("settings");
    h.fabric_before = text("fabric_before");
    h.forget_settings = o.at("forget_settings").as_bool();
    h.whole = o.at("whole").as_bool();
    if (o.contains("fabric_after")) h.fabric_after = text("fabric_after");
    auto values = host_state_from_json(text("values"));
    if (!values) throw exception(values.error());
    h.flows = std::move(values->flows);
    h.given_back = std::move(values->moved);
    return found;
}

void take(found_journal& found, const json::object& o) {
    if (const auto* begin = o.if_contains("begin")) {
        const auto first = begin->at(0).to_number<std::size_t>(), last = begin->at(1).to_number<std::size_t>();
        for (auto i = first; i < last && i < found.plan.steps.size(); ++i) found.begun.insert(i);
    }
    if (o.contains("complete")) found.complete = true;
    if (const auto* why = o.if_contains("undoing")) found.undoing = true, found.why = std::string(why->as_string());
    if (const auto* deadline = o.if_contains("pending")) found.deadline = deadline->to_number<std::int64_t>();
}

}  // namespace

std::string journal_path(const place& where) {
    return std::string(state_folder) + "/journal" + suffix_of(where);
}

std::int64_t boottime_now() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

result<journal> journal::begin(const place& where, const journal_header& h, const weft::plan& p) {
    if (auto ok = make_state_folder(); !ok) return ok.error();
    const auto path = journal_path(where);
    // The whole of it is there under its name, or nothing.
    const auto draft = path + ".new";
    ::unlink(draft.c_str());
    if (::access(path.c_str(), F_OK) == 0) return error{errc::busy, "begin journal", path, "there is one already", EEXIST};
    if (auto ok = fault::point("journal", "begin"); !ok) return ok.error();
    const int fd = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno_error(errno, "begin journal", path);
    journal made(fd, draft);
    boost::system::error_code ignored;
    auto written = made.append(record(header_of(where, h)) + record(json::object{{"plan", to_json(p)}}), true);
    if (written && ::rename(draft.c_str(), path.c_str()) != 0) written = errno_error(errno, "begin journal", path);
    if (written) written = sync_folder();
    if (!written) {
        ::unlink(draft.c_str());
        ::unlink(path.c_str());
        return written.error();
    }
    made.path_ = path;
    if (auto ok = fault::point("journal", "begun"); !ok) {
        ::unlink(path.c_str());
        return ok.error();
    }
    return made;
}

result<journal> journal::resume(const place& where) {
    const auto path = journal_path(where);
    const int fd = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno_error(errno, "open journal", path);
    // A record that was cut short would spoil the next one. Taking it away needs no room on a full disk.
    struct stat now {};
    off_t end = ::fstat(fd, &now) == 0 ? now.st_size : 0;
    for (char last = 0; end > 0 && ::pread(fd, &last, 1, end - 1) == 1 && last != '\n';) --end;
    if (end > 0 && end < now.st_size && ::ftruncate(fd, end) != 0) {
        const auto problem = errno_error(errno, "write journal", path);
        ::close(fd);
        return problem;
    }
    return journal(fd, path);
}

journal::journal(journal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
journal::~journal() {
    if (fd_ >= 0) ::close(fd_);
}

result<void> journal::append(const std::string& text, bool synced) {
    const auto size = ::lseek(fd_, 0, SEEK_END);
    for (std::size_t written = 0; written < text.size();) {
        const auto n = ::write(fd_, text.data() + written, text.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const auto problem = errno_error(errno, "write journal", path_);
            if (written > 0 && size >= 0) (void)!::ftruncate(fd_, size);  // half a record would spoil the next
            return problem;
        }
        written += static_cast<std::size_t>(n);
    }
    if (synced && ::fdatasync(fd_) != 0 && errno != EINVAL) return errno_error(errno, "sync journal", path_);
    return {};
}

namespace {

template <class F> result<void> recorded(const char* what, F write) {
    if (auto ok = fault::point("journal", std::string("before ") + what); !ok) return ok;
    if (auto ok = write(); !ok) return ok;
    return fault::point("journal", std::string("after ") + what);
}

}  // namespace

result<void> journal::starting(std::size_t first, std::size_t last) {
    return recorded("begin", [&] { return append(record(json::object{{"begin", {first, last}}}), false); });
}
result<void> journal::done(std::size_t first, std::size_t last) {
    return recorded("done", [&] { return append(record(json::object{{"done", {first, last}}}), false); });
}
result<void> journal::complete(bool synced) {
    return recorded("complete", [&] { return append(record(json::object{{"complete", true}}), synced); });
}
result<void> journal::undoing(const std::string& why) {
    auto ok = recorded("undoing", [&] { return append(record(json::object{{"undoing", why}}), true); });
    if (!ok) withdraw();
    return ok;
}

// A full disk takes no record more, but lets one go: without the promise that the run is to stay, who finds the journal undoes it.
void journal::withdraw() {
    std::ifstream file(path_, std::ios::binary);
    std::string line;
    for (off_t at = 0; std::getline(file, line); at += static_cast<off_t>(line.size()) + 1) {
        const auto one = at > 0 ? parsed(line) : std::nullopt;
        if (!one || (!one->as_object().contains("complete") && !one->as_object().contains("pending"))) continue;
        if (::ftruncate(fd_, at) == 0) (void)::fdatasync(fd_);
        return;
    }
}
result<void> journal::pending(std::int64_t deadline) {
    return recorded("pending", [&] { return append(record(json::object{{"pending", deadline}}), true); });
}
result<void> journal::close() {
    return recorded("end", [&]() -> result<void> {
        if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return errno_error(errno, "end journal", path_);
        return sync_folder();
    });
}

result<std::optional<found_journal>> read_journal(const place& where) {
    const auto path = journal_path(where);
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR) return std::optional<found_journal>{};
        return errno_error(errno, "read journal", path);
    }
    if (boot_id().empty())
        return error{errc::system_error, "read journal", path, "whether it is of this boot cannot be told: /proc/sys/kernel/random/boot_id says nothing; nothing was changed", 0};
    std::string line;
    std::getline(file, line);
    const auto header = parsed(line);
    if (file.bad()) return errno_error(EIO, "read journal", path);
    if (!header) return unreadable(path, "its first record is damaged");
    try {
        const auto& o = header->as_object();
        if (const auto is = o.at("journal").to_number<std::int64_t>(); is < oldest_version || is > version)
            return foreign(path, "it is of format " + std::to_string(is) + ", and this weft reads format " + std::to_string(version));
        if (o.at("host").as_string() != host_id()) return foreign(path, "another host wrote it: " + std::string(o.at("host").as_string()));
        if (o.at("netns").as_string() != where.netns) return foreign(path, "it is of the namespace \"" + std::string(o.at("netns").as_string()) + "\"");
        if (const std::string is(o.at("ovs_rundir").as_string()); !same_folder(is, where.ovs_rundir))
            return foreign(path, "it is of the Open vSwitch at " + is + ", and this run of that at " + where.ovs_rundir + ": weft recover --ovs-rundir " + is);
        auto found = with_header(o);
        std::getline(file, line);
        const auto body = parsed(line);
        if (file.bad()) return errno_error(EIO, "read journal", path);
        if (!body || !body->as_object().contains("plan")) return found.plan_damaged = true, found;
        auto steps = plan_from_json(std::string(body->as_object().at("plan").as_string()));
        if (!steps) return found.plan_damaged = true, found;
        found.plan = std::move(*steps);
        for (std::size_t number = 3; std::getline(file, line) && !file.eof(); ++number) {
            if (const auto next = parsed(line)) {
                take(found, next->as_object());
                continue;
            }
            found.damaged = number;
            found.complete = false;
            found.deadline.reset();
            for (std::size_t i = 0; i < found.plan.steps.size(); ++i) found.begun.insert(i);
        }
        if (file.bad()) return errno_error(EIO, "read journal", path);
        return found;
    } catch (const std::exception& e) {
        return unreadable(path, std::string("a record is not as it should be: ") + e.what());
    }
}

result<std::string> set_aside(const place& where) {
    const auto path = journal_path(where);
    for (int i = 1; i < 1000; ++i) {
        const auto kept = path + ".kept-" + std::to_string(i);
        if (::access(kept.c_str(), F_OK) == 0) continue;
        if (::rename(path.c_str(), kept.c_str()) != 0) return errno_error(errno, "set aside journal", path);
        if (auto ok = sync_folder(); !ok) return ok.error();
        return kept;
    }
    return error{errc::busy, "set aside journal", path, "a thousand are kept already", 0};
}

// What stands in the file after header and plan, as far as whoever waits has to know it.
journal_watch::kind journal_watch::read() {
    std::ifstream file(journal_path(where_), std::ios::binary);
    if (!file) return errno == ENOENT ? kind::absent : kind::unreadable;
    std::string line;
    if (records_ == 0) {
        const auto header = std::getline(file, line) ? parsed(line) : std::nullopt;
        if (!header) return kind::unreadable;
        const auto& o = header->as_object();
        const auto *boot = o.if_contains("boot"), *rundir = o.if_contains("ovs_rundir");
        if (boot == nullptr || rundir == nullptr || !rundir->is_string()) return kind::unreadable;
        const auto now = boot_id();
        if (now.empty()) return kind::unreadable;
        if (*boot != json::value(now)) return kind::absent;
        // The plan may be long, and says nothing about the time.
        if (!std::getline(file, line) || file.eof() || !sound(line)) return kind::unreadable;
        ovs_rundir_ = std::string(rundir->as_string());
        records_ = static_cast<std::int64_t>(file.tellg());
    }
    file.seekg(records_);
    std::optional<std::int64_t> deadline;
    while (std::getline(file, line) && !file.eof()) {
        const auto one = parsed(line);
        // Damaged: see read_journal. It is due at once.
        if (!one) deadline.reset();
        if (!one) continue;
        if (const auto* until = one->as_object().if_contains("pending")) deadline = until->is_int64() ? until->as_int64() : 0;
        // Nobody can confirm it any more, or somebody has: it is due once whoever undoes or ends it has gone.
        if (one->as_object().contains("undoing") || one->as_object().contains("complete")) deadline.reset();
    }
    if (file.bad()) return kind::unreadable;
    deadline_ = deadline;
    return kind::here;
}

journal_watch::kind journal_watch::look() {
    struct stat now {};
    if (::stat(journal_path(where_).c_str(), &now) != 0) {
        const bool gone = errno == ENOENT || errno == ENOTDIR;
        if (gone) *this = journal_watch(where_);
        return gone ? kind::absent : kind::unreadable;
    }
    const auto same = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
    const bool this_file = now.st_ino == seen_.st_ino && now.st_dev == seen_.st_dev;
    if (read_ && this_file && now.st_size == seen_.st_size && same(now.st_mtim, seen_.st_mtim)) return kind::here;
    // A run only ever takes back its last record; whoever cut more off may have cut into what stands before the records.
    if (!this_file || now.st_size < seen_.st_size) *this = journal_watch(where_);
    const auto found = read();
    read_ = found == kind::here;
    seen_ = now;
    return found;
}

bool journal_waits(const place& where) { return journal_watch(where).look() == journal_watch::kind::here; }

}  // namespace weft::apply
