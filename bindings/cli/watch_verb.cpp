// SPDX-License-Identifier: Apache-2.0
// The verb `watch`: what a node differs in, line by line as it happens, and repaired with --heal. Runs in the
// foreground and speaks to systemd where that started it (sd_notify(3): READY, WATCHDOG). May include: weft headers and
// Boost.JSON.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common.hpp"
#include "weft/apply/watch.hpp"
#include "weft/model/json.hpp"

namespace weft::cli {

namespace {

// Signals that end the program become readable, so that no run is cut short by them.
class ending_signals {
public:
    ending_signals() {
        sigset_t ending;
        sigemptyset(&ending);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
        ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
        fd_ = ::signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd_ < 0) throw exception(errno_error(errno, "watch", "signals"));
    }
    ~ending_signals() { ::close(fd_); }
    ending_signals(const ending_signals&) = delete;
    ending_signals& operator=(const ending_signals&) = delete;
    int fd() const { return fd_; }

private:
    int fd_;
};

// What systemd asks for; nothing where it did not start the program. A path that begins with '@' is abstract.
void notify_systemd(const std::string& words) {
    static const std::string path = ::getenv("NOTIFY_SOCKET") ? ::getenv("NOTIFY_SOCKET") : "";
    sockaddr_un to{};
    if (path.empty() || path.size() > sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) return;
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path.data(), path.size());
    if (path[0] == '@') to.sun_path[0] = '\0';
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    ::sendto(fd, words.data(), words.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), size);
    ::close(fd);
}

std::string stamp(std::chrono::system_clock::time_point when, bool whole) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
    const time_t seconds = ms / 1000;
    tm parts{};
    char text[64], out[80];
    if (whole) {
        ::gmtime_r(&seconds, &parts);
        std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        std::snprintf(out, sizeof out, "%s.%03dZ", text, static_cast<int>(ms % 1000));
    } else {
        ::localtime_r(&seconds, &parts);
        std::strftime(text, sizeof text, "%H:%M:%S", &parts);
        std::snprintf(out, sizeof out, "%s.%03d", text, static_cast<int>(ms % 1000));
    }
    return out;
}

void print_line(const boost::json::object& line) { print(boost::json::serialize(line)); }

class teller {
public:
    explicit teller(const options& o) : options_(o) {}

    void drift(const apply::drift& d) const {
        const auto now = std::chrono::system_clock::now();
        if (options_.json) {
            // The object before and after as `plan --json` prints them.
            weft::plan one;
            one.steps.push_back(d.difference);
            auto parsed = parsed_json(to_json(one)).as_object();
            auto& s = parsed["steps"].as_array()[0].as_object();
            print_line({{"when", stamp(now, true)},
                        {"since", stamp(d.since, true)},
                        {"state", apply::to_string(d.state)},
                        {"kind", s["object"]},
                        {"scope", s["scope"]},
                        {"name", s["name"]},
                        {"wanted", s["after"]},
                        {"seen", s["before"]},
                        {"text", s["text"]},
                        {"details", s.contains("details") ? s["details"] : boost::json::value(boost::json::array())},
                        {"detail", d.detail}});
        } else {
            const colours& c = colour();
            const char* paint = d.state == apply::drift_state::repaired || d.state == apply::drift_state::over ? c.good
                                : d.state == apply::drift_state::seen                                          ? c.bold
                                                                                                               : c.bad;
            std::printf("%s %s%-8s%s %s%s%s\n", stamp(now, false).c_str(), paint, apply::to_string(d.state), c.off,
                        d.difference.to_string().c_str(), d.detail.empty() ? "" : ": ", d.detail.c_str());
            // What the line has no room for, as `plan` says it; of a thousand peers the first will do.
            constexpr std::size_t most = 20;
            const auto more = d.state == apply::drift_state::seen || d.state == apply::drift_state::repaired ? d.difference.details() : std::vector<std::string>();
            for (std::size_t i = 0; i < std::min(most, more.size()); ++i) std::printf("    %s\n", more[i].c_str());
            if (more.size() > most) std::printf("    and %zu more\n", more.size() - most);
        }
        std::fflush(stdout);
    }

    // Lines about the watch itself.
    void note(const char* state, const std::string& words) const {
        const auto now = std::chrono::system_clock::now();
        if (options_.json)
            print_line({{"when", stamp(now, true)}, {"state", state}, {"detail", words}});
        else
            std::printf("%s %-8s %s\n", stamp(now, false).c_str(), state, words.c_str());
        std::fflush(stdout);
    }

private:
    const options& options_;
};

}  // namespace

int watch(const options& o) {
    const fabric given = fabric_with_node(o);
    const ending_signals signals;
    const teller tell(o);
    bool remembered = false, here = true, in_place = false;

    apply::watcher w;
    w.heal = o.heal;
    w.stop = signals.fd();
    // As with --follow, what was applied last is the node's wanted state, whoever applied it; FILE is, until somebody
    // did.
    w.wanted = [&]() -> result<host_state> {
        auto last = apply::remembered_fabric(given.name, o.node);
        if (last) {
            if (!remembered && to_json(*last) != to_json(given))
                tell.note("note", o.file + " is not what was applied here last, and that is what is watched");
            remembered = true;
            return compiled_here(o.place, *last, o.node);
        }
        if (last.error().code != errc::not_found) return last.error();
        here = !remembered;
        if (!here) return last.error();
        const auto refused = apply::never_confirmed(given, o.node);
        if (!refused) return refused.error();
        if (*refused)
            return error{errc::stale, "watch", o.node, "the change to " + o.file + " was not confirmed, and no other ever was; weft apply makes it final", 0};
        return compiled_here(o.place, given, o.node);
    };
    // A node that the watch itself brought up is made from FILE, until somebody applies another one or takes weft off.
    w.made_from = [&]() -> std::optional<fabric> {
        if (remembered) return std::nullopt;
        return given;
    };
    w.tell = [&](const apply::drift& d) { tell.drift(d); };
    w.trouble = [&](const std::string& words) {
        if (here) tell.note(words.empty() ? "well" : "trouble", words.empty() ? "the node can be read again" : words);
    };
    w.earlier_run = [&](const std::string& words) { tell.note("before", words); };
    w.alive = [&](bool looked) {
        if (!in_place) {
            tell.note("watching", o.node + (looked ? "" : ", which cannot be read yet"));
            notify_systemd("READY=1\n");
        }
        in_place = true;
        if (::getenv("WATCHDOG_USEC")) notify_systemd("WATCHDOG=1\n");
    };
    w.ended = [&] { return !here; };
    apply::watch(o.place, w);
    notify_systemd("STOPPING=1\n");
    if (!here) tell.note("ended", "fabric " + given.name + " has been taken off this node");
    return 0;
}

}  // namespace weft::cli
