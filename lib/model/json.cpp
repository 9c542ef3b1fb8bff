// SPDX-License-Identifier: Apache-2.0
// JSON of the model's values, driven by the field lists of describe.hpp. Reading is strict: an unknown field or a wrong type
// is an error that names its place. Pure. May include: core, model, Boost.JSON.
#include "weft/model/json.hpp"

#include "model/describe.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace weft {
namespace {

namespace json = boost::json;
namespace describe = boost::describe;

template <class T> inline constexpr bool is_optional = false;
template <class T> inline constexpr bool is_optional<std::optional<T>> = true;
template <class T> inline constexpr bool is_variant = false;
template <class... T> inline constexpr bool is_variant<std::variant<T...>> = true;
template <class T> inline constexpr bool is_pair = false;
template <class A, class B> inline constexpr bool is_pair<std::pair<A, B>> = true;
template <class T> concept described = describe::has_describe_members<T>::value;
template <class T> concept string_map = requires { typename T::mapped_type; } && std::is_same_v<typename T::key_type, std::string>;
template <class T> concept sequence = requires(T t) { t.begin(); typename T::value_type; } && !std::is_same_v<T, std::string>;

template <class T> bool is_blank(const T& v) {
    if constexpr (is_optional<T>) return !v.has_value();
    else if constexpr (requires { v.empty(); }) return v.empty();
    else return false;
}

json::value write(const std::string& v) { return json::string(v); }
json::value write(const ip_address& v) { return json::string(v.to_string()); }
json::value write(const ip_prefix& v) { return json::string(v.to_string()); }
json::value write(const mac_address& v) { return json::string(v.to_string()); }
template <class T> json::value write(const T& v) {
    if constexpr (std::is_same_v<T, bool>) return v;
    else if constexpr (std::is_enum_v<T>) return static_cast<std::uint64_t>(v);
    else if constexpr (std::is_integral_v<T>) return v;
    else if constexpr (is_optional<T>) return v ? write(*v) : json::value();
    else if constexpr (is_pair<T>) return json::array{write(v.first), write(v.second)};
    else if constexpr (is_variant<T>) {
        // A variant of options is an object with one member: the index as text keeps it short and unambiguous.
        return std::visit([&](const auto& held) {
            json::object out;
            out[std::to_string(v.index())] = write(held);
            return json::value(out);
        }, v);
    } else if constexpr (string_map<T>) {
        json::object out;
        for (const auto& [key, value] : v) out[key] = write(value);
        return out;
    } else if constexpr (described<T>) {
        json::object out;
        boost::mp11::mp_for_each<describe::describe_members<T, describe::mod_any_access>>([&](auto member) {
            if (!is_blank(v.*member.pointer)) out[member.name] = write(v.*member.pointer);
        });
        return out;
    } else {
        static_assert(sequence<T>);
        json::array out;
        for (const auto& item : v) out.push_back(write(item));
        return out;
    }
}

// Reading throws weft::exception inside this file only; the two public functions turn it into a result.
[[noreturn]] void fail(const std::string& at, const std::string& what) {
    throw exception({errc::invalid_input, "read JSON", at.empty() ? "/" : at, what, 0});
}

template <class T> T checked(const std::string& at, result<T> r) {
    if (!r) fail(at, r.error().message());
    return *r;
}

std::string text_of(const json::value& j, const std::string& at) {
    if (!j.is_string()) fail(at, "expected a string");
    return std::string(j.as_string());
}

void read(const json::value& j, std::string& v, const std::string& at) { v = text_of(j, at); }
void read(const json::value& j, ip_address& v, const std::string& at) { v = checked(at, parse_ip(text_of(j, at))); }
void read(const json::value& j, ip_prefix& v, const std::string& at) { v = checked(at, parse_prefix(text_of(j, at))); }
void read(const json::value& j, mac_address& v, const std::string& at) { v = checked(at, parse_mac(text_of(j, at))); }
template <class T> void read(const json::value& j, T& v, const std::string& at);

template <std::size_t N, class V> bool read_alternative(std::size_t wanted, const json::value& j, V& v, const std::string& at) {
    if constexpr (N < std::variant_size_v<V>) {
        if (wanted != N) return read_alternative<N + 1>(wanted, j, v, at);
        read(j, v.template emplace<N>(), at);
        return true;
    } else {
        return false;
    }
}

template <class T> void read(const json::value& j, T& v, const std::string& at) {
    if constexpr (std::is_same_v<T, bool>) {
        if (!j.is_bool()) fail(at, "expected true or false");
        v = j.as_bool();
    } else if constexpr (std::is_enum_v<T>) {
        std::underlying_type_t<T> number{};
        read(j, number, at);
        v = static_cast<T>(number);
    } else if constexpr (std::is_integral_v<T>) {
        boost::system::error_code ec;
        v = j.to_number<T>(ec);
        if (ec) fail(at, "expected a number in range");
    } else if constexpr (is_optional<T>) {
        read(j, v.emplace(), at);
    } else if constexpr (is_pair<T>) {
        if (!j.is_array() || j.as_array().size() != 2) fail(at, "expected a pair");
        read(j.as_array()[0], v.first, at + "/0");
        read(j.as_array()[1], v.second, at + "/1");
    } else if constexpr (is_variant<T>) {
        if (!j.is_object() || j.as_object().size() != 1) fail(at, "expected one alternative");
        const auto& only = *j.as_object().begin();
        const std::string key(only.key());
        const bool digits = !key.empty() && key.size() < 3 && key.find_first_not_of("0123456789") == std::string::npos;
        if (!digits || !read_alternative<0>(std::stoul(key), only.value(), v, at + "/" + key)) fail(at, "unknown alternative " + key);
    } else if constexpr (string_map<T>) {
        if (!j.is_object()) fail(at, "expected an object");
        for (const auto& [key, value] : j.as_object()) read(value, v[std::string(key)], at + "/" + std::string(key));
    } else if constexpr (described<T>) {
        if (!j.is_object()) fail(at, "expected an object");
        std::size_t known = 0;
        boost::mp11::mp_for_each<describe::describe_members<T, describe::mod_any_access>>([&](auto member) {
            if (const auto* field = j.as_object().if_contains(member.name)) {
                ++known;
                read(*field, v.*member.pointer, at + "/" + member.name);
            }
        });
        if (known != j.as_object().size()) fail(at, "unknown field");
    } else {
        if (!j.is_array()) fail(at, "expected an array");
        std::size_t i = 0;
        for (const auto& item : j.as_array()) {
            typename T::value_type element{};
            read(item, element, at + "/" + std::to_string(i++));
            v.insert(v.end(), std::move(element));
        }
    }
}

// What a host has need not be UTF-8 (an alias that somebody gave a NIC, a comment of a rule); it is carried as it is.
json::value parsed_text(std::string_view text, boost::system::error_code& ec) {
    json::parse_options any_bytes;
    any_bytes.allow_invalid_utf8 = true;
    return json::parse({text.data(), text.size()}, ec, {}, any_bytes);
}

template <class T> result<T> from_text(std::string_view text) {
    try {
        boost::system::error_code ec;
        const auto parsed = parsed_text(text, ec);
        if (ec) return error{errc::invalid_input, "read JSON", "/", ec.message(), 0};
        T value;
        read(parsed, value, "");
        return value;
    } catch (const exception& e) {
        return e.error();
    }
}

}  // namespace

std::string to_json(const host_state& v) { return json::serialize(write(v)); }
std::string to_json(const fabric& v) { return json::serialize(write(v)); }
result<host_state> host_state_from_json(std::string_view text) { return from_text<host_state>(text); }
result<fabric> fabric_from_json(std::string_view text) { return from_text<fabric>(text); }

std::string to_json(const plan& p) {
    json::array steps;
    for (const auto& s : p.steps) {
        json::object o;
        o["scope"] = s.scope;
        o["kind"] = s.kind() == step_kind::create ? "create" : s.kind() == step_kind::remove ? "remove" : "change";
        o["object"] = s.object_kind();
        o["name"] = s.object_name();
        const auto plain = [](const state_object& object) { return std::visit([](const auto& v) { return write(v); }, object); };
        if (s.before) o["before"] = plain(*s.before);
        if (s.after) o["after"] = plain(*s.after);
        if (!s.bounces.empty()) o["bounces"] = s.bounces;
        if (!s.no_inverse.empty()) o["no_inverse"] = s.no_inverse;
        o["text"] = s.to_string();
        if (const auto details = s.details(); !details.empty()) o["details"] = write(details);
        steps.push_back(std::move(o));
    }
    return json::serialize(json::object{{"fabric", p.fabric}, {"node", p.node}, {"steps", std::move(steps)}, {"pending", write(p.pending)}, {"quarantined", write(p.quarantined)}});
}

namespace {

// The words of step::object_kind, in the order of state_object.
constexpr const char* object_kinds[] = {"namespace", "sysctl", "link", "address", "nexthop", "route", "rule", "neighbour", "nft table", "bridge", "port", "flow", "service"};
static_assert(std::size(object_kinds) == std::variant_size_v<state_object>);

step step_from(const json::value& j, const std::string& at) {
    const auto* o = j.if_object();
    if (o == nullptr || !o->contains("object") || !o->contains("scope")) fail(at, "expected a step");
    const auto kind = text_of(o->at("object"), at + "/object");
    const auto index = static_cast<std::size_t>(std::find(std::begin(object_kinds), std::end(object_kinds), kind) - std::begin(object_kinds));
    if (index == std::size(object_kinds)) fail(at + "/object", "unknown kind of object " + kind);
    step s;
    s.scope = text_of(o->at("scope"), at + "/scope");
    for (const auto& [key, side] : {std::pair("before", &s.before), std::pair("after", &s.after)})
        if (const auto* value = o->if_contains(key)) read_alternative<0>(index, *value, side->emplace(), at + "/" + key);
    if (!s.before && !s.after) fail(at, "a step without an object");
    if (const auto* bounces = o->if_contains("bounces")) s.bounces = text_of(*bounces, at + "/bounces");
    if (const auto* lost = o->if_contains("no_inverse")) s.no_inverse = text_of(*lost, at + "/no_inverse");
    return s;
}

}  // namespace

result<plan> plan_from_json(std::string_view text) {
    try {
        boost::system::error_code ec;
        const auto parsed = parsed_text(text, ec);
        if (ec) return error{errc::invalid_input, "read JSON", "/", ec.message(), 0};
        const auto* o = parsed.if_object();
        if (o == nullptr || !o->contains("fabric") || !o->contains("node") || !o->contains("steps") || !o->at("steps").is_array())
            fail("", "expected a plan");
        plan p;
        p.fabric = text_of(o->at("fabric"), "/fabric");
        p.node = text_of(o->at("node"), "/node");
        for (const auto& one : o->at("steps").as_array()) p.steps.push_back(step_from(one, "/steps/" + std::to_string(p.steps.size())));
        if (const auto* pending = o->if_contains("pending")) read(*pending, p.pending, "/pending");
        if (const auto* ports = o->if_contains("quarantined")) read(*ports, p.quarantined, "/quarantined");
        return p;
    } catch (const exception& e) {
        return e.error();
    }
}

namespace {

// "step 3: ~ link eth0 mtu 1500 → 1400", or that there is none.
std::string told(const json::array& steps, std::size_t at) {
    if (at >= steps.size()) return "no step " + std::to_string(at + 1);
    const auto* step = steps[at].if_object();
    const auto* text = step == nullptr ? nullptr : step->if_contains("text");
    return "step " + std::to_string(at + 1) + ": " + (text != nullptr && text->is_string() ? std::string(text->as_string()) : json::serialize(steps[at]));
}

}  // namespace

result<void> same_plan(const std::string& kept, const plan& now) {
    const auto bad = [](std::string object, std::string words) {
        return error{errc::invalid_input, "compare plan", std::move(object), std::move(words) + "; nothing was changed", 0};
    };
    boost::system::error_code problem;
    const auto value = parsed_text(kept, problem);
    if (problem) return bad("", "it is no JSON: " + problem.message());
    const auto* then = value.if_object();
    const auto* steps = then == nullptr || !then->contains("steps") ? nullptr : then->at("steps").if_array();
    if (steps == nullptr) return bad("", "it is no plan: an object with the array \"steps\" is wanted");
    const auto today = parsed_text(to_json(now), problem).as_object();
    for (const char* key : {"fabric", "node"})
        if (!then->contains(key) || then->at(key) != today.at(key))
            return bad(key, "the plan is of " + (then->contains(key) ? json::serialize(then->at(key)) : "none") + ", and this is " + json::serialize(today.at(key)));
    const auto& wanted = today.at("steps").as_array();
    for (std::size_t i = 0; i < std::max(wanted.size(), steps->size()); ++i)
        if (i >= wanted.size() || i >= steps->size() || wanted[i] != (*steps)[i])
            return error{errc::stale, "compare plan", now.node,
                         "the plan has " + told(*steps, i) + "; now it would be " + told(wanted, i) +
                             ": the host or the fabric changed since, or the file was edited; nothing was changed",
                         0};
    return {};
}

}  // namespace weft
