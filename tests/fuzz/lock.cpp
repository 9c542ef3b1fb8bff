// SPDX-License-Identifier: Apache-2.0
// Fuzzes the lock file. What loads and is made of the characters of names, numbers and addresses is saved as a file that
// loads equal. The files live in memory and in a temporary folder.
#include "weft/model/fabric_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "fuzz.hpp"

using namespace weft;
using fuzz::must;

namespace {

struct temporary_folder {
    std::string path;
    temporary_folder() {
        char name[] = "/tmp/weft-fuzz-XXXXXX";
        must(::mkdtemp(name) != nullptr, "a temporary folder can be made");
        path = name;
    }
    ~temporary_folder() { std::filesystem::remove_all(path); }
};

bool ordinary(const std::string& s) {
    return !s.empty() && std::isalnum(static_cast<unsigned char>(s.front())) && s.back() != ':' && s.size() < 100 &&
           s.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:-") == std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const temporary_folder folder;
    static const int memory = ::memfd_create("lock", MFD_CLOEXEC);
    must(::ftruncate(memory, 0) == 0 && ::pwrite(memory, data, size, 0) == static_cast<ssize_t>(size), "the input can be written");
    const auto loaded = load_lock("/proc/self/fd/" + std::to_string(memory));
    if (!loaded) return 0;
    if (!std::all_of(loaded->begin(), loaded->end(), [](const auto& e) { return ordinary(e.first) && ordinary(e.second); })) return 0;
    const std::string path = folder.path + "/lock";
    must(save_lock(path, *loaded).has_value(), "a lock can be saved");
    const auto again = load_lock(path);
    must(again && *again == *loaded, "a saved lock loads equal");
    return 0;
}
