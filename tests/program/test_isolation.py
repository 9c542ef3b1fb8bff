# SPDX-License-Identifier: Apache-2.0
"""Two tenants of one subnet are kept apart, and the test of that can fail: it does when isolation is broken on purpose."""
import json
import re

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

    # The tag alone moves nobody: it is the flows that say whose network a port is in.
    lab.run("compute1", "ovs-vsctl", "set", "port", theirs, f"tag={our_tag}")
    lab.assert_green()

    # The other tenant's VM into this tenant's network, as a wrong hand would: what it sends, and what is for it.
    flows = lab.run("compute1", "ovs-ofctl", "-OOpenFlow13", "--names", "--no-stats", "dump-flows", "br-int").stdout
    for table, match in ((60, f"in_port=\"?{theirs}"), (73, f"reg6=0x{their_tag:x},dl_dst={macs['proj_two/vm1']}")):
        (flow,) = [f for f in flows.splitlines() if f"table={table}," in f and re.search(match, f)]
        moved = re.sub(r"cookie=\w+, *", "", flow)
        moved = re.sub(rf"reg6=0x{their_tag:x}\b", f"reg6=0x{our_tag:x}", moved)
        moved = re.sub(rf"0x{their_tag:x}->NXM_NX_REG6", f"0x{our_tag:x}->NXM_NX_REG6", moved)
        assert moved.split("priority")[1] != flow.split("priority")[1]
        lab.run("compute1", "ovs-ofctl", "-OOpenFlow13", "add-flow", "br-int", moved)
    broken = weft("lab", "test", lab.file, "--name", lab.name, expect=1)
    assert "✗" in broken.stdout
    leaks = [c for c in lab.cells() if not c["ok"] and c["expected"] == "blocked" and c["observed"] == "reachable"]
    assert any({c["from"], c["to"]} & {"proj_two/vm1"} and {c["from"], c["to"]} & {"proj_one/vm1", "proj_one/vm2"} for c in leaks), leaks

    assert theirs in lab.on("compute1", "plan", expect=2).stdout
    lab.on("compute1", "apply")
    # Whom the VMs met in the wrong network is in their own memory, for half a minute.
    for vm in ("proj_two/vm1", "proj_one/vm1", "proj_one/vm2"):
        lab.run(vm, "ip", "neigh", "flush", "all")
    lab.assert_green()
