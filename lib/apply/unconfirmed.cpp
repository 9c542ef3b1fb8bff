// SPDX-License-Identifier: Apache-2.0
// See the header. Fabrics are compared as this weft writes them, so that a record of an older one still counts. May include: core, model.
#include "apply/unconfirmed.hpp"

#include "apply/records.hpp"
#include "weft/model/json.hpp"

namespace weft::apply {

result<void> note_unconfirmed(const journal_header& h) {
    // A removal leaves nothing that could come back, and what is final already stays so.
    if (h.confirm == 0 || !h.fabric_after || h.fabric_after->empty() || *h.fabric_after == remembered_text(h.fabric, h.node)) return {};
    return remember_unconfirmed(h.fabric, h.node, *h.fabric_after);
}

void note_final(const journal_header& h) {
    if (!h.fabric_after) return;  // a removal confirms nothing, and that of recover least of all
    if (!h.fabric_after->empty() && *h.fabric_after == unconfirmed_text(h.fabric, h.node)) (void)remember_unconfirmed(h.fabric, h.node, {});
}

bool never_confirmed(const fabric& f, const std::string& node) {
    const auto text = unconfirmed_text(f.name, node);
    if (text.empty()) return false;
    const auto tried = fabric_from_json(text);
    return tried && to_json(*tried) == to_json(f);
}

}  // namespace weft::apply
