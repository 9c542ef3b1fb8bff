// SPDX-License-Identifier: Apache-2.0
// Brings steps to the host, run by run of one kind. Private to apply. May include: core, model, netlink, ovs, services.
#pragma once

#include "apply/switch_executor.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/namespaces.hpp"
#include "weft/netlink/session.hpp"

#include <map>

namespace weft::apply {

// The end of the run of steps from `first` on that goes out together.
std::size_t group_end(const std::vector<step>& steps, std::size_t first);

// What of a link a change message says: what changes, and nothing else.
link only_changed(const link& before, const link& after);

class executor {
public:
    executor(const place& where, std::string fabric, std::string node)
        : where_(where), fabric_(std::move(fabric)), node_(std::move(node)), switch_(where.ovs_rundir) {}

    // Runs [first, last) of `steps`; `done` gets those that took effect, in order. With netlink that may be some after the failed one.
    result<void> group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done);

    const std::vector<ovs::refused_flow>& refused_flows() const { return switch_.refused(); }
    // What kept services from starting: a service is one network's, must hold back nobody else's, and takes nothing of theirs back. And
    // connections that could not be cut: the rules stand.
    std::vector<error> left_out;
    // Before namespaces are opened once more for their effects.
    void close_sessions() { sessions_.clear(); }
    const std::string& own() const { return where_.netns; }  // the namespace of the host itself
    bool undoing = false;
    bool announces = true;

private:
    result<void> run_group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done);
    template <class F>
    result<void> each(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done, F run);
    result<netlink::namespace_handle> open(const std::string& scope) const;
    result<void> one_namespace(const step& s);
    result<void> one_service(const step& s);
    result<void> one_wireguard(const step& s);  // wireguard.cpp
    result<void> sysctls(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done);
    result<void> netlink_group(const std::vector<step>& steps, std::size_t first, std::size_t last, indexes& done);
    result<void> remember_links(const std::vector<step>& steps, std::size_t first, std::size_t last) const;
    result<void> nft_group(const std::vector<step>& steps, std::size_t first, std::size_t last);

    const place where_;
    const std::string fabric_, node_;
    std::map<std::string, netlink::session> sessions_;  // by scope
    switch_executor switch_;
};

}  // namespace weft::apply
