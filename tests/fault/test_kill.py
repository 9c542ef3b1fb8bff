# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at any moment: `weft recover` brings the host to what it was before or to what it was to become, and nothing of others
is touched."""
import pytest

from faults import NODES, Node, assert_same, chosen

SAMPLE = 4


def killed(node, verb, fault):
    done = verb(fault=fault, expect=None)
    assert done.returncode in (-9, 137), f"{fault}: {done.returncode}\n{done.stderr}"


def runs(node):
    return {"apply": (node.remove, node.apply), "remove": (node.apply, node.remove)}


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("name", NODES)
def test_killed_before_and_after_each_record_of_the_journal(lab, states, name, what):
    node = Node(lab, name)
    prepare, verb = runs(node)[what]
    prepare()
    points = node.points(verb, "journal")
    assert points > 10
    for point in chosen(f"kill {name} {what} journal", range(1, points + 1), SAMPLE):
        prepare()
        killed(node, verb, f"kill journal {point}")
        node.weft("recover")
        assert_same(node.seen(), *states[name])
        assert "nothing to recover" in node.weft("recover").stdout


@pytest.mark.parametrize("kind", ["netlink", "nft-answer", "ovsdb-answer", "openflow", "sysctl", "namespace", "namespace-file", "service"])
@pytest.mark.parametrize("name", NODES)
def test_killed_within_a_group_of_steps(lab, states, name, kind):
    node = Node(lab, name)
    node.remove()
    points = node.points(node.apply, kind)
    for point in chosen(f"kill {name} apply {kind}", range(1, points + 1), 2):
        node.remove()
        killed(node, node.apply, f"kill {kind} {point}")
        node.weft("recover")
        assert_same(node.seen(), *states[name])


def test_a_name_without_its_namespace_stands_in_the_way_of_no_verb(lab, states):
    node = Node(lab, "network")
    for verb in (node.apply, node.remove, lambda: node.weft("recover")):
        node.remove()
        killed(node, node.apply, "kill namespace-file 1")
        node.weft("plan", lab.file, "--node", node.name, expect=2)
        verb()
        assert_same(node.seen(), *states["network"])
    # Without its journal too.
    killed(node, node.apply, "kill namespace-file 1")
    node.run("rm", "/var/lib/weft/journal")
    node.apply()
    assert_same(node.seen(), states["network"][1])


def converges(node, states, label, before_the_next):
    node.remove()
    points = node.points(node.apply, "journal")
    for point in chosen(f"{label} {node.name}", range(1, points + 1), 3):
        node.remove()
        killed(node, node.apply, f"kill journal {point}")
        before_the_next()
        node.apply()
        assert_same(node.seen(), states[node.name][1])
        assert "nothing to do" in node.apply().stdout


@pytest.mark.parametrize("name", NODES)
def test_the_next_apply_needs_no_recover_before_it(lab, states, name):
    converges(Node(lab, name), states, "kill then apply", lambda: None)


@pytest.mark.parametrize("name", NODES)
def test_every_prefix_of_the_plan_is_a_start_that_apply_converges_from(lab, states, name):
    node = Node(lab, name)
    # Nothing but the host says then what was done.
    converges(node, states, "prefix", lambda: node.run("rm", "-f", "/var/lib/weft/journal"))


@pytest.mark.parametrize("name", NODES)
def test_killed_while_a_failed_run_is_undone(lab, states, name):
    node = Node(lab, name)
    node.remove()
    points = node.points(node.apply, "netlink")
    node.remove()
    last = f"fail netlink {points}"
    back = node.points(lambda fault: node.apply(fault=f"{last}; {fault}", expect=1), "netlink")
    for point in chosen(f"kill {name} undo", range(points + 1, back + 1), 3):
        killed(node, node.apply, f"{last}; kill netlink {point}")
        node.weft("recover")
        assert_same(node.seen(), states[name][0])
