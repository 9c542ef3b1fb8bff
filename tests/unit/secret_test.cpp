// SPDX-License-Identifier: Apache-2.0
// Keys: what their files must be, that errors never quote them, and that their memory is locked and kept out of core dumps.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <type_traits>

#include "weft/core/secret.hpp"
#include "weft/netlink/key_file.hpp"

using namespace weft;
using namespace weft::netlink;
namespace fs = std::filesystem;

namespace {

// RFC 7748 section 6.1, Alice's pair.
constexpr const char* alice_private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
constexpr const char* alice_public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

struct folder {
    std::string path;
    folder() {
        char name[] = "/tmp/weft-secret-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~folder() { fs::remove_all(path); }
    std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) const {
        const auto at = path + "/" + name;
        std::ofstream(at) << text;
        ::chmod(at.c_str(), mode);
        return at;
    }
};

void refused(const std::string& path, const std::string& words) {
    const auto key = read_key_file(path);
    REQUIRE(!key);
    const auto text = key.error().message();
    CHECK_THAT(text, Catch::Contains(path) && Catch::Contains(words));
    CHECK_THAT(text, !Catch::Contains(std::string(alice_private).substr(0, 12)));
}

}  // namespace

TEST_CASE("a secret has no copy", "[secret]") {
    STATIC_REQUIRE(!std::is_copy_constructible_v<secret>);
    STATIC_REQUIRE(!std::is_copy_assignable_v<secret>);
}

TEST_CASE("a key file gives the key, and the key its public half", "[secret]") {
    const folder at;
    for (const auto mode : {0600, 0400}) {
        const auto key = read_key_file(at.file("key", std::string(alice_private) + "\n", static_cast<mode_t>(mode)));
        REQUIRE(key.has_value());
        CHECK(to_base64(public_half(*key)) == alice_public);
        fs::remove(at.path + "/key");
    }
    REQUIRE(read_key_file(at.file("no-newline", alice_private)).has_value());
}

TEST_CASE("key files that others may use, or that are no key, are refused without quoting them", "[secret]") {
    const folder at;
    const std::string line = std::string(alice_private) + "\n";
    refused(at.path + "/none", "No such file");
    refused(at.file("group", line, 0640), "0600");
    refused(at.file("others", line, 0604), "0600");
    refused(at.file("short", line.substr(4)), "base64");
    refused(at.file("long", line + "more\n"), "base64");
    refused(at.file("two", line + line), "base64");
    refused(at.file("odd", "*" + line.substr(1)), "base64");
    refused(at.file("unpadded", line.substr(0, 43) + "A\n"), "base64");
    refused(at.file("empty", ""), "base64");
    const auto real = at.file("real", line);
    fs::create_symlink(real, at.path + "/link");
    refused(at.path + "/link", "symbolic link");
    refused(at.path, "regular file");
    REQUIRE(::mkfifo((at.path + "/fifo").c_str(), 0600) == 0);
    refused(at.path + "/fifo", "regular file");
}

TEST_CASE("a new key is written once, for its owner alone", "[secret]") {
    const folder at;
    const auto path = at.path + "/key";
    const auto key = new_private_key();
    const auto before = ::umask(0);
    REQUIRE(write_key_file(path, key).has_value());
    ::umask(before);
    struct stat about {};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0600);
    const auto again = write_key_file(path, key);
    REQUIRE(!again);
    CHECK(again.error().code == errc::already_exists);
    const auto read = read_key_file(path);
    REQUIRE(read.has_value());
    CHECK(public_half(*read) == public_half(key));
    CHECK(public_half(new_private_key()) != public_half(key));
}

TEST_CASE("a secret lies in pages that are locked and in no core dump", "[secret]") {
    const auto key = new_private_key();
    std::ostringstream all;
    all << std::ifstream("/proc/self/smaps").rdbuf();
    std::istringstream lines(all.str());
    const auto address = reinterpret_cast<std::uintptr_t>(key.data());
    bool inside = false;
    std::string flags;
    for (std::string line; std::getline(lines, line);) {
        std::uintptr_t first = 0, last = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &first, &last) == 2) inside = first <= address && address < last;
        else if (inside && line.starts_with("VmFlags:")) flags = line;
    }
    CHECK_THAT(flags, Catch::Contains(" dd"));  // VM_DONTDUMP
#if !defined(__SANITIZE_ADDRESS__)  // which makes mlock() do nothing
    CHECK_THAT(flags, Catch::Contains(" lo"));  // VM_LOCKED
#endif
}

TEST_CASE("a secret of any size is aligned for what is read out of it", "[secret]") {
    for (std::size_t size = 1; size < 200; ++size) {
        secret s;
        s.resize(size);
        CHECK(reinterpret_cast<std::uintptr_t>(s.data()) % alignof(std::max_align_t) == 0);
    }
}

TEST_CASE("fingerprints tell keys apart", "[secret]") {
    const auto a = new_private_key(), b = new_private_key();
    CHECK(fingerprint(a) == fingerprint(secret_of(a.bytes())));
    CHECK(fingerprint(a) != fingerprint(b));
    CHECK(fingerprint(a).size() == 32);
}
