// SPDX-License-Identifier: Apache-2.0
// The MTU of the way to a target: the kernel's routing is asked by a connected UDP socket, which sends nothing; the source address that
// it gives names the device. It may call sockets and netlink::run_in, and changes nothing.
#include "probe/socket.hpp"
#include "weft/probe/probe.hpp"

#include <boost/asio/ip/udp.hpp>

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weft::probe {
namespace {

using boost::asio::ip::udp;

// The device that has this address; "" if none does.
std::string device_with(const udp::endpoint& address) {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) < 0) return {};
    std::string name;
    for (const auto* one = all; one != nullptr && name.empty(); one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != address.protocol().family()) continue;
        udp::endpoint own;
        std::memcpy(own.data(), one->ifa_addr, address.size());
        if (own.address() == address.address()) name = one->ifa_name;
    }
    ::freeifaddrs(all);
    return name;
}

}  // namespace

result<std::uint32_t> way_mtu(const netlink::namespace_handle& from, const ip_address& target) {
    std::uint32_t mtu = 0;
    const auto asked = netlink::run_in(from, [&]() -> result<void> {
        const udp::endpoint to(target, 9);  // discard; nothing is sent
        const descriptor s(::socket(to.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!s) return errno_error(errno, "open probe socket", target.to_string());
        udp::endpoint own(to.protocol(), 0);
        auto length = static_cast<socklen_t>(own.capacity());
        if (::connect(s.fd(), to.data(), static_cast<socklen_t>(to.size())) < 0 || ::getsockname(s.fd(), own.data(), &length) < 0)
            return error{errc::not_found, "find MTU of the way", target.to_string(), "no route at the source", errno};
        const auto device = device_with(own);
        ifreq request{};
        device.copy(request.ifr_name, IFNAMSIZ - 1);
        if (::ioctl(s.fd(), SIOCGIFMTU, &request) < 0) return errno_error(errno, "read MTU", device);
        mtu = static_cast<std::uint32_t>(request.ifr_mtu);
        return {};
    });
    if (!asked) return asked.error();
    return mtu;
}

}  // namespace weft::probe
