// SPDX-License-Identifier: Apache-2.0
// YAML text to the tree of fabric_file_tree.hpp, by yaml-cpp's event handler: it gives the place of every token and
// never expands an alias, so that a small file cannot become a large value. Fails by diagnostics only; never throws for
// bad input.
#include "model/fabric_file_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <memory>
#include <set>
#include <sstream>

namespace weft::yaml {
namespace {

// Thrown out of the event handler to end the parse at once; caught in parse().
struct too_deep {};

source_place place_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

class tree_builder : public YAML::EventHandler {
public:
    tree_builder(const std::string& file, std::vector<diagnostic>& faults) : file_(file), faults_(faults) {}

    node root;
    bool seen_root = false;

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        check_properties(mark, "?", anchor);
        add({node::kind::null, {}, place_of(mark), {}, {}});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        fault(mark, "*", "is an alias, which a fabric file must not have", "write the value out");
        add({node::kind::null, {}, place_of(mark), {}, {}});
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& text) override {
        // "?" is what yaml-cpp gives to a plain scalar and "!" to a quoted one; anything else was written by hand.
        check_properties(mark, tag == "!" ? "?" : tag, anchor);
        add({node::kind::scalar, text, place_of(mark), {}, {}});
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, node::kind::list);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, node::kind::map);
    }
    void OnMapEnd() override { close(); }

private:
    struct frame {
        node value;
        std::unique_ptr<node> key;  // a map's key that waits for its value
        std::set<std::string> keys;
    };

    void fault(const YAML::Mark& mark, std::string value, std::string problem, std::string allowed) {
        faults_.push_back(
            {severity::error, file_, place_of(mark), {}, std::move(value), std::move(problem), std::move(allowed)});
    }

    void check_properties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        if (anchor != 0) fault(mark, "&", "is an anchor, which a fabric file must not have", "write the value out");
        if (!tag.empty() && tag != "?")
            fault(mark, tag, "is a tag, which a fabric file must not have", "a plain value");
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, enum node::kind kind) {
        check_properties(mark, tag, anchor);
        if (stack_.size() >= static_cast<std::size_t>(max_depth)) {
            fault(mark, {}, "is nested too deeply", "at most " + std::to_string(max_depth) + " levels");
            throw too_deep{};
        }
        frame f;
        f.value.kind = kind;
        f.value.place = place_of(mark);
        stack_.push_back(std::move(f));
    }

    void close() {
        node done = std::move(stack_.back().value);
        stack_.pop_back();
        add(std::move(done));
    }

    void add(node value) {
        if (stack_.empty()) {
            root = std::move(value);
            seen_root = true;
            return;
        }
        frame& top = stack_.back();
        if (top.value.kind == node::kind::list) {
            top.value.items.push_back(std::move(value));
            return;
        }
        if (!top.key) {
            if (value.kind != node::kind::scalar)
                fault_at(value.place, std::string(to_string(value.kind)), "cannot be a key", "a name");
            top.key = std::make_unique<node>(std::move(value));
            return;
        }
        node key = std::move(*top.key);
        top.key.reset();
        if (key.kind != node::kind::scalar) return;
        if (!top.keys.insert(key.text).second) {
            fault_at(key.place, key.text, "is a duplicate key", "each key once");
            return;
        }
        top.value.entries.push_back({std::move(key), std::move(value)});
    }

    void fault_at(source_place place, std::string value, std::string problem, std::string allowed) {
        faults_.push_back(
            {severity::error, file_, place, {}, std::move(value), std::move(problem), std::move(allowed)});
    }

    const std::string& file_;
    std::vector<diagnostic>& faults_;
    std::vector<frame> stack_;
};

void note_places(const node& at, const std::string& path, std::map<std::string, source_place>& places) {
    const std::string prefix = path.empty() ? "" : path + ".";
    for (const auto& [key, value] : at.entries) {
        const bool is_leaf = value.kind == node::kind::scalar || value.kind == node::kind::null;
        places.emplace(prefix + key.text, is_leaf ? value.place : key.place);
        note_places(value, prefix + key.text, places);
    }
    for (std::size_t i = 0; i < at.items.size(); ++i) {
        const auto& item = at.items[i];
        const auto item_path = path + "[" + std::to_string(i) + "]";
        places.emplace(item_path, item.place);
        if (item.kind == node::kind::scalar) places.emplace(path + "[" + item.text + "]", item.place);
        note_places(item, item_path, places);
    }
}

// How many bytes the character at the start has in UTF-8 (RFC 3629: the shortest form, up to U+10FFFF, no surrogates); 0 where it is none.
std::size_t utf8_length(std::string_view at) {
    const auto byte = [&](std::size_t i) { return i < at.size() ? static_cast<unsigned char>(at[i]) : 0U; };
    const auto first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    const bool longer_than_needed = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
    const bool beyond = (first == 0xed && byte(1) >= 0xa0) || (first == 0xf4 && byte(1) >= 0x90);
    return longer_than_needed || beyond ? 0 : length;
}

// A byte that no fabric file needs and that would garble a terminal which prints it, or what JSON could not carry. Returns false when one
// was found. Columns count bytes.
bool check_bytes(std::string_view text, const std::string& file, std::vector<diagnostic>& faults) {
    source_place at{1, 1};
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto length = utf8_length(text.substr(i));
        const bool c1 = byte == 0xc2 && length == 2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        const bool control = (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7f || c1;
        if (control || length == 0) {
            static constexpr char digits[] = "0123456789abcdef";
            faults.push_back({severity::error, file, at, {}, std::string("\\x") + digits[byte >> 4] + digits[byte & 15],
                              control ? "is a control byte" : "is no UTF-8", "UTF-8 text"});
            return false;
        }
        if (byte == '\n') ++at.line, at.column = 1;
        else at.column += static_cast<int>(length);
        i += length;
    }
    return true;
}

}  // namespace

std::string_view to_string(enum node::kind kind) {
    switch (kind) {
        case node::kind::null:
            return "nothing";
        case node::kind::scalar:
            return "a value";
        case node::kind::map:
            return "a map";
        case node::kind::list:
            return "a list";
    }
    return "";
}

source_places places_of(const node& root) {
    source_places all;
    note_places(root, "", all.by_path);
    return all;
}

node parse(std::string_view text, const std::string& file, std::vector<diagnostic>& faults) {
    if (text.size() > max_bytes) {
        faults.push_back({severity::error,
                          file,
                          {1, 1},
                          {},
                          std::to_string(text.size()) + " bytes",
                          "is too large",
                          "at most " + std::to_string(max_bytes) + " bytes"});
        return {};
    }
    if (!check_bytes(text, file, faults)) return {};
    tree_builder builder(file, faults);
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        if (parser.HandleNextDocument(builder)) {
            std::vector<diagnostic> ignored;
            tree_builder rest(file, ignored);
            if (parser.HandleNextDocument(rest))
                faults.push_back(
                    {severity::error, file, rest.root.place, {}, "---", "begins a second document", "one document"});
        }
    } catch (const YAML::Exception& e) {
        faults.push_back({severity::error, file, place_of(e.mark), {}, {}, "is not YAML: " + e.msg, {}});
    } catch (const too_deep&) {
        // Its diagnostic is there already.
    }
    return std::move(builder.root);
}

}  // namespace weft::yaml
