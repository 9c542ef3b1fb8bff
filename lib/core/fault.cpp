// SPDX-License-Identifier: Apache-2.0
// See the header. It says aloud when it strikes, so that a test knows whether there was an Nth operation.
#include "core/fault.hpp"

#ifdef WEFT_FAULTS
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <sstream>

namespace weft::fault {
namespace {

struct order {
    std::string verb, kind;
    long at = 0;
    bool onward = false;
    order() {
        const char* given = std::getenv("WEFT_FAULT");
        std::istringstream words(given != nullptr ? given : "");
        std::string number;
        words >> verb >> kind >> number;
        at = std::atol(number.c_str());
        onward = !number.empty() && number.back() == '+';
    }
};

}  // namespace

result<void> point(const char* kind, const std::string& object) {
    static const order wanted;
    static std::mutex guard;
    static long count = 0;
    if (wanted.kind != kind) return {};
    const std::lock_guard lock(guard);
    ++count;
    if (count != wanted.at && !(wanted.onward && count > wanted.at)) return {};
    std::fprintf(stderr, "weft: fault: %s %s %ld, %s\n", wanted.verb.c_str(), kind, count, object.c_str());
    if (wanted.verb == "kill") ::kill(::getpid(), SIGKILL);
    return errno_error(ENOMEM, std::string(kind) + " operation", object, "a fault that was asked for");
}

}  // namespace weft::fault
#endif
