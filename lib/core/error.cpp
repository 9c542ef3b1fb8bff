// SPDX-License-Identifier: Apache-2.0
// Text forms of the error type and the mapping from errno. Pure; cannot fail.
#include "weft/core/error.hpp"

#include <cerrno>
#include <cstring>

namespace weft {

std::string_view to_string(errc code) noexcept {
    switch (code) {
        case errc::invalid_input: return "invalid_input";
        case errc::not_found: return "not_found";
        case errc::already_exists: return "already_exists";
        case errc::foreign_object: return "foreign_object";
        case errc::permission_denied: return "permission_denied";
        case errc::unsupported: return "unsupported";
        case errc::unavailable: return "unavailable";
        case errc::busy: return "busy";
        case errc::timed_out: return "timed_out";
        case errc::events_lost: return "events_lost";
        case errc::outcome_unknown: return "outcome_unknown";
        case errc::system_error: return "system_error";
        case errc::protocol_error: return "protocol_error";
        case errc::incomplete: return "incomplete";
        case errc::check_failed: return "check_failed";
        case errc::stale: return "stale";
    }
    return "unknown";
}

std::string error::message() const {
    std::string text = operation;
    if (!object.empty()) text += (text.empty() ? "" : " ") + object;
    if (!detail.empty()) text += (text.empty() ? "" : ": ") + detail;
    if (errnum != 0) {
        const std::string words = std::strerror(errnum);
        if (detail.find(words) == std::string::npos) text += (text.empty() ? "" : ": ") + words;
    }
    return text;
}

void throw_exception_from_error(const error& e, const boost::source_location&) {
    throw exception(e);
}

error errno_error(int errnum, std::string operation, std::string object, std::string detail) {
    errc code = errc::system_error;
    switch (errnum) {
        case EPERM:
        case EACCES: code = errc::permission_denied; break;
        case EEXIST: code = errc::already_exists; break;
        case ENOENT:
        case ENODEV:
        case ESRCH: code = errc::not_found; break;
        case EOPNOTSUPP:
        case EAFNOSUPPORT: code = errc::unsupported; break;
        case EBUSY: code = errc::busy; break;
        case ETIMEDOUT: code = errc::timed_out; break;
        case EINVAL: code = errc::invalid_input; break;
        default: break;
    }
    return {code, std::move(operation), std::move(object), std::move(detail), errnum};
}

}  // namespace weft
