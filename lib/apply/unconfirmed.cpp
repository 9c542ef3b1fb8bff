// SPDX-License-Identifier: Apache-2.0
// See the header. Fabrics are compared as this weft writes them, so that a record of an older one still counts. May include: core, model.
#include "apply/unconfirmed.hpp"

#include "apply/records.hpp"
#include "weft/model/json.hpp"

namespace weft::apply {

result<void> note_unconfirmed(const journal_header& h) {
    // A removal leaves nothing that could come back, and what is final already stays so.
    if (h.confirm == 0 || !h.fabric_after || h.fabric_after->empty()) return {};
    const auto final_text = remembered_text(h.fabric, h.node);
    if (!final_text) return final_text.error();
    if (*h.fabric_after == *final_text) return {};
    return remember_unconfirmed(h.fabric, h.node, *h.fabric_after);
}

void note_final(const journal_header& h) {
    if (!h.fabric_after) return;  // a removal confirms nothing, and that of recover least of all
    if (const auto text = unconfirmed_text(h.fabric, h.node); text && !text->empty() && *text == *h.fabric_after) (void)remember_unconfirmed(h.fabric, h.node, {});
}

result<bool> never_confirmed(const fabric& f, const std::string& node) {
    const auto text = unconfirmed_text(f.name, node);
    if (!text) return text.error();
    if (text->empty()) return false;
    const auto tried = fabric_from_json(*text);
    return tried && to_json(*tried) == to_json(f);
}

}  // namespace weft::apply
