// SPDX-License-Identifier: Apache-2.0
// Implements worker.hpp. The queue is under a mutex; IDL handles are used by the thread alone, outside of it.
#include "ovs/worker.hpp"

#include "ovs/unix_socket.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <system_error>
#include <vector>

namespace weft::ovs {

session::~session() {
    end_txn();
    if (idl) {
        weft_idl_close(idl);
    }
}

void session::end_txn() {
    if (txn) {
        weft_txn_end(txn);
        txn = nullptr;
    }
}

result<void> session::reopen(const char* operation) {
    end_txn();
    if (idl) {
        weft_idl_close(idl);
        idl = nullptr;
    }
    if (auto probe = connect_unix(socket, operation); !probe) {
        // A full backlog is a server that is there.
        if (probe.error().errnum != EAGAIN) {
            return probe.error();
        }
    }
    idl = weft_idl_open(("unix:" + socket).c_str());
    return {};
}

operation::progress operation::settle(session& s) {
    if (stage_ == stage::settled) {
        return progress::finished;
    }
    if (s.broken()) {
        // Three connections: the one at hand, one that died while we asked, and one more for a server that restarts.
        if (reopened_++ == 3) {
            return give_up(fail(s, errc::unavailable, "the database server keeps closing the connection"));
        }
        stage_ = stage::connecting;
        if (auto ok = s.reopen(name_); !ok) {
            return give_up(ok.error());
        }
        return progress::again;
    }
    if (late()) {
        s.end_txn();
        return give_up(fail(s, errc::timed_out, "the database server did not answer in time"));
    }
    if (stage_ == stage::connecting) {
        if (!s.synced()) {
            return progress::waiting;
        }
        s.end_txn();
        s.txn = weft_txn_begin_barrier(s.idl);
        stage_ = stage::barrier;
    }
    const auto state = weft_txn_commit(s.txn);
    if (state == WEFT_TXN_PENDING) {
        return progress::waiting;
    }
    std::string words = weft_txn_error(s.txn) ? weft_txn_error(s.txn) : "";
    s.end_txn();
    if (state == WEFT_TXN_AGAIN) {
        stage_ = stage::connecting;
        return progress::again;
    }
    if (state == WEFT_TXN_FAILED) {
        return give_up(fail(s, errc::protocol_error, words));
    }
    stage_ = stage::settled;
    return progress::finished;
}

std::shared_ptr<worker> worker::instance() {
    static std::shared_ptr<worker> one(new worker);
    return one;
}

worker::worker() {
    weft_ovs_init();
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_ < 0) {
        throw exception(errno_error(errno, "start the database worker", "eventfd"));
    }
    // Signals are for the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::optional<error> failure;
    try {
        thread_ = std::thread([this] { loop(); });
    } catch (const std::system_error& e) {
        failure = errno_error(e.code().value(), "start the database worker", "thread");
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (failure) {
        ::close(event_);
        throw exception(*failure);
    }
}

worker::~worker() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake();
    thread_.join();
    ::close(event_);
}

void worker::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(event_, &one, sizeof one);
}

std::shared_ptr<session> worker::attach(std::string socket) {
    std::lock_guard lock(mutex_);
    for (auto& x : slots_) {
        if (x.target->socket == socket && x.users > 0) {
            x.users++;
            return x.target;
        }
    }
    auto s = std::make_shared<session>();
    s->socket = std::move(socket);
    slots_.push_back({s, {}, 1, {}, {}});
    return s;
}

void worker::detach(std::shared_ptr<session> s) {
    std::unique_lock lock(mutex_);
    const auto mine = [&] { return std::find_if(slots_.begin(), slots_.end(), [&](const slot& x) { return x.target == s; }); };
    if (auto it = mine(); it != slots_.end() && --it->users == 0) {
        wake();
        done_.wait(lock, [&] { return mine() == slots_.end(); });
    }
}

void worker::run(const std::shared_ptr<session>& s, operation& op) {
    std::unique_lock lock(mutex_);
    const auto it = std::find_if(slots_.begin(), slots_.end(), [&](const slot& x) { return x.target == s; });
    it->queue.push_back(&op);
    wake();
    done_.wait(lock, [&] { return std::find(it->queue.begin(), it->queue.end(), &op) == it->queue.end(); });
}

void worker::listen(const std::shared_ptr<session>& s, int event) {
    std::lock_guard lock(mutex_);
    for (auto& x : slots_) {
        if (x.target == s) {
            x.listeners.push_back(event);
        }
    }
}

void worker::unlisten(const std::shared_ptr<session>& s, int event) {
    std::lock_guard lock(mutex_);
    for (auto& x : slots_) {
        if (x.target == s) {
            std::erase(x.listeners, event);
        }
    }
}

void worker::loop() {
    std::vector<std::pair<slot*, operation*>> active;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            if (stop_) {
                return;
            }
            active.clear();
            for (auto it = slots_.begin(); it != slots_.end();) {
                if (it->users == 0 && it->queue.empty()) {
                    if (it->target->idl) {
                        it->target->end_txn();
                        weft_idl_close(it->target->idl);
                        it->target->idl = nullptr;
                    }
                    it = slots_.erase(it);
                    done_.notify_all();
                } else {
                    active.emplace_back(&*it, it->queue.empty() ? nullptr : it->queue.front());
                    ++it;
                }
            }
        }
        bool again = false;
        long long until = std::numeric_limits<long long>::max();
        for (auto& [slot, op] : active) {
            auto& s = *slot->target;
            if (s.idl) {
                weft_idl_run(s.idl);
            }
            const std::pair<const void*, unsigned int> now{s.broken() ? nullptr : s.idl, s.broken() ? 0 : weft_idl_seqno(s.idl)};
            if (now != slot->told) {
                std::lock_guard lock(mutex_);
                slot->told = now;
                for (const int fd : slot->listeners) {
                    const std::uint64_t one = 1;
                    [[maybe_unused]] const auto n = ::write(fd, &one, sizeof one);
                }
            }
            if (!op) {
                continue;
            }
            const auto progress = op->step(s);
            if (progress == operation::progress::finished) {
                std::lock_guard lock(mutex_);
                slot->queue.pop_front();
                again = again || !slot->queue.empty();
                done_.notify_all();
            } else {
                again = again || progress == operation::progress::again;
                until = std::min(until, op->deadline());
            }
        }
        if (again) {
            continue;
        }
        for (auto& [slot, op] : active) {
            auto& s = *slot->target;
            if (s.idl && weft_idl_alive(s.idl)) {
                weft_idl_wait(s.idl);
            }
            if (s.txn) {
                weft_txn_wait(s.txn);
            }
        }
        weft_poll_readable(event_);
        if (until != std::numeric_limits<long long>::max()) {
            weft_poll_until(until);
        }
        weft_poll_block();
        std::uint64_t count;
        [[maybe_unused]] const auto n = ::read(event_, &count, sizeof count);
    }
}

}  // namespace weft::ovs
