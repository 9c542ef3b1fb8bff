# SPDX-License-Identifier: Apache-2.0
"""The other deployments of examples/fabrics by the program: green, at rest, and the same again after a node was taken off and put on."""
import json

import pytest

from conftest import FABRICS, PROGRAM, Lab, weft

NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}


@pytest.mark.parametrize("name", ["all-in-one", "two-servers", "three-tenants", "grizzly-compat", "cloudstack"])
def test_a_deployment_is_at_rest_and_its_matrix_green(name):
    lab = Lab(FABRICS / f"{name}.yaml")
    try:
        status = json.loads(weft("lab", "status", lab.name, "--json").stdout)
        nodes = [m["name"] for m in status["members"] if m["kind"] == "node"]
        for node in nodes:
            lab.on(node, "plan", expect=0)
            assert lab.writes(node) == NOTHING
        assert weft("lab", "test", lab.file, "--name", lab.name).returncode == 0
    finally:
        lab.down()


def test_a_hypervisor_gives_its_nics_back_and_takes_them_again():
    lab = Lab(FABRICS / "two-servers.yaml")
    try:
        def master(nic):
            (link,) = json.loads(lab.run("server-a", "ip", "-j", "link", "show", "dev", nic).stdout)
            return link.get("master")

        assert (master("eth0"), master("eth1")) == ("bridge-int", "bridge-ext")
        guests = {link["ifname"]: link["master"] for link in json.loads(lab.run("server-a", "ip", "-j", "link").stdout) if link["ifname"].startswith("vnet")}
        assert sorted(guests.values()) == ["bridge-ext"] * 4 + ["bridge-int"] * 3
        lab.run("server-a", PROGRAM, "remove", "--node", "server-a")
        assert (master("eth0"), master("eth1")) == (None, None)
        assert "bridge-int" in lab.on("server-a", "plan", expect=2).stdout
        lab.on("server-a", "apply")
        lab.on("server-a", "plan", expect=0)
        for device, bridge in guests.items():  # as whoever starts the guests would
            lab.run("server-a", "ip", "link", "set", device, "master", bridge)
        assert weft("lab", "test", lab.file, "--name", lab.name).returncode == 0
    finally:
        lab.down()
