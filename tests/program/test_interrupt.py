# SPDX-License-Identifier: Apache-2.0
"""`lab up` stopped half-way: SIGINT takes everything down again by itself, and after a kill -9 `lab down` does."""
import signal
import subprocess
import time

import pytest

from conftest import FABRICS, PROGRAM, random_name, traces_of, weft

MOMENTS = [0.01, 0.04, 0.08, 0.12, 0.18, 0.25, 0.35]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(number, moment):
    name = random_name()
    up = subprocess.Popen([PROGRAM, "lab", "up", FABRICS / "grizzly.yaml", "--name", name], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(moment)
        up.send_signal(number)
        _, words = up.communicate(timeout=30)
        if up.returncode == 0:  # it was faster
            weft("lab", "down", name)
        else:
            assert up.returncode == 1 and "interrupted" in words or up.returncode == -number, (up.returncode, words)
        assert traces_of(name) == []
    finally:
        up.kill()
        weft("lab", "down", name, expect=None)


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_lab_down_leaves_nothing(moment):
    name = random_name()
    up = subprocess.Popen([PROGRAM, "lab", "up", FABRICS / "grizzly.yaml", "--name", name], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    try:
        time.sleep(moment)
        up.kill()
        up.wait(10)
        weft("lab", "down", name, expect=0 if traces_of(name) else 1)
        assert traces_of(name) == []
    finally:
        weft("lab", "down", name, expect=None)
