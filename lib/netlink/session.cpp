// SPDX-License-Identifier: Apache-2.0
// The session: dumps, and the two drivers (blocking, Asio) of the runner. Dumps are collected whole before they are decoded,
// so that a torn one can be thrown away. May include: core, model, wire, Asio. Errors carry the kernel's words.
#include "weft/netlink/session.hpp"

#include "core/fault.hpp"
#include "netlink/session_runner.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

namespace weft::netlink {
namespace {

std::atomic<std::uint64_t> write_counter{0};

// The kernel answers inside sendmsg; a longer silence than this means that the answer was lost.
constexpr std::chrono::seconds answer_time{30};
constexpr int dump_attempts = 6;

using bytes = std::vector<std::uint8_t>;

}  // namespace

void count_write() { write_counter.fetch_add(1, std::memory_order_relaxed); }

std::string object_name(const object& o) {
    struct namer {
        std::string operator()(const link& l) const { return l.name; }
        std::string operator()(const address_entry& a) const { return a.address.to_string() + " on " + a.device; }
        std::string operator()(const nexthop_object& n) const { return std::to_string(n.id); }
        std::string operator()(const route& r) const {
            return r.destination.to_string() + (r.table == RT_TABLE_MAIN ? "" : " in table " + std::to_string(r.table));
        }
        std::string operator()(const rule& r) const { return "with priority " + std::to_string(r.priority); }
        std::string operator()(const neighbour& n) const {
            return (n.fdb ? (n.mac ? n.mac->to_string() : "default") : n.address.to_string()) + " on " + n.device;
        }
    };
    return std::visit(namer{}, o);
}

std::string operation_name(const change& c) {
    static constexpr const char* kinds[] = {"link", "address", "nexthop object", "route", "rule", "neighbour"};
    const char* verb = c.verb == verb::add ? "create " : c.verb == verb::change ? "change " : "remove ";
    return std::string(verb) + kinds[c.object.index()];
}

struct session::impl {
    namespace_handle ns;
    socket netlink;
    unique_fd ioctls;  // a plain datagram socket of the namespace
    feature_control features;
    std::uint32_t sequence = 0;

    impl(namespace_handle n, socket s, unique_fd i)
        : ns(std::move(n)), netlink(std::move(s)), ioctls(std::move(i)), features(ioctls.get()) {}

    struct answer {
        bytes messages;
        bool torn = false;
        acknowledgement end;
    };

    // One request and all messages that answer it.
    result<answer> exchange(wire::message m, bool dump) {
        const auto expected = ++sequence;
        if (auto ok = netlink.send(m.finish(expected)); !ok) return ok.error();
        answer a;
        for (bool ended = false; !ended;) {
            auto datagram = netlink.receive(answer_time);
            if (!datagram) {
                if (datagram.error().errnum != ENOBUFS || !dump) return datagram.error();
                a.torn = true;
                return a;
            }
            if (datagram->empty()) return error{errc::timed_out, "read from rtnetlink", ns.name(), "no answer", 0};
            for_each_message(*datagram, [&](const nlmsghdr* h) {
                if (h->nlmsg_seq != expected || ended) return;  // the rest of an exchange that was given up
                if ((h->nlmsg_flags & NLM_F_DUMP_INTR) != 0) a.torn = true;
                if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
                    a.end = read_ack(h);
                    ended = true;
                } else {
                    const auto* b = reinterpret_cast<const std::uint8_t*>(h);
                    a.messages.insert(a.messages.end(), b, b + h->nlmsg_len);
                    a.messages.resize(NLMSG_ALIGN(a.messages.size()), 0);
                }
            });
        }
        return a;
    }

    result<bytes> dump(const wire::message& m, const char* operation) {
        auto pause = std::chrono::milliseconds(1);
        for (int attempt = 0; attempt < dump_attempts; ++attempt, pause *= 2) {
            auto a = exchange(m, true);
            if (!a) return a.error();
            if (a->end.errnum != 0) return errno_error(a->end.errnum, operation, ns.name(), a->end.text);
            if (!a->torn && fault::point("dump", operation)) return std::move(a->messages);
            std::this_thread::sleep_for(pause);
        }
        return error{errc::events_lost, operation, ns.name(), "the tables changed during every dump", EINTR};
    }

    result<std::map<std::uint32_t, wire::raw_link>> link_table() {
        auto b = dump(wire::link_dump(), "list links");
        if (!b) return b.error();
        std::map<std::uint32_t, wire::raw_link> table;
        for_each_message(*b, [&](const nlmsghdr* h) {
            if (h->nlmsg_type != RTM_NEWLINK) return;
            if (auto raw = wire::decode_link(h)) table.insert_or_assign(raw->value.index, std::move(*raw));
        });
        return table;
    }

    // Dumps, then decodes with names; the links are only listed when there is anything to name.
    template <class T, class F>
    result<std::vector<T>> list(std::initializer_list<wire::message> requests, std::uint16_t type, const char* operation, F&& f) {
        std::vector<bytes> parts;
        for (const auto& m : requests) {
            auto b = dump(m, operation);
            // No such table in this kernel (IPv6 off, no nexthop objects): then it is empty.
            if (!b && b.error().errnum == EOPNOTSUPP) continue;
            if (!b) return b.error();
            parts.push_back(std::move(*b));
        }
        std::vector<T> out;
        if (std::all_of(parts.begin(), parts.end(), [](const auto& p) { return p.empty(); })) return out;
        auto table = link_table();
        if (!table) return table.error();
        const wire::name_of name = [&](std::uint32_t i) {
            const auto at = table->find(i);
            return at == table->end() ? std::string() : at->second.value.name;
        };
        for (const auto& p : parts)
            for_each_message(p, [&](const nlmsghdr* h) {
                if (h->nlmsg_type != type) return;
                if (auto v = f(h, name, *table)) out.push_back(std::move(*v));
            });
        return out;
    }
};

session::session(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
session::session(session&&) noexcept = default;
session& session::operator=(session&&) noexcept = default;
session::~session() = default;

result<session> session::open(const namespace_handle& ns) {
    auto own = ns.duplicate();
    if (!own) return own.error();
    auto s = socket::open(ns);
    if (!s) return s.error();
    unique_fd ioctls;
    auto outcome = run_in(ns, [&]() -> result<void> {
        // AF_UNIX sockets know their namespace too and need no protocol module.
        ioctls = unique_fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (ioctls.get() < 0) return errno_error(errno, "open ioctl socket", ns.name());
        return {};
    });
    if (!outcome) return outcome.error();
    return session(std::make_unique<impl>(std::move(*own), std::move(*s), std::move(ioctls)));
}

result<std::vector<link>> session::links(bool with_features) {
    auto table = impl_->link_table();
    if (!table) return table.error();
    std::vector<link> out;
    for (auto& [index, raw] : *table) {
        wire::resolve_names(raw, [&](std::uint32_t i) {
            const auto at = table->find(i);
            return at == table->end() ? std::string() : at->second.value.name;
        });
        if (with_features) {
            auto features = impl_->features.read(raw.value.name);
            if (!features && features.error().errnum == ENODEV) continue;  // went away meanwhile
            if (!features && features.error().errnum != EOPNOTSUPP) return features.error();
            if (features) raw.value.features = std::move(*features);
        }
        out.push_back(raw.value);
    }
    return out;
}

result<link> session::get_link(const std::string& name) {
    const char* operation = "get link";
    if (auto ok = check_link_name(name); !ok) return ok.error();
    const auto get = [&](wire::message m) -> result<wire::raw_link> {
        auto a = impl_->exchange(std::move(m), false);
        if (!a) return a.error();
        if (a->end.errnum != 0) return errno_error(a->end.errnum, operation, name, a->end.text);
        std::optional<wire::raw_link> raw;
        for_each_message(a->messages, [&](const nlmsghdr* h) { raw = wire::decode_link(h); });
        if (!raw) return error{errc::protocol_error, operation, name, "an answer without a link", 0};
        return std::move(*raw);
    };
    auto raw = get(wire::link_get(name));
    if (!raw) return raw.error();
    // The kernel also answers to alternative names.
    if (raw->value.name != name) return errno_error(ENODEV, operation, name);
    wire::resolve_names(*raw, [&](std::uint32_t i) {
        auto other = get(wire::link_get(i));
        return other ? other->value.name : std::string();
    });
    return raw->value;
}

result<std::vector<address_entry>> session::addresses() {
    return impl_->list<address_entry>({wire::address_dump()}, RTM_NEWADDR, "list addresses",
                                      [](const nlmsghdr* h, const auto& name, const auto&) { return wire::decode_address(h, name); });
}

result<std::vector<nexthop_object>> session::nexthops() {
    return impl_->list<nexthop_object>({wire::nexthop_dump()}, RTM_NEWNEXTHOP, "list nexthop objects",
                                       [](const nlmsghdr* h, const auto& name, const auto&) { return wire::decode_nexthop(h, name); });
}

result<std::vector<route>> session::routes() {
    return impl_->list<route>({wire::route_dump(AF_INET), wire::route_dump(AF_INET6)}, RTM_NEWROUTE, "list routes",
                              [](const nlmsghdr* h, const auto& name, const auto&) { return wire::decode_route(h, name); });
}

result<std::vector<rule>> session::rules() {
    return impl_->list<rule>({wire::rule_dump(AF_INET), wire::rule_dump(AF_INET6)}, RTM_NEWRULE, "list rules",
                             [](const nlmsghdr* h, const auto&, const auto&) { return wire::decode_rule(h); });
}

result<std::vector<neighbour>> session::neighbours() {
    return impl_->list<neighbour>(
        {wire::neighbour_dump(AF_INET, false), wire::neighbour_dump(AF_INET6, false), wire::neighbour_dump(AF_INET, true),
         wire::neighbour_dump(AF_INET6, true), wire::neighbour_dump(AF_BRIDGE, false)},
        RTM_NEWNEIGH, "list neighbours", [](const nlmsghdr* h, const auto& name, const auto& links) {
            auto n = wire::decode_neighbour(h, name);
            if (!n || !n->fdb) return n;
            // An FDB entry cannot bear a mark. Those towards a remote on a VXLAN device that is ours are ours, but for the
            // default remote, which belongs to the device itself.
            for (const auto& [index, raw] : links) {
                const auto* vxlan = std::get_if<vxlan_options>(&raw.value.options);
                if (raw.value.name != n->device || vxlan == nullptr || raw.value.group != weft_link_group) continue;
                const bool built_in = n->mac && n->mac->is_zero() && vxlan->remote == n->address;
                if (!n->address.is_unspecified() && !built_in) n->protocol = weft_protocol;
            }
            return n;
        });
}

result<std::int32_t> session::namespace_id(const namespace_handle& other) {
    const auto ask = [&](std::uint16_t type, std::optional<std::int32_t> id) -> result<impl::answer> {
        wire::message m(type, NLM_F_ACK);
        m.header(rtgenmsg{}).u32(NETNSA_FD, static_cast<std::uint32_t>(other.fd()));
        if (id) m.u32(NETNSA_NSID, static_cast<std::uint32_t>(*id));
        return impl_->exchange(std::move(m), false);
    };
    for (int attempt = 0; attempt < 2; ++attempt) {
        auto a = ask(RTM_GETNSID, std::nullopt);
        if (!a) return a.error();
        if (a->end.errnum != 0) return errno_error(a->end.errnum, "get namespace id", other.name(), a->end.text);
        std::int32_t id = -1;
        for_each_message(a->messages, [&](const nlmsghdr* h) {
            if (const auto parts = wire::split<rtgenmsg>(h))
                id = static_cast<std::int32_t>(wire::attributes(parts->second)[NETNSA_NSID].u32().value_or(~0u));
        });
        if (id >= 0 || attempt == 1) return id;
        count_write();
        auto made = ask(RTM_NEWNSID, -1);
        if (!made) return made.error();
        if (made->end.errnum != 0 && made->end.errnum != EEXIST)
            return errno_error(made->end.errnum, "assign namespace id", other.name(), made->end.text);
    }
    return -1;
}

std::vector<result<void>> session::run(std::span<const change> changes) {
    runner r(impl_->ns, impl_->features, impl_->sequence, changes);
    while (!r.done()) {
        const auto out = r.output();
        if (!out.empty()) {
            if (auto ok = impl_->netlink.send(out); !ok) r.fail(ok.error().message());
            continue;
        }
        if (r.done()) break;
        auto datagram = impl_->netlink.receive(answer_time);
        if (!datagram) r.fail(datagram.error().message());
        else if (datagram->empty()) r.fail("no answer in time");
        else r.input(*datagram);
    }
    return r.take_results();
}

result<void> session::run_one(const change& c) { return run(std::span(&c, 1)).front(); }

namespace {

// Keeps itself alive by its pending wait; the descriptor is a copy, so that closing it leaves the session's socket alone.
struct async_operation : std::enable_shared_from_this<async_operation> {
    boost::asio::posix::stream_descriptor descriptor;
    std::vector<change> changes;
    std::function<void(std::vector<result<void>>)> handler;
    socket& netlink;
    runner machine;

    async_operation(const boost::asio::any_io_executor& executor, std::vector<change> c, decltype(handler) h, socket& s,
                    const namespace_handle& ns, feature_control& features, std::uint32_t& sequence)
        : descriptor(executor), changes(std::move(c)), handler(std::move(h)), netlink(s), machine(ns, features, sequence, changes) {}

    void step() {
        while (!machine.done()) {
            if (const auto out = machine.output(); !out.empty()) {
                if (auto ok = netlink.send(out); !ok) machine.fail(ok.error().message());
                continue;
            }
            if (machine.done()) break;
            auto datagram = netlink.receive(std::chrono::milliseconds(0));
            if (!datagram) {
                machine.fail(datagram.error().message());
            } else if (!datagram->empty()) {
                machine.input(*datagram);
            } else {
                descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read,
                                      [self = shared_from_this()](const boost::system::error_code& e) {
                                          if (e) self->machine.fail(e.message());
                                          self->step();
                                      });
                return;
            }
        }
        handler(machine.take_results());
    }
};

}  // namespace

void session::async_run(boost::asio::any_io_executor executor, std::vector<change> changes,
                        std::function<void(std::vector<result<void>>)> handler) {
    auto op = std::make_shared<async_operation>(executor, std::move(changes), std::move(handler), impl_->netlink, impl_->ns,
                                                impl_->features, impl_->sequence);
    boost::asio::post(executor, [op, fd = impl_->netlink.fd()] {
        boost::system::error_code e;
        const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy >= 0) op->descriptor.assign(copy, e);
        if (copy < 0 || e) op->machine.fail("cannot wait on the socket");
        op->step();
    });
}

std::uint64_t session::writes() noexcept { return write_counter.load(std::memory_order_relaxed); }

}  // namespace weft::netlink
