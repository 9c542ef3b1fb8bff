// SPDX-License-Identifier: Apache-2.0
// The builder and the checked readers of netlink messages. Attributes are walked with libmnl's bounds checks.
// May include: core, libmnl, std. Nothing here fails; malformed rests are left unread.
#include "wire/rtnl_message.hpp"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>

#include <algorithm>

namespace weft::wire {

message::message(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr h{};
    h.nlmsg_type = type;
    h.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
    bytes_.reserve(256);
    append(&h, sizeof h);
}

std::size_t message::append(const void* data, std::size_t size) {
    const std::size_t offset = bytes_.size();
    bytes_.resize(offset + ((size + 3) & ~std::size_t{3}), 0);
    if (size != 0) std::memcpy(bytes_.data() + offset, data, size);
    return offset;
}

message& message::put(std::uint16_t type, const void* data, std::size_t size) {
    nlattr a{};
    a.nla_type = type;
    a.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + size);
    append(&a, sizeof a);
    append(data, size);
    return *this;
}

message& message::be16(std::uint16_t type, std::uint16_t v) { return u16(type, htons(v)); }
message& message::be32(std::uint16_t type, std::uint32_t v) { return u32(type, htonl(v)); }
message& message::text(std::uint16_t type, std::string_view v) {
    return put(type, std::string(v).c_str(), v.size() + 1);
}

message& message::ip(std::uint16_t type, const ip_address& a) {
    if (a.is_v6()) {
        const auto b = a.to_v6().to_bytes();
        return put(type, b.data(), b.size());
    }
    const auto b = a.to_v4().to_bytes();
    return put(type, b.data(), b.size());
}

message& message::mac(std::uint16_t type, const mac_address& m) { return put(type, m.bytes.data(), m.bytes.size()); }

std::size_t message::begin(std::uint16_t type) {
    nlattr a{};
    a.nla_type = static_cast<std::uint16_t>(type | NLA_F_NESTED);
    a.nla_len = NLA_HDRLEN;
    return append(&a, sizeof a);
}

void message::end(std::size_t nest) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - nest);
    std::memcpy(bytes_.data() + nest, &length, sizeof length);
}

std::uint16_t message::type() const { return reinterpret_cast<const nlmsghdr*>(bytes_.data())->nlmsg_type; }

const std::vector<std::uint8_t>& message::finish(std::uint32_t sequence) {
    auto* h = reinterpret_cast<nlmsghdr*>(bytes_.data());
    h->nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    h->nlmsg_seq = sequence;
    return bytes_;
}

std::optional<std::uint16_t> attribute::be16() const {
    const auto v = u16();
    return v ? std::optional<std::uint16_t>(ntohs(*v)) : std::nullopt;
}

std::optional<std::uint32_t> attribute::be32() const {
    const auto v = u32();
    return v ? std::optional<std::uint32_t>(ntohl(*v)) : std::nullopt;
}

std::string attribute::text() const {
    const auto* begin = reinterpret_cast<const char*>(payload_.data());
    return std::string(begin, std::find(begin, begin + payload_.size(), '\0'));
}

std::optional<ip_address> attribute::ip() const {
    if (payload_.size() == 4) {
        boost::asio::ip::address_v4::bytes_type b;
        std::memcpy(b.data(), payload_.data(), b.size());
        return ip_address(boost::asio::ip::address_v4(b));
    }
    if (payload_.size() == 16) {
        boost::asio::ip::address_v6::bytes_type b;
        std::memcpy(b.data(), payload_.data(), b.size());
        return ip_address(boost::asio::ip::address_v6(b));
    }
    return std::nullopt;
}

std::optional<mac_address> attribute::mac() const {
    if (payload_.size() != 6) return std::nullopt;
    mac_address m;
    std::memcpy(m.bytes.data(), payload_.data(), 6);
    return m;
}

attributes::attributes(byte_span bytes) {
    const auto* a = reinterpret_cast<const nlattr*>(bytes.data());
    const auto* end = bytes.data() + bytes.size();
    while (a != nullptr && reinterpret_cast<const std::uint8_t*>(a) < end &&
           mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const std::uint8_t*>(a)))) {
        const std::uint16_t type = mnl_attr_get_type(a);
        if (type != 0 && type < table_.size())
            table_[type] = attribute(byte_span(static_cast<const std::uint8_t*>(mnl_attr_get_payload(a)),
                                               mnl_attr_get_payload_len(a)));
        a = mnl_attr_next(a);
    }
}

std::vector<std::uint8_t> other_attributes(byte_span bytes, std::initializer_list<std::uint16_t> known) {
    std::vector<std::uint8_t> out;
    const auto* end = bytes.data() + bytes.size();
    for (const auto* a = reinterpret_cast<const nlattr*>(bytes.data());
         a != nullptr && reinterpret_cast<const std::uint8_t*>(a) < end &&
         mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const std::uint8_t*>(a)));
         a = mnl_attr_next(a)) {
        if (std::find(known.begin(), known.end(), mnl_attr_get_type(a)) != known.end()) continue;
        const auto* from = reinterpret_cast<const std::uint8_t*>(a);
        out.insert(out.end(), from, from + mnl_attr_get_len(a));
        out.resize(MNL_ALIGN(out.size()), 0);
    }
    return out;
}

}  // namespace weft::wire
