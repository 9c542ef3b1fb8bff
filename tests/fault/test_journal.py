# SPDX-License-Identifier: Apache-2.0
"""Journals that are damaged, of another version or of another host: refused, or set aside, and nothing is lost."""
import json
import time
import zlib

import pytest

from faults import Node, assert_same, eventually

PATH = "/var/lib/weft/journal"


@pytest.fixture
def node(lab, states):
    n = Node(lab, "compute1")
    n.remove()
    yield n
    n.run("sh", "-c", f"rm -f {PATH}*")
    n.remove()


def interrupted(node):
    done = node.apply(fault="kill journal 12", expect=None)
    assert done.returncode in (-9, 137)
    return node.run("cat", PATH).stdout


def put(node, text):
    node.run("/usr/bin/python3", "-c", f"open({PATH!r}, 'w').write({text!r})")


def line(record):
    text = json.dumps(record)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


@pytest.mark.parametrize("change, words", [
    ({"journal": 99}, "it is of format 99"),
    ({"host": "another"}, "another host wrote it"),
    ({"ovs_rundir": "/run/other"}, "it is of the Open vSwitch at /run/other"),
])
def test_another_version_host_or_switch_is_refused_and_nothing_is_touched(node, states, change, words):
    text = interrupted(node)
    first, rest = text.split("\n", 1)
    header = {**json.loads(first[9:]), **change}
    put(node, line(header) + rest)
    before = node.seen()
    for verb in (lambda: node.weft("recover", expect=1), lambda: node.apply(expect=1), lambda: node.weft("confirm", expect=1)):
        refused = verb()
        assert words in refused.stderr and "nothing was changed" in refused.stderr
        assert_same(node.seen(), before)
    put(node, text)
    node.weft("recover")
    assert_same(node.seen(), states["compute1"][0])


HEAD_LOST = [lambda t: "", lambda t: "garbage\n", lambda t: t[:40], lambda t: t.replace("compute1", "compute2", 1)]


@pytest.mark.parametrize("damage", [*HEAD_LOST, lambda t: t.split("\n")[0] + "\n"])
def test_a_damaged_one_is_kept_aside_and_the_node_becomes_what_it_was_last_made_from(node, states, damage):
    node.apply()
    lost = ["ovs-ofctl", "-OOpenFlow13", "del-flows", "unix:/run/openvswitch/br-tun.mgmt"]
    node.run(*lost)
    node.apply("--confirm", 60)
    put(node, damage(node.run("cat", PATH).stdout))
    node.run(*lost)
    time.sleep(0.5)  # the guardian does not know what to do, and leaves it
    assert "it is kept as" in node.weft("recover").stdout
    assert node.run("sh", "-c", f"ls {PATH}.kept-*").stdout != ""
    assert_same(node.seen(), states["compute1"][1])


@pytest.mark.parametrize("damage", HEAD_LOST)
def test_a_damaged_one_of_a_removal_that_waits_leaves_it_to_a_person_to_say_what_the_node_is(node, states, damage):
    node.apply()
    node.remove("--confirm", 60)
    put(node, damage(node.run("cat", PATH).stdout))
    assert "is not remembered" in node.weft("recover", expect=1).stderr
    assert "it is kept as" in node.remove().stdout
    assert_same(node.seen(), states["compute1"][0])


def spoiled(text, number):
    """The text with a letter of that line changed; lines are counted from 1."""
    lines = text.split("\n")
    middle = len(lines[number - 1]) // 2
    lines[number - 1] = lines[number - 1][:middle] + "#" + lines[number - 1][middle + 1:]
    return "\n".join(lines)


def kept_aside(node, told, number):
    assert f"line {number} of the journal was damaged; it is kept as {PATH}.kept-1" in told
    assert node.run("test", "-e", PATH, expect=None).returncode == 1
    assert node.run("stat", "-c", "%a", PATH + ".kept-1").stdout.strip() == "600"


@pytest.mark.parametrize("which", ["the first", "one between", "the last"])
def test_a_record_behind_the_plan_that_is_damaged_is_told_and_all_that_the_plan_names_is_taken_back(node, states, which):
    text = interrupted(node)
    last = text.count("\n")
    assert last >= 7
    number = {"the first": 3, "one between": last // 2 + 2, "the last": last}[which]
    put(node, spoiled(text, number))
    told = node.weft("recover").stdout
    assert "is undone" in told
    kept_aside(node, told, number)
    assert_same(node.seen(), states["compute1"][0])


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_plan_that_is_damaged_while_its_change_waits_is_left_to_recover_which_makes_the_node_what_it_was_before(node, states, verb):
    old, new = states["compute1"]
    node.apply()
    if verb == "remove":
        node.remove("--confirm", 60)
    else:
        node.remove()
        node.apply("--confirm", 60)
    put(node, spoiled(node.run("cat", PATH).stdout, 2))
    refused = node.weft("confirm", expect=1).stderr
    assert "its plan is damaged" in refused
    time.sleep(0.5)  # nor does the guardian make it final
    assert node.run("test", "-e", PATH).returncode == 0
    assert f"the plan in the journal was damaged; it is kept as {PATH}.kept-1" in node.weft("recover").stdout
    assert_same(node.seen(), new if verb == "remove" else old)
    assert "nothing to recover" in node.weft("recover").stdout


def test_damage_is_told_after_a_restart_of_the_machine_too(node, states):
    text = spoiled(interrupted(node), 3)
    first, rest = text.split("\n", 1)
    put(node, line({**json.loads(first[9:]), "boot": "another"}) + rest)
    kept_aside(node, node.weft("recover").stdout, 3)
    assert_same(node.seen(), states["compute1"][0])


def test_a_journal_carries_what_is_no_utf8_on_the_host(node, states):
    alias = ["sh", "-c", "ip link show dev eth1 | od -An -c | tr -d ' \\n'"]
    node.run("sh", "-ec", r"ip link set dev eth1 alias $(printf 'B\374ro')")
    try:
        before = node.run(*alias).stdout
        assert "B374ro" in before
        assert node.apply(fault="kill effect 1", expect=None).returncode in (-9, 137)
        node.run("sh", "-ec", rf"grep -aq $(printf 'B\374ro') {PATH}")  # the plan changes that NIC
        assert "is undone" in node.weft("recover").stdout
        assert node.run(*alias).stdout == before
    finally:
        node.run("ip", "link", "set", "dev", "eth1", "alias", "")
    assert_same(node.seen(), states["compute1"][0])


def test_records_of_begun_steps_that_are_lost_leave_nothing_of_these_steps(node, states):
    text = interrupted(node)
    lines = text.split("\n")
    put(node, "\n".join(lines[:2] + ["?" * len(line) for line in lines[2:-1]] + [""]))
    kept_aside(node, node.weft("recover").stdout, text.count("\n"))
    assert_same(node.seen(), states["compute1"][0])


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_run_tells_what_became_of_the_one_before_it(node, states, verb):
    run = node.apply if verb == "apply" else lambda *more: node.remove(*more)
    put(node, spoiled(interrupted(node), 3))
    told = run().stdout
    assert "before: apply of grizzly on compute1, which had not come to its end, was undone: " in told
    kept_aside(node, told, 3)
    assert "before: " not in run().stdout


def test_a_change_that_waits_is_undone_at_once_when_nobody_can_say_any_more_until_when(node, states):
    node.apply("--confirm", 60)
    text = node.run("cat", PATH).stdout
    put(node, spoiled(text, text.count("\n")))
    assert "pending" in text.split("\n")[-2]
    eventually(lambda: node.run("test", "-e", PATH, expect=None).returncode == 1)
    assert_same(node.seen(), states["compute1"][0])


def test_damage_of_what_was_before_it_does_not_keep_a_change_from_being_confirmed(node, states):
    node.apply("--confirm", 60)
    put(node, spoiled(node.run("cat", PATH).stdout, 4))
    kept_aside(node, node.weft("confirm").stdout, 4)
    assert_same(node.seen(), states["compute1"][1])


def test_a_last_record_that_was_cut_short_is_as_if_it_had_not_been_written(node, states):
    text = interrupted(node)
    put(node, text[:-7])
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), states["compute1"][0])


@pytest.mark.parametrize("remembered, words", [((), "is not remembered"), (("compute1", "compute2"), "one of these: compute1 of grizzly, compute2 of grizzly")])
def test_where_its_head_is_damaged_and_nobody_knows_which_node_it_made_recover_says_so_and_the_next_run_converges(node, states, remembered, words):
    put(node, spoiled(interrupted(node), 1))
    for other in remembered:
        node.run("sh", "-c", f"echo '{{}}' >/var/lib/weft/grizzly.{other}.fabric")
    before = node.seen()
    try:
        for _ in range(2):
            refused = node.weft("recover", expect=1).stderr
            assert words in refused and "weft apply FILE --node NODE makes the host that node" in refused
        assert_same(node.seen(), before)
    finally:
        node.run("sh", "-c", "rm -f /var/lib/weft/grizzly.*.fabric")
    assert "it is kept as" in node.apply().stdout
    assert_same(node.seen(), states["compute1"][1])


def test_one_of_the_format_before_is_read(node, states):
    first, rest = interrupted(node).split("\n", 1)
    header = json.loads(first[9:])
    assert header["journal"] == 2
    put(node, line({**header, "journal": 1}) + rest)
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), states["compute1"][0])


def test_it_is_there_for_root_only_and_gone_after_a_run_that_ended_well(node):
    interrupted(node)
    assert node.run("stat", "-c", "%a %U", PATH).stdout.split() == ["600", "root"]
    node.apply()
    assert node.run("test", "-e", PATH, expect=None).returncode == 1


def test_a_full_disk_is_told_before_anything_is_written(node, states):
    node.run("sh", "-ec", "mkdir -p /run/full; mount -t tmpfs -o size=16k tmpfs /run/full; mount --bind /run/full /var/lib/weft")
    try:
        before = node.seen()
        refused = node.apply(expect=1)
        assert "No space left on device" in refused.stderr
        assert_same(node.seen(), before)
    finally:
        node.run("sh", "-ec", "umount /var/lib/weft; umount /run/full")
