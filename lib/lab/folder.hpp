// SPDX-License-Identifier: Apache-2.0
// What a lab keeps on disk: /run/weft/lab/<lab>/ with lab.json, fabric.json, the template database and one folder per node
// (pid, mnt, node.log, ovs/). Written before the thing it tells of is made, so that `down` finds every half-made lab.
// Errors: not_found, invalid_input, system_error. May include: core, std, Boost.JSON.
#pragma once

#include "weft/core/error.hpp"

#include <optional>
#include <string>
#include <vector>

namespace weft::lab {

struct record_member { std::string name, kind, netns; };
struct record {
    std::string name, fabric_file;
    std::vector<record_member> members;
    const record_member* find(const std::string& member) const;  // full name, or a VM's short name where it is unique
};

std::string lab_root();
std::string lab_folder(const std::string& lab);
std::string node_folder(const std::string& lab, const std::string& node);
// A lab's name becomes part of paths and namespace names: letters, digits, '_', '-', '.', not first '.' or '-', up to 64.
result<void> check_lab_name(const std::string& name);

result<void> write_record(const record&);
result<record> read_record(const std::string& lab);
std::vector<std::string> lab_names();

result<void> write_file(const std::string& path, const std::string& text);
std::optional<std::string> read_file(const std::string& path);

// An open lock on the lab's folder, held as long as the value lives; empty when another holds it.
class folder_lock {
public:
    static result<folder_lock> take(const std::string& lab);
    folder_lock(folder_lock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    folder_lock& operator=(folder_lock&&) = delete;
    ~folder_lock();

private:
    explicit folder_lock(int fd) : fd_(fd) {}
    int fd_ = -1;
};

// Device and inode of a namespace file; equal for equal namespaces. Empty when it cannot be read.
struct namespace_identity { unsigned long device = 0, inode = 0; friend auto operator<=>(const namespace_identity&, const namespace_identity&) = default; };
std::optional<namespace_identity> identify(const std::string& path);
// The node process of a node, if it lives and is the one that was started (its network namespace is the node's); else 0.
int living_node(const std::string& lab, const std::string& node, const std::string& netns);

}  // namespace weft::lab
