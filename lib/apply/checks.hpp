// SPDX-License-Identifier: Apache-2.0
// Probes decide: the checks of a state are run before a change and after it, and one that passed before and fails after takes the
// change back. Private to apply. May include: core, model.
#pragma once

#include "weft/apply/apply.hpp"

namespace weft::apply {

struct check_outcome {
    host_check check;
    bool passed = false;
    std::string answer;  // what came back, or what kept the probe from being sent
};

// All side by side; one outcome for each, in order. A check ends at its first answer. One that gets none is repeated for three seconds where
// it `passed` before, so that a lost packet, ARP that must be asked anew or a link that was just raised costs no change; else for one.
std::vector<check_outcome> run_checks(const place&, const std::vector<host_check>&, const std::vector<check_outcome>& before = {});
// Those that passed before and do not now. What failed before does not count.
std::vector<check_outcome> failed_now(const std::vector<check_outcome>& before, const std::vector<check_outcome>& after);
// "ping 10.0.0.1 from the host: no answer to 20 packets".
std::string to_string(const check_outcome&);

// The checks of one change. Without checks nothing is sent.
class change_checks {
public:
    change_checks(const place& where, std::vector<host_check> checks) : where_(where), checks_(std::move(checks)) {}
    // Runs them, once; whether it did now.
    bool before() {
        if (checks_.empty() || !before_.empty()) return false;
        before_ = run_checks(where_, checks_);
        return true;
    }
    // Errors: check_failed, with each that passed before and fails now.
    result<void> after();
    // Those that failed before the change and still do.
    const std::vector<std::string>& still_failed() const { return still_failed_; }

private:
    const place& where_;
    std::vector<host_check> checks_;
    std::vector<check_outcome> before_;
    std::vector<std::string> still_failed_;
};

}  // namespace weft::apply
