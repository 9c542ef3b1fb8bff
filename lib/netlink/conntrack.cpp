// SPDX-License-Identifier: Apache-2.0
// ctnetlink over one short-lived socket per call. Deletions go out in groups, each for the entry that was read (its
// tuple, zone and id), so that one which began meanwhile under the same tuple stays. May include: core, wire. Errors
// carry the kernel's words.
#include "weft/netlink/conntrack.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "netlink/socket.hpp"
#include "wire/ct_message.hpp"

namespace weft::netlink {
namespace {

constexpr std::chrono::seconds patience{10};
constexpr std::size_t group = 64;  // their acknowledgements stay far below the receive buffer

connection value_of(const wire::ct_entry& e) {
    return {
        e.original.source,      e.original.destination,      e.reply.source, e.reply.destination, e.original.protocol,
        e.original.source_port, e.original.destination_port, e.zone};
}

error refused(int number, const char* operation, const namespace_handle& at, const std::string& text) {
    auto e = errno_error(number, operation, at.name(), text);
    // What nfnetlink says when the subsystem is not there and cannot be loaded.
    if (number == EINVAL || number == EOPNOTSUPP || number == EPROTONOSUPPORT) e.code = errc::unsupported;
    return e;
}

result<std::vector<wire::ct_entry>> read_all(socket& s, const namespace_handle& at, std::uint32_t sequence) {
    const char* operation = "read connections";
    auto request = wire::ct_dump(AF_UNSPEC);
    if (auto sent = s.send(request.finish(sequence)); !sent) return sent.error();
    std::vector<wire::ct_entry> entries;
    for (;;) {
        auto bytes = s.receive(patience);
        if (!bytes) return bytes.error();
        if (bytes->empty()) return error{errc::timed_out, operation, at.name(), "the kernel does not answer", 0};
        std::optional<acknowledgement> end;
        for_each_message(*bytes, [&](const nlmsghdr* h) {
            if (h->nlmsg_seq != sequence) return;
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                end = read_ack(h);
            else if (auto entry = wire::decode_ct(h))
                entries.push_back(std::move(*entry));
        });
        if (!end) continue;
        if (end->errnum != 0) return refused(end->errnum, operation, at, end->text);
        return entries;
    }
}

// Deletes entries[first, last), whose sequence numbers begin with `sequence`.
result<std::size_t> delete_group(socket& s, const namespace_handle& at, std::span<const wire::ct_entry> entries,
                                 std::uint32_t sequence) {
    const char* operation = "delete connections";
    std::vector<std::uint8_t> batch;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        auto m = wire::ct_delete(entries[i]);
        const auto& bytes = m.finish(sequence + static_cast<std::uint32_t>(i));
        batch.insert(batch.end(), bytes.begin(), bytes.end());
    }
    if (auto sent = s.send(batch); !sent) return sent.error();
    std::size_t deleted = 0, answered = 0;
    result<std::size_t> outcome = 0;
    while (answered < entries.size()) {
        auto bytes = s.receive(patience);
        if (!bytes) return bytes.error();
        if (bytes->empty()) return error{errc::timed_out, operation, at.name(), "the kernel does not answer", 0};
        for_each_message(*bytes, [&](const nlmsghdr* h) {
            if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - sequence >= entries.size()) return;
            ++answered;
            const auto ack = read_ack(h);
            if (ack.errnum == 0)
                ++deleted;
            else if (ack.errnum != ENOENT && outcome)
                outcome = refused(ack.errnum, operation, at, ack.text);
        });
    }
    if (!outcome) return outcome;
    return deleted;
}

}  // namespace

bool connection_filter::fits(const connection& c) const {
    const auto within = [](const std::optional<ip_prefix>& wanted, const ip_address& address) {
        return !wanted || wanted->contains(address);
    };
    return within(original_source, c.original_source) && within(original_destination, c.original_destination) &&
           within(reply_source, c.reply_source) && within(reply_destination, c.reply_destination) &&
           (!protocol || *protocol == c.protocol) && (!destination_port || *destination_port == c.destination_port) &&
           (!zone || *zone == c.zone);
}

result<std::vector<connection>> connections(const namespace_handle& at) {
    auto s = socket::open(at, {}, NETLINK_NETFILTER);
    if (!s) return s.error();
    auto entries = read_all(*s, at, 1);
    if (!entries) return entries.error();
    std::vector<connection> out;
    for (const auto& e : *entries) out.push_back(value_of(e));
    return out;
}

result<std::size_t> delete_connections(const namespace_handle& at, std::span<const connection_filter> filters) {
    if (filters.empty()) return std::size_t{0};
    auto s = socket::open(at, {}, NETLINK_NETFILTER);
    if (!s) return s.error();
    auto entries = read_all(*s, at, 1);
    if (!entries) return entries.error();
    std::erase_if(*entries, [&](const wire::ct_entry& e) {
        const auto c = value_of(e);
        return std::none_of(filters.begin(), filters.end(), [&](const connection_filter& f) { return f.fits(c); });
    });
    std::size_t deleted = 0;
    for (std::size_t first = 0; first < entries->size(); first += group) {
        const auto part = std::span(*entries).subspan(first, std::min(group, entries->size() - first));
        auto done = delete_group(*s, at, part, 2 + static_cast<std::uint32_t>(first));
        if (!done) return done.error();
        deleted += *done;
    }
    return deleted;
}

}  // namespace weft::netlink
