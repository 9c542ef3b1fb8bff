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
namespace {

// Opens the device of that name, which `extra` flags may ask to be new, and sets whom it is for.
result<unique_fd> attach(const std::string& name, const tun_options& o, int extra, const char* operation, const std::string& object) {
    unique_fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    if (fd.get() < 0) return errno_error(errno, operation, object, "/dev/net/tun");
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>((o.tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI | extra | (o.multi_queue ? IFF_MULTI_QUEUE : 0));
    if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return errno_error(errno, operation, object, "TUNSETIFF");
    if (o.owner && ioctl(fd.get(), TUNSETOWNER, *o.owner) != 0) return errno_error(errno, operation, object, "TUNSETOWNER");
    if (o.group && ioctl(fd.get(), TUNSETGROUP, *o.group) != 0) return errno_error(errno, operation, object, "TUNSETGROUP");
    return fd;
}

std::string named(const namespace_handle& ns, const std::string& name) { return ns.name().empty() ? name : name + " in " + ns.name(); }

}  // namespace

result<void> create_tun(const namespace_handle& ns, const std::string& name, const tun_options& o) {
    const char* operation = "create link";
    if (auto ok = check_link_name(name); !ok) return ok;
    return run_in(ns, [&]() -> result<void> {
        // IFF_TUN_EXCL, since TUNSETIFF would otherwise attach to an existing persistent device of the name.
        auto fd = attach(name, o, IFF_TUN_EXCL, operation, named(ns, name));
        if (!fd && (fd.error().errnum == EBUSY || fd.error().errnum == EINVAL))
            return errno_error(EEXIST, operation, named(ns, name), "TUNSETIFF");
        if (!fd) return fd.error();
        if (ioctl(fd->get(), TUNSETPERSIST, 1) != 0) return errno_error(errno, operation, named(ns, name), "TUNSETPERSIST");
        return {};
    });
}

result<void> change_tun_owner(const namespace_handle& ns, const std::string& name, const tun_options& o) {
    const char* operation = "change owner";
    if (auto ok = check_link_name(name); !ok) return ok;
    return run_in(ns, [&]() -> result<void> {
        auto fd = attach(name, o, 0, operation, named(ns, name));
        if (fd) return {};
        if (fd.error().errnum != EBUSY) return fd.error();
        return errno_error(EBUSY, operation, named(ns, name), "a guest has the device open; stop the guest first");
    });
}

}  // namespace weft::netlink
