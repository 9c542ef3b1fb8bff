# SPDX-License-Identifier: Apache-2.0
"""An operation that fails, for every operation of a run: all or nothing, told with object and reason, and a plain second run converges."""
import re

import pytest

from faults import EXHAUSTIVE, NODES, VERBS, Node, assert_same, chosen

KINDS = ["journal", "namespace", "sysctl", "netlink", "nft", "nft-answer", "ovsdb", "ovsdb-answer", "openflow", "effect"]

# Of the network node, which takes longest, a sample has one verb of each kind.
CASES = [(n, k, w) for n in NODES for i, k in enumerate(KINDS) for j, w in enumerate(VERBS) if EXHAUSTIVE or n != "network" or i % len(VERBS) == j]


@pytest.mark.parametrize("name, kind, what", CASES)
def test_the_nth_operation_fails(lab, states, name, kind, what):
    node = Node(lab, name)
    prepare, verb, before, after = node.start_of(what, states)
    prepare()
    points = node.points(verb, kind)
    for point in chosen(f"fail {name} {what} {kind}", range(1, points + 1), 1):
        prepare()
        failed = verb(fault=f"fail {kind} {point}", expect=None)
        if kind == "journal" and point >= points - 1:
            # The run had ended well, and only its journal could not be ended.
            node.weft("recover")
            assert_same(node.seen(), after)
            continue
        assert failed.returncode == 1
        # The error, and not only the fault layer's own line, names what failed; of the kernel's objects also the step that it was for.
        (what_failed,), told = re.findall(rf"weft: fault: fail {kind} {point}, (.*)\n", failed.stderr), re.sub("weft: fault: .*\n", "", failed.stderr)
        assert f"{kind} operation {what_failed}: a fault that was asked for" in told
        shown = "default" if what_failed.startswith("0.0.0.0/0") else re.split("[ /]", what_failed.removeprefix("with "))[0]  # a rule may have nothing but a priority
        assert kind != "netlink" or re.search(f"; step: [-+~] .*{re.escape(shown)}", told), told
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout
    verb()
    assert_same(node.seen(), after)


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("name", NODES)
def test_a_dump_of_the_kernel_is_torn_by_other_writers(lab, states, name, what):
    node = Node(lab, name)
    prepare, verb, old, new = node.start_of(what, states)
    prepare()
    points = node.points(verb, "dump")
    assert points >= 8
    for point in chosen(f"torn {name} {what}", range(1, points + 1), 1):
        prepare()
        verb(fault=f"fail dump {point}")  # it is asked for again
        assert_same(node.seen(), new)
        prepare()
        failed = verb(fault=f"fail dump {point}+", expect=None)
        # The last dumps may be of what is good to have only, as whom to announce an address to.
        assert failed.returncode == 1 and "changed during" in failed.stderr or failed.returncode == 0 and point > 1, failed.stderr
        if point == 1 or failed.returncode == 0:
            assert_same(node.seen(), old if point == 1 else new)
        node.weft("recover")
        assert_same(node.seen(), *states[name])
