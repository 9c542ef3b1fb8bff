// SPDX-License-Identifier: Apache-2.0
// Taking down what a lab made: processes, namespaces, folder. It works on any half of a lab and repeats harmlessly.
// Errors: timed_out when a process does not go. May include: core.
#pragma once

#include "lab/folder.hpp"

namespace weft::lab {

// Ends every process that lives in one of the namespaces (network or mount), deletes them, removes the folder.
// `namespaces` are outer names; those that are not there are passed over.
result<void> take_down(const std::string& lab, const std::vector<std::string>& namespaces);

}  // namespace weft::lab
