// SPDX-License-Identifier: Apache-2.0
// WireGuard over generic netlink. The messages are built in secret memory here, since the builder of the others keeps its bytes on the
// ordinary heap. Constants are of linux/wireguard.h. May include: core, model, linux headers. Cannot fail.
#include "wire/wireguard.hpp"

#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include <algorithm>

namespace weft::wire {
namespace {

// An attribute is as long as its 16-bit length can say; a list of peers ends well before.
constexpr std::size_t longest_nest = 60000;

struct writer {
    secret bytes;

    writer(std::uint16_t type, std::uint16_t flags, std::uint8_t command, std::uint32_t sequence) {
        nlmsghdr h{};
        h.nlmsg_type = type;
        h.nlmsg_flags = flags;
        h.nlmsg_seq = sequence;
        bytes.append(&h, sizeof h);
        genlmsghdr g{};
        g.cmd = command;
        g.version = WG_GENL_VERSION;
        bytes.append(&g, sizeof g);
    }
    void put(std::uint16_t type, const void* data, std::size_t size) {
        const nlattr a{static_cast<std::uint16_t>(NLA_HDRLEN + size), type};
        bytes.append(&a, sizeof a);
        bytes.append(data, size);
        bytes.resize(NLA_ALIGN(bytes.size()));
    }
    template <class T> void number(std::uint16_t type, T v) { put(type, &v, sizeof v); }
    std::size_t begin(std::uint16_t type) {
        const auto at = bytes.size();
        const nlattr a{NLA_HDRLEN, static_cast<std::uint16_t>(type | NLA_F_NESTED)};
        bytes.append(&a, sizeof a);
        return at;
    }
    void end(std::size_t nest) {
        const auto size = static_cast<std::uint16_t>(bytes.size() - nest);
        std::memcpy(bytes.data() + nest, &size, sizeof size);
    }
    secret finish() {
        const auto size = static_cast<std::uint32_t>(bytes.size());
        std::memcpy(bytes.data(), &size, sizeof size);
        return std::move(bytes);
    }
};

void put_endpoint(writer& w, const udp_endpoint& e) {
    if (e.address.is_v6()) {
        sockaddr_in6 s{};
        s.sin6_family = AF_INET6;
        s.sin6_port = htons(e.port);
        const auto raw = e.address.to_v6().to_bytes();
        std::memcpy(&s.sin6_addr, raw.data(), raw.size());
        w.put(WGPEER_A_ENDPOINT, &s, sizeof s);
    } else {
        sockaddr_in s{};
        s.sin_family = AF_INET;
        s.sin_port = htons(e.port);
        const auto raw = e.address.to_v4().to_bytes();
        std::memcpy(&s.sin_addr, raw.data(), raw.size());
        w.put(WGPEER_A_ENDPOINT, &s, sizeof s);
    }
}

void put_allowed(writer& w, const ip_prefix& prefix) {
    const auto item = w.begin(0);
    w.number<std::uint16_t>(WGALLOWEDIP_A_FAMILY, prefix.is_v6() ? AF_INET6 : AF_INET);
    if (prefix.is_v6()) {
        const auto raw = prefix.address.to_v6().to_bytes();
        w.put(WGALLOWEDIP_A_IPADDR, raw.data(), raw.size());
    } else {
        const auto raw = prefix.address.to_v4().to_bytes();
        w.put(WGALLOWEDIP_A_IPADDR, raw.data(), raw.size());
    }
    w.number<std::uint8_t>(WGALLOWEDIP_A_CIDR_MASK, prefix.length);
    w.end(item);
}

ip_address address_of(const attribute& a) { return a.ip().value_or(ip_address()); }

// The items of a list, which all have one number.
template <class F> void for_each_item(byte_span bytes, F&& f) {
    while (bytes.size() >= NLA_HDRLEN) {
        nlattr a{};
        std::memcpy(&a, bytes.data(), sizeof a);
        if (a.nla_len < NLA_HDRLEN || a.nla_len > bytes.size()) return;
        f(bytes.subspan(NLA_HDRLEN, a.nla_len - NLA_HDRLEN));
        bytes = bytes.subspan(std::min<std::size_t>(NLA_ALIGN(a.nla_len), bytes.size()));
    }
}

std::string endpoint_of(const attribute& a) {
    const auto raw = a.payload();
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (raw.size() < sizeof v4) return {};
    std::memcpy(&v4, raw.data(), sizeof v4);
    udp_endpoint e;
    if (v4.sin_family == AF_INET) {
        boost::asio::ip::address_v4::bytes_type bytes;
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        e = {boost::asio::ip::address_v4(bytes), ntohs(v4.sin_port)};
    } else if (v4.sin_family == AF_INET6 && raw.size() >= sizeof v6) {
        std::memcpy(&v6, raw.data(), sizeof v6);
        boost::asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        e = {boost::asio::ip::address_v6(bytes), ntohs(v6.sin6_port)};
    } else {
        return {};
    }
    return e.to_string();
}

}  // namespace

std::vector<secret> wireguard_set(std::uint16_t family, const wireguard_change& c, std::uint32_t sequence, std::size_t most) {
    std::vector<secret> out;
    std::size_t peer = 0, address = 0;  // the next to be written
    const auto limit = std::min(most, longest_nest);
    do {
        writer w(family, NLM_F_REQUEST | NLM_F_ACK, WG_CMD_SET_DEVICE, sequence++);
        w.put(WGDEVICE_A_IFNAME, c.device.c_str(), c.device.size() + 1);
        if (out.empty()) {
            if (c.private_key != nullptr) w.put(WGDEVICE_A_PRIVATE_KEY, c.private_key->data(), c.private_key->size());
            if (c.port) w.number<std::uint16_t>(WGDEVICE_A_LISTEN_PORT, *c.port);
            if (c.replace_peers) w.number<std::uint32_t>(WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
        }
        if (peer < c.peers.size()) {
            const auto list = w.begin(WGDEVICE_A_PEERS);
            while (peer < c.peers.size() && w.bytes.size() < limit) {
                const auto& p = c.peers[peer];
                const auto item = w.begin(0);
                w.put(WGPEER_A_PUBLIC_KEY, p.key.data(), p.key.size());
                std::uint32_t flags = 0;
                if (p.remove) flags |= WGPEER_F_REMOVE_ME;
                if (p.only_update) flags |= WGPEER_F_UPDATE_ONLY;
                if (address == 0) {
                    if (p.replace_allowed) flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
                    if (p.preshared != nullptr) w.put(WGPEER_A_PRESHARED_KEY, p.preshared->data(), p.preshared->size());
                    if (p.endpoint) put_endpoint(w, *p.endpoint);
                    if (p.keepalive) w.number<std::uint16_t>(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, *p.keepalive);
                }
                if (flags != 0) w.number<std::uint32_t>(WGPEER_A_FLAGS, flags);
                if (address < p.allowed.size()) {
                    const auto addresses = w.begin(WGPEER_A_ALLOWEDIPS);
                    do put_allowed(w, p.allowed[address++]);
                    while (address < p.allowed.size() && w.bytes.size() < limit);
                    w.end(addresses);
                }
                w.end(item);
                if (address >= p.allowed.size()) {
                    ++peer;
                    address = 0;
                }
            }
            w.end(list);
        }
        out.push_back(w.finish());
    } while (peer < c.peers.size());
    return out;
}

secret wireguard_get(std::uint16_t family, const std::string& device, std::uint32_t sequence) {
    writer w(family, NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP, WG_CMD_GET_DEVICE, sequence);
    w.put(WGDEVICE_A_IFNAME, device.c_str(), device.size() + 1);
    return w.finish();
}

message family_get(const std::string& family) {
    message m(GENL_ID_CTRL, NLM_F_ACK);
    genlmsghdr g{};
    g.cmd = CTRL_CMD_GETFAMILY;
    g.version = 1;
    m.header(g).text(CTRL_ATTR_FAMILY_NAME, family);
    return m;
}

std::optional<std::uint16_t> decode_family(const nlmsghdr* h) {
    if (h->nlmsg_type != GENL_ID_CTRL) return std::nullopt;
    const auto parts = split<genlmsghdr>(h);
    if (!parts) return std::nullopt;
    return attributes(parts->second)[CTRL_ATTR_FAMILY_ID].u16();
}

void wireguard_dump::add(const nlmsghdr* h) {
    const auto parts = split<genlmsghdr>(h);
    if (!parts) return;
    const attributes a(parts->second);
    if (const auto& key = a[WGDEVICE_A_PUBLIC_KEY]; key.payload().size() == sizeof(public_key)) {
        public_key k;
        std::memcpy(k.data(), key.payload().data(), k.size());
        out_.public_key = to_base64(k);
    }
    if (const auto port = a[WGDEVICE_A_LISTEN_PORT].u16()) out_.port = *port;
    for_each_item(a[WGDEVICE_A_PEERS].payload(), [&](byte_span peer) { add_peer(attributes(peer)); });
}

void wireguard_dump::add_peer(const attributes& a) {
    const auto key = a[WGPEER_A_PUBLIC_KEY].payload();
    if (key.size() != sizeof(public_key)) return;
    public_key k;
    std::memcpy(k.data(), key.data(), k.size());
    const auto text = to_base64(k);
    // The rest of one whose addresses did not fit the message before it; only the first part has more than them.
    if (out_.peers.empty() || out_.peers.back().public_key != text) {
        out_.peers.push_back({text, endpoint_of(a[WGPEER_A_ENDPOINT]), {}, a[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL].u16().value_or(0), {}, {}});
        const auto shared = a[WGPEER_A_PRESHARED_KEY].payload();
        if (shared.size() == sizeof(public_key) && std::any_of(shared.begin(), shared.end(), [](std::uint8_t b) { return b != 0; }))
            out_.peers.back().preshared = fingerprint(secret_of(shared));
    }
    for_each_item(a[WGPEER_A_ALLOWEDIPS].payload(), [&](byte_span item) {
        const attributes one(item);
        const auto length = one[WGALLOWEDIP_A_CIDR_MASK].u8();
        if (!one[WGALLOWEDIP_A_IPADDR] || !length) return;
        const ip_prefix prefix{address_of(one[WGALLOWEDIP_A_IPADDR]), *length};
        if (*length <= prefix.max_length()) out_.peers.back().allowed.push_back(prefix);
    });
}

wireguard_options wireguard_dump::take() {
    for (auto& p : out_.peers) std::sort(p.allowed.begin(), p.allowed.end());
    std::sort(out_.peers.begin(), out_.peers.end(), [](const auto& a, const auto& b) { return a.public_key < b.public_key; });
    return std::move(out_);
}

}  // namespace weft::wire
