// SPDX-License-Identifier: Apache-2.0
// WireGuard's text protocol for userspace implementations (wireguard.com/xplatform): lines of key=value, keys in hex, ended by an empty
// line. The order of lines matters: the device's come first, and public_key= begins a peer. May include: core, model.
#include "wire/wireguard.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace weft::wire {
namespace {

void put_hex(secret& out, std::span<const std::uint8_t> bytes) {
    constexpr char digits[] = "0123456789abcdef";
    for (const auto b : bytes) {
        out.append(&digits[b >> 4], 1);
        out.append(&digits[b & 15], 1);
    }
}

void line(secret& out, std::string_view key, std::string_view value) {
    out.append(key);
    out.append("=");
    out.append(value);
    out.append("\n");
}

void key_line(secret& out, std::string_view key, std::span<const std::uint8_t> bytes) {
    out.append(key);
    out.append("=");
    put_hex(out, bytes);
    out.append("\n");
}

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// 32 bytes of hex, into secret memory whatever they are.
std::optional<secret> key_from(std::string_view text) {
    if (text.size() != 64) return std::nullopt;
    secret key;
    key.resize(32);
    for (std::size_t i = 0; i < 32; ++i) {
        const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        key.data()[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return key;
}

template <class T> std::optional<T> number(std::string_view text) {
    T v{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return v;
}

bool all_zero(const secret& key) {
    const auto bytes = key.bytes();
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

error unreadable(std::string_view key) {
    return {errc::protocol_error, "read WireGuard", std::string(key), "a value that the protocol does not have", 0};
}

// One line of an answer; false where it is none of the protocol's.
bool take(wireguard_options& out, std::string_view key, std::string_view value) {
    if (key == "private_key") {
        const auto k = key_from(value);
        if (!k) return false;
        out.public_key = all_zero(*k) ? std::string() : to_base64(public_half(*k));
        return true;
    }
    if (key == "listen_port") return (out.port = number<std::uint16_t>(value)).has_value();
    if (key == "public_key") {
        const auto k = key_from(value);
        if (!k) return false;
        public_key raw;
        std::copy_n(k->data(), raw.size(), raw.begin());
        out.peers.push_back({to_base64(raw), {}, {}, 0, {}, {}});
        return true;
    }
    if (out.peers.empty()) return true;  // what a device has beside
    auto& peer = out.peers.back();
    if (key == "preshared_key") {
        const auto k = key_from(value);
        if (!k) return false;
        if (!all_zero(*k)) peer.preshared = fingerprint(*k);
    } else if (key == "endpoint") {
        const auto e = parse_endpoint(value);
        if (!e) return false;
        peer.endpoint = e->to_string();
    } else if (key == "persistent_keepalive_interval") {
        const auto seconds = number<std::uint16_t>(value);
        if (!seconds) return false;
        peer.keepalive = *seconds;
    } else if (key == "allowed_ip") {
        const auto prefix = parse_prefix(value);
        if (!prefix) return false;
        peer.allowed.push_back(*prefix);
    }
    return true;
}

}  // namespace

secret uapi_set(const wireguard_change& c) {
    secret out;
    out.append("set=1\n");
    if (c.private_key != nullptr) key_line(out, "private_key", c.private_key->bytes());
    if (c.port) line(out, "listen_port", std::to_string(*c.port));
    if (c.replace_peers) line(out, "replace_peers", "true");
    for (const auto& p : c.peers) {
        key_line(out, "public_key", p.key);
        if (p.remove) {
            line(out, "remove", "true");
            continue;
        }
        if (p.only_update) line(out, "update_only", "true");
        if (p.preshared != nullptr) key_line(out, "preshared_key", p.preshared->bytes());
        if (p.endpoint) line(out, "endpoint", p.endpoint->to_string());
        if (p.keepalive) line(out, "persistent_keepalive_interval", std::to_string(*p.keepalive));
        if (p.replace_allowed) line(out, "replace_allowed_ips", "true");
        for (const auto& a : p.allowed) line(out, "allowed_ip", a.to_string());
    }
    out.append("\n");
    return out;
}

result<wireguard_options> uapi_read(std::string_view text) {
    wireguard_options out;
    while (!text.empty()) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return unreadable("an answer cut short");
        const auto one = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (one.empty()) break;
        const auto equals = one.find('=');
        if (equals == std::string_view::npos) return unreadable("a line without =");
        if (!take(out, one.substr(0, equals), one.substr(equals + 1))) return unreadable(one.substr(0, std::min<std::size_t>(equals, 40)));
    }
    for (auto& p : out.peers) std::sort(p.allowed.begin(), p.allowed.end());
    std::sort(out.peers.begin(), out.peers.end(), [](const auto& a, const auto& b) { return a.public_key < b.public_key; });
    return out;
}

std::optional<int> uapi_errno(std::string_view text) {
    if (!text.ends_with("\n\n")) return std::nullopt;
    const std::string_view word = "errno=";
    const auto at = text.rfind(word);
    if (at == std::string_view::npos || (at != 0 && text[at - 1] != '\n')) return std::nullopt;
    const auto value = text.substr(at + word.size());
    return number<int>(value.substr(0, value.find('\n')));
}

}  // namespace weft::wire
