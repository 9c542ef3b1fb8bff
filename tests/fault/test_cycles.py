# SPDX-License-Identifier: Apache-2.0
"""Many cycles in one process, in which weft's part is made and removed, or undone: neither the process nor the kernel nor the switch holds more
after them. 10,000 with WEFT_EXHAUSTIVE=1, of all but a host with a service (1,000)."""
import json
import os
import pathlib

import pytest

from faults import EXHAUSTIVE, FABRICS, HERE, Node, assert_same, differences

MODULE = pathlib.Path(os.environ["WEFT_LIBEXEC"]).parent / "python" if "WEFT_LIBEXEC" in os.environ else None
# A network node for one network: bridges, a tunnel, flows, and a router's namespace with NAT. It has the NICs of the lab's own.
SMALL = """
version: 1
name: small
networks:
  management: { cidr: 10.10.10.0/24 }
  vm-config:  { cidr: 10.20.20.0/24 }
  external:   { cidr: 192.168.100.0/24, gateway: 192.168.100.1, floating: 192.168.100.102-192.168.100.126 }
overlay: { type: gre, ids: 1-1000 }
nodes:
  network:
    roles: [network]
    nics: { eth0: { network: management, address: 10.10.10.52 }, eth1: { network: vm-config, address: 10.20.20.52 }, eth2: { network: external } }
  compute1:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.53 }, eth1: { network: vm-config, address: 10.20.20.53 } }
tenants:
  one:
    networks: { net1: { cidr: 50.50.1.0/24, dhcp: false } }
    routers: { router1: { external: external, networks: [net1] } }
    ports: { vm1: { node: compute1, network: net1, address: 50.50.1.11, floating: auto, port-security: false } }
"""
# Fabric, ways, cycles of a sample, of all.
CASES = {
    "controller-removed": ((FABRICS / "grizzly.yaml").read_text(), "removed", 60, 10000),
    "controller-undone": ((FABRICS / "grizzly.yaml").read_text(), "undone", 60, 10000),
    "network-small": (SMALL, "removed+undone", 20, 10000),
    "network-service": (SMALL.replace("dhcp: false", "dhcp: true"), "removed+undone", 10, 1000),
}


@pytest.mark.skipif(MODULE is None or not list(MODULE.glob("weft*.so")), reason="the Python module is not built")
@pytest.mark.parametrize("case", CASES)
def test_nothing_grows(lab, states, tmp_path, case):
    text, ways, sample, every = CASES[case]
    cycles = every if EXHAUSTIVE else sample
    first = min(500, cycles // 3 // 2 * 2)
    file = tmp_path / "fabric.yaml"
    file.write_text(text)
    node = Node(lab, case.split("-")[0])
    node.remove()
    try:
        done = node.run("env", f"PYTHONPATH={MODULE}", "/usr/bin/python3", HERE / "cycles.py", file, node.name, ways, first, cycles,
                        timeout=6 * 3600 if EXHAUSTIVE else 240)
    finally:
        node.weft("remove", "--fabric", "small", "--node", node.name, expect=None)
    held = json.loads(done.stdout)
    print(f"{case}: {held['seconds']:.3f} s a cycle, resident {held['memory']} kB")
    before, after = held["memory"]
    # The allocator's own slack, whose size has nothing to do with the number of cycles; one kilobyte lost a cycle would show in 10,000.
    assert after - before <= 4096, held["memory"]
    assert held["last"] == held["first"], "\n".join(differences(*(dict(enumerate(held[k])) for k in ("first", "last"))))
    assert len(held["first"]) == {"removed": 2, "undone": 1, "removed+undone": 3}[ways]
    assert_same(node.seen(), states[node.name][0])
