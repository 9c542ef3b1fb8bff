// SPDX-License-Identifier: Apache-2.0
// One plan brought to the host as one unit: journal, steps, effects, and the way back. Private to apply. The host's lock is held.
// May include: core, model, netlink, ovs, services.
#pragma once

#include "apply/executor.hpp"
#include "apply/journal.hpp"

#include <memory>

namespace weft::apply {

class transaction {
public:
    // Header and plan are on disk when it returns. Errors: what the file system says; nothing was written to the host then.
    static result<transaction> begin(const place&, journal_header, const plan&);

    // All steps and their effects. On a failure what was done is undone, and the error says what became of that; flows that the switch
    // refused are in `refused`. The error `incomplete` undoes nothing: all is done but for what it names.
    result<void> run(bool announce, std::vector<ovs::refused_flow>* refused);
    // Undoes a run that had ended well; the error, with what became of the undo.
    error take_back(error why);
    // The end of a run that ended well: what the node is made from is remembered, and the change is final, or waits to be confirmed.
    result<void> finish();

private:
    transaction(const place& where, journal_header h, const plan& p, journal j)
        : where_(where), header_(std::move(h)), plan_(p), journal_(std::move(j)) {}
    place where_;
    journal_header header_;
    const plan& plan_;
    journal journal_;
    std::size_t begun_ = 0;  // steps before it may have taken effect
    indexes done_;
    std::unique_ptr<executor> exec_;
};

// Takes steps back by what the host is now, as often as that helps, and reads back. A name that others took since is left to them; where
// Open vSwitch cannot be read the kernel's part is taken back without it. Gives what is left, a line for each; "" is nothing. Errors: the
// kernel cannot be read either.
result<std::string> take_back_seen(const place&, const journal_header&, const std::vector<step>& steps);
// The node's memory as it was before a run, or as it shall be after it. What was found stays known for what is not undone (`all`: nothing is).
result<void> restore_memory(const journal_header&, bool all);
result<void> renew_memory(const journal_header&);
// The change is final, after renew_memory: what services that it removed had kept (leases) goes. Where it was whole the node is made, too: no
// run is to be taken up again that a restart had cut off, and its file is no longer one that was never confirmed.
void make_final(const place&, const journal_header&, const std::vector<step>&);

}  // namespace weft::apply
