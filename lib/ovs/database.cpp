// SPDX-License-Identifier: Apache-2.0
// Implements weft/ovs/database.hpp: each call becomes an operation for the worker. A connection that breaks after a transaction
// was sent gives outcome_unknown, because nobody can tell; before that, the server's absence is unavailable.
#include "weft/ovs/database.hpp"

#include "core/fault.hpp"
#include "ovs/rows.hpp"
#include "ovs/unix_socket.hpp"
#include "ovs/worker.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace weft::ovs {
namespace {

std::atomic<std::uint64_t> writes_done{0};
constexpr auto read_deadline = std::chrono::seconds(10);

long long after(std::chrono::milliseconds deadline) { return weft_now_ms() + deadline.count(); }

class connect_operation : public operation {
public:
    using operation::operation;
    progress step(session& s) override { return settle(s); }
};

class snapshot_operation : public operation {
public:
    using operation::operation;
    std::vector<bridge_row> rows;
    progress step(session& s) override {
        const auto p = settle(s);
        if (p == progress::finished && !failure) {
            rows = read_rows(s.idl);
        }
        return p;
    }
};

// Rows are read only when the client has had news.
class change_operation : public operation {
public:
    change_operation(const std::vector<bridge_row>& known, long long deadline) : operation("watch database", deadline), known_(known) {}
    std::vector<bridge_row> rows;
    progress step(session& s) override {
        if (!settled_) {
            const auto p = settle(s);
            if (p != progress::finished || failure) {
                return p;
            }
            settled_ = true;
        } else if (s.broken()) {
            return give_up(fail(s, errc::unavailable, "the database server closed the connection"));
        }
        if (const auto news = weft_idl_seqno(s.idl); news != seen_ || late()) {
            seen_ = news;
            rows = read_rows(s.idl);
            if (late() || rows != known_) {
                return progress::finished;
            }
        }
        return progress::waiting;
    }

private:
    const std::vector<bridge_row>& known_;
    std::optional<unsigned int> seen_;
    bool settled_ = false;
};

class commit_operation : public operation {
public:
    commit_operation(const change_set& changes, long long deadline) : operation("commit", deadline), changes_(changes) {}
    std::vector<port_outcome> outcomes;

    progress step(session& s) override {
        if (stage_ == stage::preparing) {
            const auto p = settle(s);
            if (p != progress::finished || failure) {
                return p;
            }
            s.txn = weft_txn_begin(s.idl);
            auto made = write_changes(s.idl, s.txn, changes_);
            if (!made) {
                s.end_txn();
                return give_up(made.error());
            }
            written_ = std::move(*made);
            stage_ = stage::sent;
        }
        switch (stage_) {
        case stage::catching_up: return catching_up(s);
        case stage::asking_again: return asking_again(s);
        default: return committing(s);
        }
    }

private:
    enum class stage { preparing, sent, catching_up, asking_again };

    progress committing(session& s) {
        const auto state = weft_txn_commit(s.txn);
        if (state == WEFT_TXN_PENDING) {
            pending_ = true;
            if (late() || s.broken()) {
                s.end_txn();
                return give_up(fail(s, errc::outcome_unknown, "the database server did not answer the transaction"));
            }
            return progress::waiting;
        }
        const std::string words = weft_txn_error(s.txn) ? weft_txn_error(s.txn) : "";
        const auto cfg = state == WEFT_TXN_DONE ? weft_txn_new_cfg(s.txn) : 0;
        s.end_txn();
        switch (state) {
        case WEFT_TXN_UNCHANGED: return judge(s);
        case WEFT_TXN_DONE:
            writes_done++;
            wanted_cfg_ = cfg;
            stage_ = stage::catching_up;
            return catching_up(s);
        case WEFT_TXN_FAILED:
            // A row that somebody else has just created under the same name: the fresh view will have it.
            if (words.find("constraint violation") == std::string::npos || attempts_ > 0) {
                return give_up(fail(s, errc::protocol_error, words));
            }
            break;
        default:
            if (pending_ && s.broken()) {
                return give_up(fail(s, errc::outcome_unknown, "the connection broke after the transaction was sent"));
            }
        }
        if (++attempts_ > 5) {
            return give_up(fail(s, errc::protocol_error, "the rows kept changing under the transaction"));
        }
        pending_ = false;
        unsettle();
        stage_ = stage::preparing;
        return progress::again;
    }

    progress catching_up(session& s) {
        if (s.broken()) {
            return give_up(fail(s, errc::unavailable, "the connection broke while ovs-vswitchd caught up; the rows stand"));
        }
        weft_root_view root;
        if (weft_root_read(s.idl, &root) && root.cur_cfg >= wanted_cfg_) {
            return judge(s);
        }
        if (late()) {
            return give_up(fail(s, errc::timed_out, "ovs-vswitchd did not catch up; the rows stand"));
        }
        return progress::waiting;
    }

    progress judge(session& s) {
        outcomes = read_outcomes(s.idl, written_);
        if (std::none_of(outcomes.begin(), outcomes.end(), [](const auto& o) { return o.ofport == -1 || !o.error.empty(); }) || asked_again_) {
            return progress::finished;
        }
        asked_again_ = true;
        stage_ = stage::asking_again;
        return asking_again(s);
    }

    // A failure that stands there may be one of before the transaction, which need not even have changed a row (a device came back, and
    // its row says still that it is gone): ovs-vswitchd writes the status of a port apart from what
    // it did for a configuration, and clears only what its own copy of the database has. What it had sent and not yet seen when it
    // took up our rows stays until it configures once more, so it is asked to (ovs-vsctl set Open_vSwitch . next_cfg=N+1).
    progress asking_again(session& s) {
        if (!s.txn) {
            weft_root_view root;
            if (s.broken() || !weft_root_read(s.idl, &root)) {
                return progress::finished;
            }
            s.txn = weft_txn_begin(s.idl);
            weft_txn_increment(s.txn, root.row, true);
        }
        const auto state = weft_txn_commit(s.txn);
        if (state == WEFT_TXN_PENDING && !late() && !s.broken()) {
            return progress::waiting;
        }
        const auto cfg = state == WEFT_TXN_DONE ? weft_txn_new_cfg(s.txn) : 0;
        s.end_txn();
        if (state == WEFT_TXN_AGAIN && !late()) {
            return progress::again;
        }
        if (state != WEFT_TXN_DONE) {
            return progress::finished;  // the failure is told as it was seen
        }
        writes_done++;
        wanted_cfg_ = cfg;
        stage_ = stage::catching_up;
        return catching_up(s);
    }

    const change_set& changes_;
    written written_;
    stage stage_ = stage::preparing;
    std::int64_t wanted_cfg_ = 0;
    int attempts_ = 0;
    bool pending_ = false;
    bool asked_again_ = false;
};

}  // namespace

struct database::impl {
    std::shared_ptr<worker> thread;
    std::shared_ptr<session> target;
    unique_fd event;
    ~impl() {
        if (event.get() >= 0) {
            thread->unlisten(target, event.get());
        }
        thread->detach(target);
    }
};

database::database(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
database::database(database&&) noexcept = default;
database& database::operator=(database&&) noexcept = default;
database::~database() = default;

result<database> database::connect(const std::string& rundir, std::chrono::milliseconds deadline) {
    std::shared_ptr<worker> thread;
    try {
        thread = worker::instance();
    } catch (const exception& e) {
        return e.error();
    }
    auto target = thread->attach(rundir + "/db.sock");
    database db(std::unique_ptr<impl>(new impl{std::move(thread), std::move(target), unique_fd()}));
    connect_operation op("connect to database", after(deadline));
    db.impl_->thread->run(db.impl_->target, op);
    if (op.failure) {
        return *op.failure;
    }
    return db;
}

result<std::vector<bridge_row>> database::snapshot() {
    snapshot_operation op("read database", after(read_deadline));
    impl_->thread->run(impl_->target, op);
    if (op.failure) {
        return *op.failure;
    }
    return std::move(op.rows);
}

result<std::vector<bridge_row>> database::wait_change(const std::vector<bridge_row>& known, std::chrono::milliseconds patience) {
    change_operation op(known, after(patience));
    impl_->thread->run(impl_->target, op);
    if (op.failure) {
        return *op.failure;
    }
    return std::move(op.rows);
}

result<std::vector<port_outcome>> database::commit(const change_set& changes, std::chrono::milliseconds deadline) {
    if (changes.empty()) {
        return std::vector<port_outcome>{};
    }
    if (auto ok = check_changes(changes); !ok) {
        return ok.error();
    }
    if (auto ok = fault::point("ovsdb", impl_->target->socket); !ok) {
        return ok.error();
    }
    commit_operation op(changes, after(deadline));
    impl_->thread->run(impl_->target, op);
    if (op.failure) {
        return *op.failure;
    }
    if (auto ok = fault::point("ovsdb-answer", impl_->target->socket); !ok) {
        return ok.error();
    }
    return std::move(op.outcomes);
}

result<int> database::notices() {
    if (impl_->event.get() < 0) {
        impl_->event = unique_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (impl_->event.get() < 0) {
            return errno_error(errno, "watch database", impl_->target->socket);
        }
        impl_->thread->listen(impl_->target, impl_->event.get());
    }
    return impl_->event.get();
}

std::uint64_t database::writes() noexcept { return writes_done; }

}  // namespace weft::ovs
