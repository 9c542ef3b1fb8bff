// SPDX-License-Identifier: Apache-2.0
// The Python module `weft`: its exception and its parts. Every failure of the library is a weft.Error with the
// attributes code, operation, object and detail. May include: weft headers and pybind11.
#include "bindings.hpp"

namespace {

namespace py = pybind11;

// Owned by the module for the life of the interpreter.
PyObject* error_type = nullptr;

void raise(const weft::exception& e) {
    const weft::error& why = e.error();
    const py::object type = py::reinterpret_borrow<py::object>(error_type);
    const py::object instance = type(py::str(e.what()));
    instance.attr("code") = py::str(std::string(weft::to_string(why.code)));
    instance.attr("operation") = why.operation;
    instance.attr("object") = why.object;
    instance.attr("detail") = why.detail;
    instance.attr("errno") = why.errnum;
    PyErr_SetObject(error_type, instance.ptr());
}

}  // namespace

PYBIND11_MODULE(weft, m) {
    m.doc() = "weft: one fabric file, every node's network.";
    m.attr("__version__") = WEFT_VERSION;
    error_type = PyErr_NewExceptionWithDoc("weft.Error", "A failure of weft: code, operation, object, detail, errno.",
                                           nullptr, nullptr);
    if (!error_type) throw py::error_already_set();
    m.attr("Error") = py::reinterpret_borrow<py::object>(error_type);
    py::register_exception_translator([](std::exception_ptr p) {
        try {
            if (p) std::rethrow_exception(p);
        } catch (const weft::exception& e) {
            raise(e);
        }
    });
    weft::python::bind_fabric(m);
    weft::python::bind_host(m);
    weft::python::bind_lab(m);
}
