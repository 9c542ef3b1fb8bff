// SPDX-License-Identifier: Apache-2.0
// validate(), how a VM's port is attached: who may open its tap, and which VM it is. Pure.
#include <algorithm>

#include "roles/validate.hpp"

namespace weft::roles {
namespace {

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool digit(char c) { return c >= '0' && c <= '9'; }

// The names that the user tools of the distributions make.
bool user_name(const std::string& text) {
    constexpr std::size_t longest = 32;
    return !text.empty() && text.size() <= longest && (letter(text[0]) || text[0] == '_') &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return letter(c) || digit(c) || c == '_' || c == '-' || c == '.'; });
}

// As it is written into the database, where a hypervisor looks for its own spelling.
bool uuid(const std::string& text) {
    constexpr const char* form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    return text.size() == 36 && std::equal(text.begin(), text.end(), form, [](char c, char f) {
               return f == '-' ? c == '-' : digit(c) || (c >= 'a' && c <= 'f');
           });
}

}  // namespace

void validate_attach(const std::string& path, const tenant_port& p, findings& out) {
    const bool tap = p.attach == "tap";
    const auto only_of_a_tap = [&](const char* key, const std::string& value) {
        if (!value.empty() && !tap)
            out.error(p.place, path + "." + key, value, "is of a tap that weft makes",
                      "attach: tap beside it, or no such key");
        return !value.empty() && tap;
    };
    if (only_of_a_tap("user", p.user)) {
        const bool number = std::all_of(p.user.begin(), p.user.end(), digit);
        if (number ? !numeric_user(p.user) : !user_name(p.user))
            out.error(p.place, path + ".user", p.user, number ? "is out of range" : "is not a user's name",
                      "a name of at most 32 letters, digits, '_', '-' and '.', or a number of 0-4294967294");
    }
    if (only_of_a_tap("vm-uuid", p.vm_uuid) && !uuid(p.vm_uuid))
        out.error(p.place, path + ".vm-uuid", p.vm_uuid, "is not a UUID",
                  "like 6f1c1b5e-0b6f-4b52-9e57-776566742026, in small letters");
}

}  // namespace weft::roles
