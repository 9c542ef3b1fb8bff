# SPDX-License-Identifier: Apache-2.0
"""IPv6 on the underlay: a lab of both families, tunnels over IPv6 exact to the byte, and routers' advertisements that nobody believes."""
import ipaddress
import json

import pytest

from conftest import FABRICS, Ear, Lab, eventually, weft

# A router's advertisement of 2001:db8:bad::/64, as a whole frame, so that the sender needs no address of its own.
ADVERTISE = """
import socket, struct, sys
device = sys.argv[1]
src, dst = socket.inet_pton(socket.AF_INET6, "fe80::bad"), socket.inet_pton(socket.AF_INET6, "ff02::1")
mac = bytes.fromhex("020000000bad")
body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\\x01\\x01" + mac
body += struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 86400, 86400, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
body = body[:2] + struct.pack("!H", checksum(src + dst + struct.pack("!II", len(body), 58) + body)) + body[4:]
frame = bytes.fromhex("333300000001") + mac + b"\\x86\\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + src + dst + body
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((device, 0))
for _ in range(3): s.send(frame)
"""
# A DHCPv6 server's message to everybody, and the same from and to other ports.
SERVE = """
import socket, sys
for port in (547, 5470):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", port))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
    s.sendto(b"\\x07" + bytes(63), ("ff02::1", 546 if port == 547 else 5460, 0, socket.if_nametoindex("eth0")))
"""
SOLICIT = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), ("ff02::2", 0, 0, socket.if_nametoindex("eth0")))
"""
OWN = {"controller": {"fd00:10::51", "2001:db8:100::51"}, "network": {"fd00:10::52", "fd00:20::52"},
       "compute1": {"fd00:10::53", "fd00:20::53"}, "compute2": {"fd00:10::54", "fd00:20::54"}}


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    # A second host of the LAN believes what routers say, as hosts do: it shows that the advertisement was a good one.
    text = (FABRICS / "dual-stack.yaml").read_text()
    host = "    lan1: { network: external"
    assert host in text
    file = tmp_path_factory.mktemp("dual") / "dual-stack.yaml"
    file.write_text(text.replace(host, "    lan2: { network: external, address: 192.168.100.201 }\n" + host))
    standing = Lab(file)
    yield standing
    standing.down()


def addresses(lab, member):
    links = json.loads(lab.run(member, "ip", "-j", "-6", "address", "show", "scope", "global").stdout or "[]")
    return {a["local"] for link in links for a in link.get("addr_info", []) if "local" in a}  # `ip` tells of others as {}


def ping(lab, member, target, payload, expect):
    lab.run(member, "ping", "-q", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", payload, target, expect=expect)


def test_every_cell_is_green_in_both_families_and_the_nodes_are_at_rest(dual):
    cells = dual.cells()
    assert [c for c in cells if not c["ok"]] == []
    of_ipv6 = [c for c in cells if c["via"].endswith("/ipv6")]
    assert {c["expected"] for c in of_ipv6} == {"reachable", "blocked"}
    for node in OWN:
        dual.on(node, "plan", expect=0)


def test_tunnels_run_over_ipv6_and_their_mtu_is_exact(dual):
    options = dual.run("compute1", "ovs-vsctl", "--columns=options", "find", "interface", "type=vxlan").stdout
    assert "fd00:20::54" in options and "10.20.20." not in options
    # A full packet of the underlay in either family; one byte more is none.
    for target, header in (("fd00:20::54", 48), ("10.20.20.54", 28)):
        ping(dual, "compute1", target, 1500 - header, 0)
        ping(dual, "compute1", target, 1500 - header + 1, 1)
    # What the tunnel leaves of it; more is lost in the tunnel itself, also where the VM believes that it has more.
    vm2 = dual.address("proj_one/vm2")
    ping(dual, "proj_one/vm1", vm2, 1430 - 28, 0)
    dual.run("proj_one/vm1", "ip", "link", "set", "eth0", "mtu", "1500")
    try:
        ping(dual, "proj_one/vm1", vm2, 1430 - 28, 0)
        ping(dual, "proj_one/vm1", vm2, 1430 - 28 + 1, 1)
    finally:
        dual.run("proj_one/vm1", "ip", "link", "set", "eth0", "mtu", "1430")


def test_no_node_believes_an_advertisement_nor_has_an_address_of_its_own_making(dual):
    dual.run("lan1", "/usr/bin/python3", "-c", ADVERTISE, "eth0")       # the LAN
    dual.run("compute2", "/usr/bin/python3", "-c", ADVERTISE, "eth0")   # management
    dual.run("compute2", "/usr/bin/python3", "-c", ADVERTISE, "br-eth1")  # VM-config
    eventually(lambda: any(a.startswith("2001:db8:bad:") for a in addresses(dual, "lan2")))
    for node, own in OWN.items():
        assert addresses(dual, node) == own
        assert "2001:db8:bad" not in dual.run(node, "ip", "-6", "route", "show", "table", "all").stdout
        assert "fe80::bad" not in dual.run(node, "ip", "-6", "route", "show", "table", "all").stdout
        # No link-local address either, where the file has IPv6.
        links = json.loads(dual.run(node, "ip", "-j", "-6", "address", "show").stdout)
        made = [(link["ifname"], a["local"]) for link in links for a in link.get("addr_info", []) if a.get("scope") == "link"]
        assert made == []


# Who advertises from where, and a node's device with addresses that hears it: each network that NICs of the file are in, from both ends of the
# switch where one end alone would not reach all.
ROGUES = {
    "two-servers.yaml": [("lan1", "eth0", "vpn", "eth0"), ("lan1", "eth0", "network", "eth3"), ("lan1", "eth0", "network", "br-ex"),
                         ("lan1", "eth0", "controller", "eth1"), ("server-b", "eth0", "controller", "eth0"), ("server-b", "eth1", "network", "br-eth1"),
                         ("server-b", "eth0", "server-a", "bridge-int"), ("network", "eth0", "server-b", "eth0"),
                         ("network", "eth1", "server-b", "br-eth1"), ("controller", "eth1", "server-a", "bridge-ext")],
    "cloudstack.yaml": [("lan1", "eth0", "controller", "eth1"), ("kvm1", "cloudbr0", "controller", "eth0"), ("controller", "eth0", "kvm1", "cloudbr0"),
                        ("kvm1", "cloudbr1", "kvm2", "cloudbr1"), ("kvm2", "cloudbr1", "kvm1", "cloudbr1"), ("kvm2", "cloudbr1", "kvm3", "cloudbr1"),
                        ("acme/web1", "eth0", "kvm2", "brvx-101"), ("acme/db1", "eth0", "kvm3", "brvx-102"), ("zenith/web1", "eth0", "kvm3", "brvx-201")],
}


def ipv6_of(lab, node):
    """Addresses and routes of IPv6 of a node and of all namespaces that stand on it, but for the link-local ones that a guest's NIC in the host
    makes for itself, a while after it is there."""
    spaces = [[]] + [["-n", line.split()[0]] for line in lab.run(node, "ip", "netns", "list").stdout.splitlines()]
    found = {}
    for space in spaces:
        links = json.loads(lab.run(node, "ip", *space, "-j", "-6", "address", "show").stdout or "[]")
        routes = json.loads(lab.run(node, "ip", *space, "-j", "-6", "route", "show", "table", "all").stdout or "[]")
        found[space[-1] if space else ""] = (sorted((l["ifname"], a["local"]) for l in links if l for a in l["addr_info"] if a["scope"] != "link"),
                                             sorted((r["dst"], r.get("dev"), r.get("gateway"), r.get("protocol")) for r in routes
                                                    if r.get("table") != "local" and r["dst"] != "fe80::/64"))
    return found


@pytest.mark.parametrize("fabric", ROGUES)
def test_a_rogue_router_on_any_network_of_the_file_gives_no_node_an_address_or_a_way(fabric, tmp_path):
    text = (FABRICS / fabric).read_text()
    assert text.count("hosts:  { lan1:") == 1
    file = tmp_path / fabric  # lan2 believes what routers say, as hosts do
    file.write_text(text.replace("hosts:  { lan1:", "hosts:  { lan2: { network: external, address: 192.168.100.201 }, lan1:"))
    standing = Lab(file)
    try:
        nodes = sorted({member for rogue, _, victim, _ in ROGUES[fabric] for member in (rogue, victim) if "/" not in member and not member.startswith("lan")})
        before = {node: ipv6_of(standing, node) for node in nodes}
        for rogue, device, victim, where in ROGUES[fabric]:
            ear = Ear(standing, victim, "icmp6 and ip6[40] == 134", device=where)
            standing.run(rogue, "/usr/bin/python3", "-c", ADVERTISE, device)
            assert "fe80::bad > ff02::1" in ear.stop(), (rogue, victim, where)
        if fabric == "two-servers.yaml":  # whose tenants have routers; each hears the LAN by its leg outside
            routers = [space for space in before["network"] if space.startswith("qrouter-")]
            assert len(routers) == 2
            for space in routers:
                leg = next(l["ifname"] for l in json.loads(standing.run("network", "ip", "-n", space, "-j", "link").stdout) if l["ifname"].startswith("qg-"))
                ear = Ear(standing, "network", "icmp6 and ip6[40] == 134", device=leg, inside=("ip", "netns", "exec", space))
                standing.run("lan1", "/usr/bin/python3", "-c", ADVERTISE, "eth0")
                assert "fe80::bad > ff02::1" in ear.stop(), leg
            standing.run("proj_one/vm1", "/usr/bin/python3", "-c", ADVERTISE, "eth0")
        eventually(lambda: any(a.startswith("2001:db8:bad:") for a in addresses(standing, "lan2")))
        ways = standing.run("lan2", "ip", "-6", "route", "show", "default").stdout
        assert "via fe80::bad" in ways and "proto ra" in ways
        for node in nodes:
            after = ipv6_of(standing, node)
            assert after == before[node], node
            assert "2001:db8:bad" not in str(after) and "fe80::bad" not in str(after)
            standing.on(node, "plan")
    finally:
        standing.down()


def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_touched(dual, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text((FABRICS / "dual-stack.yaml").read_text().replace('"fd00:10::53"', '"fd00:11::53"'))
    done = weft("check", file, expect=1)
    assert "fd00:11::53" in done.stderr and "a host of fd00:10::/64" in done.stderr and "bad.yaml:" in done.stderr
    before = dual.run("compute1", "ip", "-6", "address").stdout
    dual.on("compute1", "apply", file=file, expect=1)
    assert dual.run("compute1", "ip", "-6", "address").stdout == before


def tap(lab, vm):
    mac = json.loads(lab.run(f"proj_one/{vm}", "ip", "-j", "link", "show", "eth0").stdout)[0]["address"]
    (name,) = lab.run("compute1", "ovs-vsctl", "--bare", "--columns=name", "find", "interface", f'external_ids:attached-mac="{mac}"').stdout.split()
    return name


def own6(lab, vm):
    return next(iter(addresses(lab, vm)))


def test_vms_learn_the_addresses_that_the_file_says_and_their_way_out(dual):
    lock = json.loads(weft("allocate", dual.file, "--json").stdout)
    assert addresses(dual, "proj_one/vm3") == {lock["proj_one/ports/vm3/address6"]}
    assert addresses(dual, "proj_one/vm4") == {lock["proj_one/ports/vm4/address6"]}
    for vm in ("vm1", "vm2"):  # made of the MAC
        mac = json.loads(dual.run(f"proj_one/{vm}", "ip", "-j", "link", "show", "eth0").stdout)[0]["address"].split(":")
        host = bytes([int(mac[0], 16) ^ 2]) + bytes.fromhex("".join(mac[1:3]) + "fffe" + "".join(mac[3:]))
        made = ipaddress.ip_address(ipaddress.ip_address("2001:db8:1::").packed[:8] + host)
        assert addresses(dual, f"proj_one/{vm}") == {str(made)}
    for vm in ("vm1", "vm3"):
        ways = dual.run(f"proj_one/{vm}", "ip", "-6", "route", "show", "default").stdout
        assert "proto ra" in ways
        # IPv4's lease sets the device's MTU, so that of the advertisement is read in the advertisement.
        ear = Ear(dual, f"proj_one/{vm}", "icmp6 and ip6[40] == 134", more=("-vv",))
        dual.run(f"proj_one/{vm}", "/usr/bin/python3", "-c", SOLICIT)
        said = ear.stop()
        assert "mtu option (5), length 8 (1):  1430" in said and ("managed" in said) == (vm == "vm3") and "router lifetime 1800s" in said
    # Nobody routes there, and the announcement says so. (A VM that tried that way would drop it by itself: the neighbour is no router.)
    ear = Ear(dual, "proj_two/vm1", "icmp6 and ip6[40] == 134", more=("-vv",))
    dual.run("proj_two/vm1", "/usr/bin/python3", "-c", SOLICIT)
    assert "router lifetime 0s" in ear.stop()
    assert "proto ra" not in dual.run("proj_two/vm1", "ip", "-6", "route", "show", "default").stdout
    assert all(a.startswith("fd00:50::") for a in addresses(dual, "proj_two/vm1"))


def test_a_vm_is_known_by_its_name_with_both_addresses(dual):
    lock = json.loads(weft("allocate", dual.file, "--json").stdout)
    for kind, key in (("a", "address"), ("aaaa", "address6")):
        said = dual.run("proj_one/vm3", "busybox", "nslookup", f"-type={kind}", "vm3", "50.50.2.2").stdout
        assert "Address: " + lock["proj_one/ports/vm3/" + key] + "\n" in said, said


def test_the_mtu_of_a_tenant_is_exact_to_the_byte_in_ipv6_too(dual):
    other = own6(dual, "proj_one/vm2")
    dual.run("proj_one/vm1", "ping", "-q", "-n", "-c", "2", "-W", "2", "-M", "do", "-s", 1430 - 48, other)
    dual.run("proj_one/vm1", "ping", "-q", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", 1430 - 48 + 1, other, expect=1)
    # From outside the router says what is too large.
    dual.run("lan1", "ping", "-q", "-n", "-c", "2", "-W", "2", "-M", "do", "-s", 1430 - 48, other)
    told = dual.run("lan1", "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", 1430 - 48 + 1, other, expect=1).stdout
    assert "Packet too big: mtu=1430" in told


def test_subnets_are_routed_without_translation_and_a_floating_address_is_translated(dual):
    vm1, vm2 = own6(dual, "proj_one/vm1"), own6(dual, "proj_one/vm2")
    ear = Ear(dual, "lan1", "icmp6 and ip6[40] == 128")
    for vm in ("vm1", "vm2"):
        dual.run(f"proj_one/{vm}", "ping", "-q", "-n", "-c", "2", "-W", "2", "2001:db8:100::200")
    heard = ear.stop()
    assert f"{vm2} >" in heard and "2001:db8:100::1:1 >" in heard and f"{vm1} >" not in heard


def test_a_vm_that_plays_router_or_dhcpv6_server_or_another_is_heard_by_nobody(dual):
    vm1 = own6(dual, "proj_one/vm1")
    before = addresses(dual, "proj_one/vm2")
    dual.run("proj_one/vm1", "/usr/bin/python3", "-c", ADVERTISE, "eth0")
    # With its own addresses it is no router either.
    mac = json.loads(dual.run("proj_one/vm1", "ip", "-j", "link", "show", "eth0").stdout)[0]["address"].replace(":", "")
    local = next(a["local"] for link in json.loads(dual.run("proj_one/vm1", "ip", "-j", "-6", "address", "show", "dev", "eth0").stdout)
                 for a in link.get("addr_info", []) if a.get("scope") == "link")
    dual.run("proj_one/vm1", "/usr/bin/python3", "-c", ADVERTISE.replace("fe80::bad", local).replace("020000000bad", mac), "eth0")
    # Whoever hears a server of DHCPv6 hears it before the rules of its groups; vm2's let no other UDP in at all.
    ear = Ear(dual, "compute1", "udp and ip6", device=tap(dual, "vm1"))
    deaf = Ear(dual, "proj_one/vm2", "udp and ip6")
    dual.run("proj_one/vm1", "/usr/bin/python3", "-c", SERVE)
    said = ear.stop()
    assert ".547 > " in said and ".5470 > " in said and deaf.stop() == ""
    dual.run("proj_one/vm1", "ip", "address", "add", "2001:db8:1::bad/64", "dev", "eth0", "nodad")
    try:
        dual.run("proj_one/vm1", "ping", "-q", "-n", "-c", "2", "-W", "2", "-I", vm1, own6(dual, "proj_one/vm2"))
        dual.run("proj_one/vm1", "ping", "-q", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", "2001:db8:1::bad", own6(dual, "proj_one/vm2"), expect=1)
    finally:
        dual.run("proj_one/vm1", "ip", "address", "del", "2001:db8:1::bad/64", "dev", "eth0")
    assert addresses(dual, "proj_one/vm2") == before and vm1 in addresses(dual, "proj_one/vm1")
    assert "2001:db8:bad" not in dual.run("proj_one/vm2", "ip", "-6", "route", "show", "table", "all").stdout


def test_nobody_outside_speaks_as_one_of_the_tenants_own(dual):
    vm4 = own6(dual, "proj_one/vm4")  # lets in its group alone
    dual.run("lan1", "ip", "address", "add", own6(dual, "proj_one/vm2") + "/128", "dev", "eth0", "nodad")
    try:
        ear = Ear(dual, "proj_one/vm4", "icmp6 and ip6[40] == 128")
        dual.run("lan1", "ping", "-q", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", own6(dual, "proj_one/vm2"), vm4, expect=1)
        dual.run("proj_one/vm2", "ping", "-q", "-n", "-c", "2", "-W", "2", "-s", "777", vm4)  # so the ear hears
        heard = ear.stop()
        assert "length 785" in heard and "length 64" not in heard
    finally:
        dual.run("lan1", "ip", "address", "del", own6(dual, "proj_one/vm2") + "/128", "dev", "eth0")


def test_ipv6_of_a_tenant_comes_and_goes_by_apply_and_leaves_nothing(dual, tmp_path):
    file = tmp_path / "four.yaml"
    text = dual.file.read_text()
    assert ', cidr6: "2001:db8:2::/64", ipv6: stateful' in text
    file.write_text(text.replace(', cidr6: "2001:db8:2::/64", ipv6: stateful', ""))
    spaces = lambda: dual.run("network", "sh", "-c", "for n in $(ip netns list | cut -d' ' -f1); do ip -n $n -6 address; done; ps ax -o args | grep [d]nsmasq").stdout
    assert "2001:db8:2::1/64" in spaces() and "--dhcp-range=2001:db8:2::" in spaces()
    dual.on("network", "apply", file=file)
    try:
        assert "2001:db8:2::" not in spaces()
        dual.on("network", "plan", file=file)
    finally:
        dual.on("network", "apply")
    assert "2001:db8:2::1/64" in spaces() and "--dhcp-range=2001:db8:2::" in spaces()
    dual.on("network", "plan")
    assert [c for c in dual.cells() if not c["ok"]] == []
