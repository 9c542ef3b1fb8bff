// validate(), what is read but not built yet: each key that a file may have and that no role acts on gets a warning, so that
// nobody believes in a filter or a service that is not there. Lines leave this file as the parts are built. Pure.
#include "roles/validate.hpp"

namespace weft::roles {
namespace {

constexpr const char* later = "is understood but not enforced yet";

void port_later(const std::string& path, const tenant_port& p, findings& out) {
    if (p.attach != "plugged") out.warning(p.place, path + ".attach", p.attach, later);
    if (!p.user.empty()) out.warning(p.place, path + ".user", p.user, later);
}

}  // namespace

void validate_later(const fabric& f, findings& out) {
    for (const auto& [tenant_name, t] : f.tenants) {
        const auto path = "tenants." + tenant_name;
        for (const auto& [name, p] : t.ports) port_later(path + ".ports." + name, p, out);
    }
}

}  // namespace weft::roles
