// SPDX-License-Identifier: Apache-2.0
// The one error type of weft. It says what was being done (operation), to what (object), and what the kernel,
// the OVSDB server or the parser answered, in their own words. Functions return result<T>; `.value()` throws.
// May include: std, Boost.System.
#pragma once

#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace weft {

enum class errc {
    invalid_input,    // what the caller gave is wrong; nothing was touched
    not_found,        // the named object does not exist
    already_exists,   // an object of that name is there already
    foreign_object,   // the object is there but bears no mark of ours
    permission_denied,
    unsupported,      // this kernel, switch or library cannot do it
    unavailable,      // a peer (ovsdb-server, ovs-vswitchd) is not there
    busy,             // another weft is at work
    timed_out,
    events_lost,      // a notification socket overflowed: dump again
    outcome_unknown,  // the connection broke after sending: read back
    system_error,     // any other errno of the kernel
    protocol_error,   // a peer answered what it must not
    incomplete,       // all is done but for what the error names
    stale,            // what was agreed to is not what would be done now; nothing was touched
    check_failed,     // a check that passed before the change fails after it; all steps were undone
};

std::string_view to_string(errc code) noexcept;

struct error {
    errc code = errc::system_error;
    std::string operation;  // what was tried, e.g. "create link"
    std::string object;     // to what, e.g. "eth0 in qrouter-…"
    std::string detail;     // the peer's own words: extended-ack text, OVSDB error, strerror
    int errnum = 0;         // the errno, where there is one

    // "create link br0: File exists (already_exists)"
    std::string message() const;
};

// What `.value()` on a failed result throws, and the only exception type of weft.
class exception : public std::runtime_error {
public:
    explicit exception(weft::error e) : std::runtime_error(e.message()), error_(std::move(e)) {}
    const weft::error& error() const noexcept { return error_; }

private:
    weft::error error_;
};

[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location&);

template <class T>
using result = boost::system::result<T, error>;

// Makes an error from an errno value; maps the common ones to their errc.
error errno_error(int errnum, std::string operation, std::string object, std::string detail = {});

}  // namespace weft
