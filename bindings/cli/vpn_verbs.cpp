// SPDX-License-Identifier: Apache-2.0
// The verbs of the VPN: making a key, which is never printed, and printing what a client needs. A client's private key is printed only where
// its file is given, straight from locked memory. They fail by weft::exception. May include: weft headers, libqrencode.
#include <qrencode.h>

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "common.hpp"
#include "weft/core/secret.hpp"
#include "weft/netlink/key_file.hpp"

namespace weft::cli {

namespace {

// Past the buffers of stdio, which nobody wipes.
void write_out(const std::uint8_t* from, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
        const auto n = ::write(STDOUT_FILENO, from + done, size - done);
        if (n <= 0) fail(errc::system_error, "print", "standard output", "it cannot be written");
        done += static_cast<std::size_t>(n);
    }
}

// Two rows of the code in one line of the terminal, dark on light whatever its colours are, with the quiet zone that readers want.
void print_qr(const secret& text) {
    const std::unique_ptr<QRcode, void (*)(QRcode*)> code(QRcode_encodeData(static_cast<int>(text.size()), text.data(), 0, QR_ECLEVEL_L), QRcode_free);
    if (!code) {
        std::fprintf(stderr, "weft: the configuration is too long for a QR code\n");
        return;
    }
    constexpr int quiet = 4;
    const auto dark = [&](int x, int y) { return x >= 0 && y >= 0 && x < code->width && y < code->width && (code->data[y * code->width + x] & 1) != 0; };
    std::string out;
    for (int y = -quiet; y < code->width + quiet; y += 2) {
        out += "\033[30;47m";
        for (int x = -quiet; x < code->width + quiet; ++x) out += dark(x, y) ? (dark(x, y + 1) ? "█" : "▀") : (dark(x, y + 1) ? "▄" : " ");
        out += "\033[0m\n";
    }
    write_out(reinterpret_cast<const std::uint8_t*>(out.data()), out.size());
}

struct found_gateway {
    std::string name;
    const vpn_gateway* vpn = nullptr;
    const vpn_peer* peer = nullptr;
};

found_gateway gateway_of(const fabric& f, const options& o) {
    found_gateway found;
    std::string peers;
    for (const auto& [name, n] : f.nodes) {
        if (!n.vpn || (!o.node.empty() && name != o.node)) continue;
        for (const auto& [peer_name, p] : n.vpn->peers) {
            peers += (peers.empty() ? "" : ", ") + peer_name;
            if (peer_name != o.peer) continue;
            if (found.peer) fail(errc::invalid_input, "find peer", o.peer, "several gateways have it; --node says which");
            found = {name, &*n.vpn, &p};
        }
    }
    if (!found.peer) fail(errc::not_found, "find peer", o.peer, peers.empty() ? "the fabric has no VPN peers" : "the fabric has " + peers);
    return found;
}

std::string gateway_key(const found_gateway& g, const options& o) {
    if (!o.gateway_key.empty()) {
        if (!public_key_from_base64(o.gateway_key)) fail(errc::invalid_input, "read public key", "--gateway-key", "base64 of 32 bytes is wanted");
        return o.gateway_key;
    }
    const auto key = netlink::read_key_file(g.vpn->key_file);
    if (!key) {
        auto e = key.error();
        e.detail += std::string(e.detail.empty() ? "" : "; ") + "run this on " + g.name + ", or give --gateway-key";
        throw exception(e);
    }
    return to_base64(public_half(*key));
}

// "" where it stands in a file that is not here.
std::string key_of(const vpn_peer& p) {
    if (!p.public_key.empty()) return p.public_key;
    const auto half = netlink::read_public_key_file(p.public_key_file);
    return half ? to_base64(*half) : std::string();
}

std::string endpoint_of(const fabric& f, const vpn_gateway& v) {
    if (!v.endpoint.empty()) return v.endpoint;
    if (f.lab.internet) return advance(f.lab.internet->network().address, 1).to_string() + ":" + std::to_string(v.port);
    fail(errc::invalid_input, "print client", f.file, "nobody knows where clients find the gateway: give vpn.endpoint in the file");
    return {};
}

std::string allowed_of(const fabric& f, const found_gateway& g) {
    std::string out;
    for (const ip_prefix& prefix : roles::vpn_client_prefixes(f, g.name)) out += (out.empty() ? "" : ", ") + prefix.to_string();
    return out;
}

}  // namespace

int vpn_key(const options& o) {
    const secret key = new_private_key();
    netlink::write_key_file(o.key, key).value();
    print(to_base64(public_half(key)));
    return 0;
}

int vpn_client(const options& o) {
    // What is printed here passes through libraries' buffers as well.
    ::prctl(PR_SET_DUMPABLE, 0);
    const fabric f = load_complete(o, open_values::fill);
    const auto g = gateway_of(f, o);
    const auto gateway = gateway_key(g, o);
    secret out;
    const auto line = [&](const std::string& text) { out.append(text + "\n"); };
    line("[Interface]");
    if (o.key.empty()) {
        line("# PrivateKey = of the client, which alone has it");
    } else {
        const auto key = netlink::read_key_file(o.key);
        if (!key) throw exception(key.error());
        const auto half = to_base64(public_half(*key));
        if (half == gateway) fail(errc::invalid_input, "print client", o.key, "it is the gateway's own key, which no client may have");
        if (const auto known = key_of(*g.peer); !known.empty() && half != known)
            fail(errc::invalid_input, "print client", o.key,
                 "it is not the key of peer " + o.peer + ", whose public key is " + (g.peer->public_key.empty() ? "in " + g.peer->public_key_file : known));
        out.append("PrivateKey = ");
        append_base64(out, *key);
        out.append("\n");
    }
    line("Address = " + g.peer->address.to_string() + "/32");
    // As the gateway's own device has it, which never sends more.
    line("MTU = " + std::to_string(roles::vpn_mtu(f, g.name)));
    line("\n[Peer]");
    line("PublicKey = " + gateway);
    if (!o.preshared.empty()) {
        if (g.peer->preshared_key_file.empty()) fail(errc::invalid_input, "print client", o.preshared, "peer " + o.peer + " has no preshared key");
        const auto key = netlink::read_key_file(o.preshared);
        if (!key) throw exception(key.error());
        out.append("PresharedKey = ");
        append_base64(out, *key);
        out.append("\n");
    } else if (!g.peer->preshared_key_file.empty()) {
        line("# PresharedKey = that of " + g.peer->preshared_key_file + " on " + g.name);
    }
    line("Endpoint = " + endpoint_of(f, *g.vpn));
    line("AllowedIPs = " + allowed_of(f, g));
    line("PersistentKeepalive = 25");
    write_out(out.data(), out.size());
    if (::isatty(STDOUT_FILENO)) print_qr(out);
    return 0;
}

}  // namespace weft::cli
