// SPDX-License-Identifier: Apache-2.0
// The verbs that look at a fabric file only: check, allocate, compile. They need no privilege and touch nothing but the
// lock file. May include: weft headers and Boost.JSON; fails by weft::exception.
#include <boost/json.hpp>
#include <cstdio>

#include "common.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"

namespace weft::cli {

int check(const options& o) {
    if (o.json) {
        const std::vector<diagnostic> all = diagnostics_of(o);
        print(diagnostics_json(all));
        for (const diagnostic& d : all)
            if (d.severity == severity::error) return 1;
        return 0;
    }
    const fabric f = load(o);
    std::size_t networks = 0, ports = 0;
    for (const auto& [name, t] : f.tenants) networks += t.networks.size(), ports += t.ports.size();
    std::printf("%s: fabric %s is valid: %zu nodes, %zu tenants, %zu tenant networks, %zu ports%s\n", o.file.c_str(),
                f.name.c_str(), f.nodes.size(), f.tenants.size(), networks, ports,
                roles::is_complete(f) ? "" : "; it leaves values open for weft allocate");
    return 0;
}

int allocate(const options& o) {
    const std::string path = o.lock.empty() ? lock_path(o.file) : o.lock;
    const lock_claim claim = lock_claim::take(path).value();
    const fabric f = load(o);
    const roles::lock remembered = load_lock(path).value();
    const roles::allocation filled = roles::allocate(f, remembered).value();
    if (filled.lock != remembered) save_lock(path, filled.lock).value();

    if (o.json) {
        boost::json::object values;
        for (const auto& [key, value] : filled.lock) values.emplace(key, value);
        print(boost::json::serialize(values));
        return 0;
    }
    for (const auto& [key, value] : filled.lock)
        if (!remembered.contains(key))
            std::printf("+ %s = %s\n", key.c_str(), value.c_str());
        else if (remembered.at(key) != value)
            std::printf("~ %s = %s (was %s)\n", key.c_str(), value.c_str(), remembered.at(key).c_str());
    for (const auto& [key, value] : remembered)
        if (!filled.lock.contains(key)) std::printf("- %s = %s\n", key.c_str(), value.c_str());
    std::printf("%s: %zu values%s\n", path.c_str(), filled.lock.size(), filled.lock == remembered ? ", unchanged" : "");
    return 0;
}

int compile(const options& o) {
    const fabric f = load_complete(o, open_values::refuse);
    host_facts facts;  // no host's; only a name of a user must be looked up somewhere
    facts.users = apply::users(f, o.node).value();
    const host_state wanted = roles::compile(f, o.node, facts).value();
    print(o.json ? to_json(wanted) : describe(wanted));
    return 0;
}

}  // namespace weft::cli
