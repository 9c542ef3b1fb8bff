// SPDX-License-Identifier: Apache-2.0
// See the header. The kernel is asked first; where it has no WireGuard, the link is made by a wireguard-go under the node's supervisor, and
// everything else about it is the same. May include: core, model, netlink, services.
#include "apply/wireguard.hpp"

#include "apply/executor.hpp"
#include "core/fault.hpp"
#include "model/index.hpp"
#include "weft/apply/apply.hpp"
#include "weft/core/secret.hpp"
#include "weft/model/fabric_file.hpp"
#include "weft/netlink/key_file.hpp"
#include "weft/netlink/wireguard.hpp"
#include "weft/services/services.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace weft::apply {
namespace {

// With the line and column of the file's name in the fabric file, as its diagnostics have them.
error at_place(error e, const fabric& f, const std::string& path) {
    e.object = with_place(f, path) + ": " + e.object;
    e.detail += (e.detail.empty() ? "" : "; ") + std::string("nothing was changed");
    return e;
}

void adopt_files(wireguard_options& seen, const wireguard_options& wanted) {
    if (seen.public_key == wanted.public_key) seen.key_file = wanted.key_file;
    auto have = seen.peers.begin();
    for (const auto& w : wanted.peers) {
        while (have != seen.peers.end() && have->public_key < w.public_key) ++have;
        if (have == seen.peers.end()) return;
        if (have->public_key == w.public_key && have->preshared == w.preshared) have->preshared_file = w.preshared_file;
    }
}

void adopt_files(wireguard_options& seen, remembered_keys& keys) {
    if (!seen.public_key.empty() && seen.key_file.empty()) seen.key_file = keys.of_public(seen.public_key);
    for (auto& p : seen.peers)
        if (!p.preshared.empty() && p.preshared_file.empty()) p.preshared_file = keys.of_preshared(p.preshared);
}

service wireguard_go(const std::string& device, const std::string& space) {
    service s;
    s.name = wireguard_go_name(device);
    s.kind = wireguard_go_kind;
    s.space = space;
    s.argv = {"wireguard-go", "-f", device};
    return s;
}

result<void> wait_for(const std::string& device) {
    using clock = std::chrono::steady_clock;
    for (const auto until = clock::now() + std::chrono::seconds(5); clock::now() < until;) {
        const auto there = netlink::read_wireguard_go(device);
        if (!there) return there.error();
        if (*there) return {};
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return error{errc::timed_out, "start wireguard-go", device, "it does not serve /run/wireguard/" + device + ".sock", 0};
}

// The link without what is WireGuard's own: what rtnetlink is told.
link plain(link l) {
    l.options = physical_options{};
    return l;
}

}  // namespace

std::string wireguard_go_name(const std::string& device) { return "wireguard-" + device; }

void remembered_keys::read() {
    if (std::exchange(read_, true)) return;
    const auto f = remembered_fabric(fabric_, node_);
    const auto node = f ? f->nodes.find(node_) : decltype(f->nodes.find(node_))();
    if (!f || node == f->nodes.end() || !node->second.vpn) return;
    const auto& vpn = *node->second.vpn;
    if (const auto key = netlink::read_key_file(vpn.key_file)) private_[to_base64(public_half(*key))] = vpn.key_file;
    for (const auto& [name, peer] : vpn.peers) {
        if (peer.preshared_key_file.empty()) continue;
        if (const auto key = netlink::read_key_file(peer.preshared_key_file)) preshared_[fingerprint(*key)] = peer.preshared_key_file;
    }
}

std::string remembered_keys::of_public(const std::string& half) {
    read();
    const auto at = private_.find(half);
    return at == private_.end() ? std::string() : at->second;
}

std::string remembered_keys::of_preshared(const std::string& fingerprint) {
    read();
    const auto at = preshared_.find(fingerprint);
    return at == preshared_.end() ? std::string() : at->second;
}

result<void> read_wireguard_links(const netlink::namespace_handle& at, namespace_state& seen, const namespace_state& wanted, const std::vector<service>& ours,
                                  remembered_keys& keys) {
    const index wanted_links(wanted.links);
    for (auto& l : seen.links) {
        const auto* tun = std::get_if<tun_options>(&l.options);
        if (tun != nullptr && !tun->tap) {
            const bool supervised = std::any_of(ours.begin(), ours.end(), [&](const service& s) { return s.name == wireguard_go_name(l.name) && s.space == at.name(); });
            // One that is being started has its device before it serves.
            if (supervised) (void)wait_for(l.name);
            const auto served = netlink::read_wireguard_go(l.name);
            if (!served) return served.error();
            if (!*served) continue;
            l.options = **served;
            // One that came again after a death has no mark yet.
            if (supervised && l.group == 0U) l.group = weft_link_group;
        } else if (std::holds_alternative<wireguard_options>(l.options)) {
            auto read = netlink::read_wireguard(at, l.name);
            if (!read && (read.error().code == errc::not_found || read.error().code == errc::permission_denied)) continue;
            if (!read) return read.error();
            l.options = std::move(*read);
        } else continue;
        auto& device = std::get<wireguard_options>(l.options);
        if (const auto* w = wanted_links.like(l))
            if (const auto* named = std::get_if<wireguard_options>(&w->options)) adopt_files(device, *named);
        if (l.group == weft_link_group) adopt_files(device, keys);
    }
    return {};
}

void leave_out_wireguard(host_state& seen, std::vector<service>& known, const host_state& wanted) {
    const auto has = [](const host_state& state, const std::string& name) {
        for (const auto& n : state.namespaces)
            for (const auto& l : n.links)
                if (wireguard_go_name(l.name) == name && std::holds_alternative<wireguard_options>(l.options)) return true;
        return false;
    };
    const auto part_of_link = [&](const service& s) { return s.kind == wireguard_go_kind && (has(seen, s.name) || has(wanted, s.name)); };
    std::erase_if(seen.services, part_of_link);
    std::erase_if(known, part_of_link);
}

result<void> read_vpn_facts(const netlink::namespace_handle& at, const fabric& f, const std::string& node_name, host_facts& out) {
    const auto& vpn = f.nodes.at(node_name).vpn;
    if (!vpn) return {};
    const auto path = "nodes." + node_name + ".vpn";
    const auto has = netlink::kernel_has_wireguard(at);
    if (!has) return has.error();
    out.kernel_wireguard = *has;
    const auto key = netlink::read_key_file(vpn->key_file);
    if (!key) return at_place(key.error(), f, path + ".key-file");
    const auto refused = [&](const std::string& of_peer, const std::string& file, const std::string& why) {
        return at_place({errc::invalid_input, "read public key file", file, why, 0}, f, of_peer + ".public-key-file");
    };
    out.public_keys[vpn->key_file] = to_base64(public_half(*key));
    for (const auto& [name, peer] : vpn->peers) {
        const auto of_peer = path + ".peers." + name;
        if (!peer.public_key_file.empty()) {
            const auto half = netlink::read_public_key_file(peer.public_key_file);
            if (!half) return at_place(half.error(), f, of_peer + ".public-key-file");
            if (std::equal(half->begin(), half->end(), key->data())) return refused(of_peer, peer.public_key_file, "it has the gateway's private key");
            out.public_keys[peer.public_key_file] = to_base64(*half);
        }
        if (peer.preshared_key_file.empty()) continue;
        const auto shared = netlink::read_key_file(peer.preshared_key_file);
        if (!shared) return at_place(shared.error(), f, of_peer + ".preshared-key-file");
        out.preshared_keys[peer.preshared_key_file] = fingerprint(*shared);
    }
    std::map<std::string, std::string> shared;
    for (const auto& [file, told] : out.preshared_keys) shared[told] = file;
    if (shared.empty()) return {};
    for (const auto& [name, peer] : vpn->peers) {
        if (peer.public_key_file.empty()) continue;
        const auto half = public_key_from_base64(out.public_keys.at(peer.public_key_file));
        if (const auto at = half ? shared.find(fingerprint(secret_of(*half))) : shared.end(); at != shared.end())
            return refused(path + ".peers." + name, peer.public_key_file, "it has the preshared key of " + at->second);
    }
    return {};
}

result<void> executor::one_wireguard(const step& s) {
    if (auto ok = fault::point("wireguard", s.object_name()); !ok) return ok;
    auto handle = open(s.scope);
    if (!handle) return handle.error();
    auto session = netlink::session::open(*handle);
    if (!session) return session.error();
    const auto* before = s.before ? std::get_if<link>(&*s.before) : nullptr;
    const auto* after = s.after ? std::get_if<link>(&*s.after) : nullptr;
    const auto options_of = [](const link* l) {
        const auto* o = l == nullptr ? nullptr : std::get_if<wireguard_options>(&l->options);
        return o == nullptr ? wireguard_options{} : *o;
    };
    const auto was = options_of(before), is = options_of(after);
    if (after == nullptr) {
        if (was.userspace) return services::remove(fabric_, wireguard_go_name(before->name));
        return session->run_one({netlink::verb::remove, *before});
    }
    if (before != nullptr) {
        // Before it is raised, so that nobody meets it half made.
        if (auto ok = netlink::change_wireguard(*handle, after->name, was, is); !ok) return ok;
        link old = *before, now = *after;
        old.options = now.options = physical_options{};
        if (old == now) return {};
        auto told = plain(only_changed(*before, *after));
        if (is.userspace) told.group = after->group;  // a device that came again after a death is seen as ours before it bears the mark
        return session->run_one({netlink::verb::change, told});
    }
    if (is.userspace) {
        // One of this name whose device has gone is about to end, or to be started again; to be told to reload would end it, too.
        if (auto ok = services::remove(fabric_, wireguard_go_name(after->name)); !ok) return ok;
        if (auto ok = services::put(fabric_, wireguard_go(after->name, handle->name())); !ok) return ok;
    } else if (auto ok = session->run_one({netlink::verb::add, *after}); !ok) {
        return ok;
    }
    auto outcome = is.userspace ? wait_for(after->name) : result<void>();
    if (outcome && is.userspace) outcome = session->run_one({netlink::verb::change, plain(*after)});
    if (outcome) outcome = netlink::change_wireguard(*handle, after->name, {}, is);
    if (outcome) return outcome;
    // All or nothing, as with any other link.
    if (is.userspace) (void)services::remove(fabric_, wireguard_go_name(after->name));
    else (void)session->run_one({netlink::verb::remove, *after});
    return outcome;
}

}  // namespace weft::apply
