// SPDX-License-Identifier: Apache-2.0
// WireGuard's two tongues: what is split, what is joined, and what of an answer is refused; and the comparison peer by peer.
#include <catch2/catch.hpp>

#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "model/satisfied.hpp"
#include "weft/core/secret.hpp"
#include "weft/model/json.hpp"
#include "weft/model/plan.hpp"
#include "wire/wireguard.hpp"

using namespace weft;

namespace {

public_key key_number(std::uint32_t n) {
    public_key k{};
    for (int i = 0; i < 4; ++i) k[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(n >> (24 - 8 * i));
    return k;
}

ip_prefix prefix(const std::string& text) { return *parse_prefix(text); }

wireguard_options device(std::uint32_t peers) {
    wireguard_options o;
    o.public_key = to_base64(key_number(0xffffff));
    o.port = 51820;
    for (std::uint32_t i = 0; i < peers; ++i) {
        wireguard_peer p;
        p.public_key = to_base64(key_number(i + 1));
        p.allowed = {{advance(*parse_ip("10.8.0.2"), i), 32}};
        o.peers.push_back(std::move(p));
    }
    std::sort(o.peers.begin(), o.peers.end(), [](const auto& a, const auto& b) { return a.public_key < b.public_key; });
    return o;
}

host_state host_with(wireguard_options options) {
    weft::link l;
    l.name = "wg0";
    l.options = std::move(options);
    l.group = weft_link_group;
    l.alias = "weft:f/nodes/vpn/vpn";
    host_state s;
    s.fabric = "f";
    s.node = "vpn";
    s.namespaces.push_back({});
    s.namespaces[0].links.push_back(std::move(l));
    return s;
}

const nlmsghdr* header(const secret& m) { return reinterpret_cast<const nlmsghdr*>(m.data()); }

// A message that sets is built as one that tells, but for the peers' flags; so it can be read back.
wireguard_options read_back(const std::vector<secret>& messages) {
    wire::wireguard_dump dump;
    for (const auto& m : messages) dump.add(header(m));
    return dump.take();
}

}  // namespace

TEST_CASE("a long list of peers goes over several messages", "[wireguard]") {
    wire::wireguard_change c;
    c.device = "wg0";
    c.port = 51820;
    c.replace_peers = true;
    const auto wanted = device(1000);
    for (const auto& p : wanted.peers) {
        wire::wireguard_peer_change one;
        one.key = *public_key_from_base64(p.public_key);
        one.replace_allowed = true;
        one.allowed = p.allowed;
        c.peers.push_back(std::move(one));
    }
    const auto messages = wire::wireguard_set(20, c, 5);
    REQUIRE(messages.size() > 5);
    for (std::size_t i = 0; i < messages.size(); ++i) {
        CHECK(messages[i].size() < 8192 + 200);
        CHECK(header(messages[i])->nlmsg_len == messages[i].size());
        CHECK(header(messages[i])->nlmsg_seq == 5 + i);
        const auto parts = wire::split<genlmsghdr>(header(messages[i]));
        REQUIRE(parts);
        const wire::attributes a(parts->second);
        CHECK(a[WGDEVICE_A_IFNAME].text() == "wg0");
        // Said in the second message too, it would remove the peers of the first.
        CHECK(a[WGDEVICE_A_FLAGS].u32().value_or(0) == (i == 0 ? static_cast<std::uint32_t>(WGDEVICE_F_REPLACE_PEERS) : 0U));
        CHECK(a[WGDEVICE_A_LISTEN_PORT].u16().has_value() == (i == 0));
    }
    const auto seen = read_back(messages);
    CHECK(seen.peers == wanted.peers);
    CHECK(seen.port == 51820);
}

TEST_CASE("a peer whose addresses go over several messages replaces them in the first alone, and is joined again", "[wireguard]") {
    wire::wireguard_change c;
    c.device = "wg0";
    wire::wireguard_peer_change one;
    one.key = key_number(7);
    one.replace_allowed = true;
    one.keepalive = 25;
    one.endpoint = *parse_endpoint("[2001:db8::1]:4500");
    for (int i = 0; i < 500; ++i) one.allowed.push_back({advance(*parse_ip("10.9.0.0"), i), 32});
    one.allowed.push_back(prefix("2001:db8:1::/48"));
    c.peers.push_back(one);
    c.peers.push_back({});
    c.peers.back().key = key_number(8);
    const auto messages = wire::wireguard_set(20, c, 1, 2000);
    REQUIRE(messages.size() > 3);
    std::size_t replaces = 0;
    for (const auto& m : messages) {
        const wire::attributes a(wire::split<genlmsghdr>(header(m))->second);
        const auto list = a[WGDEVICE_A_PEERS].payload();
        REQUIRE(list.size() > NLA_HDRLEN);
        const wire::attributes peer(list.subspan(NLA_HDRLEN));
        if ((peer[WGPEER_A_FLAGS].u32().value_or(0) & WGPEER_F_REPLACE_ALLOWEDIPS) != 0) ++replaces;
    }
    CHECK(replaces == 1);
    const auto seen = read_back(messages);
    REQUIRE(seen.peers.size() == 2);
    CHECK(seen.peers[0].allowed == one.allowed);
    CHECK(seen.peers[0].keepalive == 25);
    CHECK(seen.peers[0].endpoint == "[2001:db8::1]:4500");
}

TEST_CASE("messages cut short anywhere are read without harm", "[wireguard]") {
    wire::wireguard_change c;
    c.device = "wg0";
    c.peers.push_back({});
    c.peers.back().key = key_number(7);
    c.peers.back().endpoint = *parse_endpoint("192.0.2.1:1");
    c.peers.back().allowed = {prefix("10.8.0.2/32")};
    const auto whole = wire::wireguard_set(20, c, 1);
    for (std::uint32_t size = NLMSG_HDRLEN; size <= whole[0].size(); ++size) {
        auto part = secret_of(whole[0].bytes().first(size));
        std::memcpy(part.data(), &size, sizeof size);
        wire::wireguard_dump dump;
        dump.add(header(part));
        CHECK(dump.take().peers.size() <= 1);
    }
}

TEST_CASE("the text protocol says what differs, and its answers are read", "[wireguard]") {
    const auto private_key = new_private_key(), shared = new_private_key();
    wire::wireguard_change c;
    c.device = "wg0";
    c.private_key = &private_key;
    c.port = 51820;
    wire::wireguard_peer_change one;
    one.key = key_number(9);
    one.preshared = &shared;
    one.endpoint = *parse_endpoint("192.0.2.1:4500");
    one.keepalive = 25;
    one.replace_allowed = true;
    one.allowed = {prefix("10.8.0.2/32"), prefix("2001:db8::/64")};
    c.peers = {one};
    c.peers.push_back({});
    c.peers.back().key = key_number(10);
    c.peers.back().remove = true;
    const auto set = wire::uapi_set(c);
    std::string text(reinterpret_cast<const char*>(set.data()), set.size());
    CHECK_THAT(text, Catch::StartsWith("set=1\nprivate_key=") && Catch::EndsWith("remove=true\n\n"));
    CHECK_THAT(text, Catch::Contains("replace_allowed_ips=true\nallowed_ip=10.8.0.2/32\n"));
    // What is set can be read, but for the words that are commands.
    const auto answer = text.substr(text.find('\n') + 1);
    const auto seen = wire::uapi_read(answer);
    REQUIRE(seen.has_value());
    CHECK(seen->public_key == to_base64(public_half(private_key)));
    REQUIRE(seen->peers.size() == 2);
    CHECK(seen->peers[0].preshared == fingerprint(shared));
    CHECK(seen->peers[0].allowed == one.allowed);
    CHECK(seen->peers[0].endpoint == "192.0.2.1:4500");
    CHECK(seen->peers[0].keepalive == 25);

    CHECK(wire::uapi_errno("errno=0\n\n") == 0);
    CHECK(wire::uapi_errno("listen_port=1\nerrno=-22\n\n") == -22);
    CHECK(!wire::uapi_errno("errno=0\n"));
    CHECK(!wire::uapi_errno("xerrno=0\n\n"));
    for (const char* bad : {"listen_port=70000\n", "public_key=00\n", "no equals\n", "listen_port=1", "private_key=zz\n"}) {
        const auto refused = wire::uapi_read(bad);
        REQUIRE(!refused);
        CHECK(refused.error().code == errc::protocol_error);
    }
}

TEST_CASE("endpoints are an address and a port", "[wireguard]") {
    for (const char* good : {"192.0.2.1:1", "[2001:db8::1]:65535"}) {
        const auto e = parse_endpoint(good);
        REQUIRE(e.has_value());
        CHECK(e->to_string() == good);
    }
    for (const char* bad : {"192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:1", "[192.0.2.1]:1", "host:1", ":1", "192.0.2.1:+1"}) CHECK(parse_endpoint(bad).has_error());
}

TEST_CASE("a thousand peers as wanted are no step, and one more is one step that names it alone", "[wireguard]") {
    auto seen = device(1000), wanted = device(1000);
    wanted.key_file = "/var/lib/weft/keys/vpn.key";
    wanted.port = std::nullopt;
    // Roaming: where a peer speaks from now is no difference.
    for (auto& p : seen.peers) p.endpoint = "192.0.2.7:40000";
    auto same = diff(host_with(seen), host_with(wanted));
    REQUIRE(same.has_value());
    CHECK(same->empty());

    auto more = device(1001);
    auto one = diff(host_with(seen), host_with(more));
    REQUIRE(one.has_value());
    REQUIRE(one->steps.size() == 1);
    const auto lines = one->steps[0].details();
    REQUIRE(lines.size() == 1);
    CHECK_THAT(lines[0], Catch::StartsWith("+ peer " + to_base64(key_number(1001))));
    // Those that stay keep where they speak from, or the step would move them.
    for (const auto& p : std::get<wireguard_options>(std::get<weft::link>(*one->steps[0].after).options).peers)
        CHECK(p.endpoint == (p.public_key == to_base64(key_number(1001)) ? "" : "192.0.2.7:40000"));

    auto fewer = diff(host_with(more), host_with(device(1000)));
    REQUIRE(fewer.has_value());
    REQUIRE(fewer->steps.size() == 1);
    CHECK(fewer->steps[0].details() == std::vector<std::string>{"- peer " + to_base64(key_number(1001)) + " allowed 10.8.3.234/32"});
}

TEST_CASE("an endpoint that the file fixes is drift where it differs", "[wireguard]") {
    auto seen = device(1), wanted = device(1);
    seen.peers[0].endpoint = "192.0.2.7:40000";
    wanted.peers[0].endpoint = "192.0.2.1:51820";
    const auto p = diff(host_with(seen), host_with(wanted));
    REQUIRE(p.has_value());
    CHECK(p->steps.size() == 1);
}

TEST_CASE("a WireGuard link passes the journal's JSON whole", "[wireguard]") {
    auto o = device(2);
    o.userspace = true;
    o.peers[0].preshared = "00";
    o.peers[0].preshared_file = "/k";
    const auto before = host_with(o);
    const auto after = host_state_from_json(to_json(before));
    REQUIRE(after.has_value());
    CHECK(*after == before);
}
