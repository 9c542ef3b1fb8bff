# SPDX-License-Identifier: Apache-2.0
"""A compute node joins a running fabric: only it and the tunnels to it change, and the traffic of the others loses nothing meanwhile."""
import json
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import FABRICS, NODES, PROGRAM, Lab, eventually, weft

NEW = "compute3"
ENDPOINT, TUNNEL = "10.20.20.55", "gre-0a141437"
NODE = f"""  {NEW}:
    roles: [compute]
    nics: {{ eth0: {{ network: management, address: 10.10.10.55 }}, eth1: {{ network: vm-config, address: {ENDPOINT} }} }}
"""


@pytest.fixture
def growing(tmp_path):
    """A lab whose third compute is a bare host: cabled, its VM waiting, nothing of weft's on it, and unknown to the others."""
    text = (FABRICS / "grizzly.yaml").read_text()
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(text)
    weft("allocate", before)
    with_node = text.replace("tenants:\n", NODE + "tenants:\n", 1)
    with_node = with_node.replace("      vm2: { node: compute2, network: net1, sec",
                                  f"      vm9: {{ node: {NEW}, network: net1, security-groups: [default] }}\n"
                                  "      vm2: { node: compute2, network: net1, sec", 1)
    assert with_node.count(NEW) == 2
    after.write_text(with_node)
    shutil.copy(tmp_path / "before.lock", tmp_path / "after.lock")
    weft("allocate", after)
    lab = Lab(after)
    try:
        lab.before, lab.plugged = before, plugged_rows(lab, NEW)
        lab.run(NEW, PROGRAM, "remove", "--node", NEW)
        for node in NODES:
            lab.on(node, "apply", file=before)
            lab.on(node, "plan", file=before)
        yield lab
    finally:
        lab.down()


def plugged_rows(lab, node):
    """What a hypervisor knows of its VMs' ports: device and external_ids."""
    columns = ["-f", "json", "-d", "json", "--columns=name,external_ids"]
    rows = json.loads(lab.run(node, "ovs-vsctl", *columns, "list", "interface").stdout)["data"]
    return {name: dict(ids[1]) for name, ids in rows if "vm-id" in dict(ids[1])}


class Ping:
    """Echo requests at 100 Hz until it is stopped. Lost is what has no answer although a later one has; the rest is under way."""

    def __init__(self, lab, source, target):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{source}", "--", "ping", "-i", "0.01", "-w", "120", target],
                                        stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=30)
        return [int(number) for number in re.findall(r"bytes from .* icmp_seq=(\d+) ", said)]


def steps(lab, node):
    plan = json.loads(lab.on(node, "plan", "--json", expect=None).stdout)
    return [(s["kind"], s["object"], s["scope"], s["name"]) for s in plan["steps"]]


def test_only_the_new_node_and_the_tunnels_to_it_change_and_nothing_is_lost(growing):
    lab = growing
    assert [name for kind, what, _, name in steps(lab, NEW) if (kind, what) == ("create", "bridge")] == ["br-eth1", "br-int", "br-tun"]
    pings = {}
    try:
        for name, source, target in (("tunnel", "proj_one/vm1", lab.address("proj_one/vm2")), ("router", "proj_one/vm1", "50.50.2.1"),
                                     ("outside", "lan1", floating(lab, "proj_one/vm3"))):
            lab.run(source, "ping", "-q", "-c", "3", "-i", "0.01", target)
            pings[name] = Ping(lab, source, target)

        # What each of the others would do, before anybody does anything: tunnels, and what lets them in.
        assert steps(lab, "controller") == []
        for node in ("network", "compute1", "compute2"):
            floods = [f"table=22,priority=1,dl_vlan={vlan}" for vlan in sorted(set(lab.tags(node).values()))]
            planned = steps(lab, node)
            # The new node's VM gets a line in its network's DHCP server.
            assert [(kind, what) for kind, what, *_ in planned if what == "service"] == ([("change", "service")] if node == "network" else [])
            assert sorted(step for step in planned if step[1] != "service") == sorted([
                ("change", "nft table", "", "inet weft"), ("create", "port", "br-tun", TUNNEL),
                ("create", "flow", "br-tun", f"table=0,priority=1,in_port={TUNNEL}"), *(("change", "flow", "br-tun", flood) for flood in floods)])

        for node in (NEW, "network", "compute1", "compute2"):
            lab.on(node, "apply")
        for name, ids in lab.plugged.items():  # the VM starts
            lab.run(NEW, "ovs-vsctl", "add-port", "br-int", name, "tag=4095", "--", "set", "interface", name,
                    *[f'external_ids:{key}="{value}"' for key, value in ids.items() if not key.startswith("weft")])
        lab.on(NEW, "apply")
        eventually(lambda: lab.run("proj_one/vm9", "ping", "-q", "-c", "1", "-w", "1", lab.address("proj_one/vm1"), expect=None).returncode == 0)
        time.sleep(0.5)  # the last of it may show late
    finally:
        answered = {name: ping.stop() for name, ping in pings.items()}
    for name, numbers in answered.items():
        assert len(numbers) > 50, (name, numbers)
        assert numbers == list(range(1, max(numbers) + 1)), name  # none lost, none twice
    for node in [*NODES, NEW]:
        lab.on(node, "plan", expect=0)
    lab.assert_green()


def floating(lab, vm):
    """The floating address that the lab's allocation gave a VM."""
    rows = json.loads(weft("allocate", lab.file, "--json").stdout)
    tenant, port = vm.split("/")
    return rows[f"{tenant}/ports/{port}/floating"]
