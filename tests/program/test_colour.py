# SPDX-License-Identifier: Apache-2.0
"""Colour: on a terminal only, never with NO_COLOR, never in JSON; and it adds nothing but escape sequences to the words."""
import os
import pty
import re
import subprocess

import pytest

from conftest import FABRICS, PROGRAM, Lab

GREEN, RED, BOLD, OFF = "\033[32m", "\033[1;31m", "\033[1m", "\033[0m"


@pytest.fixture(scope="module")
def lab():
    standing = Lab(FABRICS / "grizzly.yaml")
    yield standing
    standing.down()


def on_a_terminal(command):
    """What a command prints where its output is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    try:
        while more := os.read(master, 65536):
            said += more
    except OSError:  # nobody has the other end any more
        pass
    os.close(master)
    process.wait(60)
    return said.decode().replace("\r\n", "\n")


def piped(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def commands(lab, *more):
    """Of a plan with steps of each kind, and of two verbs of the lab's owner, with words before and behind them."""
    inside = [PROGRAM, "lab", "exec", f"{lab.name}/network", "--"]
    return lambda *env: {"plan": [*inside, "env", "-u", "NO_COLOR", *env, PROGRAM, "plan", str(lab.file), "--node", "network", *more],
                         "lab status": ["env", "-u", "NO_COLOR", *env, PROGRAM, "lab", "status", lab.name, *more]}


@pytest.fixture(scope="module")
def changed(lab):
    """A node where something is to come, something to go and something to change."""
    lab.run("network", "sh", "-ec", "nft delete table inet weft; ip link set eth0 mtu 1400; "
            "ovs-ofctl -OOpenFlow14 add-flow br-int cookie=0x7765667400000001,table=23,priority=7,actions=drop")
    return lab


@pytest.mark.parametrize("verb", ["plan", "lab status"])
def test_a_terminal_gets_colour_and_a_pipe_or_no_color_gets_the_same_words_without(changed, verb):
    seen = on_a_terminal(commands(changed)("TERM=xterm")[verb])
    plain = piped(commands(changed)("TERM=xterm")[verb])
    assert "\033" not in plain and len(plain.splitlines()) > 3
    assert GREEN in seen and re.sub("\033\\[[0-9;]*m", "", seen) == plain
    assert on_a_terminal(commands(changed)("TERM=xterm", "NO_COLOR=1")[verb]) == plain
    # Nothing that comes after it is coloured too.
    for line in seen.splitlines():
        assert "\033" not in line or line.rfind(OFF) == line.rfind("\033"), line


def test_a_plan_has_a_colour_for_each_kind_of_step(changed):
    steps = [line for line in on_a_terminal(commands(changed)()["plan"]).splitlines() if re.match("(\033\\[[0-9;]*m)?[-+~] ", line)]
    paints = {"+": GREEN, "~": BOLD, "-": RED}
    for line in steps:
        assert re.match("\033\\[[0-9;]*m[-+~] ", line), line
        kind = re.sub("\033\\[[0-9;]*m", "", line)[0]
        assert line.startswith(paints[kind] + kind + " "), line
    assert {re.sub("\033\\[[0-9;]*m", "", line)[0] for line in steps} == {"+", "-", "~"}


@pytest.mark.parametrize("verb", ["plan", "lab status"])
def test_json_has_no_colour_on_a_terminal_either(changed, verb):
    command = commands(changed, "--json")("TERM=xterm")[verb]
    assert "\033" not in on_a_terminal(command)
    assert on_a_terminal(command) == piped(command)
