// SPDX-License-Identifier: Apache-2.0
// Where the helper program weft-node is. Private to the library. May include: core.
#pragma once

#include "weft/core/error.hpp"

namespace weft::services {

// $WEFT_LIBEXEC, beside the program or this library, or ../libexec/weft/. Errors: unavailable.
result<std::string> find_helper();

}  // namespace weft::services
