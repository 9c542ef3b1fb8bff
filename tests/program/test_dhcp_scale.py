# SPDX-License-Identifier: Apache-2.0
"""Two hundred VMs of one network ask for their addresses at once, and every one is given its own."""
import json
import re
import subprocess

from conftest import Lab, weft

VMS = 200
FABRIC = """version: 1
name: crowd
networks:
  management: { cidr: 10.10.10.0/24 }
  vm-config: { cidr: 10.20.20.0/24 }
overlay: { type: gre, ids: 1-100 }
nodes:
  network:
    roles: [network]
    nics: { eth0: { network: management, address: 10.10.10.52 }, eth1: { network: vm-config, address: 10.20.20.52 } }
  compute1:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.53 }, eth1: { network: vm-config, address: 10.20.20.53 } }
  compute2:
    roles: [compute]
    nics: { eth0: { network: management, address: 10.10.10.54 }, eth1: { network: vm-config, address: 10.20.20.54 } }
tenants:
  one:
    networks: { net1: { cidr: 50.50.0.0/22 } }
    ports:
"""


def test_two_hundred_vms_that_ask_at_once_are_all_served(tmp_path):
    file = tmp_path / "crowd.yaml"
    file.write_text(FABRIC + "".join(f"      vm{n:03}: {{ node: compute{1 + n % 2}, network: net1 }}\n" for n in range(VMS)))
    lock = json.loads(weft("allocate", file, "--json").stdout)
    wanted = {f"vm{n:03}": lock[f"one/ports/vm{n:03}/address"] for n in range(VMS)}
    assert len(set(wanted.values())) == VMS
    lab = Lab(file)
    try:
        # Each asked for itself and holds what the fabric gives it, once; and the server wrote it down.
        for vm, address in wanted.items():
            shown = subprocess.run(["ip", "-n", f"weft-{lab.name}-one.{vm}", "-o", "-4", "address", "show", "dev", "eth0"],
                                   capture_output=True, text=True, check=True, timeout=10).stdout
            assert re.findall(r"inet (\S+)", shown) == [f"{address}/22"], vm
        leases = lab.run("network", "sh", "-c", "cat /var/lib/weft/services/*/dnsmasq-*/leases").stdout.splitlines()
        assert sorted((line.split()[2], line.split()[3]) for line in leases) == sorted((address, vm) for vm, address in wanted.items())
        for vm in ("vm000", "vm117", "vm199"):
            lab.run(f"one/{vm}", "ping", "-c1", "-W3", lock["one/networks/net1/dhcp"])
        for node in ("network", "compute1", "compute2"):
            lab.on(node, "plan", expect=0)
    finally:
        lab.down()
