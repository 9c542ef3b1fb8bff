// SPDX-License-Identifier: Apache-2.0
// Looks for weft-node where an installation and a build tree have it. May call: libc.
#include "services/helper.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace weft::services {

namespace fs = std::filesystem;

result<std::string> find_helper() {
    std::vector<std::string> tried;
    const auto beside = [&](const fs::path& folder) {
        tried.push_back(folder / "weft-node");
        tried.push_back(folder / "../libexec/weft/weft-node");
    };
    if (const char* given = std::getenv("WEFT_LIBEXEC"); given != nullptr && *given != '\0')
        tried.push_back(fs::path(given) / "weft-node");
    std::error_code ignored;
    beside(fs::read_symlink("/proc/self/exe", ignored).parent_path());
    // In a Python program the interpreter is the executable; then the shared object that holds this code shows the way.
    Dl_info info{};
    if (::dladdr(reinterpret_cast<void*>(&find_helper), &info) != 0 && info.dli_fname != nullptr)
        beside(fs::absolute(info.dli_fname, ignored).parent_path());
    for (const auto& path : tried)
        if (::access(path.c_str(), X_OK) == 0) return path;
    return error{errc::unavailable, "find helper", "weft-node",
                 "not in " + tried.front() + "; WEFT_LIBEXEC names its folder"};
}

}  // namespace weft::services
