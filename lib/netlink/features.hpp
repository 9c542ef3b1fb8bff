// SPDX-License-Identifier: Apache-2.0
// Offload features of a link by ethtool's string-set names, through SIOCETHTOOL on a socket of the link's namespace.
// May include: core. A feature this kernel has not, or the driver holds fixed, is unsupported and named.
#pragma once

#include "weft/core/error.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weft::netlink {

class feature_control {
public:
    // `fd` is any datagram socket in the namespace; it stays the caller's.
    explicit feature_control(int fd) : fd_(fd) {}

    result<std::map<std::string, bool>> read(const std::string& device);
    // Sets the named ones and reads back whether they hold.
    result<void> write(const std::string& device, const std::map<std::string, bool>& wanted);

private:
    result<void> learn_names(const std::string& device);
    result<std::vector<std::uint32_t>> active(const std::string& device);

    int fd_;
    std::vector<std::string> names_;  // by bit; the same for every device of a kernel
};

}  // namespace weft::netlink
