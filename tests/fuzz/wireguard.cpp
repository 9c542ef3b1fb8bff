// SPDX-License-Identifier: Apache-2.0
// Fuzzes the readers of WireGuard's answers: the kernel's messages and the text of a userspace implementation. What was read is set again
// in either tongue, and reads the same from there.
#include <cstring>

#include "fuzz.hpp"
#include "weft/core/secret.hpp"
#include "wire/wireguard.hpp"

using namespace weft;
using fuzz::must;

namespace {

void round_trip(const wireguard_options& seen) {
    wire::wireguard_change c;
    c.device = "wg0";
    c.port = seen.port;
    for (const auto& p : seen.peers) {
        wire::wireguard_peer_change one;
        const auto key = public_key_from_base64(p.public_key);
        must(key.has_value(), "a peer that was read has a key");
        one.key = *key;
        one.keepalive = p.keepalive;
        if (!p.endpoint.empty()) one.endpoint = *parse_endpoint(p.endpoint);
        one.allowed = p.allowed;
        c.peers.push_back(std::move(one));
    }
    wire::wireguard_dump again;
    for (const auto& m : wire::wireguard_set(20, c, 1, 300)) {
        const auto* h = reinterpret_cast<const nlmsghdr*>(m.data());
        must(h->nlmsg_len == m.size(), "an encoded message has its own length");
        again.add(h);
    }
    must(again.take().peers.size() <= seen.peers.size(), "no peer comes out of nothing");
    const auto text = wire::uapi_set(c);
    (void)wire::uapi_read({reinterpret_cast<const char*>(text.data()), text.size()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto seen = wire::uapi_read(text)) round_trip(*seen);
    (void)wire::uapi_errno(text);
    if (const auto e = parse_endpoint(text)) must(parse_endpoint(e->to_string()).has_value(), "an endpoint reads back");
    if (size < sizeof(nlmsghdr)) return 0;
    auto bytes = secret_of({data, size});
    auto* h = reinterpret_cast<nlmsghdr*>(bytes.data());
    h->nlmsg_len = static_cast<std::uint32_t>(size);
    (void)wire::decode_family(h);
    wire::wireguard_dump dump;
    dump.add(h);
    dump.add(h);
    round_trip(dump.take());
    return 0;
}
