# SPDX-License-Identifier: Apache-2.0
"""Two tenants of one subnet are kept apart, and the test of that can fail: it does when isolation is broken on purpose."""
import json

from conftest import weft


def port_of(lab, node, vm):
    """The device and the local VLAN of a VM on a node."""
    rows = json.loads(lab.run(node, "ovs-vsctl", "-f", "json", "-d", "json", "--columns=name,external_ids", "list", "interface").stdout)["data"]
    (device,) = [name for name, ids in rows if dict(ids[1]).get("vm-id", "") and vm(dict(ids[1]))]
    return device, int(lab.run(node, "ovs-vsctl", "get", "port", device, "tag").stdout)


def test_a_tenant_moved_into_anothers_vlan_fails_the_matrix_and_apply_mends_it(lab):
    macs = {}
    for vm in ("proj_one/vm1", "proj_two/vm1"):
        macs[vm] = json.loads(lab.run(vm, "ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["address"]
    ours, our_tag = port_of(lab, "compute1", lambda ids: ids["attached-mac"] == macs["proj_one/vm1"])
    theirs, their_tag = port_of(lab, "compute1", lambda ids: ids["attached-mac"] == macs["proj_two/vm1"])
    assert our_tag != their_tag
    lab.assert_green()

    # The other tenant's VM into this tenant's network, as a wrong hand or a stale VLAN would.
    lab.run("compute1", "ovs-vsctl", "set", "port", theirs, f"tag={our_tag}")
    broken = weft("lab", "test", lab.file, "--name", lab.name, expect=1)
    assert "✗" in broken.stdout
    leaks = [c for c in lab.cells() if not c["ok"] and c["expected"] == "blocked" and c["observed"] == "reachable"]
    assert any({c["from"], c["to"]} & {"proj_two/vm1"} and {c["from"], c["to"]} & {"proj_one/vm1", "proj_one/vm2"} for c in leaks), leaks

    assert theirs in lab.on("compute1", "plan", expect=2).stdout
    lab.on("compute1", "apply")
    # In the wrong network the VM has learnt the other router's MAC for its gateway; forgetting takes it seconds, or longer than
    # a cell of the matrix waits.
    lab.run("proj_two/vm1", "ip", "neigh", "flush", "all")
    lab.assert_green()
