// SPDX-License-Identifier: Apache-2.0
// Which attributes each nftables expression has and how libnftnl holds them: one table that drives encoding and decoding.
// Attributes that the kernel fills by itself (counter values, set ids) are left out. An expression that is not in the table
// is decoded by its name alone and cannot be encoded. May include: model, libnftnl.
#pragma once

#include "weft/model/nft.hpp"

struct nftnl_expr;

namespace weft::wire {

// Makes the libnftnl object, which the caller owns. Errors: unsupported (name or attribute not known), invalid_input (a
// value too long).
result<nftnl_expr*> encode_nft_expression(const nft::expression&);
// Register aliases (NFT_REG32_xx) are brought to one form: NFT_REG_1 to NFT_REG_4 where they name the same bytes.
nft::expression decode_nft_expression(const nftnl_expr*);

}  // namespace weft::wire
