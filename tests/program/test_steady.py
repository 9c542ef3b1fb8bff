# SPDX-License-Identifier: Apache-2.0
"""A lab left alone: nothing to do on any node, no write by a second apply, and the ordinary tools see what weft says."""
import subprocess

from conftest import NODES, PROGRAM, SWITCHES, weft

NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}


def test_a_second_apply_writes_nothing_on_any_node(lab):
    for node in NODES:
        assert lab.on(node, "plan").returncode == 0
        assert lab.writes(node) == NOTHING


def test_a_second_apply_writes_nothing_under_traffic(lab):
    busy = [subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{vm}", "--", "ping", "-q", "-i", "0.002", "-w", "30", to],
                             stdout=subprocess.DEVNULL)
            for vm, to in (("proj_one/vm1", lab.address("proj_one/vm2")), ("proj_one/vm3", "192.168.100.200"), ("lan1", "192.168.100.1"))]
    try:
        lab.run("proj_one/vm1", "ping", "-q", "-c", "20", "-i", "0.01", "50.50.2.1")  # meanwhile addresses have been learned
        learned = lab.run("compute1", "ovs-ofctl", "-OOpenFlow14", "dump-flows", "br-tun", "table=20").stdout
        assert "hard_timeout=300" in learned
        for _ in range(3):
            for node in NODES:
                assert lab.writes(node) == NOTHING
    finally:
        for process in busy:
            process.terminate()
            process.wait(10)


def test_the_ordinary_tools_agree(lab):
    shown = lab.run("compute1", "ovs-vsctl", "show").stdout
    for word in ("Bridge br-int", "Bridge br-tun", "Bridge br-eth1", "type: gre", 'remote_ip="10.20.20.52"', 'remote_ip="10.20.20.54"'):
        assert word in shown
    flows = lab.run("compute1", "ovs-ofctl", "-OOpenFlow14", "dump-flows", "br-tun").stdout
    for table in (0, 2, 3, 10, 20, 22):
        assert f"table={table}," in flows or table == 0
    assert "10.10.10.53/24" in lab.run("compute1", "ip", "-br", "address").stdout
    assert "10.20.20.53/24" in lab.run("compute1", "ip", "-br", "address", "show", "dev", "br-eth1").stdout
    router = lab.run("network", "ip", "netns", "list").stdout.split()[0]
    rules = lab.run("network", "ip", "netns", "exec", router, "nft", "list", "ruleset").stdout
    assert "table ip weft" in rules and "snat" in rules
    assert " 0% packet loss" in lab.run("proj_one/vm1", "ping", "-c", "3", "-i", "0.05", lab.address("proj_one/vm2")).stdout


def test_no_packet_comes_twice(lab):
    for vm, to in (("proj_one/vm1", lab.address("proj_one/vm2")), ("proj_one/vm1", "50.50.2.1"), ("lan1", "192.168.100.1")):
        text = lab.run(vm, "ping", "-c", "50", "-i", "0.005", to).stdout
        assert "50 packets transmitted, 50 received, 0% packet loss" in text
        assert "duplicates" not in text and "DUP" not in text


def test_a_tunnel_endpoint_has_one_owner_and_the_underlay_sees_no_icmp_unreachable(tmp_path):
    import conftest
    text = (conftest.FABRICS / "grizzly.yaml").read_text()
    for overlay in ("gre", "vxlan", "geneve"):
        file = tmp_path / f"{overlay}.yaml"
        file.write_text(text.replace("type: gre", f"type: {overlay}"))
        lab = conftest.Lab(file)
        try:
            before = {node: unreachables(lab, node) for node in SWITCHES}
            lab.run("proj_one/vm1", "ping", "-q", "-c", "30", "-i", "0.01", lab.address("proj_one/vm2"))
            lab.run("proj_one/vm1", "ping", "-q", "-c", "30", "-i", "0.01", "50.50.2.1")
            assert {node: unreachables(lab, node) for node in SWITCHES} == before
            for asker, owner in (("compute1", "10.20.20.52"), ("compute1", "10.20.20.54"), ("network", "10.20.20.53")):
                answers = lab.run(asker, "arping", "-c", "3", "-w", "1", "-I", "br-eth1", owner, expect=None).stdout
                owners = {line.split("[")[1].split("]")[0] for line in answers.splitlines() if line.startswith("Unicast reply")}
                assert len(owners) == 1, answers
                assert answers.count("Unicast reply") <= 3, answers  # one reply to each question
        finally:
            lab.down()


def unreachables(lab, node):
    names, values = [line.split() for line in lab.run(node, "cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Icmp:")]
    return int(values[names.index("OutDestUnreachs")])
