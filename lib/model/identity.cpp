// SPDX-License-Identifier: Apache-2.0
// Stable identities computed from an object's path: UUIDs, device names, MACs; and the one form of a diagnostic. Pure.
#include "weft/model/fabric.hpp"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <charconv>

namespace weft {
namespace {

// The namespace UUID of weft's names (RFC 4122 section 4.3): version 4, drawn once, never to change.
const boost::uuids::uuid weft_namespace = {{0x8d, 0x5e, 0x1c, 0x3a, 0x0b, 0x6f, 0x4b, 0x52, 0x9e, 0x57, 0x77, 0x65, 0x66,
                                            0x74, 0x20, 0x26}};

boost::uuids::uuid named(const std::string& fabric, const std::string& path) {
    return boost::uuids::name_generator_sha1(weft_namespace)(fabric + "/" + path);
}

}  // namespace

std::string object_uuid(const std::string& fabric, const std::string& path) {
    return boost::uuids::to_string(named(fabric, path));
}

std::optional<std::uint32_t> numeric_user(const std::string& user) {
    if (user.empty()) return 0;
    constexpr std::uint32_t nobody_at_all = 0xffffffff;  // the kernel's word for "no user"
    std::uint32_t id = 0;
    const auto [end, problem] = std::from_chars(user.data(), user.data() + user.size(), id);
    if (problem != std::errc{} || end != user.data() + user.size() || id == nobody_at_all) return std::nullopt;
    return id;
}

std::string device_name(const std::string& prefix, const std::string& uuid) {
    return prefix + uuid.substr(0, 14 - prefix.size());
}

std::uint32_t port_register(const std::string& fabric, const std::string& path) {
    const auto id = named(fabric, path);
    return std::uint32_t{id.data[0]} << 24 | std::uint32_t{id.data[1]} << 16 | std::uint32_t{id.data[2]} << 8 | id.data[3];
}

mac_address object_mac(const std::string& fabric, const std::string& path) {
    const auto id = named(fabric, path);
    return {{0x02, id.data[1], id.data[2], id.data[3], id.data[4], id.data[5]}};
}

std::string diagnostic::to_string() const {
    std::string text = file.empty() ? std::string() : file + ":";
    if (place.line > 0) text += std::to_string(place.line) + ":" + std::to_string(place.column) + ":";
    if (!text.empty()) text += " ";
    text += severity == weft::severity::error ? "error: " : "warning: ";
    if (!path.empty()) text += path + ": ";
    if (!value.empty()) text += "\"" + value + "\" ";
    text += problem;
    if (!allowed.empty()) text += " (allowed: " + allowed + ")";
    return text;
}

}  // namespace weft
