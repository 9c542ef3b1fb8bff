# SPDX-License-Identifier: Apache-2.0
"""Daemons of Open vSwitch that die: plan never says that all is well while it is not, apply brings everything back as it was."""
import json

import pytest

from conftest import eventually


@pytest.mark.parametrize("node", ["compute1", "network"])
def test_a_killed_vswitchd_is_seen_and_its_loss_is_made_good(lab, node):
    tags = lab.tags(node)
    assert tags
    lab.kill(node, "ovs-vswitchd")
    dead = lab.on(node, "plan", expect=1)
    assert dead.stdout == "" and "plan ovs-vswitchd of /var/run/openvswitch: it does not run" in dead.stderr
    lab.start_switchd(node)
    lost = lab.on(node, "plan", expect=2)
    assert "br-tun" in lost.stdout and "flow" in lost.stdout
    lab.on(node, "apply")
    lab.on(node, "plan", expect=0)
    assert lab.tags(node) == tags
    lab.assert_green()


@pytest.mark.parametrize("node", ["compute1", "network"])
def test_a_killed_ovsdb_server_with_its_database_kept(lab, node):
    tags = lab.tags(node)
    lab.kill(node, "ovsdb-server")
    assert "nothing to do" not in lab.on(node, "plan", expect=1).stdout
    lab.start_server(node)
    lab.on(node, "apply")
    lab.on(node, "plan", expect=0)
    assert lab.tags(node) == tags
    lab.assert_green()


@pytest.mark.parametrize("node", ["compute1", "network"])
def test_a_database_that_was_lost_is_written_again(lab, node):
    tags = lab.tags(node)
    columns = "--columns=name,external_ids,other_config"
    interfaces = json.loads(lab.run(node, "ovs-vsctl", "-f", "json", "-d", "json", columns, "list", "interface").stdout)["data"]
    lab.kill(node, "ovsdb-server")
    lab.run(node, "rm", "/etc/openvswitch/conf.db")
    lab.run(node, "ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    lab.start_server(node)
    lab.run(node, "ovs-vsctl", "--no-wait", "init")
    eventually(lambda: lab.run(node, "ovs-vsctl", "get", "Open_vSwitch", ".", "cur_cfg").stdout.strip().isdigit())
    lost = lab.on(node, "plan", expect=2).stdout
    for bridge in ("br-int", "br-tun", "br-eth1"):
        assert bridge in lost
    lab.on(node, "apply")
    # The rows of its VMs are the hypervisor's, and so are lost until it plugs them again.
    for name, ids, _ in interfaces:
        ids = dict(ids[1])
        if "iface-id" in ids and "vm-id" in ids:
            words = [f'external_ids:{key}="{value}"' for key, value in ids.items() if not key.startswith("weft")]
            lab.run(node, "ovs-vsctl", "add-port", "br-int", name, "--", "set", "interface", name, *words)
    lab.on(node, "apply")
    lab.on(node, "plan", expect=0)
    assert lab.tags(node) == tags
    lab.assert_green()
