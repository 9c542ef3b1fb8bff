// SPDX-License-Identifier: Apache-2.0
// weft.Fabric: read, check, allocate, compile; and plan and apply on a host. Values cross as dicts with the same fields
// as the program's JSON. Fails by weft::exception. May include: weft headers and pybind11.
#include "bindings.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"

namespace weft::python {

namespace {

[[noreturn]] void refuse(const fabric_object& f, std::string detail) {
    throw exception(
        error{errc::invalid_input, "use fabric", f.path.empty() ? f.value.name : f.path, std::move(detail)});
}

fabric_object read(parsed_fabric parsed, std::string path) {
    return {std::move(parsed.fabric), std::move(parsed.diagnostics), std::move(path)};
}

std::vector<diagnostic> check(const fabric_object& f) {
    return roles::validate(f.value, f.faults);
}

py::list check_dicts(const fabric_object& f) {
    py::list rows;
    for (const diagnostic& d : check(f)) {
        py::dict row;
        row["severity"] = d.severity == severity::error ? "error" : "warning";
        row["file"] = d.file;
        row["line"] = d.place.line;
        row["column"] = d.place.column;
        row["path"] = d.path;
        row["value"] = d.value;
        row["problem"] = d.problem;
        row["allowed"] = d.allowed;
        rows.append(row);
    }
    return rows;
}

roles::lock allocate(fabric_object& f, const std::optional<roles::lock>& remembered, bool save) {
    if (save && f.path.empty()) refuse(f, "a fabric that came from text has no lock file to save");
    std::optional<lock_claim> claim;
    if (save) claim = lock_claim::take(lock_path(f.path)).value();
    roles::allocation filled = f.allocation(remembered);
    if (save) save_lock(lock_path(f.path), filled.lock).value();
    f.value = std::move(filled.fabric);
    return filled.lock;
}

host_state wanted(const weft::fabric& complete, const std::string& node, const apply::place& place) {
    const host_facts facts = apply::facts(place, complete, node).value();
    return roles::compile(complete, node, facts).value();
}

py::object compile(const fabric_object& f, const std::string& node) {
    host_facts facts;  // no host's; only a name of a user must be looked up somewhere
    facts.users = apply::users(f.complete(), node).value();
    return from_json(to_json(roles::compile(f.complete(), node, facts).value()));
}

py::object make_plan(const fabric_object& f, const std::string& node, const std::string& netns,
                     const std::string& rundir) {
    const apply::place place{netns, rundir};
    const weft::fabric complete = f.complete();  // a copy: another thread may allocate meanwhile
    return from_json(to_json(unlocked([&] { return apply::make_plan(place, wanted(complete, node, place)); })));
}

py::dict apply_to(const fabric_object& f, const std::string& node, const std::string& netns,
                  const std::string& rundir, const py::object& agreed, std::uint32_t confirm) {
    const apply::place place{netns, rundir};
    const weft::fabric complete = f.complete();
    apply::say caller;
    if (!agreed.is_none()) {
        const auto kept = py::module_::import("json").attr("dumps")(agreed).cast<std::string>();
        caller.before = [kept](const plan& now) { return same_plan(kept, now); };
    }
    caller.made_from = complete;
    caller.confirm = confirm;
    return to_dict(unlocked([&] {
        return apply::apply(place, [&]() -> result<host_state> { return wanted(complete, node, place); }, caller);
    }));
}

py::list expectations(const fabric_object& f) {
    py::list rows;
    for (const expectation& e : roles::expectations(f.complete())) {
        py::dict row;
        row["from"] = e.from;
        row["to"] = e.to;
        row["via"] = e.via;
        row["protocol"] = e.protocol;
        row["port"] = e.port;
        row["expected"] = e.reachable ? "reachable" : "blocked";
        row["address"] = e.address ? py::object(py::str(e.address->to_string())) : py::object(py::none());
        row["why"] = e.why;
        rows.append(row);
    }
    return rows;
}

std::vector<std::string> node_names(const fabric_object& f) {
    std::vector<std::string> names;
    for (const auto& [name, node] : f.value.nodes) names.push_back(name);
    return names;
}

}  // namespace

const weft::fabric& fabric_object::sound() const {
    for (const diagnostic& d : check(*this))
        if (d.severity == severity::error) refuse(*this, d.to_string());
    return value;
}

const weft::fabric& fabric_object::complete() const {
    if (!roles::is_complete(sound())) refuse(*this, "the fabric leaves values open; call allocate() first");
    return value;
}

roles::allocation fabric_object::allocation(const std::optional<roles::lock>& remembered) const {
    if (remembered) return roles::allocate(sound(), *remembered).value();
    return roles::allocate(sound(), path.empty() ? roles::lock{} : load_lock(lock_path(path)).value()).value();
}

void bind_fabric(py::module_& m) {
    py::class_<fabric_object>(m, "Fabric",
                              "A fabric as a file says it. Faults do not raise on reading; check() lists them.")
        .def_static(
            "from_file", [](const std::string& path) { return read(load_fabric(path), path); }, py::arg("path"))
        .def_static(
            "from_text", [](const std::string& text) { return read(parse_fabric(text, "<text>"), ""); },
            py::arg("text"))
        .def_property_readonly("name", [](const fabric_object& f) { return f.value.name; })
        .def_property_readonly("nodes", &node_names, "The nodes' names.")
        .def_property_readonly(
            "complete", [](const fabric_object& f) { return roles::is_complete(f.value); }, "Whether nothing is open.")
        .def("check", &check_dicts, "All faults and warnings, as dicts; an empty list for a sound fabric.")
        .def("allocate", &allocate, py::arg("lock") = py::none(), py::arg("save") = false,
             "Fills what the file leaves open and returns the lock's values. The lock beside the file is read unless "
             "one is given.")
        .def("compile", &compile, py::arg("node"), "The wanted host_state of a node.")
        .def("plan", &make_plan, py::arg("node"), py::arg("netns") = "", py::arg("ovs_rundir") = default_rundir(),
             "The steps from the live to the wanted state.")
        .def("apply", &apply_to, py::arg("node"), py::arg("netns") = "", py::arg("ovs_rundir") = default_rundir(),
             py::arg("plan") = py::none(), py::arg("confirm") = 0,
             "Plans and executes; undoes on failure. With a plan that plan() gave, only if the steps are still the same; with `confirm`, "
             "seconds, all of it is undone unless confirm() is called in time.")
        .def("expectations", &expectations, "The rows of the reachability matrix.")
        .def("to_dict", [](const fabric_object& f) { return from_json(to_json(f.value)); })
        .def("__repr__", [](const fabric_object& f) { return "<weft.Fabric " + f.value.name + ">"; });
}

}  // namespace weft::python
