// SPDX-License-Identifier: Apache-2.0
// The programs that a node keeps running (dnsmasq, haproxy). One supervisor process per node, started when there is none, is
// their parent: it starts them in their namespaces, starts them again when they die, and ends with the last of them.
// They die with it, so that a service that lives is always a supervised one. May include: core, model.
#pragma once

#include "weft/core/error.hpp"
#include "weft/model/service.hpp"

namespace weft::services {

// The services of the fabric that live now and do their work in the namespace of their name, each as it was started, but with its
// files as they stand now: one that was altered is another, and one that has gone is not among them. Starts nothing.
result<std::vector<service>> running(const std::string& fabric);
// All of the fabric that the supervisor has, also dead ones and those that keep dying, and those of which only files are left (of a
// supervisor that was lost), as they were started; what can no longer be read has its name alone. By name. Starts nothing.
result<std::vector<service>> known(const std::string& fabric);
// Starts the service, or makes a running one of this name into it: by a reload where that is enough, else by a restart.
// A program that dies at once is an error that tells its last words; one that is given `--pid-file=` must have
// written it, and one that has a `ready` socket must answer there. After an error all is as before: the one that ran under this name
// runs again with the files that it had, and where none did no file is left.
result<void> put(const std::string& fabric, const service&);
// Ends the service and removes its files, but not what it kept (leases), so that one who takes the removal back finds it again.
// Nothing to do is no error.
result<void> remove(const std::string& fabric, const std::string& name);
// Removes what a service kept, once its removal is final; without a name, what all of the fabric's kept. Nothing to do is no error.
void forget(const std::string& fabric, const std::string& name = {});

}  // namespace weft::services
