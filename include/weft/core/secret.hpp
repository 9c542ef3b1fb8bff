// SPDX-License-Identifier: Apache-2.0
// Secret bytes: WireGuard's private and preshared keys, and the messages that carry them. They live in pages of their own that are locked
// into memory, left out of core dumps, guarded on both sides, and wiped at the end. There is no copy, no operator<<, no formatter and
// no JSON for them: what is told of a key is its public half, its fingerprint, or the name of its file.
// May include: core.
#pragma once

#include "weft/core/error.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weft {

// A WireGuard public key.
using public_key = std::array<std::uint8_t, 32>;

class secret {
public:
    secret() = default;
    secret(secret&& other) noexcept;
    secret& operator=(secret&& other) noexcept;
    secret(const secret&) = delete;
    secret& operator=(const secret&) = delete;
    ~secret();

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    std::uint8_t* data() noexcept { return data_; }
    const std::uint8_t* data() const noexcept { return data_; }
    std::span<const std::uint8_t> bytes() const noexcept { return {data_, size_}; }
    // Grows in such pages only; the old ones are wiped.
    void append(const void* from, std::size_t size);
    void append(std::string_view text) { append(text.data(), text.size()); }
    void resize(std::size_t size);  // what is new is zero

private:
    void reserve(std::size_t size);
    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0, room_ = 0;
};

// Equivalent to: wg genkey, without a process that holds it.
secret new_private_key();
secret secret_of(std::span<const std::uint8_t> bytes);
// Equivalent to: wg pubkey. The key must be of 32 bytes.
public_key public_half(const secret& private_key);
// What tells two keys apart and gives neither away: 32 hex digits of a keyed hash (BLAKE2b). Of 32 random bytes, which cannot be guessed.
std::string fingerprint(const secret& key);

// Base64 of 32 bytes, 44 characters, as wg(8) writes keys. nullopt-like errors: invalid_input, which never quotes the text.
std::string to_base64(const public_key&);
void append_base64(secret& out, const secret& key);  // of a key of 32 bytes
result<public_key> public_key_from_base64(std::string_view text);
// The key that 44 characters of base64 stand for; the error is the same, and as silent.
result<secret> key_from_base64(std::span<const std::uint8_t> text);

}  // namespace weft
