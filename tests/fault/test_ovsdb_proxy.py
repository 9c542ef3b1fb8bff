# SPDX-License-Identifier: Apache-2.0
"""A connection to the database that breaks at any message, in the middle of one, that is slow, or that gives one byte at a time."""
import subprocess

import pytest

from faults import EXHAUSTIVE, HERE, PROGRAM, Node, Run, assert_same, chosen

FOLDER = "/run/proxied"
WAY = ["--ovs-rundir", FOLDER]


class Proxy:
    def __init__(self, node, mode, number=0, *more, program="proxy.py"):
        self.node = node
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{node.lab.name}/{node.name}", "--", "/usr/bin/python3", HERE / program,
                                         FOLDER, mode, str(number), *more], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def said(self):
        """What it said since it was ready; that is its end."""
        self.process.kill()
        return self.process.communicate(timeout=10)[0]

    def messages(self):
        return int(self.node.run("cat", FOLDER + "/count").stdout)


def through(node, what):
    return Run(node, [*node.words(what), *WAY]).result(75)


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("mode", ["drop", "half", "drop+", "half+"])
@pytest.mark.parametrize("name", ["compute1", "network"] if EXHAUSTIVE else ["compute1"])
def test_a_connection_that_breaks(lab, states, name, mode, what):
    node = Node(lab, name)
    old, new = states[name]
    prepare, before = (node.remove, old) if what == "apply" else (node.apply, new)
    prepare()
    with Proxy(node, "pass") as proxy:
        assert through(node, what).returncode == 0
        messages = proxy.messages()
    for n in chosen(f"proxy {name} {what} {mode}", range(1, messages + 1), 3):
        prepare()
        with Proxy(node, mode, n):
            done = through(node, what)
        if done.returncode == 0:
            # It asked again, over another connection, or the last messages were of no more use to it.
            assert_same(node.seen(), new if what == "apply" else old)
            continue
        assert done.returncode == 1 and FOLDER in done.stderr, f"{mode} {n}: {done.stderr}"
        if "the journal is kept" in done.stderr:
            with Proxy(node, "pass"):
                node.weft("recover", *WAY)
            assert_same(node.seen(), old, new)
        else:
            assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout
    node.apply()
    assert_same(node.seen(), new)
    node.remove()
    assert_same(node.seen(), old)


@pytest.mark.parametrize("mode, number", [("bytes", 0), ("delay", 50)])
def test_a_connection_that_is_slow_is_as_good_as_another(lab, states, mode, number):
    node = Node(lab, "compute1")
    node.remove()
    with Proxy(node, mode, number):
        for what, state in [("apply", 1), ("remove", 0)]:
            done = through(node, what)
            assert done.returncode == 0, done.stderr
            assert_same(node.seen(), states["compute1"][state])


def test_answers_that_come_too_late_are_told_and_everything_is_as_it_was(lab, states):
    node = Node(lab, "compute1")
    node.remove()
    with Proxy(node, "delay", 6000):
        done = through(node, "apply")
    assert done.returncode == 1 and "in time" in done.stderr
    assert_same(node.seen(), states["compute1"][0])


@pytest.mark.parametrize("conflicts, code", [(5, 0), (6, 1)])
def test_a_row_that_others_replace_under_each_try_is_tried_five_times_more_then_given_up_and_everything_is_as_it_was(lab, states, conflicts, code):
    node = Node(lab, "compute1")
    node.apply()
    # What weft is to put right: a row that stands, and what stands beside the database.
    node.run("sh", "-ec", "ovs-vsctl --no-wait set interface patch-tun options:peer=elsewhere; nft delete table inet weft")
    before = node.seen()
    with Proxy(node, "conflict", conflicts, "patch-tun") as proxy:
        done = through(node, "apply")
        tries = proxy.said().count("relies on a row")
    assert done.returncode == code and tries == 6, (done, tries)
    if code != 0:
        assert done.stderr == (f"weft: commit {FOLDER}/db.sock: the rows kept changing under the transaction; "
                               "steps, as one: port patch-tun, port patch-int (all earlier steps were undone)\n")
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout
        node.apply()
    assert_same(node.seen(), states[node.name][1])
    assert "nothing to do" in node.apply().stdout
