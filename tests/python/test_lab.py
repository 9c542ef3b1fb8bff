# SPDX-License-Identifier: Apache-2.0
"""weft.Lab: a small cloud stands up, every cell of its matrix is as expected, and it is gone afterwards."""
import os
import pathlib
import shutil

import pytest
import weft

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ovs-vswitchd"),
                                reason="a lab needs root and Open vSwitch's daemons")


def test_a_lab_from_up_to_down(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    with weft.Lab(fabric) as lab:
        assert lab.name in weft.labs()
        cells = lab.test()
        assert cells
        assert [cell for cell in cells if not cell["ok"]] == []
        assert {cell["observed"] for cell in cells} == {"reachable", "blocked"}
        assert lab.exec("network", ["hostname"]).stdout.strip() == "network"
        assert lab.exec("network", ["sh", "-c", "exit 7"]).returncode == 7
    assert lab.name not in weft.labs()


def test_a_lab_goes_down_when_its_block_fails(fabric_text):
    lab = weft.Lab(weft.Fabric.from_text(fabric_text))
    with pytest.raises(RuntimeError):
        with lab:
            raise RuntimeError("the body fails")
    assert lab.name not in weft.labs()


def test_a_lab_that_does_not_stand():
    fabric = weft.Fabric.from_text("version: 1\nname: none\n")
    with pytest.raises(weft.Error) as caught:
        weft.Lab(fabric, name="weft-python-none").down()
    assert caught.value.code in ("not_found", "invalid_input")


def test_nothing_waits_where_nothing_was_done():
    try:
        assert weft.recover(netns="weft-python-none")["what"] == "nothing"
        for end in (weft.confirm, weft.rollback):
            with pytest.raises(weft.Error) as caught:
                end(netns="weft-python-none")
            assert caught.value.code == "not_found"
    finally:
        pathlib.Path("/run/weft/lock.weft-python-none").unlink(missing_ok=True)
