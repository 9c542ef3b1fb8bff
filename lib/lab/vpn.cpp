// SPDX-License-Identifier: Apache-2.0
// See the header. Keys made for a lab lie in its folder, 0600, and go with it. The list of a node's files is text: kind, source and target.
// Errors name files. May include: core, model, netlink.
#include "lab/vpn.hpp"

#include "lab/folder.hpp"
#include "lab/topology.hpp"
#include "weft/model/overlay.hpp"
#include "weft/netlink/key_file.hpp"
#include "weft/netlink/wireguard.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <sstream>

namespace weft::lab {
namespace {

std::string keys_folder(const std::string& lab) { return lab_folder(lab) + "/vpn"; }
bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }
// A node has folders of its own there.
bool is_private(const std::string& path) { return path.starts_with("/var/lib/weft/") || path.starts_with("/run/"); }

struct maker {
    const fabric& f;
    std::string lab;
    vpn_plan out;
    std::string list;  // of the node at hand

    error no_place(const std::string& path) const {
        return {errc::not_found, "bring up lab", path, "there is no such key file; the lab makes one of its own only below /var/lib/weft or /run", 0};
    }

    // The file, or one made for this lab; and the word for the node that it is to be had there.
    result<std::string> key_at(const std::string& path, const std::string& name) {
        if (exists(path) && !is_private(path)) return path;
        auto source = path;
        if (!exists(path)) {
            if (!is_private(path)) return no_place(path);
            source = keys_folder(lab) + "/" + name;
            if (auto made = netlink::write_key_file(source, new_private_key()); !made) return made.error();
        }
        list += "key " + source + " " + path + "\n";
        return source;
    }

    result<void> peer(const gateway_leg& leg, const std::string& name, const vpn_peer& p, const std::string& gateway_key) {
        const auto host = std::find_if(f.lab.hosts.begin(), f.lab.hosts.end(), [&](const auto& h) { return h.second.vpn == name; });
        const bool comes = host != f.lab.hosts.end();
        if (comes && p.public_key_file.empty())
            return error{errc::invalid_input, "bring up lab", host->first, "it cannot come in as " + name + ", whose public key the file fixes; with public-key-file the lab makes one", 0};
        planned_client client;
        if (!p.preshared_key_file.empty()) {
            auto shared = key_at(p.preshared_key_file, leg.node + "." + name + ".psk");
            if (!shared) return shared.error();
            const auto key = netlink::read_key_file(*shared);
            if (!key) return key.error();
            out.preshared_keys[p.preshared_key_file] = fingerprint(*key);
            client.preshared_file = *shared;
        }
        if (p.public_key_file.empty()) return {};
        std::string text;
        if (!comes && exists(p.public_key_file)) {
            const auto half = netlink::read_public_key_file(p.public_key_file);
            if (!half) return half.error();
            text = to_base64(*half);
        } else {
            const auto key = new_private_key();
            text = to_base64(public_half(key));
            client.key_file = keys_folder(lab) + "/" + leg.node + "." + name + ".key";
            if (comes)
                if (auto made = netlink::write_key_file(client.key_file, key); !made) return made;
            if (!is_private(p.public_key_file)) return no_place(p.public_key_file);
        }
        out.public_keys[p.public_key_file] = text;
        if (is_private(p.public_key_file)) list += "public " + text + " " + p.public_key_file + "\n";
        if (!comes) return {};
        client.member = host->first;
        client.netns = netns_name(lab, host->first);
        client.gateway_key = gateway_key;
        client.address = p.address;
        client.endpoint = advance(f.lab.internet->network().address, 1).to_string() + ":" + std::to_string(leg.vpn->port);
        std::set<ip_prefix> routes = {leg.vpn->pool};
        for (const auto& [network, n] : f.networks)
            if (!n.cidr.is_v6()) routes.insert(n.cidr);
        for (const auto& [tenant, t] : f.tenants)
            for (const auto& [network, n] : t.networks)
                if (!n.cidr.is_v6()) routes.insert(n.cidr);
        client.routes.assign(routes.begin(), routes.end());
        out.clients.push_back(std::move(client));
        return {};
    }

    result<void> gateway(const gateway_leg& leg) {
        list.clear();
        auto source = key_at(leg.vpn->key_file, leg.node + ".key");
        if (!source) return source.error();
        const auto key = netlink::read_key_file(*source);
        if (!key) return key.error();
        const auto text = to_base64(public_half(*key));
        out.public_keys[leg.vpn->key_file] = text;
        for (const auto& [name, p] : leg.vpn->peers)
            if (auto done = peer(leg, name, p, text); !done) return done;
        return write_file(keys_folder(lab) + "/" + leg.node + ".files", list);
    }
};

}  // namespace

std::vector<gateway_leg> vpn_gateways(const fabric& f) {
    std::vector<gateway_leg> all;
    for (const auto& [name, n] : f.nodes) {
        if (!n.vpn) continue;
        for (const auto& [device, nic] : n.nics)
            if (nic.network != management_network && nic.network != tunnel_network && nic.address) {
                all.push_back({name, nic.network, *nic.address, &*n.vpn});
                break;
            }
    }
    return all;
}

result<vpn_plan> make_keys(const fabric& f, const std::string& lab) {
    maker m{f, lab, {}, {}};
    const auto gateways = vpn_gateways(f);
    if (gateways.empty()) return std::move(m.out);
    if (::mkdir(keys_folder(lab).c_str(), 0700) < 0) return errno_error(errno, "make folder", keys_folder(lab));
    auto here = netlink::namespace_handle::open("");
    if (!here) return here.error();
    auto kernel = netlink::kernel_has_wireguard(*here);
    if (!kernel) return kernel.error();
    m.out.kernel = *kernel;
    for (const auto& leg : gateways)
        if (auto done = m.gateway(leg); !done) return done.error();
    return std::move(m.out);
}

result<std::vector<placed_key>> keys_of(const std::string& lab, const std::string& node) {
    std::vector<placed_key> all;
    std::istringstream lines(read_file(keys_folder(lab) + "/" + node + ".files").value_or(""));
    for (std::string kind, source, target; lines >> kind >> source >> target;) {
        placed_key k{target, {}, {}};
        if (kind == "key") {
            auto key = netlink::read_key_file(source);
            if (!key) return key.error();
            k.key = std::move(*key);
        } else k.text = source;
        all.push_back(std::move(k));
    }
    return all;
}

result<void> place_keys(const std::vector<placed_key>& all) {
    for (const auto& k : all) {
        std::error_code ignored;
        std::filesystem::create_directories(std::filesystem::path(k.target).parent_path(), ignored);
        auto done = k.key.empty() ? write_file(k.target, k.text + "\n") : netlink::write_key_file(k.target, k.key);
        if (!done) return done;
    }
    return {};
}

}  // namespace weft::lab
