// SPDX-License-Identifier: Apache-2.0
// All that tells a watcher to look again: notices of each namespace, of the database and of each bridge's flows, and
// the folders where namespaces and the switch's sockets come and go. They say that something changed and never what, so
// that a lost event costs nothing. What has no notices (most sysctls, services) is for the watcher's look at intervals.
// Private to apply. May include: core, model, netlink, ovs.
#pragma once

#include <poll.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weft/apply/apply.hpp"
#include "weft/netlink/changes.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flow_monitor.hpp"

namespace weft::apply {

class change_sources {
public:
    explicit change_sources(const place& where);
    ~change_sources();
    change_sources(const change_sources&) = delete;
    change_sources& operator=(const change_sources&) = delete;

    // Opens what the state has and is there, closes what went. Before the host is read, so that nothing changes unseen
    // between the two. What cannot be opened is tried again at the next call.
    void cover(const host_state& wanted);
    // Waits until something changed, `stop` is readable or the time is over. Gives whether something changed.
    bool wait(std::chrono::milliseconds timeout, int stop);
    // Reads all that was told so far. Gives whether it concerns the node.
    bool drain();

private:
    struct space {
        std::uint64_t identity;  // of the namespace, whose name may be given to another one
        netlink::change_notices notices;
    };
    void cover_namespace(const std::string& name);
    void watch_folders();
    bool drain_folders();
    void close_gone_namespaces();

    const place& where_;
    std::map<std::string, space> spaces_;
    std::optional<ovs::database> database_;
    int database_fd_ = -1;
    std::map<std::string, ovs::flow_monitor> flows_;
    std::map<std::string, bool> mute_bridges_;  // whose switch cannot tell of flows
    int inotify_ = -1, netns_folder_ = -1, switch_folder_ = -1;
    std::vector<pollfd> set_;
};

}  // namespace weft::apply
