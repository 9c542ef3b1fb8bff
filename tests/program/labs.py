# SPDX-License-Identifier: Apache-2.0
"""What tests that run the program share, those of this folder and those of ../fault: `weft` itself, and a lab of a fabric."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import string
import subprocess
import time

import pytest

PROGRAM = os.environ["WEFT_PROGRAM"]
FABRICS = pathlib.Path(os.environ["WEFT_FABRICS"])
NODES = ["controller", "network", "compute1", "compute2"]
SWITCHES = ["network", "compute1", "compute2"]
# Whoever ends the tests, as a limit of time does, ends them as Ctrl-C would: what stands is taken down.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# What the network node's uplink holds that is the host's own.
UPLINK = """
ip address add 192.168.100.52/24 dev eth2
ip address add 192.168.100.53/24 dev eth2 label eth2:1
ip address add 2001:db8:100::52/64 dev eth2 nodad
ip route add default via 192.168.100.1 dev eth2
ip route add 198.51.100.0/24 via 192.168.100.1 dev eth2 table 77 src 192.168.100.53
ip route add 198.51.101.0/24 via 192.168.100.1 dev eth2 metric 30 advmss 1300
ip -6 route add 2001:db8:200::/48 via 2001:db8:100::1 dev eth2
ip rule add iif eth2 lookup 77 priority 1000
ip rule add from 192.168.100.52 oif eth2 ipproto tcp dport 22 lookup 77 priority 1001
ip neighbour add 192.168.100.9 lladdr 02:00:00:00:00:09 dev eth2
"""


def weft(*words, expect=0, timeout=120):
    """Runs the program; its exit status must be `expect` (None: any)."""
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=timeout)
    if expect is not None:
        assert done.returncode == expect, f"weft {words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def eventually(condition, seconds=10):
    """Waits for a truth that another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def is_gone(pid):
    """Whether no thread of a process holds anything any more; its remains may wait for their parent."""
    try:
        if len(os.listdir(f"/proc/{pid}/task")) > 1:
            return False
        return re.search(r"\) [ZX] ", pathlib.Path(f"/proc/{pid}/stat").read_text()) is not None
    except OSError:
        return True


def random_name():
    return "p" + "".join(random.choices(string.ascii_lowercase + string.digits, k=5))


class Lab:
    def __init__(self, file):
        self.name, self.file = random_name(), file
        weft("lab", "up", file, "--name", self.name, timeout=240)

    def down(self):
        weft("lab", "down", self.name, expect=None)

    def run(self, member, *command, expect=0, timeout=60):
        return weft("lab", "exec", f"{self.name}/{member}", "--", *command, expect=expect, timeout=timeout)

    def on(self, node, verb, *words, file=None, expect=0):
        """`weft VERB FILE --node NODE` on that node."""
        return self.run(node, PROGRAM, verb, file or self.file, "--node", node, *words, expect=expect)

    def writes(self, node, file=None):
        report = json.loads(self.on(node, "apply", "--json", file=file).stdout)
        return {key: report[key] for key in ("steps", "netlink_writes", "ovsdb_writes", "flow_writes")}

    def cells(self, file=None):
        return json.loads(weft("lab", "test", file or self.file, "--name", self.name, "--json", expect=None).stdout)

    def assert_green(self, file=None):
        cells = self.cells(file)
        assert len(cells) > 100
        wrong = [c for c in cells if not c["ok"]]
        assert not wrong, wrong

    def address(self, vm):
        (link,) = json.loads(self.run(vm, "ip", "-j", "-4", "address", "show", "dev", "eth0").stdout)
        return link["addr_info"][0]["local"]

    def tags(self, node):
        """The local VLAN of every port of br-int that has one."""
        rows = json.loads(self.run(node, "ovs-vsctl", "-f", "json", "--columns=name,tag,other_config", "list", "port").stdout)["data"]
        return {name: tag for name, tag, _ in rows if isinstance(tag, int)}

    def daemon_pid(self, node, daemon):
        return int(self.run(node, "cat", f"/run/openvswitch/{daemon}.pid").stdout)

    def kill(self, node, daemon):
        pid = self.daemon_pid(node, daemon)
        os.kill(pid, 9)
        eventually(lambda: is_gone(pid))

    def start_switchd(self, node):
        self.run(node, "ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--pidfile", "--overwrite-pidfile", "--log-file", "--disable-system",
                 "-vconsole:off", "-vsyslog:off", "--detach")
        self.run(node, "ovs-vsctl", "--timeout=20", "set", "Open_vSwitch", ".", "external_ids:tested=1")  # waits until vswitchd serves
        self.run(node, "ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", "tested")

    def start_server(self, node):
        self.run(node, "ovsdb-server", "/etc/openvswitch/conf.db", "--remote=punix:/run/openvswitch/db.sock",
                 "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", "--pidfile", "--overwrite-pidfile", "--log-file", "-vconsole:off",
                 "-vsyslog:off", "--detach")


class Ear:
    """The frames that a member of a lab gets on a device, told by tcpdump as they come; `more` are options of its own."""

    def __init__(self, lab, member, what, device="eth0", more=(), inside=()):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{member}", "--", *inside, "tcpdump", "-lnne", *more, "-Q", "in", "-i", device,
                                         *what.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "listening on" not in self.process.stderr.readline():
            assert self.process.poll() is None, "tcpdump ended"

    def stop(self):
        """All that it heard."""
        time.sleep(0.3)  # what is on its way
        self.process.terminate()
        return self.process.communicate(timeout=10)[0].strip()


def traces_of(name):
    """What a lab of that name has left: namespaces, its folder, processes."""
    left = [n for n in os.listdir("/run/netns") if n.startswith(f"weft-{name}-")] if os.path.isdir("/run/netns") else []
    if os.path.exists(f"/run/weft/lab/{name}"):
        left.append(f"/run/weft/lab/{name}")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"weft-node") and name.encode() in words:
            left.append(f"process {pid}")
    return left


def skip_without_a_lab(items):
    """A lab needs root and Open vSwitch's daemons."""
    if os.geteuid() == 0 and shutil.which("ovs-vswitchd"):
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="a lab needs root and Open vSwitch's daemons"))
