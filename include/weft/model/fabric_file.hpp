// SPDX-License-Identifier: Apache-2.0
// The fabric file (YAML) and its lock file to values and back. Strict: unknown and duplicate keys, anchors, aliases, tags,
// several documents, more than 4 MiB, more than 32 levels are refused; all faults in one run. Reads text; opens no other file.
// May include: core, model.
#pragma once

#include "weft/model/fabric.hpp"

#include <chrono>

namespace weft {

struct parsed_fabric { weft::fabric fabric; std::vector<diagnostic> diagnostics; bool ok() const; };
// `file` is for the diagnostics only.
parsed_fabric parse_fabric(std::string_view text, const std::string& file);
// "FILE:LINE:COLUMN: PATH" of what stands at the path of a fabric's file; PATH alone where that is not known.
std::string with_place(const fabric&, const std::string& path);
// Reads the file, then parses. A file that cannot be read is a diagnostic too.
parsed_fabric load_fabric(const std::string& path);

// grizzly.yaml → grizzly.lock
std::string lock_path(const std::string& fabric_path);
result<std::map<std::string, std::string>> load_lock(const std::string& path);  // an absent file gives an empty map
result<void> save_lock(const std::string& path, const std::map<std::string, std::string>&);  // temporary file, fsync, rename

// Held by who reads a lock, allocates and saves it, from before he reads the fabric file: else of two at once the one that read first
// might save last, and the next run would give away again what the other one gave. It is flock's on the lock's folder, so that it ends
// with the process however that ends. Errors: timed_out.
class lock_claim {
public:
    static result<lock_claim> take(const std::string& lock_path, std::chrono::milliseconds patience = std::chrono::seconds(30));
    lock_claim(lock_claim&&) noexcept;
    lock_claim& operator=(lock_claim&&) noexcept;
    ~lock_claim();

private:
    explicit lock_claim(int fd) : fd_(fd) {}
    int fd_ = -1;
};

// JSON Schema (draft 2020-12) of the fabric file.
std::string fabric_schema();

}  // namespace weft
