// SPDX-License-Identifier: Apache-2.0
// JSON Schema (draft 2020-12) of the fabric file, made from the same field tables that the reader checks against, so
// that an editor and weft cannot disagree on a key. Pure.
#include <boost/json.hpp>

#include "model/fabric_file_fields.hpp"
#include "model/fabric_file_reader.hpp"
#include "weft/model/fabric_file.hpp"

namespace weft {
namespace {

namespace json = boost::json;

json::object object_schema(fields::field_list);

json::object typed(const char* type) { return {{"type", type}}; }

json::object pattern(const char* expression) { return {{"type", "string"}, {"pattern", expression}}; }

json::object choice_schema(std::string_view choices) {
    json::array values;
    for (std::size_t begin = 0; begin <= choices.size();) {
        const auto end = std::min(choices.find('|', begin), choices.size());
        values.emplace_back(choices.substr(begin, end - begin));
        begin = end + 1;
    }
    return {{"enum", std::move(values)}};
}

json::object array_of(json::object items) { return {{"type", "array"}, {"items", std::move(items)}}; }

constexpr const char* name_pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

json::object field_schema(const fields::field& field) {
    switch (field.kind) {
        case fields::kind::name:
            return pattern(name_pattern);
        case fields::kind::text:
            return typed("string");
        case fields::kind::integer: {
            const auto [lowest, highest] = yaml::bounds(field.allowed);
            return {{"type", "integer"}, {"minimum", lowest}, {"maximum", highest}};
        }
        case fields::kind::address:
            return pattern("^[0-9A-Fa-f.:]+$");
        case fields::kind::prefix:
            return pattern("^[0-9A-Fa-f.:]+/[0-9]{1,3}$");
        case fields::kind::range:
            return pattern("^[0-9A-Fa-f.:]+-[0-9A-Fa-f.:]+$");
        case fields::kind::mac:
            return pattern("^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$");
        case fields::kind::floating:
            return pattern("^(auto|[0-9A-Fa-f.:]+)$");
        case fields::kind::boolean:
            return typed("boolean");
        case fields::kind::name_lists:
            return {{"type", "object"}, {"additionalProperties", array_of(pattern(name_pattern))}};
        case fields::kind::choice:
            return choice_schema(field.allowed);
        case fields::kind::roles:
            return array_of(choice_schema(field.allowed));
        case fields::kind::names:
            return array_of(pattern(name_pattern));
        case fields::kind::addresses:
            return array_of(pattern("^[0-9A-Fa-f.:]+$"));
        case fields::kind::object:
            return object_schema(*field.of);
        case fields::kind::list:
            return array_of(object_schema(*field.of));
        case fields::kind::objects: {
            json::object members =
                field.of == &fields::check_list ? array_of(object_schema(fields::check)) : object_schema(*field.of);
            return {{"type", "object"}, {"additionalProperties", std::move(members)}};
        }
    }
    return {};
}

json::object object_schema(fields::field_list list) {
    json::object properties;
    json::array required;
    for (const auto& field : list) {
        auto schema = field_schema(field);
        if (!field.help.empty()) schema["description"] = field.help;
        properties[field.name] = std::move(schema);
        if (field.required) required.emplace_back(field.name);
    }
    json::object out{{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
    if (!required.empty()) out["required"] = std::move(required);
    return out;
}

}  // namespace

std::string fabric_schema() {
    json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "weft fabric file"}};
    for (auto& [key, value] : object_schema(fields::root)) schema[key] = std::move(value);
    return json::serialize(schema);
}

}  // namespace weft
