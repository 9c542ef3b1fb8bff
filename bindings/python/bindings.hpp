// SPDX-License-Identifier: Apache-2.0
// What the parts of the Python module share: the fabric as Python holds it, and JSON as the road from values to dicts.
// Failures leave as weft::exception, which module.cpp turns into weft.Error. May include: weft headers and pybind11.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "weft/apply/apply.hpp"
#include "weft/roles/roles.hpp"

namespace weft::python {

namespace py = pybind11;

// A fabric with the faults that parsing found. What needs a sound fabric asks sound(), what needs a complete one
// complete().
struct fabric_object {
    weft::fabric value;
    std::vector<diagnostic> faults;
    std::string path;  // "" when read from text

    const weft::fabric& sound() const;     // Errors: invalid_input with the first fault
    const weft::fabric& complete() const;  // Errors: invalid_input when values are open
    roles::allocation allocation(const std::optional<roles::lock>& remembered) const;
};

inline py::object from_json(const std::string& text) { return py::module_::import("json").attr("loads")(text); }

// Runs work without the interpreter lock and gives its value or throws.
template <class Work>
auto unlocked(Work&& work) {
    py::gil_scoped_release released;
    return work().value();
}

inline const char* default_rundir() {
    static const apply::place defaults;
    return defaults.ovs_rundir.c_str();
}

py::dict to_dict(const apply::report&);

void bind_fabric(py::module_&);
void bind_host(py::module_&);
void bind_lab(py::module_&);

}  // namespace weft::python
