// SPDX-License-Identifier: Apache-2.0
// Loading of a fabric file for all verbs: parse, validate, allocate against the lock; and the small output helpers.
// Fails by weft::exception after the diagnostics have been printed. May include: weft headers and Boost.JSON.
#include "common.hpp"

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <optional>

#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"

namespace weft::cli {

namespace {

// On a lab node: the fabric that the lab was brought up with, complete.
constexpr const char* lab_fabric = "/run/weft/fabric.json";

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

void fail(errc code, std::string operation, std::string object, std::string detail) {
    throw exception(error{code, std::move(operation), std::move(object), std::move(detail)});
}

void print(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
}

result<host_state> compiled_here(const apply::place& place, const fabric& f, const std::string& node) {
    const auto facts = apply::facts(place, f, node);
    if (!facts) return facts.error();
    return roles::compile(f, node, *facts);
}

std::string place_words(const apply::place& place) {
    return (place.netns.empty() ? "" : " --netns " + place.netns) +
           (place.ovs_rundir == apply::place().ovs_rundir ? "" : " --ovs-rundir " + place.ovs_rundir);
}

uninterrupted::uninterrupted() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
    ::pthread_sigmask(SIG_BLOCK, &ending, &before_);
}
uninterrupted::~uninterrupted() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

const colours& colour() {
    static const colours plain{"", "", "", "", ""};
    static const colours ansi{"\033[32m", "\033[1;31m", "\033[2m", "\033[1m", "\033[0m"};
    static const bool terminal = ::isatty(STDOUT_FILENO) && !::getenv("NO_COLOR");
    return terminal ? ansi : plain;
}

std::vector<diagnostic> diagnostics_of(const options& o, fabric* loaded) {
    parsed_fabric parsed = load_fabric(o.file);
    std::vector<diagnostic> all = roles::validate(parsed.fabric, parsed.diagnostics);
    if (loaded) *loaded = std::move(parsed.fabric);
    return all;
}

std::string diagnostics_json(const std::vector<diagnostic>& all) {
    boost::json::array rows;
    for (const diagnostic& d : all)
        rows.push_back({{"severity", d.severity == severity::error ? "error" : "warning"},
                        {"file", d.file},
                        {"line", d.place.line},
                        {"column", d.place.column},
                        {"path", d.path},
                        {"value", d.value},
                        {"problem", d.problem},
                        {"allowed", d.allowed}});
    return boost::json::serialize(rows);
}

fabric load(const options& o) {
    fabric f;
    std::size_t errors = 0;
    for (const diagnostic& d : diagnostics_of(o, &f)) {
        std::fprintf(stderr, "%s\n", d.to_string().c_str());
        errors += d.severity == severity::error;
    }
    if (errors)
        fail(errc::invalid_input, "read fabric", o.file, std::to_string(errors) + (errors == 1 ? " error" : " errors"));
    if (f.file.empty()) f.file = o.file;
    return f;
}

boost::json::value parsed_json(const std::string& text) {
    boost::json::parse_options any_bytes;
    any_bytes.allow_invalid_utf8 = true;
    return boost::json::parse(text, {}, any_bytes);
}

std::optional<fabric> fabric_of_this_lab() {
    std::ifstream in(lab_fabric);
    if (!in && errno != ENOENT && errno != EACCES) throw exception(errno_error(errno, "read", lab_fabric));
    if (!in) return std::nullopt;
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return fabric_from_json(text).value();
}

fabric load_complete(const options& o, open_values strictness) {
    fabric f = load(o);
    const std::string path = o.lock.empty() ? lock_path(o.file) : o.lock;
    roles::lock remembered = load_lock(path).value();
    const bool complete = roles::is_complete(f);
    bool from_lab = false;
    if (!complete && o.lock.empty() && !exists(path))
        if (const auto here = fabric_of_this_lab(); here && here->name == f.name) {
            remembered = roles::lock_of(*here);
            from_lab = true;
        }
    roles::allocation filled = roles::allocate(f, remembered).value();
    // A lab's values cover all of the fabric, those that the file gives included; a lock has the open ones only.
    bool fresh = from_lab || filled.lock == remembered;
    if (from_lab)
        for (const auto& [key, value] : filled.lock)
            fresh = fresh && remembered.contains(key) && remembered.at(key) == value;
    if (strictness == open_values::refuse && !complete && !fresh)
        fail(errc::invalid_input, "use fabric", o.file,
             from_lab ? "the file asks for values that this lab was not built with; take the lab down and up again"
             : exists(path)
                 ? "the lock " + path + " is older than the file; run: weft allocate " + o.file
                 : "the file leaves values open and there is no lock " + path + "; run: weft allocate " + o.file);
    return std::move(filled.fabric);
}

}  // namespace weft::cli
