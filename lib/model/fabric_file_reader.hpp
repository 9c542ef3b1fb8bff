// SPDX-License-Identifier: Apache-2.0
// Reads typed values out of a YAML tree and collects every fault with its place and path. It knows the field tables,
// not the fabric: fabric_file.cpp puts the values together. May include: core, model.
#pragma once

#include <map>
#include <optional>

#include "model/fabric_file_fields.hpp"
#include "model/fabric_file_tree.hpp"

namespace weft::yaml {

// A node of the tree together with its path ("nodes.network.nics.eth0").
struct cursor {
    const node* value = nullptr;
    std::string path;
    explicit operator bool() const { return value != nullptr; }
};

class reader {
public:
    reader(const std::string& file, std::vector<diagnostic>& faults) : file_(file), faults_(faults) {}

    // Checks that it is a map with known keys only and all required ones; gives its members by key.
    std::map<std::string, cursor> object(const cursor&, fields::field_list);
    // A map whose keys are names of objects. `device` allows what an interface name may hold, else the charset is
    // narrow.
    struct member {
        std::string name;
        source_place place;
        cursor value;
    };
    std::vector<member> objects(const cursor&, bool device = false);
    std::vector<cursor> list(const cursor&);

    std::string text(const cursor&);
    std::string name(const cursor&);
    std::string choice(const cursor&, std::string_view allowed, std::string fallback);
    bool boolean(const cursor&, bool fallback);  // true or false, nothing else
    std::optional<std::uint64_t> integer(const cursor&, std::string_view allowed);
    std::optional<ip_address> address(const cursor&);
    std::optional<ip_prefix> prefix(const cursor&);
    std::optional<address_range> range(const cursor&);
    std::optional<std::pair<std::uint64_t, std::uint64_t>> integer_range(const cursor&, std::uint64_t lowest,
                                                                         std::uint64_t highest);
    std::optional<mac_address> mac(const cursor&);

    void fault(const cursor&, std::string value, std::string problem, std::string allowed);

private:
    // The text of a scalar; a fault and nothing for anything else.
    const std::string* scalar(const cursor&, std::string_view wanted);
    const std::string& file_;
    std::vector<diagnostic>& faults_;
};

// "1-10" → 1, 10
std::pair<std::uint64_t, std::uint64_t> bounds(std::string_view allowed);
// Decimal digits only; no sign, no blank, no overflow.
std::optional<std::uint64_t> parse_integer(std::string_view text);
// "a|b|c" → "a, b, c"
std::string comma_list(std::string_view choices);

}  // namespace weft::yaml
