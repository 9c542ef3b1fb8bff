// SPDX-License-Identifier: Apache-2.0
// See the header. What is not to be trusted about a file is asked of the open descriptor, not of its name. May include: core; libc.
#include "weft/netlink/key_file.hpp"

#include "netlink/socket.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::netlink {
namespace {

constexpr std::size_t base64_size = 44, most_in_a_file = 64;

error bad(const std::string& operation, const std::string& path, std::string what) {
    return {errc::invalid_input, operation, path, std::move(what), 0};
}
error no_key(const std::string& operation, const std::string& path) { return bad(operation, path, "it is no key: one line of 44 characters, base64 of 32 bytes, is wanted"); }

// WireGuard clears and sets these bits of its private keys (RFC 7748, section 5); of public keys one in sixteen is so by chance.
bool has_form_of_private(const public_key& key) { return (key.front() & 0x07) == 0 && (key.back() & 0xc0) == 0x40; }

// The one line of a key file, in secret memory whatever it is.
result<secret> read_line(int fd, const std::string& operation, const std::string& path) {
    secret text;
    text.resize(most_in_a_file);
    std::size_t size = 0;
    while (size < most_in_a_file) {
        const auto n = ::read(fd, text.data() + size, most_in_a_file - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, operation, path);
        if (n == 0) break;
        size += static_cast<std::size_t>(n);
    }
    if (size == base64_size + 1 && text.data()[base64_size] == '\n') --size;
    if (size != base64_size) return no_key(operation, path);
    text.resize(size);
    return text;
}

}  // namespace

result<secret> read_key_file(const std::string& path) {
    const std::string operation = "read key file";
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    if (file.get() < 0 && errno == ELOOP) return bad(operation, path, "it is a symbolic link; a regular file is wanted");
    if (file.get() < 0) return errno_error(errno, operation, path);
    struct stat about {};
    if (::fstat(file.get(), &about) < 0) return errno_error(errno, operation, path);
    if (!S_ISREG(about.st_mode)) return bad(operation, path, "it is no regular file");
    if (about.st_uid != 0 && about.st_uid != ::geteuid()) return bad(operation, path, "it is another user's; root's or the caller's own is wanted");
    if ((about.st_mode & 077) != 0) return bad(operation, path, "others may use it; mode 0600 or 0400 is wanted");
    auto line = read_line(file.get(), operation, path);
    if (!line) return line;
    auto key = key_from_base64(line->bytes());
    if (!key) return no_key(operation, path);
    const auto bytes = key->bytes();
    if (std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; })) return bad(operation, path, "it is no key: all of it is zero");
    return key;
}

result<void> write_key_file(const std::string& path, const secret& key) {
    const std::string operation = "write key file";
    if (key.size() != sizeof(public_key)) return bad(operation, path, "a key has 32 bytes");
    secret line;
    append_base64(line, key);
    line.append("\n");
    const unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) return errno_error(errno, operation, path);
    const auto n = ::write(file.get(), line.data(), line.size());
    if (n != static_cast<ssize_t>(line.size()) || ::fsync(file.get()) < 0) {
        const int why = n < 0 || n == static_cast<ssize_t>(line.size()) ? errno : ENOSPC;
        ::unlink(path.c_str());
        return errno_error(why, operation, path);
    }
    return {};
}

result<public_key> read_public_key_file(const std::string& path) {
    const std::string operation = "read public key file";
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.get() < 0) return errno_error(errno, operation, path);
    const auto line = read_line(file.get(), operation, path);  // somebody may have named the private one by mistake
    if (!line) return line.error();
    const auto key = public_key_from_base64({reinterpret_cast<const char*>(line->data()), line->size()});
    if (!key) return no_key(operation, path);
    if (*key == public_key{}) return bad(operation, path, "it is no key: all of it is zero");
    struct stat about {};
    if (::fstat(file.get(), &about) < 0) return errno_error(errno, operation, path);
    if ((about.st_mode & 044) == 0 && has_form_of_private(*key))
        return bad(operation, path, "it has the form of a private key, and only its owner may read it; a public key is wanted, in a file that others may read (mode 0644)");
    return *key;
}

}  // namespace weft::netlink
