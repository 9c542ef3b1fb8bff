# SPDX-License-Identifier: Apache-2.0
"""apply --confirm: a change that nobody confirms is undone, whoever dies meanwhile; one that is confirmed stays."""
import os
import signal
import time

import pytest

from faults import Node, assert_same, eventually


@pytest.fixture(params=["controller", "network"])
def node(lab, states, request):
    n = Node(lab, request.param)
    n.weft("rollback", expect=None)
    n.remove()
    yield n
    n.weft("rollback", expect=None)
    n.remove()


def waits(node):
    return node.run("test", "-e", "/var/lib/weft/journal", expect=None).returncode == 0


def guardian(node):
    return int(node.run("cat", "/run/weft/guardian").stdout)


def twin(node):
    """0 while there is none."""
    found = node.run("pgrep", "-f", f"guard-twin - .* {guardian(node)}$", expect=None).stdout.split()
    return int(found[0]) if found else 0


def test_confirmed_in_time_it_is_final(node, states):
    assert "confirm within 60 s" in node.apply("--confirm", 60).stdout
    refused = node.apply(expect=1)
    assert "a change waits to be confirmed" in refused.stderr and "nothing was changed" in refused.stderr
    watcher = guardian(node)
    assert "is final" in node.weft("confirm").stdout
    assert_same(node.seen(), states[node.name][1])
    eventually(lambda: not os.path.exists(f"/proc/{watcher}"))
    assert "nothing to do" in node.apply().stdout


def test_unconfirmed_it_is_undone_although_its_client_has_gone(node, states):
    node.apply("--confirm", 2)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][0])
    late = node.weft("confirm", expect=1)
    assert "no change waits to be confirmed" in late.stderr


def test_of_two_runs_at_once_the_second_is_refused_with_the_name_and_number_of_the_first(node, states):
    hold = "import fcntl, os, time; f = open('/run/weft/lock', 'r+'); fcntl.flock(f, fcntl.LOCK_EX); f.truncate(0); f.write('4711'); f.flush(); time.sleep(8)"
    node.run("sh", "-c", f'/usr/bin/python3 -c "{hold}" >/dev/null 2>&1 &')
    time.sleep(0.5)
    refused = node.apply(expect=1)
    assert "another weft is at work, pid 4711" in refused.stderr
    assert_same(node.seen(), states[node.name][0])
    eventually(lambda: node.apply(expect=None).returncode == 0, 15)


def test_rolled_back_by_hand_at_once(node, states):
    node.apply("--confirm", 60)
    assert "is undone" in node.weft("rollback").stdout
    assert_same(node.seen(), states[node.name][0])


def test_an_unconfirmed_removal_brings_everything_back(node, states):
    node.apply()
    node.remove("--confirm", 1)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][1])


def test_a_killed_guardian_is_replaced_with_the_time_that_was_left(node, states):
    start = time.monotonic()
    node.apply("--confirm", 4)
    for victim in (guardian, twin, guardian):
        eventually(lambda: twin(node) != 0, 3)
        pid = victim(node)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: victim(node) not in (0, pid), 3)
    assert waits(node)
    eventually(lambda: not waits(node))
    assert time.monotonic() - start >= 4
    assert_same(node.seen(), states[node.name][0])


def test_both_guardians_killed_the_next_run_undoes_what_is_overdue(node, states):
    node.apply("--confirm", 1)
    eventually(lambda: twin(node) != 0, 3)
    first, second = guardian(node), twin(node)
    os.kill(second, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    time.sleep(1.5)
    assert waits(node)
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), states[node.name][0])


def test_a_client_killed_before_the_end_of_its_run_is_undone_by_the_guardian(node, states):
    done = node.apply("--confirm", 60, fault="kill journal 9", expect=None)
    assert done.returncode in (-9, 137)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][0])


def test_after_a_restart_of_the_machine_an_unconfirmed_change_is_undone(node, states):
    node.apply("--confirm", 60)
    # The machine cannot be restarted here; what tells a boot from another can be made another one.
    node.run("sh", "-ec", "echo 00000000-0000-4000-8000-000000000000 >/run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id")
    try:
        refused = node.weft("confirm", expect=1)
        assert "started anew" in refused.stderr
        assert "cut off by a restart" in node.weft("recover").stdout
        assert_same(node.seen(), states[node.name][0])
    finally:
        node.run("umount", "/proc/sys/kernel/random/boot_id")
