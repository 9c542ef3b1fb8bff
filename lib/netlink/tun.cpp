// SPDX-License-Identifier: Apache-2.0
// tun and tap devices. The file is opened on a thread inside the namespace, where the device is to be born, and closed once
// the device is persistent. Constants are of linux/if_tun.h. May include: core, model.
#include "netlink/tun.hpp"

#include "netlink/socket.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace weft::netlink {

result<void> create_tun(const namespace_handle& ns, const std::string& name, const tun_options& o) {
    const char* operation = "create link";
    if (auto ok = check_link_name(name); !ok) return ok;
    return run_in(ns, [&]() -> result<void> {
        const std::string object = ns.name().empty() ? name : name + " in " + ns.name();
        const unique_fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
        if (fd.get() < 0) return errno_error(errno, operation, object, "/dev/net/tun");
        ifreq request{};
        name.copy(request.ifr_name, IFNAMSIZ - 1);
        // IFF_TUN_EXCL, since TUNSETIFF would otherwise attach to an existing persistent device of the name.
        request.ifr_flags = static_cast<short>((o.tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI | IFF_TUN_EXCL |
                                               (o.multi_queue ? IFF_MULTI_QUEUE : 0));
        if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
            return errno_error(errno == EBUSY || errno == EINVAL ? EEXIST : errno, operation, object, "TUNSETIFF");
        if (o.owner && ioctl(fd.get(), TUNSETOWNER, *o.owner) != 0) return errno_error(errno, operation, object, "TUNSETOWNER");
        if (o.group && ioctl(fd.get(), TUNSETGROUP, *o.group) != 0) return errno_error(errno, operation, object, "TUNSETGROUP");
        if (ioctl(fd.get(), TUNSETPERSIST, 1) != 0) return errno_error(errno, operation, object, "TUNSETPERSIST");
        return {};
    });
}

}  // namespace weft::netlink
