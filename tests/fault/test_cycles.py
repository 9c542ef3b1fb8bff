# SPDX-License-Identifier: Apache-2.0
"""Many cycles of apply and remove in one process: neither the process nor the kernel holds more after them. 10,000 with WEFT_EXHAUSTIVE=1."""
import json
import os
import pathlib

import pytest

from faults import EXHAUSTIVE, HERE, Node, assert_same

MODULE = pathlib.Path(os.environ["WEFT_LIBEXEC"]).parent / "python" if "WEFT_LIBEXEC" in os.environ else None


@pytest.mark.skipif(MODULE is None or not list(MODULE.glob("weft*.so")), reason="the Python module is not built")
@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_nothing_grows(lab, states, name):
    cycles, first = (10000, 500) if EXHAUSTIVE else (60, 20)
    node = Node(lab, name)
    node.remove()
    done = node.run("env", f"PYTHONPATH={MODULE}", "/usr/bin/python3", HERE / "cycles.py", lab.file, name, first, cycles,
                    timeout=6 * 3600 if EXHAUSTIVE else 240)
    start, end = json.loads(done.stdout)
    # The allocator's own slack, whose size has nothing to do with the number of cycles; one kilobyte lost a cycle would show in 10,000.
    assert end.pop("memory") - start.pop("memory") <= 4096, done.stdout
    assert end == start
    assert_same(node.seen(), states[name][0])
