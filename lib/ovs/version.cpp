// SPDX-License-Identifier: Apache-2.0
// Implements weft/ovs/version.hpp. The ranges are those of the project's announcements: each branch with its first good
// release. Asks vswitchd over its control socket.
#include "weft/ovs/version.hpp"

#include <array>
#include <charconv>
#include <optional>

#include "ovs/control.hpp"

namespace weft::ovs {
namespace {

using release = std::array<int, 3>;

std::optional<release> parse(const std::string& text) {
    release r{};
    const char* at = text.data();
    const char* const end = at + text.size();
    for (std::size_t i = 0; i < r.size(); ++i) {
        if (i > 0 && (at == end || *at++ != '.')) return {};
        const auto [next, problem] = std::from_chars(at, end, r[i]);
        if (problem != std::errc{}) return {};
        at = next;
    }
    return r;
}

// `mended`: the first good release of each branch that got one, ascending; later branches were never bad.
struct fault {
    const char* id;
    std::vector<release> mended;
};

const std::vector<fault>& faults() {
    static const std::vector<fault> all = {
        {"CVE-2020-35498", {{2, 11, 6}, {2, 12, 3}, {2, 13, 3}, {2, 14, 2}, {2, 15, 0}}},
        {"CVE-2023-1668", {{2, 13, 11}, {2, 14, 9}, {2, 15, 8}, {2, 16, 7}, {2, 17, 6}, {3, 0, 4}, {3, 1, 1}}},
        {"CVE-2023-3966", {{2, 17, 9}, {3, 0, 6}, {3, 1, 4}, {3, 2, 2}}},
        {"CVE-2023-5366", {{2, 17, 9}, {3, 0, 6}, {3, 1, 4}, {3, 2, 2}}},
    };
    return all;
}

bool has(const fault& f, const release& r) {
    for (const auto& good : f.mended)
        if (good[0] == r[0] && good[1] == r[1]) return r < good;
    return r < f.mended.back();
}

}  // namespace

result<std::string> vswitchd_version(const std::string& rundir) {
    const auto socket = vswitchd_socket(rundir);
    if (!socket) return socket.error();
    auto said = ask_vswitchd(*socket, "version", {}, std::chrono::seconds(5));
    if (!said) return said;
    // "ovs-vswitchd (Open vSwitch) 3.1.0", more lines with DPDK.
    const auto start = said->find(") ");
    if (start == std::string::npos) return error{errc::protocol_error, "ask for version", rundir, *said, 0};
    const auto end = said->find_first_of(" \n", start + 2);
    return said->substr(start + 2, end == std::string::npos ? end : end - start - 2);
}

std::vector<std::string> known_faults(const std::string& version) {
    std::vector<std::string> out;
    if (const auto r = parse(version))
        for (const auto& f : faults())
            if (has(f, *r)) out.push_back(f.id);
    return out;
}

result<void> check_version(const std::string& version) {
    const auto r = parse(version);
    if (r && *r < release{2, 11, 0})
        return error{errc::unavailable, "use Open vSwitch", version,
                     "a bundle that it refuses could end it (CVE-2018-17205); 2.11 or later is needed; nothing was changed", 0};
    return {};
}

}  // namespace weft::ovs
