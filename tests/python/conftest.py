# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: a small fabric as text, named so that labs of other runs are never touched."""
import os

import pytest

FABRIC = """
version: 1
name: {name}
networks:
  management: {{ cidr: 10.10.10.0/24 }}
  vm-config: {{ cidr: 10.20.20.0/24 }}
  external: {{ cidr: 192.168.100.0/24, gateway: 192.168.100.1, floating: 192.168.100.102-192.168.100.126 }}
overlay: {{ type: gre, ids: 1-1000 }}
nodes:
  network:
    roles: [network]
    nics:
      eth0: {{ network: management, address: 10.10.10.52 }}
      eth1: {{ network: vm-config, address: 10.20.20.52 }}
      eth2: {{ network: external }}
  compute1:
    roles: [compute]
    nics:
      eth0: {{ network: management, address: 10.10.10.53 }}
      eth1: {{ network: vm-config, address: 10.20.20.53 }}
tenants:
  proj_one:
    networks: {{ net1: {{ cidr: 50.50.1.0/24 }} }}
    routers: {{ router1: {{ external: external, networks: [net1] }} }}
    ports:
      vm1: {{ node: compute1, network: net1, floating: auto }}
lab:
  router: {{ lan: external, internet: 203.0.113.0/24 }}
  hosts:
    lan1: {{ network: external, address: 192.168.100.200 }}
    internet1: {{ network: internet, address: 203.0.113.10 }}
"""


@pytest.fixture
def fabric_text():
    return FABRIC.format(name=f"py{os.getpid()}")


@pytest.fixture
def fabric_file(tmp_path, fabric_text):
    path = tmp_path / "small.yaml"
    path.write_text(fabric_text)
    return path
