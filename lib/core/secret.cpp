// SPDX-License-Identifier: Apache-2.0
// Secrets on libsodium's guarded heap: sodium_malloc locks the pages, takes them out of core dumps (MADV_DONTDUMP), puts guard pages
// and a canary around them, and wipes them when they are freed. May call: libsodium.
#include "weft/core/secret.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace weft {
namespace {

constexpr std::size_t key_size = 32, base64_size = 44;
static_assert(crypto_scalarmult_curve25519_SCALARBYTES == key_size);

void ready() {
    static const int once = sodium_init();
    (void)once;  // it fails only without any source of randomness, and then sodium ends the process at the first key
}

}  // namespace

secret::secret(secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), room_(std::exchange(other.room_, 0)) {}

secret& secret::operator=(secret&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    return *this;
}

secret::~secret() {
    if (data_ != nullptr) sodium_free(data_);
}

void secret::reserve(std::size_t size) {
    if (size <= room_) return;
    ready();
    // The heap puts the end of a block at a guard page, so that only a round size begins at an aligned address.
    constexpr std::size_t alignment = 64;
    const auto room = (std::max<std::size_t>({size, room_ * 2, key_size}) + alignment - 1) / alignment * alignment;
    auto* fresh = static_cast<std::uint8_t*>(sodium_malloc(room));
    if (fresh == nullptr) throw std::bad_alloc();
    std::memset(fresh, 0, room);
    if (size_ != 0) std::memcpy(fresh, data_, size_);
    if (data_ != nullptr) sodium_free(data_);
    data_ = fresh;
    room_ = room;
}

void secret::append(const void* from, std::size_t size) {
    if (size == 0) return;
    reserve(size_ + size);
    std::memcpy(data_ + size_, from, size);
    size_ += size;
}

void secret::resize(std::size_t size) {
    reserve(size);
    if (size < size_) sodium_memzero(data_ + size, size_ - size);
    size_ = size;
}

secret new_private_key() {
    secret key;
    key.resize(key_size);
    randombytes_buf(key.data(), key_size);
    // As RFC 7748 section 5 has it, so that the file holds what the kernel would make of it.
    key.data()[0] &= 248;
    key.data()[31] = static_cast<std::uint8_t>((key.data()[31] & 127) | 64);
    return key;
}

secret secret_of(std::span<const std::uint8_t> bytes) {
    secret out;
    out.append(bytes.data(), bytes.size());
    return out;
}

public_key public_half(const secret& private_key) {
    ready();
    public_key out{};
    if (private_key.size() == key_size) (void)crypto_scalarmult_curve25519_base(out.data(), private_key.data());
    sodium_stackzero(4096);  // the multiplication had the key's digits there
    return out;
}

std::string fingerprint(const secret& key) {
    ready();
    constexpr std::string_view purpose = "weft fingerprint of a preshared key";
    std::array<std::uint8_t, 16> hash{};
    (void)crypto_generichash(hash.data(), hash.size(), key.data(), key.size(), reinterpret_cast<const unsigned char*>(purpose.data()), purpose.size());
    sodium_stackzero(4096);
    std::string text(2 * hash.size() + 1, '\0');
    sodium_bin2hex(text.data(), text.size(), hash.data(), hash.size());
    text.pop_back();
    return text;
}

std::string to_base64(const public_key& key) {
    std::string text(base64_size + 1, '\0');
    sodium_bin2base64(text.data(), text.size(), key.data(), key.size(), sodium_base64_VARIANT_ORIGINAL);
    text.pop_back();
    return text;
}

void append_base64(secret& out, const secret& key) {
    const auto at = out.size();
    out.resize(at + base64_size + 1);
    sodium_bin2base64(reinterpret_cast<char*>(out.data() + at), base64_size + 1, key.data(), std::min(key.size(), key_size), sodium_base64_VARIANT_ORIGINAL);
    out.resize(at + base64_size);
}

result<public_key> public_key_from_base64(std::string_view text) {
    public_key key{};
    std::size_t size = 0;
    const char* end = nullptr;
    if (text.size() != base64_size ||
        sodium_base642bin(key.data(), key.size(), text.data(), text.size(), nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
        size != key.size() || end != text.data() + text.size())
        return error{errc::invalid_input, "read public key", "", "base64 of 32 bytes is wanted, 44 characters", 0};
    return key;
}

result<secret> key_from_base64(std::span<const std::uint8_t> text) {
    secret key;
    key.resize(key_size);
    std::size_t size = 0;
    const char* end = nullptr;
    const auto* from = reinterpret_cast<const char*>(text.data());
    if (text.size() != base64_size ||
        sodium_base642bin(key.data(), key_size, from, text.size(), nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 || size != key_size || end != from + text.size())
        return error{errc::invalid_input, "read key", "", "base64 of 32 bytes is wanted, 44 characters", 0};
    return key;
}

}  // namespace weft
