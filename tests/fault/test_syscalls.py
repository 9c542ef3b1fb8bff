# SPDX-License-Identifier: Apache-2.0
"""A system call of the run that fails as strace makes it: told with the kernel's words, all or nothing, never a crash or a hang, and a
second run converges."""
import re
import shutil

import pytest

from faults import Node, Run, assert_same, chosen

# Of a thread that could not be started glibc says EAGAIN, whatever the kernel said.
WORDS = {"ENOMEM": "Cannot allocate memory|Resource temporarily unavailable", "EMFILE": "Too many open files", "EROFS": "Read-only file system",
         "EIO": "Input/output error", "EPERM": "Operation not permitted", "ENOSPC": "No space left on device"}
# A compute node has no namespaces of its own. Each call stands alone, since strace counts each by itself.
CASES = [(name, what, call, kind) for name, what, cases in [
    ("compute1", "apply", ["sendto ENOMEM", "recvmsg ENOMEM", "openat EMFILE", "clone3 ENOMEM", "write ENOSPC", "pwrite64 ENOSPC", "fsync EIO", "fdatasync EIO",
                           "rename EROFS", "socket EMFILE"]),
    ("compute1", "remove", ["sendto ENOMEM", "openat EMFILE", "write ENOSPC", "fsync EIO", "rename EROFS"]),
    ("network", "apply", ["mount EPERM", "setns EPERM"]),
    ("network", "remove", ["umount2 EPERM"])] for call, kind in map(str.split, cases)]
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def traced(node, call, *more):
    """What goes before the command; the daemons that weft starts are let go. A disk is full where weft keeps something, and not at a wake-up of its threads."""
    kept = [f"/var/lib/weft/{file}" for file in ("journal", "journal.new", f"grizzly.{node.name}.sysctls.new", f"grizzly.{node.name}.fabric.new")]
    paths = [word for path in kept for word in ("-P", path)] if call == "write" else []
    return ["strace", "-f", "-b", "execve", "-qq", "-o", "/run/trace", *paths, "-e", f"trace={call}", *more]


def calls_of(node):
    """Which calls of a thread there were: strace counts those of each thread by itself, and what the loader does comes before the program."""
    threads = {}
    for thread, text in (line.split(maxsplit=1) for line in node.run("cat", "/run/trace").stdout.splitlines()):
        if "resumed>" not in text[:30]:
            threads.setdefault(thread, []).append(text)
    loader = [n for calls in threads.values() for n, text in enumerate(calls, 1) if re.search(r'"/(lib|usr/lib|etc/ld|proc/self)', text)]
    return range(max(loader, default=0) + 1, max(map(len, threads.values()), default=0) + 1)


@pytest.mark.parametrize("name, what, call, kind", CASES)
def test_the_nth_call_fails(lab, states, name, what, call, kind):
    node = Node(lab, name)
    old, new = states[name]
    prepare, before, after = (node.remove, old, new) if what == "apply" else (node.apply, new, old)
    prepare()
    assert Run(node, node.words(what), before=traced(node, call)).result(75).returncode == 0
    points = calls_of(node)
    assert points
    for n in chosen(f"syscall {name} {what} {call} {kind}", points, 2):
        prepare()
        done = Run(node, node.words(what), before=traced(node, call, "-e", f"inject={call}:error={kind}:when={n}")).result(75)
        seen, where = node.seen(), f"{call} {n} {kind}: {done.returncode} {done.stderr}"
        if done.returncode == 0:
            # What it was for was not needed, or asked for again.
            assert_same(seen, after)
            continue
        assert done.returncode == 1, where
        assert re.search(WORDS[kind], done.stderr), where
        if re.search("weft: (open|sync) /var/lib/weft: ", done.stderr):
            # Of the folder alone: the journal may have been there, with nothing done yet, or the run was complete, and its journal had gone.
            assert_same(seen, before, after)
        else:
            assert "the journal is kept" not in done.stderr, where  # one failure does not keep an undo from being done
            assert_same(seen, before)
        assert node.weft("recover").returncode == 0
        node.apply()
        assert_same(node.seen(), new)
    node.remove()
    assert_same(node.seen(), old)
