// SPDX-License-Identifier: Apache-2.0
// nftables as values, at the level of the kernel's own expressions, so that what the kernel gives back compares equal to
// what was wanted without any translation. The builders below write the few sentences that weft needs.
// Names of expressions and their fields are those of linux/netfilter/nf_tables.h. May include: core.
#pragma once

#include "weft/core/address.hpp"

#include <optional>
#include <vector>

namespace weft::nft {

enum class family : std::uint8_t { inet = 1, ipv4 = 2, arp = 3, netdev = 5, bridge = 7, ipv6 = 10 };  // NFPROTO_*

using bytes = std::vector<std::uint8_t>;

// One expression in the kernel's terms. `name` is "meta", "cmp", "payload", "ct", "bitwise", "immediate", "nat", "masq",
// "counter", "fib", "notrack", "range", "lookup"; numbers is attribute → value, data is attribute → raw bytes, both keyed by
// the NFTNL_EXPR_* attribute number of libnftnl; text is attribute → string. What the kernel fills by itself (counters'
// values, set ids) is left out on both sides.
struct expression {
    std::string name;
    std::vector<std::pair<std::uint16_t, std::uint64_t>> numbers;  // sorted by key
    std::vector<std::pair<std::uint16_t, bytes>> data;             // sorted by key
    std::vector<std::pair<std::uint16_t, std::string>> text;       // sorted by key
    friend bool operator==(const expression&, const expression&) = default;
};

struct rule {
    std::vector<expression> expressions;
    std::string comment;  // for people: what the rule is for; not compared
    friend bool operator==(const rule& a, const rule& b) { return a.expressions == b.expressions; }
};

struct chain {
    std::string name;
    std::string type;              // "filter", "nat", "route"; "" for a chain that is only jumped to
    std::uint32_t hook = 0;        // NF_INET_PRE_ROUTING 0, LOCAL_IN 1, FORWARD 2, LOCAL_OUT 3, POST_ROUTING 4; netdev ingress 0
    std::int32_t priority = 0;
    std::uint32_t policy = 1;      // NF_DROP 0, NF_ACCEPT 1
    std::vector<std::string> devices;  // netdev hooks; sorted
    std::vector<rule> rules;
    friend bool operator==(const chain&, const chain&) = default;
};

struct table {
    nft::family family = nft::family::inet;
    std::string name;
    std::vector<chain> chains;  // sorted by name
    bool marked = true;         // as read: whether weft made it, by the comment that it gives its tables; not compared
    friend bool operator==(const table& a, const table& b) {
        return a.family == b.family && a.name == b.name && a.chains == b.chains;
    }
};

// A rule is built by chaining: rule_builder().iifname("eth1").ip_protocol(47).accept("tunnel").
class rule_builder {
public:
    // The family of the table that the rule is for: in an inet table an address match says first which protocol it is of; in an
    // ip or ip6 table that match means nothing, and nft(8) cannot even list it.
    explicit rule_builder(family table = family::inet) : family_(table) {}
    rule_builder& iifname(const std::string& name, bool equal = true);
    rule_builder& oifname(const std::string& name, bool equal = true);
    rule_builder& iifname_prefix(const std::string& prefix, bool equal = true);  // "qr-*"
    rule_builder& nfproto(bool v6);                    // inet tables: which family
    rule_builder& saddr(const ip_prefix&, bool equal = true);   // adds nfproto in an inet table
    rule_builder& daddr(const ip_prefix&, bool equal = true);
    rule_builder& l4proto(std::uint8_t);               // meta l4proto
    rule_builder& dport(std::uint16_t);                // after l4proto
    rule_builder& ct_state(std::uint32_t mask);        // established 2, related 4, new 8, invalid 1 (any bit set)
    rule_builder& ct_status_dnat(bool set);            // IPS_DST_NAT bit 5
    rule_builder& mark(std::uint32_t value, std::uint32_t mask);
    rule_builder& set_mark(std::uint32_t value);
    rule_builder& counter();
    rule_builder& snat(const ip_address&);
    rule_builder& dnat(const ip_address&);
    rule_builder& masquerade();
    rule accept(std::string comment = {});
    rule drop(std::string comment = {});
    rule done(std::string comment = {});               // no verdict: the rule ends in a statement like snat

private:
    family family_;
    rule rule_;
};

}  // namespace weft::nft
