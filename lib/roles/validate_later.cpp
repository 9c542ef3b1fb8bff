// validate(), what is read but not built yet: each key that a file may have and that no role acts on gets a warning, so that
// nobody believes in a filter or a service that is not there. Lines leave this file as the parts are built. Pure.
#include "roles/validate.hpp"

namespace weft::roles {
namespace {

constexpr const char* later = "is understood but not enforced yet";

void router_later(const std::string& path, const router& r, findings& out) {
    if (!r.routes.empty()) out.warning(r.place, path + ".routes", r.routes.front().to.to_string(), later);
    if (!r.snat) out.warning(r.place, path + ".snat", "false", later);
    if (r.metadata) out.warning(r.place, path + ".metadata", r.metadata->address.to_string(), later);
}

}  // namespace

void validate_later(const fabric& f, findings& out) {
    for (const auto& [tenant_name, t] : f.tenants) {
        const auto path = "tenants." + tenant_name;
        for (const auto& [name, r] : t.routers) router_later(path + ".routers." + name, r, out);
    }
}

}  // namespace weft::roles
