// SPDX-License-Identifier: Apache-2.0
// Prints the cells of `weft lab test`: a mark per cell, ✓ for reachable and – for blocked where that was expected, ✗
// for any surprise. Colour comes from colour(), so only on a terminal. Pure otherwise. May include: weft headers,
// Boost.JSON and fmt.
#include "matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "common.hpp"

namespace weft::cli {

namespace {

const char* word(bool reachable) { return reachable ? "reachable" : "blocked"; }

void push_unique(std::vector<std::string>& names, const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::string mark(const lab::cell& c) {
    const colours& paint = colour();
    if (!c.ok()) return fmt::format("{}✗{}", paint.bad, paint.off);
    if (c.observed) return fmt::format("{}✓{}", paint.good, paint.off);
    return fmt::format("{}–{}", paint.dim, paint.off);
}

// One table of cells that share `via`.
// `order` has every name of the matrix, so that rows and columns of all tables go alike.
std::string table(const std::string& via, const std::vector<const lab::cell*>& cells,
                  const std::vector<std::string>& order) {
    std::vector<std::string> rows, columns;
    std::map<std::pair<std::string, std::string>, std::pair<std::string, std::size_t>> marks;  // text and its width
    for (const std::string& name : order)
        for (const lab::cell* c : cells) {
            if (c->from == name) push_unique(rows, name);
            if (c->to == name) push_unique(columns, name);
        }
    for (const lab::cell* c : cells) {
        auto& [text, width] = marks[{c->from, c->to}];
        text += mark(*c);
        width += 1;
    }
    std::size_t first = 0;
    for (const std::string& row : rows) first = std::max(first, row.size());
    std::string out =
        fmt::format("{}{}{}\n  {:{}}", colour().bold, via.empty() ? "any way" : "via " + via, colour().off, "", first);
    for (const std::string& column : columns) out += "  " + column;
    out += '\n';
    for (const std::string& row : rows) {
        std::string line = fmt::format("  {:{}}", row, first);
        for (const std::string& column : columns) {
            const auto cell = marks.find({row, column});
            const std::size_t width = std::max<std::size_t>(column.size(), 1),
                              used = cell == marks.end() ? 0 : cell->second.second;
            line += "  ";
            if (used) line += cell->second.first;
            if (used < width) line.append(width - used, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + '\n';
    }
    return out;
}

}  // namespace

std::string matrix_text(const std::vector<lab::cell>& cells) {
    std::string out;
    std::vector<std::string> ways, order;
    for (const lab::cell& c : cells) push_unique(order, c.from);
    for (const lab::cell& c : cells) push_unique(order, c.to);
    for (const lab::cell& c : cells) push_unique(ways, c.via);
    for (const std::string& via : ways) {
        std::vector<const lab::cell*> group;
        for (const lab::cell& c : cells)
            if (c.via == via) group.push_back(&c);
        out += table(via, group, order) + '\n';
    }
    out += "✓ reachable, – blocked, both as expected; ✗ not as expected\n";
    std::size_t failed = 0, reachable = 0;
    for (const lab::cell& c : cells) {
        reachable += c.expected;
        if (c.ok()) continue;
        out += fmt::format("{}✗{} {} → {}{}: expected {}, observed {}{}\n", colour().bad, colour().off, c.from, c.to,
                           c.via.empty() ? "" : " via " + c.via, word(c.expected), word(c.observed),
                           c.detail.empty() ? "" : ": " + c.detail);
        ++failed;
    }
    out += fmt::format("{}{} of {} cells as expected{} ({} reachable, {} blocked expected)\n",
                       failed ? colour().bad : colour().good, cells.size() - failed, cells.size(), colour().off,
                       reachable, cells.size() - reachable);
    return out;
}

std::string matrix_json(const std::vector<lab::cell>& cells) {
    boost::json::array rows;
    for (const lab::cell& c : cells)
        rows.push_back({{"from", c.from},
                        {"to", c.to},
                        {"via", c.via},
                        {"expected", word(c.expected)},
                        {"observed", word(c.observed)},
                        {"ok", c.ok()},
                        {"detail", c.detail}});
    return boost::json::serialize(rows);
}

}  // namespace weft::cli
