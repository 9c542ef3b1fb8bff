// SPDX-License-Identifier: Apache-2.0
// The MTU of the way to a target: the kernel's routing is asked by a connected UDP socket, which sends nothing; the source address that
// it gives names the device. It may call sockets and netlink::run_in, and changes nothing.
#include "probe/socket.hpp"
#include "weft/probe/probe.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weft::probe {
namespace {

// The device that has this address; "" if none does.
std::string device_with(const in_addr& address) {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) < 0) return {};
    std::string name;
    for (const auto* one = all; one != nullptr && name.empty(); one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
        sockaddr_in own;
        std::memcpy(&own, one->ifa_addr, sizeof own);
        if (own.sin_addr.s_addr == address.s_addr) name = one->ifa_name;
    }
    ::freeifaddrs(all);
    return name;
}

}  // namespace

result<std::uint32_t> way_mtu(const netlink::namespace_handle& from, const ip_address& target) {
    if (!target.is_v4()) return error{errc::unsupported, "find MTU of the way", target.to_string(), "IPv4 targets only"};
    std::uint32_t mtu = 0;
    const auto asked = netlink::run_in(from, [&]() -> result<void> {
        const descriptor s(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!s) return errno_error(errno, "open probe socket", target.to_string());
        sockaddr_in to{}, own{};
        to.sin_family = AF_INET;
        to.sin_port = htons(9);  // discard; nothing is sent
        const auto bytes = target.to_v4().to_bytes();
        std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
        socklen_t length = sizeof own;
        if (::connect(s.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0 ||
            ::getsockname(s.fd(), reinterpret_cast<sockaddr*>(&own), &length) < 0)
            return error{errc::not_found, "find MTU of the way", target.to_string(), "no route at the source", errno};
        const auto device = device_with(own.sin_addr);
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
