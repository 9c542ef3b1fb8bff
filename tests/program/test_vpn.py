# SPDX-License-Identifier: Apache-2.0
"""The VPN gateway as its users run it: peers that come, stay and go while others speak; what is refused; and that no key is ever seen."""
import base64
import ctypes
import ctypes.util
import json
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from beside import Watch
from labs import FABRICS, PROGRAM, Ear, Lab, eventually, weft

NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}
SEEN = pathlib.Path(__file__).parents[1] / "fault" / "seen.py"
KEY = "/var/lib/weft/keys/vpn.key"
SHARED = "/var/lib/weft/keys/laptop.psk"  # of the lab that has one
PEER = "        laptop: { public-key-file: /var/lib/weft/keys/laptop.pub, address: 10.8.0.2, keepalive: 25 }\n"
FLOATING = "192.168.100.103"  # of proj_one/vm1


@pytest.fixture(scope="module")
def lab():
    standing = Lab(FABRICS / "two-servers.yaml")
    yield standing
    standing.down()


def text():
    return (FABRICS / "two-servers.yaml").read_text()


def a_public_key(seed):
    return base64.b64encode(random.Random(seed).randbytes(32)).decode()


def with_peers(count, laptop=True):
    """The file with so many peers more; the pool is wide enough for a thousand."""
    lines = [f"        p{i}: {{ public-key: {a_public_key(i)}, address: 10.8.{4 + i // 250}.{1 + i % 250} }}\n" for i in range(count)]
    host = ", vpn: laptop" if not laptop else ""
    return text().replace("10.8.0.0/24", "10.8.0.0/16").replace(host, "").replace(PEER, (PEER if laptop else "") + "".join(lines))


def reaches(lab, target=FLOATING, count=1):
    return lab.run("road1", "ping", "-c", count, "-i", "0.1", "-W", "1", target, expect=None).returncode == 0


def handshake(lab):
    times = [line.split() for line in lab.run("vpn", "wg", "show", "wg0", "latest-handshakes").stdout.splitlines()]
    return max(int(when) for _, when in times)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "two-servers.yaml"
        path.write_text(content)
        return path
    return write


def test_every_cell_is_green_and_a_second_run_writes_nothing(lab):
    lab.assert_green()
    assert lab.on("vpn", "plan").returncode == 0
    assert lab.writes("vpn") == NOTHING


def test_it_is_said_aloud_who_serves_the_link(lab):
    kernel = subprocess.run(["modprobe", "-n", "wireguard"], capture_output=True).returncode == 0
    for verb in ("plan", "show", "apply"):
        assert ("wireguard-go, as this kernel has no WireGuard" in lab.on("vpn", verb).stdout) != kernel


def test_a_thousand_peers_and_one_more_disturb_nobody(lab, file):
    many = file(with_peers(1000))
    lab.on("vpn", "apply", file=many)
    assert reaches(lab)
    assert len(lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split()) == 1001
    before = handshake(lab)
    assert lab.writes("vpn", many) == NOTHING
    more = file(with_peers(1001))
    plan = lab.on("vpn", "plan", file=more, expect=2).stdout
    assert plan.count("peer ") == 1 and f"+ peer {a_public_key(1000)}" in plan
    written = lab.writes("vpn", more)
    assert (written["steps"], written["netlink_writes"]) == (1, 1)
    assert reaches(lab, count=5)
    assert handshake(lab) == before
    # Back: one message that takes all of them away, and the laptop speaks on.
    lab.on("vpn", "apply")
    assert lab.run("vpn", "wg", "show", "wg0", "peers").stdout.count("\n") == 1
    assert reaches(lab, count=3)
    assert handshake(lab) == before
    assert lab.writes("vpn") == NOTHING


def test_a_peer_that_leaves_the_file_is_cut_off_at_once(lab, file):
    assert reaches(lab)
    lab.on("vpn", "apply", file=file(with_peers(1, laptop=False)))
    assert not reaches(lab, count=3)
    assert lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split() == [a_public_key(0)]
    lab.on("vpn", "apply")
    eventually(lambda: reaches(lab), 20)


def test_a_roaming_peer_is_no_drift(lab):
    assert reaches(lab)
    assert "endpoint 203.0.113." in lab.on("vpn", "show").stdout
    assert lab.writes("vpn") == NOTHING


def by_client(lab, *command):
    """Runs this where the client's WireGuard is, whose socket is in mounts of its own where it is a wireguard-go."""
    pid = wireguard_go(lab, "road1")
    return lab.run("road1", *(["nsenter", f"--mount=/proc/{pid}/ns/mnt"] if pid else []), *command)


def begin_anew(lab):
    """A session that the client begins now, so that none is renewed while a test counts packets or sessions."""
    by_client(lab, "sh", "-ec", "wg showconf wg0 | wg setconf wg0 /dev/stdin")
    eventually(lambda: reaches(lab), 20)


def endpoint(lab):
    (line,) = lab.run("vpn", "wg", "show", "wg0", "endpoints").stdout.splitlines()
    return line.split()[1]


def test_a_client_that_roams_is_followed_by_the_gateway_without_a_word_and_a_fixed_endpoint_is_not_given_up(lab, file):
    lab.on("vpn", "apply")
    begin_anew(lab)
    assert endpoint(lab).startswith("203.0.113.20:")
    met, before = handshake(lab), stands(lab)

    def at(address, port):
        # In one go, so that the client is never without a way.
        lab.run("road1", "sh", "-ec", f"ip address flush dev eth0 scope global; ip address add {address}/24 dev eth0; "
                "ip route replace default via 203.0.113.1 proto 87")
        by_client(lab, "wg", "set", "wg0", "listen-port", port)

    def followed(to):
        eventually(lambda: reaches(lab), 20)
        assert endpoint(lab) == to
        lab.run("vpn", "ping", "-q", "-n", "-c", "2", "-i", "0.2", "-W", "2", "10.8.0.2")  # and it is found there
        assert lab.on("vpn", "plan").returncode == 0
        assert lab.writes("vpn") == NOTHING and endpoint(lab) == to

    try:
        at("203.0.113.20", 40001)
        assert endpoint(lab) != "203.0.113.20:40001"  # it has not spoken yet
        followed("203.0.113.20:40001")
        at("203.0.113.21", 40002)
        followed("203.0.113.21:40002")
        assert handshake(lab) == met and stands(lab) == before  # the same session, and nothing else moved
        # The twin: a peer that the file says a place for.
        fixed = file(text().replace("keepalive: 25", 'endpoint: "203.0.113.21:40002"'))
        lab.on("vpn", "apply", file=fixed)
        lab.on("vpn", "plan", file=fixed)
        at("203.0.113.20", 40003)
        eventually(lambda: reaches(lab), 20)
        assert "endpoint 203.0.113.20:40003 → peer" in lab.on("vpn", "plan", file=fixed, expect=2).stdout
        lab.on("vpn", "apply", file=fixed)
        assert endpoint(lab) == "203.0.113.21:40002"
    finally:
        at("203.0.113.20", 0)
        lab.on("vpn", "apply")
    eventually(lambda: reaches(lab), 20)


def test_a_keepalive_of_the_file_is_what_the_gateway_sends_by_itself_and_without_one_it_is_silent(lab, file):
    from_gateway = "udp and src host 203.0.113.1 and src port 51820"

    def sent_in_silence(seconds):
        """Empty packets that the client gets of the gateway while nobody speaks, and one that is not empty, so that it is known to hear."""
        begin_anew(lab)
        ear = Ear(lab, "road1", from_gateway, more=("-c", "50"))
        time.sleep(seconds)
        assert reaches(lab)
        heard = ear.stop()
        assert "length 128" in heard, heard  # the answer: 32 bytes and a packet of 84, which is filled up to 96
        return heard.count("length 32\n")

    try:
        lab.on("vpn", "apply", file=file(text().replace("keepalive: 25", "keepalive: 1")))
        assert sent_in_silence(4) >= 2
        lab.on("vpn", "apply", file=file(text().replace(", keepalive: 25", "")))
        assert lab.run("vpn", "wg", "show", "wg0", "persistent-keepalive").stdout.split()[1] == "off"
        assert sent_in_silence(4) == 0
    finally:
        lab.on("vpn", "apply")


# A host of the LAN that answers a client by datagrams that must not be fragmented: one of a byte too many, upon which the gateway tells it the
# MTU of the path, and one that fits.
ANSWER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
s.bind(("192.168.100.200", 9999))
print("bound", flush=True)
s.settimeout(20)
_, who = s.recvfrom(100)
s.connect(who)
s.send(bytes(int(sys.argv[1]) + 1))
end = time.monotonic() + 10
while s.getsockopt(socket.IPPROTO_IP, 14) == 1500 and time.monotonic() < end:
    time.sleep(0.02)
print(s.getsockopt(socket.IPPROTO_IP, 14))  # IP_MTU
try:
    s.send(b"")  # takes the error that is pending
except OSError:
    pass
s.send(bytes(int(sys.argv[1])))
"""
ASK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.sendto(b"?", ("192.168.100.200", 9999))
while not (answer := s.recv(9000)): pass
print(len(answer))
"""


def test_the_mtu_of_the_tunnel_is_exact_to_the_byte_both_ways_and_the_gateway_says_so(lab):
    assert reaches(lab)
    (link,) = json.loads(lab.run("vpn", "ip", "-j", "link", "show", "wg0").stdout)
    mtu, headers = link["mtu"], 20 + 8  # of IPv4 and ICMP or UDP
    assert mtu == 1500 - 40 - 8 - 32  # of an outer IPv6, UDP and WireGuard, as wg-quick has it

    def ping(member, target, payload, expect=0):
        return lab.run(member, "ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", payload, target, expect=expect)

    # Over IPv4 a full packet is one of 1480 bytes on the wire, whole.
    ear = Ear(lab, "vpn", "udp and port 51820 or ip[6:2] & 0x3fff != 0", more=("-v", "-c", "20"))
    ping("road1", FLOATING, mtu - headers)
    heard = ear.stop()
    assert heard.count(f"length {mtu + 60})") == 2 and f"UDP, length {mtu + 32}" in heard and "flags [+" not in heard, heard
    told = ping("road1", FLOATING, mtu - headers + 1, expect=1)
    assert f"mtu={mtu}" in told.stdout + told.stderr
    # The gateway's own end.
    ping("vpn", "10.8.0.2", mtu - headers)
    told = ping("vpn", "10.8.0.2", mtu - headers + 1, expect=1)
    assert f"mtu={mtu}" in told.stdout + told.stderr
    # What somebody else sends through it: too large, he is told the number; and of that number it arrives.
    host = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/lan1", "--", "/usr/bin/python3", "-c", ANSWER, str(mtu - headers)],
                            stdout=subprocess.PIPE, text=True)
    try:
        assert host.stdout.readline() == "bound\n"
        assert lab.run("road1", "/usr/bin/python3", "-c", ASK).stdout == f"{mtu - headers}\n"
        assert host.communicate(timeout=20)[0] == f"{mtu}\n"
    finally:
        host.kill()
        host.wait(10)


def test_a_session_begins_over_ipv6_where_the_file_says_an_ipv6_endpoint(file):
    # road1 [2001:db8:203::20]:40001 - router, which routes IPv6 as it is - [2001:db8:100::56]:51820 vpn; the gateway speaks first, by its keepalive.
    both = (FABRICS / "dual-stack.yaml").read_text()
    node, host = "tenants:\n", "    lan1: { network: external"
    assert both.count("\n" + node) == 1 and both.count(host) == 1
    both = both.replace(node, f"""  vpn:
    roles: [vpn-gateway]
    nics: {{ eth0: {{ network: external, address: 192.168.100.56, address6: "2001:db8:100::56" }} }}
    vpn:
      key-file: {KEY}
      pool: 10.8.0.0/24
      peers:
        laptop: {{ public-key-file: /var/lib/weft/keys/laptop.pub, address: 10.8.0.2, keepalive: 1, endpoint: "[2001:db8:203::20]:40001" }}
""" + node).replace(host, '    road1: { network: internet, address: 203.0.113.20, address6: "2001:db8:203::20", vpn: laptop }\n' + host)
    standing = Lab(file(both))
    try:
        by_client(standing, "wg", "set", "wg0", "listen-port", "40001")
        eventually(lambda: handshake(standing) > 0, 30)
        assert endpoint(standing) == "[2001:db8:203::20]:40001"
        assert by_client(standing, "wg", "show", "wg0", "endpoints").stdout.split()[1] == "[2001:db8:100::56]:51820"
        ear = Ear(standing, "road1", "udp and port 51820", more=("-c", "50"))
        eventually(lambda: reaches(standing, count=3), 20)
        heard = ear.stop()
        assert "2001:db8:100::56.51820 > 2001:db8:203::20.40001: UDP, length 128" in heard and "203.0.113." not in heard
        assert standing.on("vpn", "plan").returncode == 0 and standing.writes("vpn") == NOTHING
        assert "[2001:db8:203::20]:40001" in standing.on("vpn", "show").stdout
    finally:
        standing.down()


def test_a_peer_added_by_hand_goes_and_one_removed_comes_back(lab):
    lab.run("vpn", "wg", "set", "wg0", "peer", a_public_key(7777), "allowed-ips", "10.8.0.77/32")
    (ours,) = [p for p in lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split() if p != a_public_key(7777)]
    lab.run("vpn", "wg", "set", "wg0", "peer", ours, "remove")
    assert not reaches(lab)
    lab.on("vpn", "apply")
    assert lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split() == [ours]
    eventually(lambda: reaches(lab), 20)


@pytest.mark.parametrize("how", ["route", "masquerade"])
def test_clients_reach_fixed_addresses_where_the_file_asks_for_it(file, how):
    wide = text().replace("pool: 10.8.0.0/24", f"pool: 10.8.0.0/24\n      return: {how}\n      fixed: true")
    wide = wide.replace("proj_two:\n    networks: { net1: { cidr: 50.50.1.0/24 } }", "proj_two:\n    networks: { net1: { cidr: 50.50.3.0/24 } }")
    standing = Lab(file(wide.replace("address: 50.50.1.21", "address: 50.50.3.21")))
    try:
        fixed = [c for c in standing.cells() if c["from"] == "road1" and c["via"] == "fixed"]
        assert len(fixed) == 4 and all(c["expected"] == "reachable" for c in fixed)
        standing.assert_green()
        assert standing.writes("vpn") == standing.writes("network") == NOTHING
    finally:
        standing.down()


def wireguard_go(lab, member="vpn"):
    """Its process, found by the namespace of the member."""
    inode = lab.run(member, "readlink", "/proc/self/ns/net").stdout.strip()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0] == b"wireguard-go" and os.readlink(f"/proc/{pid}/ns/net") == inode:
                return int(pid)
        except OSError:
            continue
    return None


def test_a_wireguard_go_that_dies_is_started_again_and_set_up_again(lab):
    pid = wireguard_go(lab)
    if pid is None:
        pytest.skip("the kernel has WireGuard")
    os.kill(pid, 9)
    eventually(lambda: wireguard_go(lab) not in (None, pid))
    eventually(lambda: "wg0" in lab.run("vpn", "ip", "-br", "link").stdout)
    lab.on("vpn", "apply")
    assert lab.writes("vpn") == NOTHING
    eventually(lambda: reaches(lab), 20)
    lab.assert_green()


def test_a_wireguard_go_that_dies_comes_back_with_its_peers_under_a_watch_that_heals(lab):
    pid = wireguard_go(lab)
    if pid is None:
        pytest.skip("the kernel has WireGuard")
    lab.on("vpn", "apply")  # from when on it is remembered what the node was made from, which `stands` sees
    assert reaches(lab)
    before = stands(lab)
    watch = Watch(lab, "--heal", node="vpn")
    try:
        os.kill(pid, 9)
        eventually(lambda: wireguard_go(lab) not in (None, pid))
        assert watch.hear("repaired", "link", "wg0", seconds=20)["wanted"]["name"] == "wg0"
        eventually(lambda: stands(lab) == before, 20)
        # The client finds out by itself that its session is gone, 15 s after the last answer.
        eventually(lambda: reaches(lab), 40)
    finally:
        watch.stop()
    assert lab.writes("vpn") == NOTHING


def test_a_watch_tells_a_second_change_of_peers_while_the_first_is_still_there_and_each_once(lab):
    before = stands(lab)[:2]
    watch = Watch(lab, node="vpn")

    def by_hand(*words):
        since = len(watch.said)
        lab.run("vpn", "wg", "set", "wg0", *words)
        told = watch.hear("seen", "link", "wg0", since=since)
        assert told["since"] == watch.find("seen", "link", "wg0")[0]["since"]  # it is one difference, which has grown
        (options,) = told["seen"]["options"].values()
        return [peer["public_key"] for peer in options["peers"]]

    first, second, third = (a_public_key(seed) for seed in (7001, 7002, 7003))
    try:
        (ours,) = lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split()
        assert by_hand("peer", first, "allowed-ips", "10.8.0.71/32") == sorted([ours, first])
        assert by_hand("peer", second, "allowed-ips", "10.8.0.72/32") == sorted([ours, first, second])
        # As many peers as before, and another one: the line that is told is the same, the peers are not.
        assert by_hand("peer", second, "remove", "peer", third, "allowed-ips", "10.8.0.73/32") == sorted([ours, first, third])
        # The same peers, of which one has more.
        assert by_hand("peer", third, "persistent-keepalive", "9") == sorted([ours, first, third])
        said = len(watch.said)
        time.sleep(3)
        assert watch.said[said:] == [] and len(watch.find("seen")) == 4
        lab.on("vpn", "apply")
        watch.hear("over", "link", "wg0")
    finally:
        watch.stop()
        lab.on("vpn", "apply")
    assert stands(lab)[:2] == before


def test_it_goes_with_weft_and_comes_again(lab):
    lab.run("vpn", PROGRAM, "remove", "--node", "vpn")
    assert "wg0" not in lab.run("vpn", "ip", "-br", "link").stdout
    assert wireguard_go(lab) is None
    lab.on("vpn", "apply")
    eventually(lambda: reaches(lab), 20)
    assert lab.writes("vpn") == NOTHING


def forms_of(key):
    raw = base64.b64decode(key)
    return {"base64": key.encode(), "without padding": key.rstrip("=").encode(), "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(), "raw": raw}


def assert_nowhere(key, where, what):
    for form, bytes_ in forms_of(key).items():
        assert bytes_ not in what, f"the key, as {form}, is in {where}"


def own_key(lab):
    return lab.run("vpn", "cat", KEY).stdout.strip()


def everything_said(lab, file):
    for verb in ("plan", "show", "apply"):
        for form in ([], ["--json"]):
            done = lab.on("vpn", verb, *form, file=file, expect=None)
            yield f"weft {verb} {form}", (done.stdout + done.stderr).encode()


def everything_kept(lab):
    """All files of the node but the keys' own, and those of the lab that others can read."""
    find = ["find", "/run", "/var/lib/weft", "-xdev", "-type", "f", *(word for own in (KEY, SHARED) for word in ("!", "-path", own))]
    for path in lab.run("vpn", *find).stdout.splitlines():
        yield path, lab.run("vpn", "base64", path).stdout
    for path in pathlib.Path(f"/run/weft/lab/{lab.name}").rglob("*"):
        if path.is_file() and (path.stat().st_mode & 0o077 or not path.name.endswith((".key", ".psk"))):
            yield str(path), base64.b64encode(path.read_bytes()).decode()


def everything_running():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for part in ("cmdline", "environ"):
            try:
                yield f"/proc/{pid}/{part}", pathlib.Path(f"/proc/{pid}/{part}").read_bytes()
            except OSError:
                continue


def test_no_key_is_seen_anywhere(lab, file):
    key = own_key(lab)
    assert len(base64.b64decode(key)) == 32
    one = file(with_peers(3))
    for where, what in [*everything_said(lab, None), *everything_said(lab, one), *everything_running()]:
        assert_nowhere(key, where, what)
    for where, what in everything_kept(lab):
        assert_nowhere(key, where, base64.b64decode(what))
    lab.on("vpn", "apply")


def test_no_key_is_seen_when_it_fails(lab, file):
    key = own_key(lab)
    for kind, nth in [("wireguard", 1), ("wireguard", 2), ("netlink", 1), ("netlink", 2), ("effect", 1), ("wireguard", 99)]:
        lab.run("vpn", "ip", "link", "delete", "wg0", expect=None)
        done = lab.run("vpn", "env", f"WEFT_FAULT=fail {kind} {nth}", PROGRAM, "apply", file(with_peers(3)), "--node", "vpn", expect=None)
        assert_nowhere(key, f"a run that failed ({kind} {nth})", (done.stdout + done.stderr).encode())
        for where, what in everything_kept(lab):
            assert_nowhere(key, where, base64.b64decode(what))
        if nth in (1, 99):  # a second step of the kind there may not be
            assert (done.returncode == 0) == (nth == 99), done.stderr
    lab.on("vpn", "apply")
    eventually(lambda: reaches(lab), 20)
    assert lab.writes("vpn") == NOTHING


class Onlooker:
    """Arguments and environment of every process that begins meanwhile, those that live for an instant too."""

    def __init__(self):
        self.seen, self.ended, self.thread = {}, threading.Event(), threading.Thread(target=self.look, daemon=True)

    def __enter__(self):
        self.older = set(os.listdir("/proc"))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(10)

    def look(self):
        while not self.ended.is_set():
            now = set(os.listdir("/proc"))
            self.older &= now  # a number may come again
            for pid in filter(str.isdigit, now - self.older):
                for part in ("cmdline", "environ"):
                    try:
                        self.seen.setdefault(pathlib.Path(f"/proc/{pid}/{part}").read_bytes(), f"/proc/{pid}/{part}")
                    except OSError:
                        pass

    def has(self, word):
        return any(word in what for what in list(self.seen))

    def assert_sees_children(self, lab):
        """It sees a process that ends at once; the word is put together there, so that none but this one has it among its arguments."""
        eventually(lambda: lab.run("vpn", "sh", "-c", "/bin/true $(printf cana; printf ry)") and self.has(b"canary"), 30)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A lab whose gateway and client have a preshared key too, with what was seen while it came up."""
    path = tmp_path_factory.mktemp("guarded") / "two-servers.yaml"
    path.write_text(text().replace("keepalive: 25", f"keepalive: 25, preshared-key-file: {SHARED}"))
    with Onlooker() as onlooker:
        standing = Lab(path)
    standing.onlooker = onlooker
    yield standing
    standing.down()


def secrets(lab):
    """The gateway's key, the client's, and the one that both have."""
    keys = {path: lab.run("vpn", "cat", path).stdout.strip() for path in (KEY, SHARED)}
    keys["the client's"] = pathlib.Path(f"/run/weft/lab/{lab.name}/vpn/vpn.laptop.key").read_text().strip()
    assert all(len(base64.b64decode(key)) == 32 for key in keys.values()) and len(set(keys.values())) == 3
    return keys


def assert_none(keys, everything):
    """None of the keys is anywhere in this; what was looked at is returned."""
    found = {where: what if isinstance(what, bytes) else base64.b64decode(what) for where, what in everything}
    for key in keys.values():
        for where, what in found.items():
            assert_nowhere(key, where, what)
    return found


def silent(lab, keys, *words, fault=None, expect=0):
    """Runs weft on the gateway, and looks for keys in what it says."""
    done = lab.run("vpn", *(["env", f"WEFT_FAULT={fault}"] if fault else []), PROGRAM, *words, expect=expect)
    assert_none(keys, [(f"what {words} says", (done.stdout + done.stderr).encode())])
    return done


def journal_without(keys, lab):
    """The journal of a run that has not ended; no key is in it, nor in all else that is kept."""
    kept = assert_none(keys, everything_kept(lab))
    assert "/run/weft/fabric.json" in kept and f"/run/weft/lab/{lab.name}/vpn/vpn.files" in kept
    return kept.get("/var/lib/weft/journal", b"")


# From where a run takes the keys from their files: the gateway's own, and the one that both have.
STARTS = {"nothing": (KEY, lambda lab, file: ["remove", "--node", "vpn"]),
          "no preshared key": (SHARED, lambda lab, file: ["apply", file(text()), "--node", "vpn"])}


@pytest.mark.parametrize("start", STARTS)
def test_no_key_is_seen_of_a_run_that_is_killed_and_none_is_in_its_journal(guarded, file, start):
    keys, path, before = secrets(guarded), STARTS[start][0], STARTS[start][1](guarded, file)
    run = ["apply", guarded.file, "--node", "vpn"]
    silent(guarded, keys, *before)
    points = silent(guarded, keys, *run, fault="log journal 0").stderr.count("weft: fault: log ")
    assert points >= 10
    journals = []
    with Onlooker() as onlooker:
        for point in range(1, points + 1):
            silent(guarded, keys, *before)
            assert silent(guarded, keys, *run, fault=f"kill journal {point}", expect=None).returncode in (-9, 137)
            journals.append(journal_without(keys, guarded))
            silent(guarded, keys, "recover")
            assert journal_without(keys, guarded) == b""
    # Nearly all of them are of a run that was at its keys: they name the file.
    assert len([j for j in journals if path.encode() in j]) >= points - 4
    assert_none(keys, [(where, what) for what, where in onlooker.seen.items()])
    silent(guarded, keys, *run)
    eventually(lambda: reaches(guarded), 20)


@pytest.mark.parametrize("start", STARTS)
def test_no_key_is_seen_of_a_change_that_waits_to_be_confirmed(guarded, file, start):
    keys, path, before = secrets(guarded), STARTS[start][0], STARTS[start][1](guarded, file)
    silent(guarded, keys, *before)
    first = stands(guarded)
    for end in (["rollback"], None, ["confirm"]):
        silent(guarded, keys, "apply", guarded.file, "--node", "vpn", "--confirm", 60 if end else 1)
        if end:
            assert path.encode() in journal_without(keys, guarded)
            assert guarded.run("vpn", "wg", "show", "wg0", "preshared-keys").stdout.split()[1] == keys[SHARED]
            assert_none(keys, everything_running())  # the guardian's among it
            silent(guarded, keys, *end)
        eventually(lambda: guarded.run("vpn", "test", "-e", "/var/lib/weft/journal", expect=None).returncode == 1)
        assert journal_without(keys, guarded) == b""
        assert (stands(guarded)[:2] == first[:2]) == (end != ["confirm"])


def test_no_key_is_an_argument_or_in_the_environment_of_any_process_not_even_for_an_instant(guarded, file):
    keys = secrets(guarded)
    with Onlooker() as onlooker:
        onlooker.assert_sees_children(guarded)
        for words in (["remove"], ["apply", guarded.file], ["apply", file(text())], ["apply", guarded.file, "--confirm", 60]):
            silent(guarded, keys, *words, "--node", "vpn")
        silent(guarded, keys, "rollback")
        silent(guarded, keys, "apply", guarded.file, "--node", "vpn")
    assert onlooker.has(b"weft\0apply\0") and onlooker.has(b"wireguard-go\0-f\0wg0\0") and guarded.onlooker.has(b"\0vpn-client\0")
    for seen in (onlooker.seen, guarded.onlooker.seen):  # while it runs, and while the lab comes up, where the client gets its keys
        assert_none(keys, [(where, what) for what, where in seen.items()])


# What somebody does by hand with the keys and peers of the gateway; the files are of that moment and gone after it.
BY_HAND = {
    "a peer more": "wg set wg0 peer $(wg genkey | tee new.key | wg pubkey) preshared-key new.key allowed-ips 10.8.0.77/32",
    "a peer less": "wg set wg0 peer $(cat laptop.pub) remove",
    "another key": "wg genkey >new.key; wg set wg0 private-key new.key",
    "no key": "wg set wg0 private-key /dev/null",
    "another preshared key": "wg genpsk >new.key; wg set wg0 peer $(cat laptop.pub) preshared-key new.key",
    "no preshared key": "wg set wg0 peer $(cat laptop.pub) preshared-key /dev/null",
}


class Listener:
    """`weft watch` on the gateway, with all that it prints, its errors too, as bytes."""

    def __init__(self, lab, path, *words):
        self.path, self.words, self.at = path, words, 0
        with open(path, "wb") as out:
            self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/vpn", "--", PROGRAM, "watch", lab.file, "--node", "vpn", *words],
                                            stdout=out, stderr=out)
        self.hear("watching")

    def said(self):
        return self.path.read_bytes()

    def hear(self, state, about=""):
        """The next line of this state, after the one that was heard last."""
        pattern = f'"state":"{state}".*{about}.*\n' if "--json" in self.words else f" {state} .*{about}.*\n"

        def found():
            return re.compile(pattern.encode()).search(self.said(), self.at)

        eventually(lambda: found() or self.process.poll() is not None, 20)
        assert found(), f"no {state} {about}"
        self.at = found().end()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0


def drift_by_hand(lab, what):
    """Does it; the key that came with it is returned."""
    done = lab.run("vpn", "sh", "-ec", f"cd /var/lib/weft/keys; umask 077; {BY_HAND[what]}; if [ -e new.key ]; then cat new.key; rm new.key; fi")
    return {what: key for key in done.stdout.split()}


@pytest.mark.parametrize("forms", [[(), ("--json",)], [("--heal",)], [("--heal", "--json")]], ids=["told", "healed", "healed, json"])
def test_no_key_is_told_by_a_watch_while_keys_and_peers_change_by_hand_and_healing_puts_each_back(guarded, tmp_path, forms):
    keys = secrets(guarded)
    guarded.on("vpn", "apply")
    before = stands(guarded)
    watches = []
    try:
        for words in forms:
            watches.append(Listener(guarded, tmp_path / f"watch{len(watches)}", *words))
        for what in BY_HAND:
            keys.update(drift_by_hand(guarded, what))
            for watch in watches:
                watch.hear("repaired" if "--heal" in watch.words else "seen", "link wg0")
            if "--heal" in forms[0]:
                eventually(lambda: stands(guarded)[:2] == before[:2], 20)
            else:
                assert stands(guarded)[:2] != before[:2], what
                assert_none(keys, everything_running())
                guarded.on("vpn", "apply")
                for watch in watches:
                    watch.hear("over", "link wg0")
    finally:
        for watch in watches:
            watch.stop()
    assert stands(guarded) == before and guarded.writes("vpn") == NOTHING
    assert len(keys) == 6
    assert_none(keys, [(f"what watch {watch.words} says", watch.said()) for watch in watches])
    journal_without(keys, guarded)
    # They spoke of keys: the public half of a private one that was set by hand is there.
    half = subprocess.run(["wg", "pubkey"], input=keys["another key"], capture_output=True, text=True, check=True).stdout.strip()
    assert all(half.encode() in watch.said() for watch in watches)


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")


def traced(lab, log, calls, *words):
    """These calls of a weft on the gateway and of all that it starts, until it ends; what it leaves running is let go then."""
    run = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/vpn", "--", "strace", "-I", "1", "-f", "-v", "-s", "1000000", "-e", f"trace={calls}", "-e",
                            "signal=none", "-o", log, PROGRAM, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: log.exists() and re.search(r"\A(\d+) (.*\n)+\1 +\+\+\+ exited with 0", log.read_text()), 60)
    finally:
        run.terminate()
        run.wait(10)
    return log.read_text()


@needs_strace
def test_no_key_is_given_to_any_program_that_a_run_starts(guarded, tmp_path):
    keys = secrets(guarded)
    guarded.run("vpn", PROGRAM, "remove", "--node", "vpn")
    said = traced(guarded, tmp_path / "calls", "execve", "apply", guarded.file, "--node", "vpn")
    assert ('["wireguard-go", "-f", "wg0"]' in said) == (wireguard_go(guarded) is not None) and f'"{guarded.file}"' in said
    assert_none(keys, [("what was started", said.encode())])



def messages_to_wireguard_go(lab, log, *words):
    """What a run tells wireguard-go to set, each message with its size."""
    said = traced(lab, log, "sendto", *words)
    assert 'sendto(' in said and '"get=1\\n\\n"' in said
    return [(text.replace("\\n", "\n"), int(size)) for text, size in re.findall(r'sendto\(\d+, "(set=1\\n[^"]*)"(?:\.\.\.)?, (\d+), ', said)]


@needs_strace
def test_one_peer_more_or_less_of_a_thousand_is_one_small_message_about_that_peer_alone(lab, file, tmp_path):
    if wireguard_go(lab) is None:
        pytest.skip("the kernel has WireGuard")
    (tmp_path / "more").mkdir()
    many, more = file(with_peers(1000)), tmp_path / "more" / "two-servers.yaml"
    more.write_text(with_peers(1001))
    key = base64.b64decode(a_public_key(1000)).hex()
    try:
        lab.on("vpn", "apply", file=many)
        ((text, size),) = messages_to_wireguard_go(lab, tmp_path / "one more", "apply", more, "--node", "vpn")
        assert text == f"set=1\npublic_key={key}\nreplace_allowed_ips=true\nallowed_ip=10.8.8.1/32\n\n" and size == len(text) < 200
        assert a_public_key(1000) in lab.run("vpn", "wg", "show", "wg0", "peers").stdout
        ((text, size),) = messages_to_wireguard_go(lab, tmp_path / "one less", "apply", many, "--node", "vpn")
        assert text == f"set=1\npublic_key={key}\nremove=true\n\n" and size == len(text)
        assert len(lab.run("vpn", "wg", "show", "wg0", "peers").stdout.split()) == 1001
    finally:
        lab.on("vpn", "apply")


@pytest.mark.skipif(shutil.which("gdb") is None, reason="no gdb")
def test_no_key_is_in_a_core_dump_of_the_moment_when_it_is_sent(lab, tmp_path):
    key = own_key(lab)
    lab.run("vpn", PROGRAM, "remove", "--node", "vpn")
    lab.run("vpn", "mkdir", "-p", "/var/lib/weft/keys")
    core = tmp_path / "core"
    commands = ["break weft::wire::uapi_set", "break weft::wire::wireguard_set", "run", "finish", f"generate-core-file {core}", "continue"]
    words = ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "set breakpoint pending on"]
    for command in commands:
        words += ["-ex", command]
    done = lab.run("vpn", *words, "--args", PROGRAM, "apply", lab.file, "--node", "vpn", expect=None, timeout=300)
    assert core.exists(), done.stdout + done.stderr
    dump = core.read_bytes()
    # The dump is one of this run: what is no secret is in it.
    assert KEY.encode() in dump
    assert_nowhere(key, "the core dump", dump)
    lab.on("vpn", "apply")
    pid = wireguard_go(lab)
    if pid is not None:
        assert re.search(r"Max core file size\s+0\s+0\s", pathlib.Path(f"/proc/{pid}/limits").read_text())
    eventually(lambda: reaches(lab), 20)


def test_bad_key_files_are_refused_with_their_place_and_nothing_is_touched(lab, file):
    before = lab.run("vpn", "wg", "show", "wg0", "dump").stdout.split("\n")[0]
    key = own_key(lab)
    lab.run("vpn", "sh", "-c", "cd /var/lib/weft/keys; umask 077; cp vpn.key open.key; chmod 644 open.key; echo nonsense >bad.key; ln -sf vpn.key link.key")
    line = next(i for i, l in enumerate(text().splitlines(), 1) if l.strip().startswith("key-file:"))
    for name, reason in (("missing", "no such file"), ("open", "mode 0600 or 0400"), ("bad", "no key"), ("link", "symbolic link")):
        bad = file(text().replace(KEY, f"/var/lib/weft/keys/{name}.key"))
        for verb in ("plan", "apply"):
            done = lab.on("vpn", verb, file=bad, expect=1)
            assert reason in done.stderr.lower() or reason in done.stderr, done.stderr
            assert f"{name}.key" in done.stderr and f"{bad}:{line}:" in done.stderr and "nothing was changed" in done.stderr
            assert_nowhere(key, f"weft {verb}", (done.stdout + done.stderr).encode())
    assert lab.run("vpn", "wg", "show", "wg0", "dump").stdout.split("\n")[0] == before
    assert lab.writes("vpn") == NOTHING


def test_bad_key_files_of_a_peer_are_refused_with_their_place_and_nothing_is_touched(lab, file):
    lab.run("vpn", "sh", "-c", "cd /var/lib/weft/keys; umask 077; cp vpn.key psk.key; cp psk.key psk-open.key; chmod 644 psk-open.key; echo nonsense >bad.key; "
            "ln -sf psk.key psk-link.key; echo nonsense >bad.pub; head -c 100000 /dev/zero >long.pub; ln -sf laptop.pub link.pub; wg genkey >client.key; cp vpn.key copy.pub; "
            "chmod 644 copy.pub; head -c 32 /dev/zero | base64 >zero.key; cp zero.key zero.pub")
    client = lab.run("vpn", "cat", "/var/lib/weft/keys/client.key").stdout.strip()
    secret = lab.run("vpn", "cat", "/var/lib/weft/keys/psk.key").stdout.strip()
    before = stands(lab)
    line = next(i for i, l in enumerate(text().splitlines(), 1) if l.strip().startswith("laptop:"))
    for key, name, reason in (("preshared-key-file", "missing.key", "no such file"), ("preshared-key-file", "psk-open.key", "mode 0600 or 0400"),
                              ("preshared-key-file", "bad.key", "no key"), ("preshared-key-file", "psk-link.key", "symbolic link"),
                              ("public-key-file", "missing.pub", "no such file"), ("public-key-file", "bad.pub", "no key"), ("public-key-file", "long.pub", "no key"),
                              ("public-key-file", "zero.pub", "all of it is zero"), ("public-key-file", "client.key", "form of a private key"),
                              ("public-key-file", "copy.pub", "the gateway's private key"), ("preshared-key-file", "zero.key", "all of it is zero")):
        path = f"/var/lib/weft/keys/{name}"
        if key == "public-key-file":
            bad = file(text().replace("/var/lib/weft/keys/laptop.pub", path))
        else:
            bad = file(text().replace("keepalive: 25", f"keepalive: 25, {key}: {path}"))
        for verb in ("plan", "apply"):
            done = lab.on("vpn", verb, file=bad, expect=1)
            assert reason in done.stderr.lower(), (key, name, done.stderr)
            assert name in done.stderr and f"{bad}:{line}:" in done.stderr and key in done.stderr and "nothing was changed" in done.stderr, done.stderr
            for each in (secret, client):
                assert_nowhere(each, f"weft {verb}", (done.stdout + done.stderr).encode())
            assert "nonsense" not in done.stdout + done.stderr
        assert stands(lab) == before
    assert lab.writes("vpn") == NOTHING
    # A preshared key that others may read is one that somebody took for the public one.
    both = file(text().replace("keepalive: 25", "keepalive: 25, preshared-key-file: /var/lib/weft/keys/other.key")
                .replace("laptop.pub", "other.pub"))
    lab.run("vpn", "sh", "-c", "cd /var/lib/weft/keys; umask 077; wg genpsk >other.key; cp other.key other.pub; chmod 644 other.pub")
    done = lab.on("vpn", "plan", file=both, expect=1)
    assert "it has the preshared key of /var/lib/weft/keys/other.key" in done.stderr and f"{both}:{line}:" in done.stderr
    assert_nowhere(lab.run("vpn", "cat", "/var/lib/weft/keys/other.key").stdout.strip(), "weft plan", (done.stdout + done.stderr).encode())
    # The twin that is sound: the same key in a file of its owner's alone is taken, and given up again.
    good = file(text().replace("keepalive: 25", "keepalive: 25, preshared-key-file: /var/lib/weft/keys/psk.key"))
    lab.on("vpn", "apply", file=good)
    assert lab.run("vpn", "wg", "show", "wg0", "preshared-keys").stdout.split()[1] == secret
    assert lab.on("vpn", "plan", file=good).returncode == 0
    lab.on("vpn", "apply")
    assert stands(lab)[:2] == before[:2]


def stands(lab):
    """What the gateway has of the VPN and around it, without what clients change by themselves."""
    said = lab.run("vpn", "wg", "show", "wg0", "dump", expect=None).stdout.splitlines()
    peers = [[row.split("\t")[i] for i in (0, 1, 3, 7)] for row in said[1:]]  # keys, allowed addresses, keepalive
    return said[:1], sorted(peers), lab.run("vpn", "/usr/bin/python3", SEEN).stdout


@pytest.mark.parametrize("start", ["nothing", "one peer"])
def test_an_operation_that_fails_leaves_all_as_it_was_and_the_next_run_converges(lab, file, start):
    wanted = file(with_peers(3))

    def prepare():
        if start == "nothing":
            lab.run("vpn", PROGRAM, "remove", "--node", "vpn")
        else:
            lab.on("vpn", "apply")

    for kind in ("wireguard", "service", "netlink", "nft", "effect"):
        prepare()
        before = stands(lab)
        told = lab.run("vpn", "env", f"WEFT_FAULT=log {kind} 0", PROGRAM, "apply", wanted, "--node", "vpn").stderr
        points = len(re.findall("weft: fault: log ", told))
        assert points > 0 or kind != "wireguard"
        for point in range(1, points + 1):
            prepare()
            assert stands(lab) == before, (kind, point)
            done = lab.run("vpn", "env", f"WEFT_FAULT=fail {kind} {point}", PROGRAM, "apply", wanted, "--node", "vpn", expect=1)
            assert "a fault that was asked for" in done.stderr, (kind, point)
            assert stands(lab) == before, (kind, point, done.stderr)
            assert "nothing to recover" in lab.run("vpn", PROGRAM, "recover").stdout
        assert lab.on("vpn", "apply", file=wanted).returncode == 0
        assert lab.writes("vpn", file=wanted) == NOTHING
    lab.on("vpn", "apply")
    eventually(lambda: reaches(lab), 20)


@pytest.mark.parametrize("way", ["a failed run is undone", "a change that waits is rolled back", "a recover goes on"])
@pytest.mark.parametrize("what", ["apply", "remove"])
def test_killed_at_any_operation_of_wireguard_while_what_was_done_is_undone_all_is_as_it_was_after_the_next_recover(lab, file, what, way):
    change = ["apply", file(with_peers(3)), "--node", "vpn"] if what == "apply" else ["remove", "--node", "vpn"]

    def on_vpn(*words, fault=None, expect=0):
        return lab.run("vpn", *(["env", f"WEFT_FAULT={fault}"] if fault else []), PROGRAM, *words, expect=expect)

    def undone(fault, checked):
        """What the undo of the change says, with a fault of its own."""
        if way == "a failed run is undone":
            return on_vpn(*change, fault=f"fail effect 1; {fault}", expect=1 if checked else None)
        if way == "a change that waits is rolled back":
            on_vpn(*change, "--confirm", 60)
            return on_vpn("rollback", fault=fault, expect=0 if checked else None)
        assert on_vpn(*change, fault="kill effect 1", expect=None).returncode in (-9, 137)
        return on_vpn("recover", fault=fault, expect=0 if checked else None)

    lab.on("vpn", "apply")
    before = stands(lab)
    told = undone("log wireguard 0", True).stderr.split("weft: fault: fail effect 1,")[-1]
    assert stands(lab) == before
    points = re.findall(r"weft: fault: log wireguard (\d+),", told)
    assert points
    for point in points:
        assert undone(f"kill wireguard {point}", False).returncode in (-9, 137), point
        on_vpn("recover")  # after a rollback the guardian may have been faster
        eventually(lambda: lab.run("vpn", "test", "-e", "/var/lib/weft/journal", expect=None).returncode != 0)
        assert stands(lab) == before, point
        assert lab.writes("vpn") == NOTHING
    eventually(lambda: reaches(lab), 20)


OTHER_KEY = "/var/lib/weft/keys/other.key"
# What gives up a key: no file is named for it any more, neither by the state that is wanted nor by what stands.
GIVEN_UP = {
    "the gateway": lambda text: None,
    "the gateway's key": lambda text: text.replace(KEY, OTHER_KEY),
    "a preshared key": lambda text: text.replace(f", preshared-key-file: {SHARED}", ""),
    "a peer": lambda text: text.replace(next(line for line in text.splitlines(True) if SHARED in line),
                                        f"        tablet: {{ public-key: {a_public_key(7)}, address: 10.8.0.3 }}\n").replace(", vpn: laptop", ""),
}


@pytest.mark.parametrize("given_up", GIVEN_UP)
def test_a_key_that_a_change_gives_up_is_there_again_when_the_change_is_undone(guarded, file, given_up):
    guarded.on("vpn", "apply")
    changed = GIVEN_UP[given_up](guarded.file.read_text())
    change = ["remove", "--node", "vpn"] if changed is None else ["apply", file(changed), "--node", "vpn"]
    if guarded.run("vpn", "test", "-e", OTHER_KEY, expect=None).returncode != 0:
        guarded.run("vpn", PROGRAM, "vpn", "key", OTHER_KEY)

    def on_vpn(*words, fault=None, expect=0):
        return guarded.run("vpn", *(["env", f"WEFT_FAULT={fault}"] if fault else []), PROGRAM, *words, expect=expect)

    before = stands(guarded)
    assert before[0] and any(row[1] != "(none)" for row in before[1])
    on_vpn(*change, "--confirm", 60)
    after = stands(guarded)
    assert after[:2] != before[:2]
    on_vpn("rollback")
    assert stands(guarded) == before
    told = on_vpn(*change, fault="log journal 0").stderr
    points = {kind: told.count(f"weft: fault: log {kind} ") for kind in ("journal",)}
    guarded.on("vpn", "apply")
    for kind in ("effect", "wireguard"):
        points[kind] = on_vpn(*change, fault=f"log {kind} 0").stderr.count(f"weft: fault: log {kind} ")
        guarded.on("vpn", "apply")
    assert points["journal"] >= 8 and points["effect"] + points["wireguard"] >= 1
    undone = 0
    for point in range(1, points["journal"] + 1):
        assert on_vpn(*change, fault=f"kill journal {point}", expect=None).returncode in (-9, 137)
        on_vpn("recover")
        now = stands(guarded)
        assert now[:2] in (before[:2], after[:2]), point
        undone += now == before
        guarded.on("vpn", "apply")
    assert undone >= 4
    for kind in ("effect", "wireguard"):
        for point in range(1, points[kind] + 1):
            done = on_vpn(*change, fault=f"fail {kind} {point}", expect=1)
            assert stands(guarded) == before, (kind, point, done.stderr)
    eventually(lambda: reaches(guarded), 20)


def test_a_plan_says_which_key_does_not_come_back(lab):
    lab.on("vpn", "apply")
    assert "is lost: no file" not in lab.on("vpn", "plan").stdout
    lab.run("vpn", "mv", KEY, KEY + ".was")
    try:
        lab.run("vpn", PROGRAM, "vpn", "key", KEY)
        assert "its private key is lost: no file is known that has it" in lab.on("vpn", "plan", expect=None).stdout
    finally:
        lab.run("vpn", "mv", KEY + ".was", KEY)
    assert lab.writes("vpn") == NOTHING


def test_a_key_is_made_for_its_owner_alone_and_never_printed(tmp_path):
    path = tmp_path / "key"
    done = weft("vpn", "key", path)
    assert path.stat().st_mode & 0o7777 == 0o600
    key = path.read_text().strip()
    assert_nowhere(key, "what it prints", (done.stdout + done.stderr).encode())
    half = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout
    assert done.stdout == half
    again = weft("vpn", "key", path, expect=1)
    assert str(path) in again.stderr and path.read_text().strip() == key


def test_a_clients_configuration_is_one_that_wg_takes(tmp_path):
    gateway, laptop = tmp_path / "vpn.key", tmp_path / "laptop.key"
    public = weft("vpn", "key", gateway).stdout.strip()
    weft("vpn", "key", laptop)
    file = tmp_path / "two-servers.yaml"
    file.write_text(text().replace(KEY, str(gateway)))
    plain = weft("vpn", "client", file, "--peer", "laptop").stdout
    assert f"PublicKey = {public}" in plain and "Endpoint = 203.0.113.1:51820" in plain
    assert "AllowedIPs = 192.168.100.0/24\n" in plain and "Address = 10.8.0.2/32" in plain
    for key in (gateway, laptop):
        assert_nowhere(key.read_text().strip(), "a client's configuration", plain.encode())
    whole = weft("vpn", "client", file, "--peer", "laptop", "--key-file", laptop).stdout
    assert f"PrivateKey = {laptop.read_text().strip()}" in whole and "MTU = 1420\n" in whole
    own = weft("vpn", "client", file, "--peer", "laptop", "--key-file", gateway, expect=1)
    assert "gateway's own key" in own.stderr
    assert_nowhere(gateway.read_text().strip(), "a client's configuration", (own.stdout + own.stderr).encode())
    shared = tmp_path / "psk.key"
    weft("vpn", "key", shared)
    none = weft("vpn", "client", file, "--peer", "laptop", "--preshared-key-file", shared, expect=1)
    assert "has no preshared key" in none.stderr
    file.write_text(file.read_text().replace("keepalive: 25", f"keepalive: 25, preshared-key-file: {shared}"))
    assert "# PresharedKey = that of" in weft("vpn", "client", file, "--peer", "laptop").stdout
    assert f"\nPresharedKey = {shared.read_text().strip()}\n" in weft("vpn", "client", file, "--peer", "laptop", "--preshared-key-file", shared).stdout
    (tmp_path / "laptop.pub").write_text(public + "\n")
    file.write_text(file.read_text().replace("/var/lib/weft/keys/laptop.pub", str(tmp_path / "laptop.pub")))
    assert f"whose public key is in {tmp_path / 'laptop.pub'}" in weft("vpn", "client", file, "--peer", "laptop", "--key-file", laptop, expect=1).stderr
    other = weft("vpn", "client", file, "--peer", "nobody", expect=1)
    assert "laptop" in other.stderr


def on_a_terminal(*words):
    """What the program prints where its output is a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen([PROGRAM, *map(str, words)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # nobody writes any more
                break
        assert process.wait(10) == 0, process.stderr.read()
        process.stderr.close()
    finally:
        os.close(ours)
    return said.decode().replace("\r\n", "\n")


def split_code(said):
    """The text, and the QR code as rows of dark and light with the light zone around it taken off."""
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    begin = said.index("\033[30;47m")  # dark on light
    rows = []
    for line in said[begin:].splitlines():
        cells = [halves[c] for c in re.fullmatch("\033\\[30;47m([ ▀▄█]+)\033\\[0m", line).group(1)]
        rows += [[upper for upper, _ in cells], [lower for _, lower in cells]]
    width = len(rows[0]) - 8
    assert all(len(row) == width + 8 and not any(row[:4] + row[-4:]) for row in rows) and not any(map(any, rows[:4] + rows[width + 4:]))
    assert len(rows) >= width + 8
    return said[:begin], [row[4:-4] for row in rows[4:width + 4]]


class QRcode(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("width", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte))]


def code_of(text):
    """What libqrencode makes of a text, at the lowest level of correction."""
    library = ctypes.CDLL(ctypes.util.find_library("qrencode"))
    library.QRcode_encodeData.restype = ctypes.POINTER(QRcode)
    code = library.QRcode_encodeData(len(text.encode()), text.encode(), 0, 0).contents
    return [[code.data[y * code.width + x] & 1 for x in range(code.width)] for y in range(code.width)]


def test_a_client_is_also_a_qr_code_of_the_whole_text_on_a_terminal_and_on_nothing_else(tmp_path):
    gateway, laptop = tmp_path / "vpn.key", tmp_path / "laptop.key"
    weft("vpn", "key", gateway)
    weft("vpn", "key", laptop)
    file = tmp_path / "two-servers.yaml"
    file.write_text(with_peers(1).replace(KEY, str(gateway)))
    codes = {}
    for peer, more in (("laptop", ()), ("laptop", ("--key-file", laptop)), ("p0", ())):
        words = ["vpn", "client", file, "--peer", peer, *more]
        plain = weft(*words).stdout
        assert "\033" not in plain and not set("▀▄█") & set(plain)
        text, code = split_code(on_a_terminal(*words))
        assert text == plain
        codes[plain] = code
        if ctypes.util.find_library("qrencode"):
            assert code == code_of(plain)
    assert len(codes) == 3
    for code in codes.values():  # a code it is, and each another one: it has the marks of three of its corners
        mark = [[int(max(abs(x - 3), abs(y - 3)) != 2) for x in range(7)] for y in range(7)]
        assert [row[:7] for row in code[:7]] == [row[-7:] for row in code[:7]] == [row[:7] for row in code[-7:]] == mark
    assert len({str(code) for code in codes.values()}) == 3
