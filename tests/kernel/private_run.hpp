// SPDX-License-Identifier: Apache-2.0
// What tests with a supervisor share: folders of weft's that are the test's own, so that its supervisor is not the machine's. Needs root.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

namespace weft::test {

// Mounts of this thread alone, with a /run/weft and a /var/lib/weft of its own, given back at the end.
struct private_run {
    int former = ::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    std::filesystem::path folder = std::filesystem::current_path();
    private_run() {
        REQUIRE(former >= 0);
        REQUIRE(::unshare(CLONE_NEWNS) == 0);
        REQUIRE(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        for (const char* own : {"/run/weft", "/var/lib/weft"}) {
            std::filesystem::create_directories(own);
            REQUIRE(::mount("tmpfs", own, "tmpfs", 0, nullptr) == 0);
        }
    }
    ~private_run() {
        ::setns(former, CLONE_NEWNS);
        ::close(former);
        std::filesystem::current_path(folder);
    }
};

}  // namespace weft::test
