// SPDX-License-Identifier: Apache-2.0
// Faults on demand, for tests: in a build with WEFT_FAULTS, the environment WEFT_FAULT="fail KIND N" makes the Nth operation of a kind
// fail ("fail KIND N+": it and all that follow), "kill KIND N" ends the process at it as kill -9 does, "stop KIND N" halts it
// there (SIGSTOP), so that a test can act and then let it go on with SIGCONT, and "log KIND 0" says each aloud; several stand with
// semicolons between them. Every other build has nothing of this.
// Kinds: journal, namespace, sysctl, netlink, nft, ovsdb, openflow, service, wireguard, effect, guardian (its end); namespace-file, where the name of a
// namespace is there and it is not; dump (a failed one is torn, and asked for again); and nft-answer, ovsdb-answer, where what was asked is done and the answer lost. May include: core.
#pragma once

#include "weft/core/error.hpp"

namespace weft::fault {

#ifdef WEFT_FAULTS
// Counts one operation. An error, as a kernel without memory gives it, if this one is to fail.
result<void> point(const char* kind, const std::string& object);
#else
inline result<void> point(const char*, const std::string&) { return {}; }
#endif

}  // namespace weft::fault
