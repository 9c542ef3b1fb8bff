// SPDX-License-Identifier: Apache-2.0
// A check as text for people. Pure.
#include "weft/model/host_check.hpp"

namespace weft {

std::string host_check::to_string() const {
    auto text = kind + " " + target.to_string();
    if (kind == "tcp") text += " port " + std::to_string(port);
    if (full_mtu) text += mtu == 0 ? " (full packets, DF)" : " (" + std::to_string(mtu) + " bytes, DF)";
    text += space.empty() ? " from the host" : " from " + space;
    if (!device.empty()) text += " dev " + device;
    return text;
}

}  // namespace weft
