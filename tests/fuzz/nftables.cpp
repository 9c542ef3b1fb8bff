// SPDX-License-Identifier: Apache-2.0
// Fuzzes the decoders of nftables messages: a dump of one or more messages, each behind its netlink header.
#include <algorithm>
#include <cstring>
#include <linux/netlink.h>
#include <vector>

#include "fuzz.hpp"
#include "wire/nft_codec.hpp"

using namespace weft;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    wire::nft_collector collector("weft");
    // As the socket does: cut by the length in each header, aligned to four bytes, and nothing that is not whole.
    while (size >= sizeof(nlmsghdr)) {
        nlmsghdr header;
        std::memcpy(&header, data, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > size) break;
        const std::vector<std::uint8_t> message(data, data + header.nlmsg_len);
        (void)collector.add(message);
        (void)wire::decode_nft_generation(message);
        (void)wire::nft_error_text(message);
        const std::size_t step = std::min<std::size_t>((header.nlmsg_len + 3u) & ~3u, size);
        data += step;
        size -= step;
    }
    collector.found();
    collector.take();
    return 0;
}
