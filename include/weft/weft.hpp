// SPDX-License-Identifier: Apache-2.0
// The whole library in one include. The picture is in docs/architecture.md: a fabric is read, allocated and compiled to the
// wanted host_state of a node; apply observes the live one, and the difference is the plan.
#pragma once

#include "weft/apply/apply.hpp"
#include "weft/apply/follow.hpp"
#include "weft/apply/watch.hpp"
#include "weft/lab/lab.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/model/json.hpp"
#include "weft/model/overlay.hpp"
#include "weft/model/underlay.hpp"
#include "weft/netlink/changes.hpp"
#include "weft/netlink/conntrack.hpp"
#include "weft/netlink/monitor.hpp"
#include "weft/netlink/nftables.hpp"
#include "weft/netlink/session.hpp"
#include "weft/ovs/database.hpp"
#include "weft/ovs/flow_monitor.hpp"
#include "weft/ovs/flows.hpp"
#include "weft/ovs/version.hpp"
#include "weft/probe/announce.hpp"
#include "weft/probe/probe.hpp"
#include "weft/roles/roles.hpp"
