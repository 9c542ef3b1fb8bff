// SPDX-License-Identifier: Apache-2.0
// The event socket: joins the rtnetlink groups, decodes notifications with the same tables as the dumps, and tells an overflow
// as an event. Device names are kept up from the link events themselves. May include: core, model, wire, Asio.
#include "weft/netlink/monitor.hpp"

#include "netlink/socket.hpp"
#include "wire/rtnl_link.hpp"
#include "wire/rtnl_route.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <mutex>

namespace weft::netlink {

struct monitor::impl {
    namespace_handle ns;
    socket events;
    std::map<std::uint32_t, std::string> names;
    // Shared with the running wait, if any, which may end after cancel() returned.
    struct waiting;
    std::shared_ptr<waiting> wait;

    impl(namespace_handle n, socket s) : ns(std::move(n)), events(std::move(s)) {}

    // Fills the table of names by a session of its own, so that no event is mistaken for an answer.
    result<void> learn_names() {
        auto s = session::open(ns);
        if (!s) return s.error();
        auto links = s->links();
        if (!links) return links.error();
        names.clear();
        for (const auto& l : *links) names[l.index] = l.name;
        return {};
    }

    std::string name(std::uint32_t index) const {
        const auto at = names.find(index);
        return at == names.end() ? std::string() : at->second;
    }

    std::optional<event> decode(const nlmsghdr* h) {
        const wire::name_of resolver = [this](std::uint32_t i) { return name(i); };
        const auto make = [](bool present, auto value) -> std::optional<event> {
            if (!value) return std::nullopt;
            return event{present ? event_kind::present : event_kind::removed, object(std::move(*value))};
        };
        switch (h->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK: {
            const auto parts = wire::split<ifinfomsg>(h);
            // A bridge also sends its ports' state in this type, with the bridge family: no link of ours.
            if (!parts || parts->first.ifi_family != AF_UNSPEC) return std::nullopt;
            auto raw = wire::decode_link(h);
            if (!raw) return std::nullopt;
            if (h->nlmsg_type == RTM_NEWLINK) names[raw->value.index] = raw->value.name;
            wire::resolve_names(*raw, resolver);
            if (h->nlmsg_type == RTM_DELLINK) names.erase(raw->value.index);
            return event{h->nlmsg_type == RTM_NEWLINK ? event_kind::present : event_kind::removed, object(std::move(raw->value))};
        }
        case RTM_NEWADDR:
        case RTM_DELADDR: return make(h->nlmsg_type == RTM_NEWADDR, wire::decode_address(h, resolver));
        case RTM_NEWROUTE:
        case RTM_DELROUTE: return make(h->nlmsg_type == RTM_NEWROUTE, wire::decode_route(h, resolver));
        case RTM_NEWRULE:
        case RTM_DELRULE: return make(h->nlmsg_type == RTM_NEWRULE, wire::decode_rule(h));
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH: return make(h->nlmsg_type == RTM_NEWNEIGH, wire::decode_neighbour(h, resolver));
        case RTM_NEWNEXTHOP:
        case RTM_DELNEXTHOP: return make(h->nlmsg_type == RTM_NEWNEXTHOP, wire::decode_nexthop(h, resolver));
        default: return std::nullopt;
        }
    }

    // All that is there now, after waiting for the first datagram.
    result<std::vector<event>> drain(std::chrono::milliseconds timeout) {
        // Bounded, so that a flood cannot keep the caller in here.
        constexpr std::size_t most = 4096;
        const auto deadline = std::chrono::steady_clock::now() + timeout;
        std::vector<event> out;
        while (out.size() < most) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            auto datagram = events.receive(out.empty() ? std::max(left, std::chrono::milliseconds(0)) : std::chrono::milliseconds(0));
            if (!datagram) {
                if (datagram.error().errnum != ENOBUFS) return datagram.error();
                out.push_back({event_kind::lost, std::nullopt});
                // Link events may be among the lost: the names have to be learnt anew.
                if (auto ok = learn_names(); !ok) return ok.error();
                continue;
            }
            if (datagram->empty()) break;
            for_each_message(*datagram, [&](const nlmsghdr* h) {
                if (auto e = decode(h)) out.push_back(std::move(*e));
            });
        }
        return out;
    }
};

struct monitor::impl::waiting : std::enable_shared_from_this<monitor::impl::waiting> {
    boost::asio::posix::stream_descriptor descriptor;
    std::function<void(result<std::vector<event>>)> handler;
    std::mutex guard;
    impl* owner;  // nullptr once cancelled

    waiting(const boost::asio::any_io_executor& e, decltype(handler) h, impl* o)
        : descriptor(e), handler(std::move(h)), owner(o) {}

    void step() {
        std::unique_lock lock(guard);
        if (owner == nullptr) {
            lock.unlock();
            handler(std::vector<event>());
            return;
        }
        auto events = owner->drain(std::chrono::milliseconds(0));
        if (events && events->empty()) {
            descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read,
                                  [self = shared_from_this()](const boost::system::error_code&) { self->step(); });
            return;
        }
        owner->wait.reset();
        lock.unlock();
        handler(std::move(events));
    }
};

monitor::monitor(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
monitor::monitor(monitor&&) noexcept = default;
monitor& monitor::operator=(monitor&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}
monitor::~monitor() {
    if (impl_) cancel();
}

result<monitor> monitor::open(const namespace_handle& ns, std::size_t receive_buffer) {
    auto own = ns.duplicate();
    if (!own) return own.error();
    auto s = socket::open(ns, {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                               RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP});
    if (!s) return s.error();
    if (receive_buffer != 0) {
        const int size = static_cast<int>(std::min<std::size_t>(receive_buffer, 1 << 30));
        if (setsockopt(s->fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size) != 0)
            return errno_error(errno, "size event socket", ns.name());
    }
    auto i = std::make_unique<impl>(std::move(*own), std::move(*s));
    // After joining: a link made meanwhile is in the list or in an event, or in both.
    if (auto ok = i->learn_names(); !ok) return ok.error();
    return monitor(std::move(i));
}

int monitor::fd() const noexcept { return impl_->events.fd(); }

result<std::vector<event>> monitor::poll(std::chrono::milliseconds timeout) { return impl_->drain(timeout); }

void monitor::async_poll(boost::asio::any_io_executor executor, std::function<void(result<std::vector<event>>)> handler) {
    auto w = std::make_shared<impl::waiting>(executor, std::move(handler), impl_.get());
    boost::system::error_code e;
    const int copy = fcntl(fd(), F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) w->descriptor.assign(copy, e);
    if (copy < 0 || e) {
        boost::asio::post(executor, [w] { w->handler(errno_error(EMFILE, "wait for events", {})); });
        return;
    }
    impl_->wait = w;
    boost::asio::post(executor, [w] { w->step(); });
}

void monitor::cancel() {
    const auto w = std::move(impl_->wait);
    if (!w) return;
    {
        const std::lock_guard lock(w->guard);
        w->owner = nullptr;
    }
    boost::asio::post(w->descriptor.get_executor(), [w] {
        boost::system::error_code ignored;
        w->descriptor.cancel(ignored);
    });
}

}  // namespace weft::netlink
