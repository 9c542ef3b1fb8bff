// SPDX-License-Identifier: Apache-2.0
// nftables in one namespace over nfnetlink: read tables, replace tables atomically, remove tables.
// May include: core, model.
#pragma once

#include "weft/model/nft.hpp"
#include "weft/netlink/namespaces.hpp"

#include <span>

namespace weft::netlink {

// All tables of that name (every family), with chains (sorted) and rules in kernel order. Empty name: all tables.
// Equivalent to: nft list table FAMILY NAME.
result<std::vector<nft::table>> nft_tables(const namespace_handle&, const std::string& name = "weft");

struct nft_change {
    std::vector<nft::table> replace;                              // each is created, or emptied and filled anew
    std::vector<std::pair<nft::family, std::string>> remove;      // the absent is no error
};
// One batch, one transaction: all or nothing. Equivalent to: nft -f FILE with "add table; delete table; table …".
result<void> nft_apply(const namespace_handle&, const nft_change&);
std::uint64_t nft_writes() noexcept;

}  // namespace weft::netlink
