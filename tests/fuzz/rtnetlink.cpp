// SPDX-License-Identifier: Apache-2.0
// Fuzzes the decoders of rtnetlink messages. A decoded object is encoded without a fault, and what the encoder made is a
// whole message that decodes again.
#include <cstring>
#include <vector>

#include "fuzz.hpp"
#include "wire/rtnl_link.hpp"
#include "wire/rtnl_route.hpp"

using namespace weft;
using fuzz::must;

namespace {

std::string name_of(std::uint32_t index) { return index == 0 ? "" : "if" + std::to_string(index); }
std::uint32_t index_of(const std::string& name) { return name.empty() ? 0 : 1; }

void whole(wire::message m) {
    const auto& bytes = m.finish(1);
    must(bytes.size() >= sizeof(nlmsghdr) && reinterpret_cast<const nlmsghdr*>(bytes.data())->nlmsg_len == bytes.size(),
         "an encoded message has its own length");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // The socket hands out whole messages only, so the length in the header is the true one.
    if (size < sizeof(nlmsghdr)) return 0;
    std::vector<std::uint8_t> bytes(data, data + size);
    auto* h = reinterpret_cast<nlmsghdr*>(bytes.data());
    h->nlmsg_len = static_cast<std::uint32_t>(size);

    if (auto link = wire::decode_link(h)) {
        wire::resolve_names(*link, name_of);
        whole(wire::link_create(link->value, index_of, -1));
        whole(wire::link_change(link->value, *link, index_of));
    }
    if (const auto v = wire::decode_address(h, name_of)) whole(wire::encode(*v, wire::write::add, index_of));
    if (const auto v = wire::decode_nexthop(h, name_of)) whole(wire::encode(*v, wire::write::add, index_of));
    if (const auto v = wire::decode_route(h, name_of)) whole(wire::encode(*v, wire::write::add, index_of));
    if (const auto v = wire::decode_rule(h)) whole(wire::encode(*v, wire::write::add, index_of));
    if (const auto v = wire::decode_neighbour(h, name_of)) whole(wire::encode(*v, wire::write::add, index_of));
    return 0;
}
