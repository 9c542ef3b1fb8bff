// SPDX-License-Identifier: Apache-2.0
// weft.Lab: a fabric on one machine for the length of a `with` block. Commands run through `weft lab exec`, since a
// program that may have threads must not fork by itself. Fails by weft::exception. May include: weft headers and
// pybind11.
#include "weft/lab/lab.hpp"

#include <cstdlib>

#include "bindings.hpp"

namespace weft::python {

namespace {

struct lab_object {
    weft::fabric fabric;
    std::string name;
    std::string program;
};

lab_object make_lab(const fabric_object& f, const std::string& name, const std::string& program) {
    const char* set = std::getenv("WEFT_PROGRAM");
    return {f.allocation(std::nullopt).fabric, name.empty() ? f.value.name : name,
            !program.empty() ? program
            : set            ? set
                             : "weft"};
}

lab_object& up(lab_object& l) {
    py::gil_scoped_release released;
    lab::up(l.fabric, roles::compile, l.name).value();
    return l;
}

void down(const lab_object& l) {
    py::gil_scoped_release released;
    lab::down(l.name).value();
}

py::list test(const lab_object& l) {
    py::list rows;
    for (const lab::cell& c : unlocked([&] { return lab::test(l.fabric, roles::expectations(l.fabric), l.name); })) {
        py::dict row;
        row["from"] = c.from;
        row["to"] = c.to;
        row["via"] = c.via;
        row["expected"] = c.expected ? "reachable" : "blocked";
        row["observed"] = c.observed ? "reachable" : "blocked";
        row["ok"] = c.ok();
        row["detail"] = c.detail;
        rows.append(row);
    }
    return rows;
}

py::object exec(const lab_object& l, const std::string& member, const std::vector<std::string>& argv,
                const py::kwargs& options) {
    py::list command;
    for (const std::string& word :
         {l.program, std::string("lab"), std::string("exec"), l.name + '/' + member, std::string("--")})
        command.append(word);
    for (const std::string& word : argv) command.append(word);
    py::dict given;
    given["capture_output"] = true;
    given["text"] = true;
    for (const auto& [key, value] : options) given[key] = value;
    return py::module_::import("subprocess").attr("run")(command, **given);
}

py::list status(const lab_object& l) {
    py::list rows;
    for (const lab::member& m : unlocked([&] { return lab::status(l.name); }).members) {
        py::dict row;
        row["name"] = m.name;
        row["kind"] = m.kind;
        row["pid"] = m.pid;
        row["alive"] = m.alive;
        row["netns"] = m.netns;
        rows.append(row);
    }
    return rows;
}

}  // namespace

void bind_lab(py::module_& m) {
    py::class_<lab_object>(m, "Lab", "A fabric on this machine: up on entering a `with` block, down on leaving it.")
        .def(py::init(&make_lab), py::arg("fabric"), py::arg("name") = "", py::arg("program") = "",
             "`program` is the weft program that exec() runs; else $WEFT_PROGRAM, else weft on the PATH.")
        .def_readonly("name", &lab_object::name)
        .def("up", &up, py::return_value_policy::reference_internal)
        .def("down", &down)
        .def("test", &test, "Sends the packets of every expectation; a dict per cell.")
        .def("exec", &exec, py::arg("member"), py::arg("argv"),
             "Runs a command on a member and returns a subprocess.CompletedProcess; keywords go to subprocess.run.")
        .def("status", &status, "The lab's members, as dicts.")
        .def("__enter__", &up, py::return_value_policy::reference_internal)
        .def("__exit__", [](const lab_object& l, const py::args&) { down(l); });
    m.def(
        "labs",
        [] {
            std::vector<std::string> names;
            for (const lab::lab_info& l : unlocked([] { return lab::list(); })) names.push_back(l.name);
            return names;
        },
        "The names of the labs that stand on this machine.");
}

}  // namespace weft::python
