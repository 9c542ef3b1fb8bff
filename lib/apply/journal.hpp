// SPDX-License-Identifier: Apache-2.0
// The journal of a run that writes: /var/lib/weft/journal, with ".NAME" for a host that is a named namespace. It is there from
// before the first write until the run's end is final, so that whoever finds it knows what may stand half done and how to take it
// back. One record a line: the CRC-32 of the rest in eight hex digits, a space, JSON. The first is the header, the second the plan;
// both are on disk before anything is written, as are the records that say what is to become of the run. May include: core,
// model, Boost.JSON, POSIX. Private to apply.
#pragma once

#include "weft/apply/apply.hpp"

#include <sys/stat.h>

#include <map>

namespace weft::apply {

// Memory of the node as it was before the run and, where `remember` names it, as it shall be after.
struct journal_header {
    std::string verb;                            // "apply" or "remove"
    std::string fabric, node;
    std::uint32_t confirm = 0;                   // seconds to wait for `weft confirm`; 0: final at once
    std::string settings_before, fabric_before;  // files of records.hpp, as text; "" is none
    std::optional<std::string> fabric_after;     // unset: as before
    bool forget_settings = false;                // the run ends with no settings remembered
    bool whole = true;                           // all that the node lacks is in the plan: with the end of it the node is made
    std::map<std::string, std::vector<ovs::flow>> flows;  // of bridges that the plan removes
    std::vector<moved_object> given_back;        // from a bridge to its NIC: no longer to be remembered after the run
};

class journal {
public:
    // Writes header and plan, new: there must be none. Errors: busy, and what the file system says; nothing has been written then.
    static result<journal> begin(const place&, const journal_header&, const plan&);
    // Goes on in one that is there, as `found` was read from it.
    static result<journal> resume(const place&);
    journal(journal&& other) noexcept;
    journal& operator=(journal&&) = delete;
    ~journal();

    result<void> starting(std::size_t first, std::size_t last);   // steps [first, last) are about to go out
    result<void> done(std::size_t first, std::size_t last);       // and have taken effect
    result<void> complete(bool synced = false);                   // and the run is final: what is left can be done again
    // Where it cannot be recorded, `complete` and `pending` are taken away instead, which comes to the same.
    result<void> undoing(const std::string& why);
    result<void> pending(std::int64_t deadline);                  // CLOCK_BOOTTIME, nanoseconds
    // The end: the file goes.
    result<void> close();

private:
    journal(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    result<void> append(const std::string& record, bool synced);
    void withdraw();
    int fd_;
    std::string path_;
};

struct found_journal {
    journal_header header;
    weft::plan plan;
    std::int64_t pid = 0;                   // of who wrote it
    bool this_boot = true;
    std::set<std::size_t> begun;            // steps that may have taken effect
    bool complete = false, undoing = false;
    std::string why;                        // of the undoing
    std::optional<std::int64_t> deadline;   // it waits for confirmation until then
    std::size_t damaged = 0;                // the last line behind the plan that cannot be read; 0: all can
    bool plan_damaged = false;              // nothing but the header can be read, which knows what the node was before
};

// Nothing where there is none. A last record that was cut short is as if it had not been written. Behind the plan, one that is damaged may
// have been any: all steps may have begun then, and what stood before it about the run's end no longer holds. Errors: unsupported where another
// version or another host wrote it, invalid_input where its header cannot be read; it is left as it is in both cases.
result<std::optional<found_journal>> read_journal(const place&);
// Keeps the file under another name, which is given.
result<std::string> set_aside(const place&);

std::string journal_path(const place&);
bool same_folder(const std::string& a, const std::string& b);  // by whatever path: /var/run is a link to /run
std::int64_t boottime_now();  // CLOCK_BOOTTIME, nanoseconds: it goes on while the machine sleeps, and no one can set it

// What has been written so far, for whoever waits for the journal's end and looks often: the file is read only where it is another one than
// at the look before, and of it what stands behind the plan.
class journal_watch {
public:
    enum class kind {
        absent,      // there is none, or one of another boot, which recover ends
        here,
        unreadable,  // it is there, and cannot be read now, or is damaged: nobody knows its end
    };
    explicit journal_watch(const place& where) : where_(where) {}
    kind look();
    // Of the last look that said `here`. The deadline is none while a run is at work, and once the change is being undone.
    const std::optional<std::int64_t>& deadline() const { return deadline_; }
    const std::string& ovs_rundir() const { return ovs_rundir_; }

private:
    kind read();
    place where_;
    struct stat seen_ {};
    bool read_ = false;
    std::int64_t records_ = 0;  // where they begin; 0: not known yet
    std::string ovs_rundir_;
    std::optional<std::int64_t> deadline_;
};
// Whether there is one of this boot.
bool journal_waits(const place&);

}  // namespace weft::apply
