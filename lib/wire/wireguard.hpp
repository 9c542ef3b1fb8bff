// SPDX-License-Identifier: Apache-2.0
// The bytes of WireGuard's configuration, in both of its tongues: generic netlink of the kernel (linux/wireguard.h) and the text protocol of
// userspace implementations (UAPI: get=1, set=1). No socket. What may carry a secret is written into secret memory only.
// Readers check every length and every word; what is wrong gives an error or, in a dump, is left out. May include: core, model.
#pragma once

#include "weft/core/endpoint.hpp"
#include "weft/core/secret.hpp"
#include "weft/model/link.hpp"
#include "wire/rtnl_message.hpp"

namespace weft::wire {

// What one peer is to become. Unset is left as it is.
struct wireguard_peer_change {
    public_key key{};
    bool remove = false;
    bool only_update = false;                // not made if it has gone meanwhile
    const secret* preshared = nullptr;       // 32 bytes; zeros take the key away
    std::optional<udp_endpoint> endpoint;
    std::optional<std::uint16_t> keepalive;  // 0 switches it off
    bool replace_allowed = false;
    std::vector<ip_prefix> allowed;
};
struct wireguard_change {
    std::string device;
    const secret* private_key = nullptr;     // 32 bytes
    std::optional<std::uint16_t> port;
    bool replace_peers = false;
    std::vector<wireguard_peer_change> peers;
};

// One message or more, none longer than `most` by more than one attribute; the kernel must get them in this order. Device attributes and
// the word to replace all peers are in the first alone; a peer whose addresses go over several messages replaces them in its first.
std::vector<secret> wireguard_set(std::uint16_t family, const wireguard_change&, std::uint32_t first_sequence, std::size_t most = 8192);
secret wireguard_get(std::uint16_t family, const std::string& device, std::uint32_t sequence);
// The number of a generic netlink family, as the controller says it.
message family_get(const std::string& family);
std::optional<std::uint16_t> decode_family(const nlmsghdr*);

// A dump may come in several messages, and a peer in several of these: the parts are joined.
class wireguard_dump {
public:
    void add(const nlmsghdr*);
    wireguard_options take();  // peers by key, addresses sorted; without names of files

private:
    void add_peer(const attributes&);
    wireguard_options out_;
};

secret uapi_set(const wireguard_change&);
// The answer to get=1. Errors: protocol_error, which quotes nothing of it.
result<wireguard_options> uapi_read(std::string_view text);
// What `errno=N` at the end of an answer says; nullopt while the answer is not whole.
std::optional<int> uapi_errno(std::string_view text);

}  // namespace weft::wire
