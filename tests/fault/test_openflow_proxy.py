# SPDX-License-Identifier: Apache-2.0
"""An OpenFlow connection that is cut at the commit of a bundle of flows, so that nobody can say whether they stand: none or all, and told."""
import re

import pytest

from faults import EXHAUSTIVE, Node, assert_same, chosen
from test_ovsdb_proxy import Proxy, WAY


# What others did to the flows of bridges that stand, and weft puts right: some are gone, and there is one more under its cookie.
SPOILT = """
ovs-ofctl -OOpenFlow14 del-flows br-int cookie=0x7765667400000001/-1,table=0
ovs-ofctl -OOpenFlow14 add-flow br-tun cookie=0x7765667400000001,table=20,priority=7,actions=drop
"""


@pytest.mark.parametrize("mode", ["before", "after", "half"])
@pytest.mark.parametrize("what", ["bridges come", "flows are put right"])
@pytest.mark.parametrize("name", ["compute1", "network"] if EXHAUSTIVE else ["compute1"])
def test_a_commit_whose_reply_never_comes_leaves_all_flows_or_none_is_told_and_the_next_run_converges(lab, states, name, what, mode):
    node = Node(lab, name)
    after = states[name][1]

    def prepare():
        if what == "bridges come":
            node.remove()
        else:
            node.apply()
            node.run("sh", "-ec", SPOILT)

    prepare()
    before = node.seen()
    assert before != after
    with Proxy(node, "pass", program="openflow_proxy.py") as proxy:
        node.apply(*WAY)
        commits = proxy.messages()
    assert commits == 2
    for n in chosen(f"openflow {name} {what} {mode}", range(1, commits + 1), 1 if mode == "half" else 2):
        prepare()
        with Proxy(node, mode, n, program="openflow_proxy.py"):
            failed = node.apply(*WAY, expect=1)
        # A bundle is of all the steps of a bridge, which it names, and some of them.
        told = (r"weft: apply flows (br-int|br-tun|br-ex): the switch closed the connection; (step: \S flow .*|steps, as one: flow .*, flow .*) "
                r"\(all (earlier )?steps were undone\)\n")
        assert re.fullmatch(told, failed.stderr), failed.stderr
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout
        node.apply()
        assert_same(node.seen(), after)
        assert "nothing to do" in node.apply().stdout
    node.remove()
