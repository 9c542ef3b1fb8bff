# SPDX-License-Identifier: Apache-2.0
"""apply --confirm: a change that nobody confirms is undone, whoever dies meanwhile; one that is confirmed stays."""
import contextlib
import os
import pathlib
import pty
import random
import re
import signal
import time

import pytest

from faults import EXHAUSTIVE, NODES, PROGRAM, SEED, Node, Run, assert_same, chosen, eventually


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


@contextlib.contextmanager
def another_boot(node):
    """The machine cannot be restarted here; what tells a boot from another can be made another one."""
    node.run("sh", "-ec", "echo 00000000-0000-4000-8000-000000000000 >/run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id")
    try:
        yield
    finally:
        node.run("umount", "--lazy", "/proc/sys/kernel/random/boot_id")


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


@pytest.mark.parametrize("node", NODES, indirect=True)
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


@pytest.mark.parametrize("what", ["apply", "remove"])
def test_while_a_run_is_in_the_middle_of_its_work_any_other_one_is_refused_with_its_number_and_touches_nothing(node, states, what):
    prepare, verb, after = (node.remove, node.apply, states[node.name][1]) if what == "apply" else (node.apply, node.remove, states[node.name][0])
    prepare()
    points = [f"{kind} {n}" for kind, n in re.findall(r"weft: fault: log ([a-z]+) (\d+),", verb(fault="log journal 0; log nft 0").stderr)]
    random.Random(f"{SEED} beside {node.name} {what}").shuffle(points)
    for point in chosen(f"beside {node.name} {what}", points if EXHAUSTIVE else points[:1], 1):
        prepare()
        first = Run(node, node.words(what), f"stop {point}")
        assert first.halted(), first.said()
        before = node.seen()
        others = [Run(node, words) for words in (node.words("apply"), node.words("remove"), [*node.words("apply"), "--confirm", 60], ["confirm"], ["rollback"], ["recover"])]
        for refused in [other.result() for other in others]:  # each waits for a while
            assert refused.returncode == 1 and f"another weft is at work, pid {first.process.pid} (weft)\n" in refused.stderr and refused.stdout == "", (point, refused)
        assert_same(node.seen(), before)
        first.go_on()
        done = first.result()
        assert done.returncode == 0, done.stderr
        assert_same(node.seen(), after)
        assert "nothing to recover" in node.weft("recover").stdout


def test_rolled_back_by_hand_at_once(node, states):
    node.apply("--confirm", 60)
    assert "is undone" in node.weft("rollback").stdout
    assert_same(node.seen(), states[node.name][0])


@pytest.mark.parametrize("node", NODES, indirect=True)
def test_an_unconfirmed_removal_brings_everything_back(node, states):
    node.apply()
    node.remove("--confirm", 1)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][1])


@pytest.mark.parametrize("node", NODES, indirect=True)
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


@pytest.mark.parametrize("node", NODES, indirect=True)
def test_a_client_killed_before_the_end_of_its_run_is_undone_by_the_guardian(node, states):
    done = node.apply("--confirm", 60, fault="kill journal 9", expect=None)
    assert done.returncode in (-9, 137)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][0])


@contextlib.contextmanager
def on_a_terminal(node, *words, end=""):
    """A shell command of a node as the leader of a session of its own, as after a login; `hang_up` is what a lost connection does to it."""
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(PROGRAM, [PROGRAM, "lab", "exec", f"{node.lab.name}/{node.name}", "--", *map(str, words)])
    ended = []

    def said():
        with contextlib.suppress(OSError):
            return os.read(master, 65536).decode()
        return ""

    def hang_up():
        """The kernel sends SIGHUP to the leader, and SIGCONT in case it halts; what is said to the terminal from now on is an error."""
        os.close(master)
        ended.append(0)
        eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 30)

    try:
        yield pid, said, hang_up
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(master)


@pytest.mark.parametrize("then", ["undone at the deadline", "confirmed from elsewhere"])
@pytest.mark.parametrize("when", ["once it stands", "while it runs"])
@pytest.mark.parametrize("node", ["compute1"], indirect=True)
def test_a_client_whose_terminal_hangs_up_takes_no_guardian_with_it(node, states, when, then):
    old, new = states[node.name]
    seconds = 60 if then == "confirmed from elsewhere" else 3
    change = [PROGRAM, *node.words("apply"), "--confirm", seconds]
    # The leader is a shell that lives on when the client has ended, or the client itself.
    words = ["sh", "-c", " ".join(map(str, change)) + "; echo it stands; sleep 60"] if when == "once it stands" else ["env", "WEFT_FAULT=stop journal 9", *change]
    start = time.monotonic()
    with on_a_terminal(node, *words) as (pid, said, hang_up):
        if when == "once it stands":
            text = ""
            while "it stands" not in text:
                text += said()
                assert time.monotonic() - start < 30, text
            assert f"confirm within {seconds} s" in text
        else:
            eventually(lambda: " T " in pathlib.Path(f"/proc/{pid}/stat").read_text(), 30)
            assert node.seen() != new  # it is in the middle of its work
        eventually(lambda: twin(node) != 0, 3)
        watchers = guardian(node), twin(node)
        hang_up()
    assert waits(node) and (guardian(node), twin(node)) == watchers
    stands = node.seen()
    stands["memory"].pop("/var/lib/weft/journal")
    assert_same(stands, new)  # the client has done all that it began
    if then == "confirmed from elsewhere":
        assert "is final" in node.weft("confirm").stdout
        assert_same(node.seen(), new)
    else:
        eventually(lambda: not waits(node), 20)
        assert time.monotonic() - start >= seconds
        assert_same(node.seen(), old)


def test_after_a_restart_of_the_machine_an_unconfirmed_change_is_undone(node, states):
    node.apply("--confirm", 60)
    with another_boot(node):
        refused = node.weft("confirm", expect=1)
        assert "started anew" in refused.stderr
        assert "cut off by a restart" in node.weft("recover").stdout
        assert_same(node.seen(), states[node.name][0])


def but_found_settings(seen):
    """After a restart what was found before the undone change stays known: nobody can tell whether it is the host's."""
    return {**seen, "memory": {path: text for path, text in seen["memory"].items() if not path.endswith(".sysctls")}}


@pytest.mark.parametrize("undone_by", ["restart", "guardian", "hand"])
def test_the_boot_does_not_apply_an_unconfirmed_file_again_a_person_may(node, states, undone_by, tmp_path):
    node.apply()
    edited = tmp_path / "edited.yaml"
    edited.write_text(node.lab.file.read_text().replace("cidr: 10.10.10.0/24 }", "cidr: 10.10.10.0/24, mtu: 1400 }", 1))
    change = ["apply", edited, "--node", node.name]
    node.weft(*change, "--confirm", 1 if undone_by == "guardian" else 60)
    with another_boot(node) if undone_by == "restart" else contextlib.nullcontext():
        if undone_by == "restart":
            node.weft("recover")
        elif undone_by == "hand":
            node.weft("rollback")
        eventually(lambda: not waits(node))
        for _ in range(2):  # each boot
            told = node.weft(*change, "--boot").stderr
            assert "was not confirmed" in told and f"weft apply {edited}" in told
            assert_same(but_found_settings(node.seen()), but_found_settings(states[node.name][1]))
            # Nor does the watch, which is started after it with the same file.
            node.run("timeout", 2, PROGRAM, "watch", edited, "--node", node.name, "--heal", expect=None)
            assert_same(but_found_settings(node.seen()), but_found_settings(states[node.name][1]))
        assert "was not confirmed" not in node.apply("--boot").stderr
        node.weft(*change)
        assert "was not confirmed" not in node.weft(*change, "--boot").stderr
    assert node.seen() != states[node.name][1]


def test_a_boot_id_that_cannot_be_read_is_no_other_boot(node, states):
    node.apply("--confirm", 60)
    watcher = guardian(node)
    node.run("sh", "-ec", ": >/run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id; touch /var/lib/weft/journal")
    try:
        assert "boot_id" in node.weft("recover", expect=1).stderr
        time.sleep(0.5)
        assert os.path.exists(f"/proc/{watcher}") and waits(node)
    finally:
        node.run("umount", "--lazy", "/proc/sys/kernel/random/boot_id")
    assert "is final" in node.weft("confirm").stdout
    assert_same(node.seen(), states[node.name][1])


def test_a_watch_that_puts_nothing_back_forgets_no_node_that_is_to_be_made_anew(node):
    record = "/var/lib/weft/earlier-boot"
    node.apply()  # whatever was not confirmed before
    node.remove()
    node.run("sh", "-ec", f"mkdir -p /var/lib/weft; printf 'apply grizzly {node.name}' >{record}")
    try:
        assert "nft table" in node.run("timeout", 2, PROGRAM, "watch", node.lab.file, "--node", node.name, expect=None).stdout
        assert node.run("cat", record).stdout == f"apply grizzly {node.name}"
        node.apply()
        assert node.run("cat", record, expect=None).stdout == ""
    finally:
        node.run("rm", "-f", record)


def test_where_nothing_was_ever_confirmed_the_boot_leaves_the_node_alone(node, states):
    node.apply("--confirm", 60)
    with another_boot(node):
        node.weft("recover")
        refused = node.apply("--boot", expect=3)
        assert "was not confirmed" in refused.stderr and "no other was ever confirmed" in refused.stderr
        assert_same(node.seen(), states[node.name][0])
        watched = node.run("timeout", 3, PROGRAM, "watch", node.lab.file, "--node", node.name, "--heal", expect=None).stdout
        assert "was not confirmed, and no other ever was" in watched
        assert_same(node.seen(), states[node.name][0])
        node.apply("--confirm", 60)
        node.weft("confirm")
        assert "nothing to do" in node.apply("--boot").stdout
        assert_same(node.seen(), states[node.name][1])


def test_a_rollback_that_is_killed_is_taken_up_at_once_and_not_at_the_old_deadline(node, states):
    node.apply("--confirm", 600)
    assert node.weft("rollback", fault="kill journal 2", expect=None).returncode in (-9, 137)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][0])


def test_a_guardian_that_cannot_read_the_journal_for_a_while_watches_on(node, states):
    node.apply("--confirm", 2)
    pid = guardian(node)
    node.run("prlimit", f"--pid={pid}", "--nofile=4:1024")  # EMFILE
    node.run("sh", "-c", "echo >>/var/lib/weft/journal")    # an empty record: something to read
    time.sleep(3)
    assert guardian(node) == pid and os.path.exists(f"/proc/{pid}") and waits(node)
    node.run("prlimit", f"--pid={pid}", "--nofile=1024:1024")
    eventually(lambda: not waits(node), 20)
    assert_same(node.seen(), states[node.name][0])


def test_a_guardian_reads_no_journal_that_is_as_it_was(node):
    node.apply("--confirm", 60)
    time.sleep(0.5)
    read = lambda: int(re.search("rchar: (.*)", pathlib.Path(f"/proc/{guardian(node)}/io").read_text())[1])  # noqa: E731
    before = read()
    time.sleep(1)
    assert read() - before < 1000
    node.weft("rollback")


def test_a_change_that_begins_while_the_guardian_ends_is_watched_over(node, states):
    node.apply("--confirm", 60, fault="stop guardian 1")
    ending = guardian(node)
    node.weft("confirm")
    eventually(lambda: " T " in pathlib.Path(f"/proc/{ending}/stat").read_text())
    node.remove("--confirm", 1)  # finds the lock taken
    os.kill(ending, signal.SIGCONT)
    eventually(lambda: not waits(node))
    assert_same(node.seen(), states[node.name][1])


def test_what_could_not_be_undone_is_tried_again_until_it_can(node, states):
    if node.name != "network":
        pytest.skip("no settings of its own")
    node.apply("--confirm", 1)
    node.run("sh", "-ec", "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
    try:
        eventually(lambda: "not undone" in node.run("cat", "/run/weft/guardian.log").stdout)
        # Which goes on without end, and must not fill /run.
        node.run("sh", "-c", "yes | head -c 300000 >>/run/weft/guardian.log")
        eventually(lambda: int(node.run("stat", "-c", "%s", "/run/weft/guardian.log").stdout) < 100000, 40)
        assert waits(node)
    finally:
        # Lazily: a guardian that writes at this moment makes it busy, and the mount would stay for all tests after this one.
        node.run("umount", "--lazy", "/proc/sys")
    eventually(lambda: not waits(node), 40)
    assert_same(node.seen(), states[node.name][0])


def test_a_change_whose_service_does_not_start_waits_as_any_other_and_says_so(node, states):
    if node.name != "network":
        pytest.skip("no services")
    node.apply()
    lease = re.search(r"--dhcp-leasefile=([^\"]+)", node.run("sh", "-c", "cat /run/weft/services/grizzly/dnsmasq-*.json").stdout).group(1)
    node.remove()
    node.run("mkdir", "-p", lease)
    try:
        told = node.apply("--confirm", 60, expect=1).stderr
        assert "all else is done" in told
        assert "the change waits to be confirmed for 60 s: weft confirm, or weft rollback" in told
        assert "waits to be confirmed" in node.weft("recover").stdout
        node.weft("rollback")
    finally:
        node.run("rmdir", lease)
    assert_same(node.seen(), states[node.name][0])


def test_a_watch_beside_a_change_that_waits_says_so_once(node):
    node.apply()
    node.remove("--confirm", 60)
    told = node.run("timeout", 5, PROGRAM, "watch", node.lab.file, "--node", node.name, "--heal", expect=None)
    said = [one for one in (told.stdout + told.stderr).splitlines() if "a change waits to be confirmed" in one]
    assert len(said) == 1, said


def test_a_guardian_whose_worker_is_killed_takes_the_change_back_all_the_same(node, states):
    if node.name != "network":
        pytest.skip("no switch to wait for, and so no time to kill it in")
    node.apply("--confirm", 3)
    began = guardian(node)
    database = node.lab.daemon_pid(node.name, "ovsdb-server")
    os.kill(database, signal.SIGSTOP)
    try:
        # Of the machine's processes only a child of this guardian.
        node.run("timeout", 20, "sh", "-c", f"until pkill -KILL -P {began} -f '[g]uard-act'; do test -e /var/lib/weft/journal || exit 1; done")
    finally:
        os.kill(database, signal.SIGCONT)
    assert waits(node)
    eventually(lambda: not waits(node), 40)
    assert_same(node.seen(), states[node.name][0])


def test_the_guardian_keeps_nothing_of_its_callers_environment_but_what_it_needs(node):
    node.run("env", "PASSWORD=secret", "LD_LIBRARY_PATH=/nowhere", PROGRAM, "apply", node.lab.file, "--node", node.name, "--confirm", 60)
    eventually(lambda: twin(node) != 0, 3)
    for pid in (guardian(node), twin(node)):
        names = {v.split("=")[0] for v in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if v}
        assert names <= {"PATH", "LANG", "LC_ALL", "TZ", "WEFT_LIBEXEC", "WEFT_OVS_LOG", "WEFT_FAULT", "ASAN_OPTIONS", "UBSAN_OPTIONS"}
    node.weft("rollback")
