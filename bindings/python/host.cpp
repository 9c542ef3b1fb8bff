// SPDX-License-Identifier: Apache-2.0
// Functions of the module that need no fabric: show and remove on a host, and the schema of the fabric file.
// Fails by weft::exception. May include: weft headers and pybind11.
#include "bindings.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"

namespace weft::python {

py::dict to_dict(const apply::report& done) {
    py::dict out;
    out["steps"] = done.steps;
    out["netlink_writes"] = done.netlink_writes;
    out["ovsdb_writes"] = done.ovsdb_writes;
    out["flow_writes"] = done.flow_writes;
    out["pending"] = done.pending;
    py::list quarantined;
    for (const auto& p : done.quarantined) {
        py::dict entry;
        entry["port"] = p.port;
        entry["reason"] = p.reason;
        quarantined.append(entry);
    }
    out["quarantined"] = quarantined;
    out["failed_checks"] = done.failed_checks;
    out["confirm_within"] = done.confirm_within;
    out["earlier_run"] = done.earlier_run;
    return out;
}

namespace {

py::dict to_dict(const apply::recovery& r) {
    py::dict out;
    out["what"] = apply::to_string(r.what);
    out["verb"] = r.verb;
    out["fabric"] = r.fabric;
    out["node"] = r.node;
    out["seconds_left"] = r.seconds_left;
    out["told"] = r.told;
    return out;
}

using recovering = result<apply::recovery> (*)(const apply::place&);

void bind_recovery(py::module_& m, const char* name, recovering run, const char* help) {
    m.def(
        name, [run](const std::string& netns, const std::string& rundir) { return to_dict(unlocked([&] { return run({netns, rundir}); })); },
        py::arg("netns") = "", py::arg("ovs_rundir") = default_rundir(), help);
}

}  // namespace

void bind_host(py::module_& m) {
    m.def(
        "show",
        [](const std::string& netns, const std::string& rundir) {
            return from_json(to_json(unlocked([&] { return apply::observe({netns, rundir}, host_state{}); })));
        },
        py::arg("netns") = "", py::arg("ovs_rundir") = default_rundir(),
        "The live state of all that bears weft's mark.");
    m.def(
        "remove",
        [](const std::string& fabric, const std::string& node, const std::string& netns, const std::string& rundir, std::uint32_t confirm) {
            apply::say caller;
            caller.confirm = confirm;
            return to_dict(unlocked([&] { return apply::remove({netns, rundir}, fabric, node, caller); }));
        },
        py::arg("fabric"), py::arg("node"), py::arg("netns") = "", py::arg("ovs_rundir") = default_rundir(), py::arg("confirm") = 0,
        "Takes weft off a host; with `confirm`, seconds, it comes back unless confirm() is called in time.");
    bind_recovery(m, "confirm", &apply::confirm, "Makes the change that waits final.");
    bind_recovery(m, "rollback", &apply::rollback, "Takes the change that waits back, now.");
    bind_recovery(m, "recover", &apply::recover,
                  "Finishes or undoes what a run left that was killed; after `other_boot` and `unreadable` apply the fabric anew.");
    m.def(
        "schema", [] { return from_json(fabric_schema()); }, "JSON Schema of the fabric file.");
}

}  // namespace weft::python
