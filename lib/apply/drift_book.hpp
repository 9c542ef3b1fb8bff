// SPDX-License-Identifier: Apache-2.0
// What a watcher knows of each object that differed: what it has told of it, how often it put it back, and when it may
// do so again. Pure: the time is given. Private to apply. May include: core, model.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weft/apply/watch.hpp"

namespace weft::apply {

class drift_book {
public:
    using clock = std::chrono::steady_clock;
    using times = std::chrono::milliseconds;

    static constexpr times first_pause{100}, longest_pause{5000};
    // An object that stays as it was put back for this long, or twice its last pause, is nobody's prey any more.
    static constexpr times calm{500};

    explicit drift_book(bool heal) : heal_(heal) {}

    // Takes what a look found.
    void look(const plan& found, clock::time_point now, std::chrono::system_clock::time_point wall);
    // Takes those steps out that must wait: of objects that are held, and of what stands on these.
    void choose(plan&, clock::time_point now) const;
    // The steps of this plan were run, or failed with these words.
    void repaired(const plan&, clock::time_point now);
    // A failed run was undone. Where the words name a step, only its object waits for longer and longer, and the others
    // do not.
    void failed(const plan&, const std::string& words, clock::time_point now);
    // When the next object that waits may be put back.
    std::optional<clock::time_point> next(clock::time_point now) const;
    // What is to be told now, in the order of the objects' names; each only once.
    std::vector<drift> news();

private:
    struct entry {
        bool open = false;
        step difference;
        std::chrono::system_clock::time_point since;
        unsigned strikes = 0;  // how often in a row it differed again right after it was put back
        std::optional<clock::time_point> put_back;
        clock::time_point not_before;
        std::optional<drift_state> told;  // of this drift
        std::string told_text;            // and the difference and the words then
    };
    static times pause(unsigned strikes);
    bool held(const step&, clock::time_point now) const;
    void say(entry&, drift_state, const std::string& detail);

    bool heal_;
    std::map<std::string, entry> entries_;
    std::vector<drift> news_;
};

}  // namespace weft::apply
