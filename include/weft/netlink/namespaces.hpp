// SPDX-License-Identifier: Apache-2.0
// Network namespaces by name, as ip-netns(8) keeps them (a bind mount under /run/netns), and their sysctls.
// A namespace is always a parameter: no call changes the caller's own. May include: core.
#pragma once

#include "weft/core/error.hpp"

#include <functional>
#include <string>
#include <vector>

namespace weft::netlink {

// An open namespace: a file descriptor on nsfs, closed by the destructor. Movable.
class namespace_handle {
public:
    // "" is the caller's own; else /run/netns/NAME. Errors: not_found, invalid_input (a name with '/', "." or "..").
    static result<namespace_handle> open(const std::string& name);
    // Any nsfs path, e.g. /proc/PID/ns/net. Checked to be a network namespace.
    static result<namespace_handle> open_path(const std::string& path);
    namespace_handle(namespace_handle&&) noexcept;
    namespace_handle& operator=(namespace_handle&&) noexcept;
    ~namespace_handle();
    int fd() const noexcept { return fd_; }
    const std::string& name() const noexcept { return name_; }
    // Another handle on the same namespace, for whoever must outlive this one.
    result<namespace_handle> duplicate() const;

private:
    namespace_handle(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
    int fd_ = -1;
    std::string name_;
};

// Equivalent to: ip netns add NAME (lo stays down). Errors: already_exists, permission_denied. Atomic: on failure nothing stays.
result<void> create_namespace(const std::string& name);
// Equivalent to: ip netns delete NAME. Errors: not_found.
result<void> delete_namespace(const std::string& name);
// Names under /run/netns, sorted.
result<std::vector<std::string>> list_namespaces();

// Runs `work` inside the namespace (its network namespace only) and waits for it: on a thread of its own, unless the caller
// is in that namespace already.
result<void> run_in(const namespace_handle&, const std::function<result<void>()>& work);

// Sysctls of a namespace, keys in slash form below /proc/sys ("net/ipv4/ip_forward"); the net/ part only. A key with ".." or
// a leading '/' is refused. Equivalent to: ip netns exec NAME sysctl -w KEY=VALUE. Trailing newline is stripped on read.
result<std::string> read_sysctl(const namespace_handle&, const std::string& key);
result<void> write_sysctl(const namespace_handle&, const std::string& key, const std::string& value);
// Several at once with one entry into the namespace; a key that does not exist gives an empty optional-like "" with found=false.
struct sysctl_value { std::string key, value; bool found = false; };
result<std::vector<sysctl_value>> read_sysctls(const namespace_handle&, const std::vector<std::string>& keys);
// In order; a key that does not exist is passed over, any other failure ends it. `done` counts those behind it by then.
result<void> write_sysctls(const namespace_handle&, const std::vector<sysctl_value>&, std::size_t& done);

}  // namespace weft::netlink
