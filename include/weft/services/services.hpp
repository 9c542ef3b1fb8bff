// SPDX-License-Identifier: Apache-2.0
// The programs that a node keeps running (dnsmasq, haproxy). One supervisor process per node, started when there is none, is
// their parent: it starts them in their namespaces, starts them again when they die, and ends with the last of them.
// They die with it, so that a service that lives is always a supervised one. May include: core, model.
#pragma once

#include "weft/core/error.hpp"
#include "weft/model/service.hpp"

namespace weft::services {

// The services of the fabric that live now and do their work in the namespace of their name, each as it was started;
// one whose files were altered since is left out. Starts nothing.
result<std::vector<service>> running(const std::string& fabric);
// Starts the service, or makes a running one of this name into it: by a reload where that is enough, else by a restart.
// A program that dies at once is an error that tells its last words; one that is given `--pid-file=` must have
// written it, and one that has a `ready` socket must answer there.
result<void> put(const std::string& fabric, const service&);
// Ends the service and removes its files and what it kept (leases). Nothing to do is no error.
result<void> remove(const std::string& fabric, const std::string& name);

}  // namespace weft::services
