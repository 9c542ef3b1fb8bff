// SPDX-License-Identifier: Apache-2.0
// The verbs of the lab: up, down, list, status, exec, test. This is where the lab and the roles meet: the lab asks for
// a node's wanted state through roles::compile. Fails by weft::exception. May include: weft headers and Boost.JSON.
#include <boost/json.hpp>
#include <cstdio>

#include "common.hpp"
#include "matrix.hpp"
#include "weft/lab/lab.hpp"
#include "weft/model/fabric_file.hpp"

namespace weft::cli {

namespace {

std::string names_of(const std::vector<lab::lab_info>& labs) {
    std::string names;
    for (const lab::lab_info& l : labs) names += (names.empty() ? "" : ", ") + l.name;
    return names;
}

// The lab that is meant: the one named, or the only one that stands.
std::string pick_lab(const std::string& name) {
    if (!name.empty()) return name;
    const std::vector<lab::lab_info> labs = lab::list().value();
    if (labs.empty()) fail(errc::not_found, "find lab", "", "no lab stands on this machine");
    if (labs.size() > 1) fail(errc::invalid_input, "find lab", "", "several labs stand, name one: " + names_of(labs));
    return labs.front().name;
}

// Whether a lab has this member, a VM also by its port's name alone.
bool has_member(const lab::lab_info& l, const std::string& name) {
    for (const lab::member& m : l.members)
        if (m.name == name || (m.kind == "vm" && m.name.ends_with("/" + name))) return true;
    return false;
}

struct target {
    std::string lab, member;
};

// "NODE", "tenant/port", "LAB/NODE" or "LAB/tenant/port": the first part is a lab if the rest is a member of it.
target pick_member(const std::string& text) {
    const std::vector<lab::lab_info> labs = lab::list().value();
    if (labs.empty()) fail(errc::not_found, "find lab", "", "no lab stands on this machine");
    const std::size_t slash = text.find('/');
    const std::string head = text.substr(0, slash), rest = slash == std::string::npos ? "" : text.substr(slash + 1);
    std::vector<target> found;
    for (const lab::lab_info& l : labs) {
        if (l.name == head && has_member(l, rest)) return {l.name, rest};
        if (has_member(l, text)) found.push_back({l.name, text});
    }
    if (found.size() == 1) return found.front();
    if (found.size() > 1)
        fail(errc::invalid_input, "find member", text,
             "several labs have it, write LAB/" + text + ": " + names_of(labs));
    std::string members;
    for (const lab::lab_info& l : labs)
        for (const lab::member& m : l.members)
            if (m.kind != "cables" && (labs.size() == 1 || l.name == head))
                members += (members.empty() ? "" : ", ") + m.name;
    fail(errc::not_found, "find member", text, members.empty() ? "labs: " + names_of(labs) : "the lab has " + members);
}

boost::json::object json_of(const lab::lab_info& l) {
    boost::json::array members;
    for (const lab::member& m : l.members)
        members.push_back({{"name", m.name}, {"kind", m.kind}, {"pid", m.pid}, {"alive", m.alive}, {"netns", m.netns}});
    return {{"name", l.name}, {"fabric_file", l.fabric_file}, {"members", std::move(members)}};
}

}  // namespace

int lab_up(const options& o) {
    const fabric f = load_complete(o, open_values::fill);
    const std::string name = o.name.empty() ? f.name : o.name;
    lab::up(f, roles::compile, name).value();
    std::size_t members = 0;
    if (const auto standing = lab::status(name); standing) members = standing->members.size();
    std::printf("lab %s is up: %zu members\n", name.c_str(), members);
    return 0;
}

int lab_down(const options& o) {
    const std::string name = pick_lab(o.name);
    lab::down(name).value();
    std::printf("lab %s is down\n", name.c_str());
    return 0;
}

int lab_list(const options& o) {
    const std::vector<lab::lab_info> labs = lab::list().value();
    if (o.json) {
        boost::json::array rows;
        for (const lab::lab_info& l : labs) rows.push_back(json_of(l));
        print(boost::json::serialize(rows));
        return 0;
    }
    for (const lab::lab_info& l : labs) {
        std::size_t alive = 0;
        for (const lab::member& m : l.members) alive += m.alive;
        std::printf("%s  %zu of %zu members alive  %s\n", l.name.c_str(), alive, l.members.size(),
                    l.fabric_file.c_str());
    }
    return 0;
}

int lab_status(const options& o) {
    const lab::lab_info l = lab::status(pick_lab(o.name)).value();
    if (o.json) {
        print(boost::json::serialize(json_of(l)));
        return 0;
    }
    std::printf("lab %s  %s\n", l.name.c_str(), l.fabric_file.c_str());
    std::size_t width = 0;
    for (const lab::member& m : l.members) width = std::max(width, m.name.size());
    for (const lab::member& m : l.members)
        std::printf("  %-*s  %-6s  %s%s%s  pid %d  netns %s\n", static_cast<int>(width), m.name.c_str(), m.kind.c_str(),
                    m.alive ? colour().good : colour().bad, m.alive ? "alive" : "dead ", colour().off, m.pid,
                    m.netns.c_str());
    return 0;
}

int lab_exec(const options& o) {
    const target t = pick_member(o.member);
    throw exception(lab::exec(t.lab, t.member, o.command));
}

int lab_test(const options& o) {
    const fabric f = load_complete(o, open_values::fill);
    const std::vector<lab::cell> cells = lab::test(f, roles::expectations(f), o.name.empty() ? f.name : o.name).value();
    print(o.json ? matrix_json(cells) : matrix_text(cells));
    bool good = !cells.empty();
    for (const lab::cell& c : cells) good = good && c.ok();
    return good ? 0 : 1;
}

}  // namespace weft::cli
