// SPDX-License-Identifier: Apache-2.0
// One weft writes to a host at a time. Private to apply. Errors: busy, with the other's process id.
#pragma once

#include "weft/apply/apply.hpp"

namespace weft::apply {

class host_lock {
public:
    static result<host_lock> take(const place&);
    static std::string path(const place&);
    host_lock(host_lock&& other) noexcept;
    host_lock& operator=(host_lock&&) = delete;
    ~host_lock();

private:
    explicit host_lock(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace weft::apply
