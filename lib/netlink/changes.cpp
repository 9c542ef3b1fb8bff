// SPDX-License-Identifier: Apache-2.0
// Two sockets, one of rtnetlink and one of nftables; of each message as much is read as says whether it concerns
// anybody. May include: core, wire.
#include "weft/netlink/changes.hpp"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "netlink/socket.hpp"

namespace weft::netlink {
namespace {

constexpr std::size_t most_datagrams = 4096;

bool concerns(const nlmsghdr* h) {
    switch (h->nlmsg_type) {
        case RTM_NEWROUTE:
        case RTM_DELROUTE: {
            const auto parts = wire::split<rtmsg>(h);
            return !parts || ((parts->first.rtm_flags & RTM_F_CLONED) == 0 && parts->first.rtm_table != RT_TABLE_LOCAL);
        }
        case RTM_NEWLINK:
        case RTM_DELLINK: {
            // A bridge sends its ports' states in this type, with its own family; what is configured of a port comes in
            // the other, too.
            const auto parts = wire::split<ifinfomsg>(h);
            return !parts || parts->first.ifi_family == AF_UNSPEC;
        }
        default:
            return true;
    }
}

// The first attribute of every message of a table, chain, rule or set is the name of its table.
bool concerns_table(const nlmsghdr* h, const std::string& table) {
    if ((h->nlmsg_type >> 8) != NFNL_SUBSYS_NFTABLES || (h->nlmsg_type & 0xff) == NFT_MSG_NEWGEN) return false;
    const auto parts = wire::split<nfgenmsg>(h);
    if (!parts) return true;
    static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1);
    return wire::attributes(parts->second)[NFTA_TABLE_NAME].text() == table;
}

}  // namespace

struct change_notices::impl {
    socket routes;
    std::optional<socket> nft;
    std::string table;

    template <class F>
    static result<void> drain(socket& s, news& out, F concerned) {
        for (std::size_t i = 0; i < most_datagrams; ++i) {
            auto datagram = s.receive(std::chrono::milliseconds(0));
            if (!datagram) {
                if (datagram.error().errnum != ENOBUFS) return datagram.error();
                out.changed = out.lost = true;
                continue;
            }
            if (datagram->empty()) break;
            if (!out.changed)
                for_each_message(*datagram, [&](const nlmsghdr* h) { out.changed = out.changed || concerned(h); });
        }
        return {};
    }
};

change_notices::change_notices(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
change_notices::change_notices(change_notices&&) noexcept = default;
change_notices& change_notices::operator=(change_notices&&) noexcept = default;
change_notices::~change_notices() = default;

result<change_notices> change_notices::open(const namespace_handle& ns, const std::string& nft_table,
                                            std::size_t receive_buffer) {
    auto routes = socket::open(
        ns, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
             RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF});
    if (!routes) return routes.error();
    std::unique_ptr<impl> i(new impl{std::move(*routes), std::nullopt, nft_table});
    auto nft = socket::open(ns, {NFNLGRP_NFTABLES}, NETLINK_NETFILTER);
    if (nft)
        i->nft = std::move(*nft);
    else if (nft.error().errnum != EPROTONOSUPPORT)
        return nft.error();
    if (receive_buffer != 0) {
        const int size = static_cast<int>(std::min<std::size_t>(receive_buffer, 1 << 30));
        for (const int fd : {i->routes.fd(), i->nft ? i->nft->fd() : -1})
            if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) != 0)
                return errno_error(errno, "size event socket", ns.name());
    }
    return change_notices(std::move(i));
}

std::array<int, 2> change_notices::fds() const noexcept {
    return {impl_->routes.fd(), impl_->nft ? impl_->nft->fd() : -1};
}

result<news> change_notices::drain() {
    news out;
    if (auto ok = impl::drain(impl_->routes, out, concerns); !ok) return ok.error();
    if (!impl_->nft) return out;
    if (auto ok = impl::drain(*impl_->nft, out, [&](const nlmsghdr* h) { return concerns_table(h, impl_->table); });
        !ok)
        return ok.error();
    return out;
}

}  // namespace weft::netlink
