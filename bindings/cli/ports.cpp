// SPDX-License-Identifier: Apache-2.0
// The ports of a node's guests, out of the fabric and this host's facts. Pure. May include: weft headers, Boost.JSON,
// fmt.
#include "ports.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "weft/model/overlay.hpp"

namespace weft::cli {

boost::json::array ports_json(const fabric& f, const std::string& node, const host_facts& facts) {
    boost::json::array out;
    for (const auto& [tenant_name, t] : f.tenants)
        for (const auto& [name, p] : t.ports) {
            if (p.node != node) continue;
            const auto id = object_uuid(f.name, tenant_name + "/ports/" + name), tap = device_name("tap", id);
            const auto present = facts.present_ports.find(id);
            const auto plugged = present == facts.present_ports.end() ? std::string() : present->second;
            out.push_back({{"port", tenant_name + "/" + name},
                           {"id", id},
                           {"mac", p.mac->to_string()},
                           {"address", p.address->to_string()},
                           {"network", p.network},
                           {"mtu", network_mtu(f, tenant_name, p.network)},
                           {"attach", p.attach},
                           {"tap", tap},
                           {"device", p.attach == "tap" ? tap : plugged}});
        }
    return out;
}

std::string ports_text(const boost::json::array& ports) {
    std::string out;
    for (const auto& each : ports) {
        const auto& p = each.as_object();
        const auto word = [&](const char* key) { return std::string(p.at(key).as_string()); };
        const auto device = word("device").empty() ? std::string("no device yet") : "device " + word("device");
        out += fmt::format("port {} id {} mac {} address {} mtu {} {}, {}\n", word("port"), word("id"), word("mac"),
                           word("address"), p.at("mtu").to_number<std::uint32_t>(), word("attach"), device);
    }
    return out;
}

}  // namespace weft::cli
