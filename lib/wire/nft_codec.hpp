// SPDX-License-Identifier: Apache-2.0
// nftables messages: tables as values to the bytes of one nfnetlink batch, and the kernel's dump messages back to values.
// Works on bytes only: no socket, no clock. Encoding fails on what a message cannot carry; decoding fails on messages that
// are cut short, and shows a rule that this libnftnl cannot read as one expression named "unreadable", so that it still
// differs from everything wanted. May include: core, model, libmnl, libnftnl.
#pragma once

#include "weft/model/nft.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace weft::wire {

// One transaction. objects[i] names, for errors, what the message with sequence number first_sequence + i does.
struct nft_batch {
    nft::bytes bytes;
    std::vector<std::string> objects;
    std::uint32_t first_sequence = 0;
    std::uint32_t last_sequence = 0;  // the only message that asks for an ACK; its answer comes after all errors
};

// [add, delete] for each table to remove; [add, delete, add, chains, rules] for each table to replace.
result<nft_batch> encode_nft_batch(const std::vector<nft::table>& replace,
                                   const std::vector<std::pair<nft::family, std::string>>& remove,
                                   std::uint32_t first_sequence);

enum class nft_dump { tables, chains, rules };
// A dump request for everything of that kind.
nft::bytes encode_nft_dump(nft_dump what, std::uint32_t sequence);
// A dump request for the rules of one table. The family belongs to it: without one, the kernel stops at the first table of
// that name.
nft::bytes encode_nft_rule_dump(nft::family family, const std::string& table, std::uint32_t sequence);
// Asks for the number of the ruleset's generation, which grows with each transaction.
nft::bytes encode_nft_generation_request(std::uint32_t sequence);
result<std::uint32_t> decode_nft_generation(std::span<const std::uint8_t> message);

// Collects the messages of the three dumps and puts the tables together.
class nft_collector {
public:
    explicit nft_collector(std::string table) : wanted_(std::move(table)) {}
    // One whole netlink message of a dump. Messages of other tables are passed over.
    result<void> add(std::span<const std::uint8_t> message);
    // The tables seen so far that were asked for.
    std::vector<std::pair<nft::family, std::string>> found() const;
    // Tables sorted by family and name, chains sorted by name, rules in the kernel's order.
    std::vector<nft::table> take();

private:
    using table_key = std::pair<std::uint32_t, std::string>;
    result<void> add_table(std::span<const std::uint8_t> message);
    result<void> add_chain(std::span<const std::uint8_t> message);
    result<void> add_rule(std::span<const std::uint8_t> message);

    std::string wanted_;
    std::map<table_key, std::map<std::string, nft::chain>> tables_;
    std::set<table_key> marked_;
};

// The text of an error message's extended ack, "" where there is none.
std::string nft_error_text(std::span<const std::uint8_t> error_message);

std::string_view to_string(nft::family family) noexcept;  // "inet", "ip", ...

}  // namespace weft::wire
