// SPDX-License-Identifier: Apache-2.0
// What a stranger writes against weft. It calls into the library, and by naming the largest functions it links everything
// that the library needs; it changes nothing. Exits with 0 when the answers are right.
#include <weft/core/address.hpp>
#include <weft/model/fabric_file.hpp>

#ifdef WEFT_CONSUMER_WHOLE
#include <weft/apply/apply.hpp>
#include <weft/lab/lab.hpp>
#include <weft/netlink/nftables.hpp>
#include <weft/roles/roles.hpp>
#endif

#include <cstdio>

int main() {
    const auto prefix = weft::parse_prefix("10.10.10.51/24");
    if (!prefix || prefix->network().to_string() != "10.10.10.0/24") return 1;
    if (weft::parse_ip("10.10.10.256").has_value()) return 2;
    if (weft::fabric_schema().empty()) return 3;
#ifdef WEFT_CONSUMER_WHOLE
    if (weft::netlink::nft_writes() != 0) return 4;
    // Named, so that the linker needs them; not called. The volatile keeps the compiler from knowing.
    const auto volatile execute = &weft::apply::execute;
    const auto volatile compile = &weft::roles::compile;
    const auto volatile up = &weft::lab::up;
    if (execute == nullptr || compile == nullptr || up == nullptr) return 5;
#endif
    std::puts("weft is here");
    return 0;
}
