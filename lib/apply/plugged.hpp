// SPDX-License-Identifier: Apache-2.0
// Which devices of br-int carry which ports: those that others (libvirt, Nova, a person) announced by
// external_ids:iface-id. Pure. May include: core, model. Private to apply.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weft/model/ovs.hpp"

namespace weft::apply {

struct announced_port {
    std::string device, iface_id;
    bool bound = false;                  // by us, in a run before, to a network and not to the dead VLAN
    bool open = false;                   // the switch has the device, or has not tried yet
    std::optional<std::int64_t> number;  // the switch's, by which its flows know the device
    std::string type;                    // of the interface; "" is a link of this host
    friend auto operator<=>(const announced_port&, const announced_port&) = default;
};

// Sorted by device. Rows that weft made itself announce nothing.
std::vector<announced_port> announced_ports(const std::vector<ovs::bridge_row>&);

// iface-id → device. Of several with one id it is the one that is bound already, so that a second one takes nothing
// away while the first lives; else the first by name. A device that the switch cannot open carries no port.
std::map<std::string, std::string> chosen_ports(const std::vector<announced_port>&);

}  // namespace weft::apply
