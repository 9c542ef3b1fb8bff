// SPDX-License-Identifier: Apache-2.0
// Typed values out of a YAML tree; see fabric_file_reader.hpp. Fails by diagnostics only.
#include "model/fabric_file_reader.hpp"

#include <algorithm>
#include <charconv>

#include "weft/model/link.hpp"

namespace weft::yaml {
namespace {

constexpr std::size_t longest_name = 63;  // also that of a host name's label (RFC 1035)
constexpr const char* name_rule = "1 to 63 of a-z A-Z 0-9 . _ -, a letter or digit first";

bool is_name(std::string_view text) {
    const auto alnum = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    if (text.empty() || text.size() > longest_name || !alnum(text[0])) return false;
    return std::all_of(text.begin(), text.end(), [&](char c) { return alnum(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace

std::optional<std::uint64_t> parse_integer(std::string_view text) {
    std::uint64_t value = 0;
    if (text.empty() || text[0] < '0' || text[0] > '9') return {};
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) return {};
    return value;
}

std::pair<std::uint64_t, std::uint64_t> bounds(std::string_view allowed) {
    const auto dash = allowed.find('-');
    return {parse_integer(allowed.substr(0, dash)).value_or(0), parse_integer(allowed.substr(dash + 1)).value_or(0)};
}

std::string comma_list(std::string_view choices) {
    std::string out;
    for (const char c : choices) out += c == '|' ? std::string(", ") : std::string(1, c);
    return out;
}

void reader::fault(const cursor& at, std::string value, std::string problem, std::string allowed) {
    faults_.push_back({severity::error, file_, at.value ? at.value->place : source_place{}, at.path, std::move(value),
                       std::move(problem), std::move(allowed)});
}

std::map<std::string, cursor> reader::object(const cursor& at, fields::field_list known) {
    std::map<std::string, cursor> members;
    if (!at) return members;
    if (at.value->kind != node::kind::map) {
        fault(at, at.value->text, std::string("is ") + std::string(to_string(at.value->kind)), "a map");
        return members;
    }
    const std::string prefix = at.path.empty() ? "" : at.path + ".";
    std::string names;
    for (const auto& field : known) names += (names.empty() ? "" : ", ") + std::string(field.name);
    for (const auto& [key, value] : at.value->entries) {
        const auto match =
            std::find_if(known.begin(), known.end(), [&name = key.text](const auto& field) { return field.name == name; });
        if (match == known.end()) {
            faults_.push_back(
                {severity::error, file_, key.place, prefix + key.text, key.text, "is an unknown key", names});
            continue;
        }
        members[key.text] = {&value, prefix + key.text};
    }
    for (const auto& field : known)
        if (field.required && !members.count(std::string(field.name)))
            faults_.push_back({severity::error, file_, at.value->place, prefix + std::string(field.name),
                               std::string(field.name), "is missing", std::string(field.help)});
    return members;
}

std::vector<reader::member> reader::objects(const cursor& at, bool device) {
    std::vector<member> members;
    if (!at) return members;
    if (at.value->kind != node::kind::map) {
        fault(at, at.value->text, std::string("is ") + std::string(to_string(at.value->kind)), "a map of names");
        return members;
    }
    for (const auto& [key, value] : at.value->entries) {
        const bool good = device ? check_link_name(key.text).has_value() : is_name(key.text);
        // The object is kept: without it, whatever names or needs it would be told as a fault too.
        if (!good)
            faults_.push_back({severity::error, file_, key.place, at.path + "." + key.text, key.text,
                               device ? "is not an interface name" : "is not a name",
                               device ? "1 to 15 bytes without '/', ':', '%' or blanks" : name_rule});
        members.push_back({key.text, key.place, {&value, at.path + "." + key.text}});
    }
    return members;
}

std::vector<cursor> reader::list(const cursor& at) {
    std::vector<cursor> items;
    if (!at) return items;
    if (at.value->kind != node::kind::list) {
        fault(at, at.value->text, std::string("is ") + std::string(to_string(at.value->kind)), "a list");
        return items;
    }
    for (const auto& item : at.value->items)
        items.push_back({&item, at.path + "[" + std::to_string(items.size()) + "]"});
    return items;
}

const std::string* reader::scalar(const cursor& at, std::string_view wanted) {
    if (!at) return nullptr;
    if (at.value->kind == node::kind::scalar) return &at.value->text;
    fault(at, {}, std::string("is ") + std::string(to_string(at.value->kind)), std::string(wanted));
    return nullptr;
}

std::string reader::text(const cursor& at) {
    const auto* value = scalar(at, "text");
    if (!value) return {};
    if (value->empty() || value->size() > 255) fault(at, *value, "is empty or too long", "1 to 255 bytes");
    return *value;
}

std::string reader::name(const cursor& at) {
    const auto* value = scalar(at, "a name");
    if (!value) return {};
    if (!is_name(*value)) fault(at, *value, "is not a name", name_rule);
    return *value;
}

bool reader::boolean(const cursor& at, bool fallback) {
    return choice(at, "true|false", fallback ? "true" : "false") == "true";
}

std::string reader::choice(const cursor& at, std::string_view allowed, std::string fallback) {
    const auto* value = scalar(at, comma_list(allowed));
    if (!value) return fallback;
    for (std::size_t begin = 0; begin <= allowed.size();) {
        const auto end = std::min(allowed.find('|', begin), allowed.size());
        if (allowed.substr(begin, end - begin) == *value) return *value;
        begin = end + 1;
    }
    fault(at, *value, "is not one of the choices", comma_list(allowed));
    return fallback;
}

std::optional<std::uint64_t> reader::integer(const cursor& at, std::string_view allowed) {
    const auto* value = scalar(at, allowed);
    if (!value) return {};
    const auto [lowest, highest] = bounds(allowed);
    const auto number = parse_integer(*value);
    if (number && *number >= lowest && *number <= highest) return number;
    fault(at, *value, number ? "is out of range" : "is not a whole number", std::string(allowed));
    return {};
}

std::optional<ip_address> reader::address(const cursor& at) {
    const auto* value = scalar(at, "an IP address");
    if (!value) return {};
    if (const auto parsed = parse_ip(*value)) return *parsed;
    fault(at, *value, "is not an IP address", "like 10.0.0.1");
    return {};
}

std::optional<ip_prefix> reader::prefix(const cursor& at) {
    const auto* value = scalar(at, "ADDRESS/LENGTH");
    if (!value) return {};
    const auto parsed = parse_prefix(*value);
    if (!parsed || value->find('/') == std::string::npos) {
        fault(at, *value, "is not a subnet", "ADDRESS/LENGTH, like 10.0.0.0/24");
        return {};
    }
    return *parsed;
}

std::optional<address_range> reader::range(const cursor& at) {
    const auto* value = scalar(at, "FIRST-LAST");
    if (!value) return {};
    const auto dash = value->find('-');
    if (dash != std::string::npos) {
        const auto first = parse_ip(std::string_view(*value).substr(0, dash)),
                   last = parse_ip(std::string_view(*value).substr(dash + 1));
        if (first && last && first->is_v6() == last->is_v6() && !(*last < *first)) return address_range{*first, *last};
    }
    fault(at, *value, "is not a range of addresses", "FIRST-LAST, like 10.0.0.10-10.0.0.20");
    return {};
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> reader::integer_range(const cursor& at, std::uint64_t lowest,
                                                                             std::uint64_t highest) {
    const auto* value = scalar(at, "FIRST-LAST");
    if (!value) return {};
    const auto dash = value->find('-');
    if (dash != std::string::npos) {
        const auto first = parse_integer(std::string_view(*value).substr(0, dash));
        const auto last = parse_integer(std::string_view(*value).substr(dash + 1));
        if (first && last && *first >= lowest && *first <= *last && *last <= highest) return std::pair{*first, *last};
    }
    fault(at, *value, "is not a range of numbers",
          "FIRST-LAST within " + std::to_string(lowest) + "-" + std::to_string(highest));
    return {};
}

std::optional<mac_address> reader::mac(const cursor& at) {
    const auto* value = scalar(at, "a MAC address");
    if (!value) return {};
    const auto parsed = parse_mac(*value);
    if (parsed && !parsed->is_multicast() && !parsed->is_zero()) return *parsed;
    fault(at, *value, "is not a unicast MAC address", "like 02:00:00:00:00:01");
    return {};
}

}  // namespace weft::yaml
