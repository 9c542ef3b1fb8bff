// SPDX-License-Identifier: Apache-2.0
// Where a service's files are, and whether a change of them needs a restart. Pure. May include: model.
#include "weft/model/service.hpp"

namespace weft {

std::string service_folder(const std::string& fabric, const std::string& name) {
    return "/run/weft/services/" + fabric + "/" + name;
}

std::string service_state_folder(const std::string& fabric, const std::string& name) {
    return "/var/lib/weft/services/" + fabric + "/" + name;
}

bool reload_is_enough(const service& before, const service& after) {
    if (before.name != after.name || before.kind != after.kind || before.space != after.space ||
        before.listens_in != after.listens_in || before.ready != after.ready || before.argv != after.argv || before.files.size() != after.files.size())
        return false;
    for (const auto& [name, file] : after.files) {
        const auto old = before.files.find(name);
        // A file that comes or goes is named in argv, or was not read at all.
        if (old == before.files.end() || old->second.reloadable != file.reloadable) return false;
        if (old->second.text != file.text && !file.reloadable) return false;
    }
    return true;
}

}  // namespace weft
