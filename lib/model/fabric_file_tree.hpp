// SPDX-License-Identifier: Apache-2.0
// A YAML document as a plain tree whose every node knows its line and column. Anchors, aliases, tags, several
// documents, too much size and too much depth never reach the tree: they are diagnostics. May include: core, model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weft/model/fabric.hpp"

namespace weft::yaml {

inline constexpr std::size_t max_bytes = 4u << 20;
inline constexpr int max_depth = 32;

struct node {
    enum class kind { null, scalar, map, list };
    struct entry;
    node::kind kind = kind::null;
    std::string text;  // of a scalar
    source_place place;
    std::vector<entry> entries;  // of a map, in file order; keys are scalars and unique
    std::vector<node> items;     // of a list
};

// Not a std::pair: a pair of an incomplete type is not valid C++, and clang refuses it.
struct node::entry { node key, value; };

std::string_view to_string(enum node::kind);

// Parses one document. What is refused is appended to `faults`; the tree then holds what could be read.
node parse(std::string_view text, const std::string& file, std::vector<diagnostic>& faults);

// The place of every value in the tree by its path; see source_places.
source_places places_of(const node& root);

}  // namespace weft::yaml
