// SPDX-License-Identifier: Apache-2.0
// What tests with a supervisor share: folders of weft's that are the test's own, so that its supervisor is not the machine's. Needs root.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

namespace weft::test {

// Mounts of this thread alone, with a /run/weft and a /var/lib/weft of its own, given back at the end. Whoever removes the host's empty folder
// beside it, as the last lab that is taken down does, takes the mounts on it away in every mount namespace; so it holds a file meanwhile. In
// the guest the root file system is to read only, and nobody removes anything there.
struct private_run {
    int former = ::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    std::filesystem::path folder = std::filesystem::current_path();
    std::vector<std::string> files;
    private_run() {
        REQUIRE(former >= 0);
        REQUIRE(::unshare(CLONE_NEWNS) == 0);
        REQUIRE(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        for (const char* own : {"/run/weft", "/var/lib/weft"}) {
            const auto holds = std::string(own) + "/.test-" + std::to_string(::getpid());
            int fd = -1;
            for (int tries = 0; tries < 100 && fd < 0; ++tries) {  // the folder may go again before the file is in it
                std::filesystem::create_directories(own);
                fd = ::open(holds.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 && errno == EROFS) break;
            }
            REQUIRE((fd >= 0 || errno == EROFS));
            if (fd >= 0) {
                ::close(fd);
                files.push_back(holds);
            }
            REQUIRE(::mount("tmpfs", own, "tmpfs", 0, nullptr) == 0);
        }
    }
    ~private_run() {
        ::setns(former, CLONE_NEWNS);
        ::close(former);
        for (const auto& f : files) ::unlink(f.c_str());
        std::filesystem::current_path(folder);
    }
};

}  // namespace weft::test
