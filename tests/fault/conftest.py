# SPDX-License-Identifier: Apache-2.0
"""The lab and the states of its nodes, once for all tests of faults."""
import pytest

from faults import FABRICS, FOREIGN, FOREIGN_SWITCH, FOREIGN_UPLINK, NODES, Known, Lab, Node, Run, assert_same, edited
from labs import skip_without_a_lab


def pytest_collection_modifyitems(items):
    skip_without_a_lab(items)


@pytest.fixture(autouse=True)
def no_run_outlives_its_test():
    yield
    Run.end_all()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    standing = Lab(FABRICS / "grizzly.yaml")
    standing.edited = edited(standing.file, tmp_path_factory.mktemp("edited"))
    yield standing
    standing.down()


@pytest.fixture(scope="session")
def states(lab):
    """Of each node: the state without weft and the one with it, both with what others have there."""
    known = {}
    for name in NODES:
        node = Node(lab, name)
        node.remove()  # a lab stands with weft applied
        node.run("sh", "-ec", FOREIGN + (FOREIGN_SWITCH if name != "controller" else "") + (FOREIGN_UPLINK if name == "network" else ""))
        node.apply()
        node.remove()
        old = node.seen()
        node.apply()
        new = node.seen()
        node.change()
        changed = node.seen()
        node.apply()
        again = node.seen()
        assert old != new != changed != again
        assert_same({**again, "memory": new["memory"]}, new)
        node.remove()
        assert_same(node.seen(), old)
        known[name] = Known(old, new, changed, again)
    return known
