// SPDX-License-Identifier: Apache-2.0
// The users of a node's taps, as this machine's user database (getpwnam_r) knows them. May include: core, model, libc.
#include <pwd.h>

#include <cerrno>

#include "weft/apply/apply.hpp"

namespace weft::apply {
namespace {

result<std::uint32_t> id_of(const std::string& user, const std::string& port) {
    constexpr std::size_t largest_entry = 1 << 20;
    passwd entry{};
    passwd* found = nullptr;
    int problem = ERANGE;
    for (std::vector<char> buffer(4096); problem == ERANGE && buffer.size() <= largest_entry;
         buffer.resize(buffer.size() * 4))
        problem = ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return entry.pw_uid;
    const std::string object = "user " + user + " of port " + port;
    // A name that is not there is no error to some databases and one of these to others.
    if (problem == 0 || problem == ENOENT || problem == ESRCH)
        return error{errc::not_found, "read facts", object, "this host has no such user; nothing was changed", 0};
    return errno_error(problem, "read facts", object);
}

}  // namespace

result<std::map<std::string, std::uint32_t>> users(const fabric& f, const std::string& node) {
    std::map<std::string, std::uint32_t> out;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, p] : t.ports) {
            if (p.node != node || p.attach != "tap" || numeric_user(p.user) || out.contains(p.user)) continue;
            auto id = id_of(p.user, tenant_name + "/" + name);
            if (!id) return id.error();
            out[p.user] = *id;
        }
    return out;
}

}  // namespace weft::apply
