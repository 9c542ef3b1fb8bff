// SPDX-License-Identifier: Apache-2.0
// Between IDL rows and the model: reads a snapshot, and writes a change set into an open transaction. Runs on the worker only.
// May include: model and the C shim. Errors: invalid_input, not_found (a port's bridge is not there).
#pragma once

#include "ovs/idl_shim.h"
#include "weft/ovs/database.hpp"

#include <string>
#include <vector>

namespace weft::ovs {

std::vector<bridge_row> read_rows(const ovsdb_idl*);

// What a change set came to: the interfaces whose outcome is to be read, each with its bridge.
struct written { std::vector<std::pair<std::string, std::string>> interfaces; };

result<void> check_changes(const change_set&);
// Idempotent: what stands already is not written, so that an unchanged set makes an unchanged transaction.
result<written> write_changes(ovsdb_idl*, ovsdb_idl_txn*, const change_set&);
std::vector<port_outcome> read_outcomes(const ovsdb_idl*, const written&);

}  // namespace weft::ovs
