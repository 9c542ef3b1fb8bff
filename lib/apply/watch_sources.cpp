// SPDX-License-Identifier: Apache-2.0
// One poll set over all sources. May include: core, model, netlink, ovs.
#include "apply/watch_sources.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "apply/internal.hpp"

namespace weft::apply {
namespace {

constexpr const char* netns_path = "/run/netns";

// Which namespace a name stands for; 0 where there is none.
std::uint64_t identity_of(const std::string& name) {
    struct stat s {};
    if (::stat((std::string(netns_path) + "/" + name).c_str(), &s) != 0) return 0;
    return s.st_ino;
}

}  // namespace

change_sources::change_sources(const place& where)
    : where_(where), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

change_sources::~change_sources() {
    if (inotify_ >= 0) ::close(inotify_);
}

void change_sources::watch_folders() {
    if (inotify_ < 0) return;
    constexpr std::uint32_t events = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR;
    // Asking again for a folder that is watched changes nothing; one that was made anew is another folder.
    netns_folder_ = ::inotify_add_watch(inotify_, netns_path, events);
    switch_folder_ = ::inotify_add_watch(inotify_, where_.ovs_rundir.c_str(), events);
}

void change_sources::close_gone_namespaces() {
    std::erase_if(spaces_, [](const auto& s) { return !s.first.empty() && identity_of(s.first) != s.second.identity; });
}

void change_sources::cover_namespace(const std::string& name) {
    if (spaces_.contains(name)) return;
    auto handle = netlink::namespace_handle::open(name.empty() ? where_.netns : name);
    if (!handle) return;
    struct stat s {};
    if (::fstat(handle->fd(), &s) != 0) return;
    if (auto notices = netlink::change_notices::open(*handle))
        spaces_.emplace(name, space{s.st_ino, std::move(*notices)});
}

void change_sources::cover(const host_state& wanted) {
    watch_folders();
    close_gone_namespaces();
    cover_namespace("");
    for (const auto& n : wanted.namespaces) cover_namespace(n.name);

    if (wanted.bridges.empty() && !has_database(where_)) return;
    if (!database_) {
        auto opened = ovs::database::connect(where_.ovs_rundir);
        if (!opened) return;
        if (auto fd = opened->notices()) {
            database_ = std::move(*opened);
            database_fd_ = *fd;
        }
    }
    for (const auto& b : wanted.bridges) {
        if (flows_.contains(b.name) || mute_bridges_[b.name]) continue;
        auto opened = ovs::flow_monitor::open(where_.ovs_rundir, b.name);
        if (opened)
            flows_.emplace(b.name, std::move(*opened));
        else
            mute_bridges_[b.name] = opened.error().code == errc::unsupported;
    }
}

bool change_sources::wait(std::chrono::milliseconds timeout, int stop) {
    set_.clear();
    const auto add = [&](int fd) {
        if (fd >= 0) set_.push_back({fd, POLLIN, 0});
    };
    for (const auto& [name, s] : spaces_)
        for (const int fd : s.notices.fds()) add(fd);
    for (const auto& [name, f] : flows_) add(f.fd());
    add(database_fd_);
    add(inotify_);
    const auto told = set_.size();
    add(stop);
    const auto ms = std::clamp<std::int64_t>(timeout.count(), 0, 60000);
    if (::poll(set_.data(), set_.size(), static_cast<int>(ms)) <= 0) return false;
    return std::any_of(set_.begin(), set_.begin() + static_cast<std::ptrdiff_t>(told),
                       [](const pollfd& p) { return p.revents != 0; });
}

// A namespace that lost its name is let go at once: our sockets would keep it and its devices alive.
bool change_sources::drain_folders() {
    alignas(inotify_event) std::array<char, 4096> buffer;
    bool any = false;
    for (int i = 0; i < 64; ++i) {
        const auto n = inotify_ < 0 ? -1 : ::read(inotify_, buffer.data(), buffer.size());
        if (n <= 0) break;
        for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(n);) {
            const auto* e = reinterpret_cast<const inotify_event*>(buffer.data() + at);
            const std::string name = e->len > 0 ? e->name : "";
            // Of the switch's folder only what a switch is reached by: its log, lock and pid files come and go too.
            any = any || e->wd != switch_folder_ || name.ends_with(".sock") || name.ends_with(".mgmt") ||
                  name.ends_with(".ctl");
            if (e->wd == switch_folder_) mute_bridges_.clear();
            at += sizeof(inotify_event) + e->len;
        }
    }
    if (any) close_gone_namespaces();
    return any;
}

bool change_sources::drain() {
    bool changed = drain_folders();
    // A source that fails is closed, and opened anew before the next look.
    for (auto s = spaces_.begin(); s != spaces_.end();) {
        const auto news = s->second.notices.drain();
        changed = changed || !news || news->changed;
        s = news ? std::next(s) : spaces_.erase(s);
    }
    for (auto f = flows_.begin(); f != flows_.end();) {
        const auto news = f->second.changed();
        changed = changed || !news || *news;
        f = news ? std::next(f) : flows_.erase(f);
    }
    std::uint64_t count = 0;
    if (database_fd_ >= 0 && ::read(database_fd_, &count, sizeof count) > 0) changed = true;
    return changed;
}

}  // namespace weft::apply
