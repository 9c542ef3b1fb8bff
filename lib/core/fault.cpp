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
#include <vector>

namespace weft::fault {
namespace {

struct order {
    std::string verb, kind;
    long at = 0, met = 0;
    bool onward = false;
};

// "VERB KIND N[+]", several with a semicolon between them.
std::vector<order> orders_given() {
    const char* given = std::getenv("WEFT_FAULT");
    std::istringstream text(given != nullptr ? given : "");
    std::vector<order> all;
    for (std::string one; std::getline(text, one, ';');) {
        std::istringstream words(one);
        order o;
        std::string number;
        words >> o.verb >> o.kind >> number;
        o.at = std::atol(number.c_str());
        o.onward = !number.empty() && number.back() == '+';
        all.push_back(std::move(o));
    }
    return all;
}

}  // namespace

result<void> point(const char* kind, const std::string& object) {
    static std::vector<order> orders = orders_given();
    static std::mutex guard;
    const std::lock_guard lock(guard);
    for (auto& o : orders) {
        if (o.kind != kind) continue;
        ++o.met;
        const bool log = o.verb == "log";
        if (!log && o.met != o.at && !(o.onward && o.met > o.at)) continue;
        std::fprintf(stderr, "weft: fault: %s %s %ld, %s\n", o.verb.c_str(), kind, o.met, object.c_str());
        if (o.verb == "kill") ::kill(::getpid(), SIGKILL);
        const bool stop = o.verb == "stop";
        if (stop) ::kill(::getpid(), SIGSTOP);
        if (!log && !stop) return errno_error(ENOMEM, std::string(kind) + " operation", object, "a fault that was asked for");
    }
    return {};
}

}  // namespace weft::fault
#endif
