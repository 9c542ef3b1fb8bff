// SPDX-License-Identifier: Apache-2.0
// The one thread of the process that owns IDL state, and serves all open databases in one poll loop: their transactions are
// under way at the same time. Callers post an operation and wait for it. May include: core, model and the C shim.
// Operations end by their own deadline; a session's operations run one after the other.
#pragma once

#include "ovs/idl_shim.h"
#include "weft/core/error.hpp"

#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weft::ovs {

// One connection to one database. Only the worker touches it.
struct session {
    std::string socket;
    ovsdb_idl* idl = nullptr;
    ovsdb_idl_txn* txn = nullptr;
    ~session();
    bool synced() const { return idl && weft_idl_alive(idl) && weft_idl_synced(idl); }
    bool broken() const { return !idl || !weft_idl_alive(idl); }
    void end_txn();
    // Opens the connection anew after probing the socket, so that a missing server is known at once.
    result<void> reopen(const char* operation);
};

// A piece of work, stepped each time anything may have changed.
class operation {
public:
    operation(const char* name, long long deadline_ms) : name_(name), deadline_(deadline_ms) {}
    virtual ~operation() = default;
    enum class progress { waiting, again, finished };
    virtual progress step(session&) = 0;
    long long deadline() const { return deadline_; }
    const char* name() const { return name_; }
    std::optional<error> failure;

protected:
    error fail(const session& s, errc code, std::string detail) const { return {code, name_, s.socket, std::move(detail), 0}; }
    progress give_up(error e) {
        failure = std::move(e);
        return progress::finished;
    }
    bool late() const { return weft_now_ms() >= deadline_; }
    // Brings the session to a fresh view: connected, and all that the server had done before this call has been seen.
    progress settle(session&);
    void unsettle() { stage_ = stage::connecting; }

private:
    enum class stage { connecting, barrier, settled };
    const char* name_;
    long long deadline_;
    stage stage_ = stage::connecting;
    int reopened_ = 0;
};

class worker {
public:
    static std::shared_ptr<worker> instance();
    ~worker();
    // The session of that socket, if one is open: a new one costs the server its whole schema and a snapshot.
    std::shared_ptr<session> attach(std::string socket);
    void detach(std::shared_ptr<session>);  // the last one waits until the worker has let go of it
    void run(const std::shared_ptr<session>&, operation&);
    // An eventfd that is written to whenever the session's data may have changed, its connection is lost, or it has another one.
    void listen(const std::shared_ptr<session>&, int event);
    void unlisten(const std::shared_ptr<session>&, int event);

private:
    struct slot {
        std::shared_ptr<session> target;
        std::deque<operation*> queue;
        int users = 0;  // at 0 the worker closes it
        std::vector<int> listeners;
        std::pair<const void*, unsigned int> told;  // connection and number of its data, as the listeners know
    };
    worker();
    void loop();
    void wake() const;

    std::mutex mutex_;
    std::condition_variable done_;
    std::list<slot> slots_;
    bool stop_ = false;
    int event_ = -1;
    std::thread thread_;
};

}  // namespace weft::ovs
