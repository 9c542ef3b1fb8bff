// SPDX-License-Identifier: Apache-2.0
// The fabric that a node was last made from, as JSON among the records. May include: core, model.
#include "apply/records.hpp"
#include "weft/apply/apply.hpp"
#include "weft/model/json.hpp"

namespace weft::apply {

result<fabric> remembered_fabric(const std::string& name, const std::string& node) {
    const auto text = remembered_text(name, node);
    if (!text) return text.error();
    if (text->empty())
        return error{errc::not_found, "find applied fabric", name,
                     "node " + node + " was not made from it, or is so no longer", 0};
    return fabric_from_json(*text);
}

}  // namespace weft::apply
