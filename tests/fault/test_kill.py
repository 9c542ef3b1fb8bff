# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at any moment: `weft recover` brings the host to what it was before or to what it was to become, and nothing of others
is touched."""
import random
import re

import pytest

from faults import EXHAUSTIVE, NODES, SEED, VERBS, Node, assert_same, chosen, eventually

SAMPLE = {"controller": 3, "network": 2, "compute1": 2}
JOURNAL = "/var/lib/weft/journal"
# Operations within a group of steps, at whose borders alone the journal has its points.
WITHIN = ["netlink", "nft-answer", "ovsdb-answer", "openflow", "sysctl", "namespace", "namespace-file", "service"]


def killed(node, verb, fault):
    done = verb(fault=fault, expect=None)
    assert done.returncode in (-9, 137), f"{fault}: {done.returncode}\n{done.stderr}"


def killed_at(verb, point, before=""):
    """How often a dump is asked for is not the same each time, nor how often the settings of a device that the switch makes anew are put: of the last
    ones the run may have had none, and come to its end, which is then looked at as any other."""
    done = verb(fault=f"{before}kill {point}", expect=None)
    ended = 1 if before else 0
    assert done.returncode in (-9, 137) or point.startswith(("dump", "sysctl")) and done.returncode == ended, f"{point}: {done.returncode}\n{done.stderr}"


@pytest.mark.parametrize("what", VERBS)
@pytest.mark.parametrize("name", NODES)
def test_killed_before_and_after_each_record_of_the_journal(lab, states, name, what):
    node = Node(lab, name)
    prepare, verb, before, after = node.start_of(what, states)
    prepare()
    points = node.points(verb, "journal")
    assert points > (5 if what == "change" else 10)
    for point in chosen(f"kill {name} {what} journal", range(1, points + 1), SAMPLE[name]):
        prepare()
        killed(node, verb, f"kill journal {point}")
        node.weft("recover")
        assert_same(node.seen(), before, after)
        assert "nothing to recover" in node.weft("recover").stdout


@pytest.mark.parametrize("what", ["apply", "change"])
@pytest.mark.parametrize("kind", WITHIN)
@pytest.mark.parametrize("name", NODES)
def test_killed_within_a_group_of_steps(lab, states, name, kind, what):
    node = Node(lab, name)
    prepare, verb, before, after = node.start_of(what, states)
    prepare()
    points = node.points(verb, kind)
    for point in chosen(f"kill {name} {what} {kind}", range(1, points + 1), 1):
        prepare()
        killed_at(verb, f"{kind} {point}")
        node.weft("recover")
        assert_same(node.seen(), before, after)


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


def converges(node, states, label, before_the_next, kind="journal", sample=3, known=True):
    old, new = states[node.name][:2]
    settings = f"/var/lib/weft/grizzly.{node.name}.sysctls"
    node.start_of("apply", states)
    node.remove()
    points = node.points(node.apply, kind)
    for point in chosen(f"{label} {node.name}", range(1, points + 1), sample):
        node.remove()
        killed_at(node.apply, f"{kind} {point}")
        before_the_next()
        node.apply()
        now = node.seen()
        if not known:
            # A setting of a bridge of weft's own that had its value by then is not among those found. What counts is what a removal makes of them.
            now["memory"][settings] = new["memory"][settings]
        assert_same(now, new)
        assert "nothing to do" in node.apply().stdout
        if not known:
            node.remove()
            assert_same(node.seen(), old)


@pytest.mark.parametrize("name", NODES)
def test_the_next_apply_needs_no_recover_before_it(lab, states, name):
    converges(Node(lab, name), states, "kill then apply", lambda: None)


@pytest.mark.parametrize("kind", ["journal", *WITHIN])
@pytest.mark.parametrize("name", NODES)
def test_every_prefix_of_the_plan_is_a_start_that_apply_converges_from(lab, states, name, kind):
    node = Node(lab, name)
    # Nothing but the host says then what was done.
    converges(node, states, f"prefix {kind}", lambda: node.run("rm", "-f", JOURNAL), kind, 1, known=False)


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


# Where an undo can be killed: every kind of the fault layer but those of a gateway (program/test_vpn.py) and of the guardian's end.
KINDS = ["journal", "netlink", "nft", "nft-answer", "ovsdb", "ovsdb-answer", "openflow", "sysctl", "namespace", "namespace-file", "service", "effect", "dump"]
TOLD = "; ".join(f"log {kind} 0" for kind in KINDS)
# Of the journal's points of a run the last two are of its end, and the two before them of the record that it is complete.
BEFORE_COMPLETE, BEFORE_END = 3, 1
UNDO_SAMPLE = {"controller": 2, "network": 1, "compute1": 1}


def places(scenario):
    """Nodes and verbs; of the network node, which takes longest, one verb in a sample."""
    one = random.Random(f"{SEED} {scenario}").choice(VERBS)
    return pytest.mark.parametrize("name, what", [(n, w) for n in NODES for w in VERBS if EXHAUSTIVE or n != "network" or w == one])


def points_told(name, node, told):
    """The points of which a run told; a sample has each of another kind than the others."""
    points = re.findall(r"weft: fault: log (\S+) (\d+),", told)
    assert len({kind for kind, _ in points}) >= (3 if name.startswith("kill controller change") else 5)
    if not EXHAUSTIVE:
        mixed = {kind: (kind, n) for kind, n in random.Random(f"{SEED} {name}").sample(points, len(points))}
        points = list(mixed.values())[:UNDO_SAMPLE[node.name]]
    return chosen(name, [f"{kind} {n}" for kind, n in points], len(points))


@places("undo of a failed run")
def test_killed_at_any_kind_of_operation_while_a_failed_run_is_undone(lab, states, name, what):
    node = Node(lab, name)
    prepare, verb, before, _ = node.start_of(what, states)
    prepare()
    failed = "fail effect 1; "  # the last there is: all is to be undone
    back = verb(fault=failed + TOLD, expect=1).stderr.split("weft: fault: fail effect 1,")[1]
    assert_same(node.seen(), before)
    for point in points_told(f"kill {name} {what} undone", node, back):
        killed_at(verb, point, failed)
        node.weft("recover")
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout


@places("rollback")
def test_killed_at_any_kind_of_operation_while_a_change_that_waits_is_rolled_back(lab, states, name, what):
    node = Node(lab, name)
    prepare, verb, before, _ = node.start_of(what, states)
    rollback = lambda **more: node.weft("rollback", **more)  # noqa: E731
    prepare()
    verb("--confirm", 600)
    for point in points_told(f"kill {name} {what} rollback", node, rollback(fault=TOLD).stderr):
        verb("--confirm", 600)
        killed_at(rollback, point)
        # The guardian may be at it already; but where the rollback had recorded nothing yet the change goes on waiting.
        if "waiting" in node.weft("recover", "--json", expect=None).stdout:
            rollback()
        eventually(lambda: node.run("test", "-e", JOURNAL, expect=None).returncode != 0, 30)
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout


def test_a_rollback_that_was_killed_between_a_name_and_its_namespace_can_be_asked_for_again(lab, states):
    node = Node(lab, "network")
    for point in (1, 2, 5):
        node.apply()
        node.remove("--confirm", 600)
        killed(node, lambda **more: node.weft("rollback", **more), f"kill namespace-file {point}")
        node.weft("rollback", expect=None)  # the guardian may be faster
        eventually(lambda: node.run("test", "-e", JOURNAL, expect=None).returncode != 0, 30)
        assert_same(node.seen(), states["network"][1])


@pytest.mark.parametrize("end", ["undone", "final"])
@places("recover")
def test_a_recover_that_is_killed_at_any_kind_of_operation_is_gone_on_with_by_the_next_one(lab, states, name, what, end):
    if end == "final" and name == "network" and not EXHAUSTIVE:
        pytest.skip("takes long, and is nothing but journal: the others have it")
    node = Node(lab, name)
    prepare, verb, before, after = node.start_of(what, states)
    recover = lambda **more: node.weft("recover", **more)  # noqa: E731
    prepare()
    last = node.points(verb, "journal") - (BEFORE_COMPLETE if end == "undone" else BEFORE_END)

    def left_over():
        prepare()
        killed(node, verb, f"kill journal {last}")

    left_over()
    told = recover(fault=TOLD)
    assert f"is {end}" in told.stdout
    points = points_told(f"kill {name} {what} recover", node, told.stderr) if end == "undone" else ["journal 1", "journal 2"]
    for point in points:
        left_over()
        killed_at(recover, point)
        recover()
        assert_same(node.seen(), before if end == "undone" else after)
        assert "nothing to recover" in recover().stdout
