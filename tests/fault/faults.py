# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: one lab of plan 1, whose nodes hold things of others; what stands on a node, as one value; and running
weft there with a fault that was asked for."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1] / "program"))
from labs import FABRICS, PROGRAM, UPLINK, Lab, eventually  # noqa: E402,F401

EXHAUSTIVE = os.environ.get("WEFT_EXHAUSTIVE") == "1"
SEED = int(os.environ.get("WEFT_SEED", "1"))
PROGRESS = os.environ.get("WEFT_FAULT_PROGRESS")
HERE = pathlib.Path(__file__).parent
NODES = ["controller", "network", "compute1"]
VERBS = ["apply", "remove", "change"]

# Things of others, beside everything that weft makes.
FOREIGN = """
ip link add theirs0 type veth peer name theirs1
ip link set theirs0 up
ip link set theirs1 up
ip address add 172.31.0.1/24 dev theirs0
ip route add 172.30.0.0/16 via 172.31.0.2 dev theirs0
ip route add 172.29.0.0/16 via 172.31.0.2 dev theirs0 table 100
ip rule add from 172.31.0.0/24 lookup 100 priority 500
ip neighbour add 172.31.0.9 lladdr 02:00:00:00:00:09 dev theirs0
ip netns add theirs
ip -n theirs link set lo up
nft add table inet theirs
nft add chain inet theirs input '{ type filter hook input priority 10; policy accept; }'
nft add rule inet theirs input tcp dport 4711 accept
"""
FOREIGN_SWITCH = """
ovs-vsctl add-br br-theirs -- set bridge br-theirs datapath_type=netdev -- add-port br-theirs theirs2 -- set interface theirs2 type=internal
ovs-vsctl set bridge br-theirs other_config:theirs=1
ovs-ofctl add-flow unix:/run/openvswitch/br-theirs.mgmt cookie=0x12,priority=8,tcp,actions=drop
"""
# The network node's uplink holds addresses of the host: an apply moves all this to br-ex, and a removal moves it back.
FOREIGN_UPLINK = UPLINK + "ip -6 rule add iif eth2 lookup 77 priority 1002\n"

# Of the lab's fabric: what another one, that is applied over it, has instead. On every node something changes, goes and comes.
EDITS = [
    ("management: { cidr: 10.10.10.0/24 }", "management: { cidr: 10.10.10.0/24, mtu: 1400 }"),
    ("cidr: 10.20.20.0/24, mtu: 1500", "cidr: 10.20.20.0/24, mtu: 1450"),  # and with it that of all tenants' networks
    ("address: 192.168.100.51", "address: 192.168.100.61"),
    ("net1: { cidr: 50.50.1.0/24, dns: [8.8.8.8] }", "net1: { cidr: 50.50.1.0/24, dns: [9.9.9.9], routes: [ { to: 60.60.1.0/24, via: 50.50.1.11 } ] }"),
    ("net2: { cidr: 50.50.2.0/24, dns: [8.8.8.8] }", "net3: { cidr: 50.50.3.0/24 }"),
    ("networks: [net1, net2] }", "networks: [net1, net3], routes: [ { to: 60.60.0.0/16, via: 50.50.1.11 } ] }"),
    ("{ protocol: tcp, ports: 22 } ] } }\n    ports:", "{ protocol: tcp, ports: 8000-8003 }, { protocol: udp, remote: default } ] } }\n    ports:"),
    # Its floating address moves to a port that comes, on a tap of weft's own.
    ("address: 50.50.1.11, floating: auto, security-groups: [default] }",
     "address: 50.50.1.11, security-groups: [default], allowed-addresses: [ { address: 60.60.0.0/16 } ] }\n"
     "      vm4: { node: compute1, network: net1, attach: tap, floating: FLOATING }\n"
     "      vm5: { node: compute2, network: net3 }"),
    ("      vm3: { node: compute2, network: net2, floating: auto, security-groups: [default] }\n", ""),
    ("      vm1: { node: compute1, network: net1, address: 50.50.1.21, floating: auto }\n", ""),
    ("to: proj_one/vm1, via: floating, protocol: tcp, port: 22", "to: proj_one/vm4, via: floating, protocol: tcp, port: 8000"),
]


def edited(file, folder):
    """A fabric with the edits, and with the lock that the fabric before it had."""
    text, new = file.read_text(), folder / file.name
    new.write_text(text)
    subprocess.run([PROGRAM, "allocate", new], check=True, capture_output=True)
    known = json.loads(subprocess.run([PROGRAM, "allocate", new, "--json"], check=True, capture_output=True, text=True).stdout)
    for old, instead in EDITS:
        assert text.count(old) == 1, old
        text = text.replace(old, instead.replace("FLOATING", known["proj_one/ports/vm1/floating"]))
    new.write_text(text)
    subprocess.run([PROGRAM, "allocate", new], check=True, capture_output=True)
    return new


class Run:
    """A run of weft that goes on beside the test, and that can halt at a point of its fault layer ("stop KIND N")."""
    begun = []

    def __init__(self, node, words, fault=None, before=()):
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        told = ["env", f"WEFT_FAULT={fault}"] if fault else []
        Run.begun.append(self)
        # `weft lab exec` becomes the command, and so do `env` and what else stands before it: the process is weft's own.
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{node.lab.name}/{node.name}", "--", *told, *before, PROGRAM,
                                         *map(str, words)], stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err, start_new_session=True)

    def halted(self, seconds=20):
        """Waits until it halts; False when it ended without."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            if re.search(r"\) T ", pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()):
                return True
            time.sleep(0.005)
        self.end()
        raise AssertionError(f"it neither halted nor ended:\n{self.said()}")

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def said(self):
        return self.read(self.out) + self.read(self.err)

    def result(self, seconds=60):
        """Its end within a bounded time, whatever became of it; never by a signal."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"it hung for {seconds} s:\n{self.said()}") from None
        assert 0 <= code < 126, f"it ended by {code}:\n{self.said()}"
        return subprocess.CompletedProcess([], code, *(self.read(s) for s in (self.out, self.err)))

    @staticmethod
    def read(stream):
        stream.seek(0)
        return stream.read()

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # with what strace runs
            self.process.wait(10)

    @classmethod
    def end_all(cls):
        while cls.begun:
            run = cls.begun.pop()
            run.end()
            run.out.close()
            run.err.close()


class Node:
    edited = set()  # names of those on which the fabric with the edits was applied, of which a removal alone leaves no trace

    def __init__(self, lab, name):
        self.lab, self.name = lab, name

    def run(self, *words, expect=0, fault=None, timeout=60):
        command = [PROGRAM, "lab", "exec", f"{self.lab.name}/{self.name}", "--"]
        if fault:
            command += ["env", f"WEFT_FAULT={fault}"]
        done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=timeout)
        if expect is not None:
            assert done.returncode == expect, f"{words} with {fault}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def weft(self, *words, **more):
        return self.run(PROGRAM, *words, **more)

    def apply(self, *words, **more):
        return self.weft("apply", self.lab.file, "--node", self.name, *words, **more)

    def change(self, *words, **more):
        """Applies the fabric with the edits, over the one without."""
        Node.edited.add(self.name)
        return self.weft("apply", self.lab.edited, "--node", self.name, *words, **more)

    def remove(self, *words, **more):
        Node.edited.discard(self.name)
        return self.weft("remove", "--fabric", "grizzly", "--node", self.name, *words, **more)

    def start_of(self, what, states):
        """What brings the node to the state before the verb, the verb, and that state and the one after."""
        known = states[self.name]
        if what == "change":
            # What was found before a first change stays known while weft is there.
            if self.name not in Node.edited:
                self.apply()
                self.change()
            return self.apply, self.change, known.again, known.changed
        if self.name in Node.edited:
            self.remove()
        return (self.remove, self.apply, *known) if what == "apply" else (self.apply, self.remove, *reversed(known))

    def words(self, verb):
        """Of a plain apply or remove, for a Run."""
        return ["apply", self.lab.file, "--node", self.name] if verb == "apply" else ["remove", "--fabric", "grizzly", "--node", self.name]

    def seen(self, *more):
        return json.loads(self.run("/usr/bin/python3", "-IS", HERE / "seen.py", *more).stdout)

    def points(self, verb, kind):
        """How many operations of a kind a run of the verb has."""
        return len(re.findall("weft: fault: log ", verb(fault=f"log {kind} 0").stderr))


class Known(tuple):
    """Of a node the state without weft and the one with it; `changed` after the fabric with the edits was applied, and `again` once that is taken back."""

    def __new__(cls, old, new, changed, again):
        known = super().__new__(cls, (old, new))
        known.changed, known.again = changed, again
        return known


def differences(a, b, path=""):
    """Where two values differ, for the message of a test that failed."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for key in sorted({*a, *b}) for d in differences(a.get(key), b.get(key), f"{path}/{key}")]
    if isinstance(a, list) and isinstance(b, list):
        left, right = [json.dumps(x) for x in a], [json.dumps(x) for x in b]
        return [f"{path} - {x}" for x in left if x not in right] + [f"{path} + {x}" for x in right if x not in left]
    return [] if a == b else [f"{path}: {a} → {b}"]


def assert_same(now, *allowed):
    """The state is one of those that it may be, and so never between."""
    if now not in allowed:
        raise AssertionError("\n".join("\n".join(["differs by", *differences(one, now)[:20]]) for one in allowed))


def chosen(name, points, sample):
    """All of the points, or a seeded sample with the first and the last among it; those that have passed in a run before are left out."""
    points = list(points)
    if not EXHAUSTIVE and len(points) > sample:
        lot = random.Random(f"{SEED} {name}")
        points = [lot.choice(points)] if sample == 1 else [points[0], *sorted(lot.sample(points[1:-1], sample - 2)), points[-1]]
    passed = set(pathlib.Path(PROGRESS).read_text().splitlines()) if EXHAUSTIVE and PROGRESS and os.path.exists(PROGRESS) else set()
    for point in points:
        if f"{name} {point}" in passed:
            continue
        yield point
        if EXHAUSTIVE and PROGRESS:
            with open(PROGRESS, "a") as log:
                log.write(f"{name} {point}\n")
