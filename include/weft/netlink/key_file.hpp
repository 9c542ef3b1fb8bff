// SPDX-License-Identifier: Apache-2.0
// Files of WireGuard keys, as wg(8) has them: one line of base64. A private or preshared key goes straight from the file into secret memory and
// back; no error quotes what is in a file. May include: core.
#pragma once

#include "weft/core/secret.hpp"

namespace weft::netlink {

// A file with one line of base64 of 32 bytes. It must be a regular file, not a link, of root or of the caller, and nobody else may have
// any right on it (0600 or 0400); a key of zeros is none. Errors name the file and never what is in it: not_found, permission_denied, invalid_input.
result<secret> read_key_file(const std::string& path);
// Equivalent to: (umask 077; set -C; wg genkey > PATH), whatever the umask is. Errors: already_exists; the folder's.
result<void> write_key_file(const std::string& path, const secret& key);
// A file with one line of base64 of a public key, which may be anybody's to read. What has the form of a private key in a file that only its
// owner may read is refused, before it is shown as a public one. Errors: as above.
result<public_key> read_public_key_file(const std::string& path);

}  // namespace weft::netlink
