// SPDX-License-Identifier: Apache-2.0
// The model's values as JSON text and back. Field names are the members' names; an unset optional and an empty container are
// left out; addresses, prefixes and MACs are text. Errors name the place in the JSON. May include: core, model.
#pragma once

#include "weft/model/plan.hpp"
#include "weft/model/fabric.hpp"

namespace weft {

std::string to_json(const host_state&);
std::string to_json(const fabric&);
// Whether a plan that somebody kept as JSON is what would be done now: step for step the same objects, old and new. Errors: invalid_input
// where the text is no plan or one of another fabric or node, stale with the first step that differs.
result<void> same_plan(const std::string& kept, const plan& now);
std::string to_json(const plan&);  // {"fabric","node","steps":[{"scope","kind","object","name","before","after","bounces","no_inverse","text","details"}],"pending","quarantined":[{"port","reason"}]}
result<plan> plan_from_json(std::string_view);  // of such a text; what is for people alone is passed over
result<host_state> host_state_from_json(std::string_view);
result<fabric> fabric_from_json(std::string_view);

}  // namespace weft
