// SPDX-License-Identifier: Apache-2.0
// Builds a small filter table, hands it to the kernel in one transaction, and shows that what the kernel gives back is
// equal. Usage: nft_table NAMESPACE. Touches the table example of that namespace only. Includes weft headers only; says
// why it fails.
#include <cstdio>
#include <weft/netlink/nftables.hpp>

int main(int argc, char** argv) try {
    if (argc != 2) return std::fprintf(stderr, "usage: nft_table NAMESPACE\n"), 2;
    using namespace weft;
    const auto ns = netlink::namespace_handle::open(argv[1]).value();

    nft::chain input{.name = "input", .type = "filter", .hook = 1, .policy = 0};
    input.rules.push_back(nft::rule_builder().ct_state(2 | 4).accept("answers"));
    input.rules.push_back(
        nft::rule_builder().saddr(parse_prefix("192.0.2.0/24").value()).l4proto(6).dport(22).accept("ssh"));
    const nft::table table{.family = nft::family::inet, .name = "example", .chains = {input}};

    netlink::nft_apply(ns, {.replace = {table}}).value();
    const bool same = netlink::nft_tables(ns, "example").value() == std::vector{table};
    std::printf("table example: %zu rules, what the kernel gives back is %s\n", input.rules.size(),
                same ? "equal" : "different");
    netlink::nft_apply(ns, {.remove = {{nft::family::inet, "example"}}}).value();
    return same ? 0 : 1;
} catch (const weft::exception& e) {
    return std::fprintf(stderr, "nft_table: %s\n", e.what()), 1;
}
