# SPDX-License-Identifier: Apache-2.0
"""Tenant routers by packets: networks without source NAT, extra routes over machines of the tenant, floating addresses that move, and
the metadata proxy."""
import json
import re
import subprocess

import pytest
from conftest import PROGRAM, Lab, eventually, weft

HEAD = """version: 1
name: routers
networks:
  management: { cidr: 10.10.10.0/24 }
  vm-config: { cidr: 10.20.20.0/24, mtu: 1500 }
  external: { cidr: 192.168.100.0/24, gateway: 192.168.100.1, floating: 192.168.100.102-192.168.100.126 }
overlay: { type: gre, ids: 1-1000 }
nodes:
  controller:
    roles: [controller]
    nics: { eth0: { network: management, address: 10.10.10.51 }, eth1: { network: external, address: 192.168.100.51 } }
  network:
    roles: [network]
    nics:
      eth0: { network: management, address: 10.10.10.52 }
      eth1: { network: vm-config, address: 10.20.20.52 }
      eth2: { network: external }
  compute1:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.53 }, eth1: { network: vm-config, address: 10.20.20.53 } }
lab:
  router: { lan: external, internet: 203.0.113.0/24 }
  hosts: { lan1: { network: external, address: 192.168.100.200 }, internet1: { network: internet, address: 203.0.113.10 } }
tenants:
"""

# Answers each datagram at port 5000 with its own name and where it came from.
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 5000))
# From the address that was asked, which may be one of a whole prefix.
s.setsockopt(socket.IPPROTO_IP, 8, 1)
print("ready", flush=True)
while True:
    data, control, _, peer = s.recvmsg(2000, 200)
    local = next(value[8:12] for level, kind, value in control if (level, kind) == (socket.IPPROTO_IP, 8))
    s.sendmsg([f"{sys.argv[1]} {peer[0]}".encode()], [(socket.IPPROTO_IP, 8, bytes(4) + local + bytes(4))], 0, peer)
"""
# Asks port 5000 of each address, three times at most; prints the answers, "-" where there was none.
ASK = """
import socket, sys
for address in sys.argv[2:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)
    if sys.argv[1] != "-": s.bind((sys.argv[1], 0))
    answer = "-"
    for attempt in range(3):
        try:
            s.sendto(b"?", (address, 5000)); answer = s.recv(2000).decode(); break
        except OSError: pass
    print(address, answer)
"""


class Cloud:
    """A lab of one tenants' text, and the programs that a test leaves running in it."""

    def __init__(self, folder, tenants):
        self.file, self.started = folder / "fabric.yaml", []
        self.write(tenants)
        self.lab = Lab(self.file)

    def write(self, tenants):
        self.tenants = tenants
        self.file.write_text(HEAD + tenants)
        weft("allocate", self.file)

    def change(self, *pairs):
        """Changes the tenants' text and applies it; a second run has nothing to do."""
        text = self.tenants
        for old, new in pairs:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.write(text)
        for node in ("network", "compute1"):
            self.lab.on(node, "apply")
        assert self.lab.writes("network") == {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}

    def start(self, member, *command, **streams):
        process = subprocess.Popen([PROGRAM, "lab", "exec", f"{self.lab.name}/{member}", "--", *command], text=True,
                                   **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **streams})
        self.started.append(process)
        return process

    def echo(self, member):
        assert self.start(member, "python3", "-c", ECHO, member).stdout.readline() == "ready\n"

    def ask(self, member, *addresses, source="-"):
        out = self.lab.run(member, "python3", "-c", ASK, source, *addresses).stdout
        return dict(line.split(" ", 1) for line in out.splitlines())

    def spaces(self):
        """Router namespaces by the router's tenant/name, from the alias of its links."""
        found = {}
        for space in re.findall(r"qrouter-\S+", self.lab.run("network", "ip", "netns").stdout):
            links = json.loads(self.lab.run("network", "ip", "-n", space, "-d", "-j", "link").stdout)
            for link in links:
                match = re.fullmatch(r"weft:routers/(.+)/routers/([^/]+)/.*", link.get("ifalias", ""))
                if match:
                    found[f"{match[1]}/{match[2]}"] = space
        return found

    def inside(self, router, *command, expect=0):
        return self.lab.run("network", "ip", "netns", "exec", self.spaces()[router], *command, expect=expect).stdout

    def outside_of(self, router):
        """Device, MAC and first address of a router's leg outside."""
        for link in json.loads(self.inside(router, "ip", "-j", "-4", "address")):
            if link["ifname"].startswith("qg-"):
                (hardware,) = json.loads(self.inside(router, "ip", "-j", "link", "show", "dev", link["ifname"]))
                return link["ifname"], hardware["address"], next(a["local"] for a in link["addr_info"] if a["prefixlen"] == 24)
        raise AssertionError(router)

    def pings(self, member, target):
        return self.lab.run(member, "ping", "-c1", "-W2", target, expect=None).returncode == 0

    def connects(self, member, target, port):
        return self.lab.run(member, "busybox", "nc", "-w", "2", target, str(port), "-e", "true", expect=None).returncode == 0

    def down(self):
        for process in self.started:
            process.kill()
            process.wait()
        self.lab.down()


@pytest.fixture
def cloud(tmp_path):
    made = []

    def make(tenants):
        made.append(Cloud(tmp_path, tenants))
        return made[0]

    yield make
    for one in made:
        one.down()


ROUTED = """  one:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1], snat: false } }
    security-groups: { default: { ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ] } }
    ports:
      vm1: { node: compute1, network: net1, address: 50.50.1.11 }
      vm2: { node: compute1, network: net1, address: 50.50.1.12, floating: 192.168.100.120 }
"""


def test_without_source_nat_the_networks_are_routed_and_floating_addresses_go_on(cloud):
    c = cloud(ROUTED)
    c.echo("lan1")
    _, _, router = c.outside_of("one/router1")
    assert c.ask("one/vm1", "192.168.100.200") == {"192.168.100.200": "-"}  # it arrives, and nobody knows the way back
    c.lab.run("lan1", "ip", "route", "add", "50.50.1.0/24", "via", router)
    assert c.ask("one/vm1", "192.168.100.200") == {"192.168.100.200": "lan1 50.50.1.11"}
    assert c.ask("one/vm2", "192.168.100.200") == {"192.168.100.200": "lan1 192.168.100.120"}
    # From outside: the fixed address, within the rules of its groups; the floating one as ever.
    for vm in ("one/vm1", "one/vm2"):
        c.start(vm, "busybox", "nc", "-ll", "-p", "22", "-e", "cat")
        c.start(vm, "busybox", "nc", "-ll", "-p", "80", "-e", "cat")
    assert c.pings("lan1", "50.50.1.11") and c.pings("lan1", "192.168.100.120")
    for target in ("50.50.1.11", "50.50.1.12", "192.168.100.120"):
        eventually(lambda: c.connects("lan1", target, 22))
        assert not c.connects("lan1", target, 80)
    # The router is no way from outside to outside, and nobody outside speaks as one of the tenant's.
    c.lab.run("lan1", "ip", "route", "add", "203.0.113.0/24", "via", router)
    assert not c.pings("lan1", "203.0.113.10")
    c.lab.run("lan1", "ip", "route", "del", "203.0.113.0/24", "via", router)
    assert c.pings("lan1", "203.0.113.10")
    c.lab.run("lan1", "ip", "address", "add", "50.50.1.77/32", "dev", "lo")
    assert c.lab.run("lan1", "ping", "-c2", "-W1", "-I", "50.50.1.77", "192.168.100.120", expect=None).returncode != 0

    c.change((", snat: false", ""))
    assert c.ask("one/vm1", "192.168.100.200") == {"192.168.100.200": f"lan1 {router}"}
    assert not c.pings("lan1", "50.50.1.11")
    assert c.pings("lan1", "192.168.100.120")


HOPS = """  one:
    networks: { net1: { cidr: 50.50.1.0/24 }, net2: { cidr: 50.50.2.0/24 } }
    routers:
      router1:
        external: external
        networks: [net1, net2]
        routes: [ { to: 10.9.0.0/16, via: 50.50.1.12 }, { to: 10.9.0.0/16, via: 50.50.1.13 }, { to: 10.8.0.0/16, via: 192.168.100.200 } ]
    security-groups: { default: { ingress: [ {} ] } }
    ports:
      vm1:  { node: compute1, network: net2, address: 50.50.2.11 }
      hop1: { node: compute1, network: net1, address: 50.50.1.12, port-security: false }
      hop2: { node: compute1, network: net1, address: 50.50.1.13, allowed-addresses: [ { address: 10.9.0.0/16 } ] }
"""


def test_extra_routes_lead_over_machines_of_the_tenant_and_over_several_at_once(cloud):
    c = cloud(HOPS)
    targets = [f"10.9.{i}.7" for i in range(32)]
    for hop in ("hop1", "hop2"):
        c.lab.run(f"one/{hop}", "ip", "route", "add", "local", "10.9.0.0/16", "dev", "lo")
        c.echo(f"one/{hop}")
    answers = c.ask("one/vm1", *targets)
    assert set(answers.values()) == {"one/hop1 50.50.2.11", "one/hop2 50.50.2.11"}

    # Outside too; and what stands behind the machines goes out as the router (with one hop: answers choose theirs anew).
    c.lab.run("lan1", "ip", "address", "add", "10.8.0.1/32", "dev", "lo")
    c.echo("lan1")
    _, _, router = c.outside_of("one/router1")
    assert c.ask("one/vm1", "10.8.0.1") == {"10.8.0.1": f"lan1 {router}"}

    c.change((" { to: 10.9.0.0/16, via: 50.50.1.12 },", ""))
    assert set(c.ask("one/vm1", *targets).values()) == {"one/hop2 50.50.2.11"}
    assert c.ask("one/hop2", "192.168.100.200", source="10.9.5.5") == {"192.168.100.200": f"lan1 {router}"}
    c.change(("{ to: 10.9.0.0/16, via: 50.50.1.13 }", "{ to: 10.7.0.0/16, via: 50.50.1.12 }"))
    assert set(c.ask("one/vm1", *targets[:2]).values()) == {"-"}


MOVING = """  one:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1] } }
    security-groups: { default: { ingress: [ {} ] } }
    ports:
      vm1: { node: compute1, network: net1, address: 50.50.1.11, floating: 192.168.100.120 }
      vm2: { node: compute1, network: net1, address: 50.50.1.12, floating: 192.168.100.121 }
  two:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1] } }
    security-groups: { default: { ingress: [ {} ] } }
    ports:
      vm3: { node: compute1, network: net1, address: 50.50.1.11 }
"""
FLOATING = "192.168.100.120"

# One UDP socket and one TCP connection to the address; for each line of input one datagram, one line, and what came of them.
FLOWS = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect((sys.argv[1], 5000)); udp.settimeout(1)
tcp = socket.create_connection((sys.argv[1], 22), 5); tcp.settimeout(1)
for line in sys.stdin:
    for attempt in range(3):  # a way that is new may cost a packet
        try:
            udp.send(b"?"); heard = udp.recv(2000).decode().split()[0]; break
        except OSError: heard = "-"
    try:
        tcp.sendall(line.encode()); said = tcp.recv(2000).decode().strip() or "-"
    except OSError: said = "-"
    print(heard, said, flush=True)
"""


class Flows:
    """Traffic from the LAN to a floating address that began once and never begins anew."""

    def __init__(self, c):
        self.cloud = c
        self.process = c.start("lan1", "python3", "-c", FLOWS, FLOATING)
        c.start("lan1", "ping", "-i", "0.1", FLOATING, stdout=subprocess.DEVNULL)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def pinged(self, vm, seconds=5):
        """Whether the one ping process reaches this machine now, within a bound."""
        def echoes():
            rows = [r.split() for r in self.cloud.lab.run(vm, "cat", "/proc/net/snmp").stdout.splitlines() if r.startswith("Icmp:")]
            return int(dict(zip(rows[0], rows[1]))["InEchos"])
        before = echoes()
        try:
            eventually(lambda: echoes() > before, seconds)
        except AssertionError:
            return False
        return True


def test_a_floating_address_that_moves_takes_its_connections_and_its_neighbours_along(cloud):
    c = cloud(MOVING)
    for vm in ("one/vm1", "one/vm2", "two/vm3"):
        c.echo(vm)
        c.start(vm, "busybox", "nc", "-ll", "-p", "22", "-e", "cat")
    eventually(lambda: c.connects("lan1", FLOATING, 22))
    flows = Flows(c)
    assert flows.say("first") == ["one/vm1", "first"]
    assert flows.pinged("one/vm1")

    # Within one router: vm1 and vm2 change places.
    c.change(("floating: 192.168.100.120", "floating: x"), ("floating: 192.168.100.121", "floating: 192.168.100.120"),
             ("floating: x", "floating: 192.168.100.121"))
    assert flows.pinged("one/vm2") and not flows.pinged("one/vm1", 1)
    heard, said = flows.say("second")
    assert heard == "one/vm2" and said == "-"
    assert "src=50.50.1.11" not in c.inside("one/router1", "conntrack", "-L", "-d", FLOATING)

    # To another tenant's router: the LAN's neighbour entry is there, and is another one when apply is done.
    _, mac_one, _ = c.outside_of("one/router1")
    _, mac_two, _ = c.outside_of("two/router1")

    def neighbour():
        return json.loads(c.lab.run("lan1", "ip", "-j", "neighbour", "show", FLOATING).stdout)[0]["lladdr"]

    eventually(lambda: neighbour() == mac_one)
    c.change(("address: 50.50.1.12, floating: 192.168.100.120", "address: 50.50.1.12"),
             ("vm3: { node: compute1, network: net1, address: 50.50.1.11", f"vm3: {{ node: compute1, network: net1, address: 50.50.1.11, floating: {FLOATING}"))
    assert neighbour() == mac_two
    assert flows.pinged("two/vm3") and not flows.pinged("one/vm2", 1)
    assert flows.say("third")[0] == "two/vm3"
    for way in ("-d", "-q"):
        assert FLOATING not in c.inside("one/router1", "conntrack", "-L", way, FLOATING)

    # Taken away, it leads nowhere.
    c.change((f", floating: {FLOATING}", ""))
    assert not flows.pinged("two/vm3", 1)


METADATA = """  one:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1], metadata: { address: 10.10.10.51, port: 8775 } } }
    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11 } }
  two:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1], metadata: { address: 10.10.10.51, port: 8775 } } }
    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11 } }
  three:
    networks: { net1: { cidr: 50.50.1.0/24 } }
    routers: { router1: { external: external, networks: [net1] } }
    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11 } }
"""

# Tells each request back: its first line and its headers, as JSON.
ENDPOINT = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([self.requestline, [[k.lower(), v] for k, v in self.headers.items()]]).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("10.10.10.51", 8775), Handler)
print("ready", flush=True); server.serve_forever()
"""


def test_metadata_tells_the_endpoint_who_asks_and_lets_nothing_else_through(cloud):
    c = cloud(METADATA)
    assert c.start("controller", "python3", "-c", ENDPOINT).stdout.readline() == "ready\n"

    def fetch(vm, *options, expect=0):
        out = c.lab.run(vm, "curl", "-s", "-m", "5", *options, "http://169.254.169.254/latest/meta-data/?a=b", expect=expect).stdout
        return json.loads(out) if expect == 0 else out

    # Equal addresses of two tenants: their routers tell them apart. What a machine says of itself does not count.
    forged = ["-H", "X-Forwarded-For: 50.50.1.99", "-H", "x_forwarded_for: 50.50.1.99", "-H", "X-Neutron-Router-ID: mine", "-H",
              "X-Instance-ID: i-1", "-H", "X-Tenant_ID: other", "-H", "Forwarded: for=1.2.3.4", "-H", "X-Real-IP: 1.2.3.4"]
    spaces = c.spaces()
    for tenant in ("one", "two"):
        for options in ([], forged):
            line, headers = fetch(f"{tenant}/vm1", *options)
            assert line == "GET /latest/meta-data/?a=b HTTP/1.1"
            told = {k: v for k, v in headers if k.startswith(("x-", "x_", "forwarded"))}
            assert told == {"x-forwarded-for": "50.50.1.11", "x-neutron-router-id": spaces[f"{tenant}/router1"].removeprefix("qrouter-")}
    assert spaces["one/router1"] != spaces["two/router1"]

    # Not a proxy to elsewhere: a whole URI is asked of the endpoint, a tunnel is refused.
    line, _ = json.loads(c.lab.run("one/vm1", "curl", "-s", "-m", "5", "-x", "http://169.254.169.254:80", "http://10.10.10.52:22/x").stdout)
    assert line == "GET /x HTTP/1.1"
    c.lab.run("one/vm1", "curl", "-s", "-m", "5", "-p", "-x", "http://169.254.169.254:80", "http://10.10.10.51:8775/", expect=56)
    # Nothing but TCP to port 80, from inside, and no way to the nodes.
    for port in (22, 53, 8080, 8775):
        assert not c.connects("one/vm1", "169.254.169.254", port)
    assert not c.pings("one/vm1", "169.254.169.254")
    for port in (22, 8775):
        assert not c.connects("one/vm1", "10.10.10.51", port)
    for router in ("one/router1", "three/router1"):
        _, _, address = c.outside_of(router)
        c.lab.run("lan1", "ip", "route", "replace", "169.254.169.254/32", "via", address)
        assert not c.connects("lan1", "169.254.169.254", 80)
    # A router without the key neither answers nor lets it out to the LAN, where somebody might.
    c.lab.run("lan1", "ip", "route", "del", "169.254.169.254/32")
    c.lab.run("router", "ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    c.start("router", "busybox", "nc", "-ll", "-p", "80", "-e", "cat")
    eventually(lambda: c.connects("router", "169.254.169.254", 80))
    fetch("three/vm1", expect=28)

    # An endpoint that is elsewhere is another configuration; one that is gone is an answer of the proxy's own.
    c.change(("networks: [net1], metadata: { address: 10.10.10.51, port: 8775 } } }\n    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11 } }\n  two",
              "networks: [net1], metadata: { address: 10.10.10.51, port: 8776 } } }\n    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11 } }\n  two"))
    code = c.lab.run("one/vm1", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "http://169.254.169.254/").stdout
    assert code == "503"
    assert fetch("two/vm1")[0].startswith("GET ")


def test_a_proxy_whose_namespace_was_made_anew_is_started_anew(cloud):
    c = cloud(METADATA)
    assert c.start("controller", "python3", "-c", ENDPOINT).stdout.readline() == "ready\n"
    fetch = ("curl", "-s", "-m", "5", "-f", "http://169.254.169.254/")
    c.lab.run("one/vm1", *fetch)
    c.lab.run("network", "ip", "netns", "delete", c.spaces()["one/router1"])
    c.lab.on("network", "apply")
    eventually(lambda: c.lab.run("one/vm1", *fetch, expect=None).returncode == 0)
    assert c.pings("one/vm1", "192.168.100.200")
    assert c.lab.on("network", "plan").returncode == 0

    c.change(("  three:", "  three: "), (METADATA[METADATA.index("  one:"):METADATA.index("  two:")].replace("50.50.1.11 } }", "50.50.1.11 } }"),
              METADATA[METADATA.index("  one:"):METADATA.index("  two:")].replace(", metadata: { address: 10.10.10.51, port: 8775 }", "")))
    assert c.lab.run("one/vm1", *fetch, expect=None).returncode == 28
    folders = c.lab.run("network", "ls", "/run/weft/services/routers").stdout
    assert len(re.findall(r"^metadata-[0-9a-f-]+$", folders, re.M)) == 1
