// SPDX-License-Identifier: Apache-2.0
// What must be remembered on the host beside the objects' own marks: which namespaces are ours (/run/weft/netns, gone with the
// boot as they are) and which sysctl values were found (/var/lib/weft/sysctls). Files are written whole and renamed.
// May include: core. Private to apply.
#pragma once

#include "weft/core/error.hpp"

#include <map>
#include <string>
#include <vector>

namespace weft::apply {

// Names of our namespaces for a host place (its netns name) and a fabric; "" as fabric gives all.
result<std::vector<std::string>> recorded_namespaces(const std::string& fabric);
result<void> record_namespace(const std::string& fabric, const std::string& name);
void forget_namespace(const std::string& name);

// "netns|key" → the value found before weft wrote to it first. "" as value: the key was absent.
using sysctl_memory = std::map<std::string, std::string>;
result<sysctl_memory> found_sysctls(const std::string& fabric, const std::string& node);
result<void> remember_sysctls(const std::string& fabric, const std::string& node, const sysctl_memory&);

}  // namespace weft::apply
