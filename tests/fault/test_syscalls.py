# SPDX-License-Identifier: Apache-2.0
"""A system call of the run that fails as strace makes it: told with the kernel's words, all or nothing, never a crash or a hang, and a
second run converges."""
import re
import shutil

import pytest

from faults import Node, Run, assert_same, chosen

ERRORS = {"ENOMEM": "Cannot allocate memory", "EMFILE": "Too many open files", "EROFS": "Read-only file system", "EIO": "Input/output error",
          "EPERM": "Operation not permitted", "ENOSPC": "No space left on device"}
CASES = [("sendmsg", "ENOMEM"), ("sendto", "ENOMEM"), ("recvmsg", "ENOMEM"), ("openat", "EMFILE"), ("mount", "EPERM"), ("setns", "EPERM"),
         ("clone3", "ENOMEM"), ("fsync,fdatasync", "EIO"), ("rename,renameat,renameat2", "EROFS"), ("socket", "EMFILE")]

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def traced(calls, more=(), out="/dev/null"):
    return ["strace", "-f", "-qq", "-o", out, "-e", f"trace={calls}", *more]


@pytest.mark.parametrize("name", ["compute1"])
@pytest.mark.parametrize("calls, kind", CASES)
def test_the_nth_call_fails(lab, states, name, calls, kind):
    node = Node(lab, name)
    old, new = states[name]
    node.remove()
    done = Run(node, node.words("apply"), before=traced(calls, out="/run/trace")).result(75)
    assert done.returncode == 0
    # strace counts the calls of each thread by itself; what the loader does comes before the program.
    lines = [line.split(maxsplit=1) for line in node.run("cat", "/run/trace").stdout.splitlines()]
    main = [text for thread, text in lines if thread == lines[0][0] and not text.startswith("<...") and "resumed>" not in text[:30]]
    first = max([i for i, text in enumerate(main) if re.search(r'"/(lib|usr/lib|etc/ld|proc/self)', text)], default=-1) + 2
    for n in chosen(f"syscall {name} {calls} {kind}", range(first, len(main) + 1), 2):
        node.remove()
        done = Run(node, node.words("apply"), before=traced(calls, ["-e", f"inject={calls}:error={kind}:when={n}"])).result(75)
        where = f"{calls} {n} {kind}: {done.returncode} {done.stderr}"
        if done.returncode == 0:
            # What it was for was not needed, or asked for again.
            node.apply()
            assert_same(node.seen(), new)
            continue
        assert done.returncode == 1 and done.stderr.strip(), where
        if "journal" in done.stderr:
            node.weft("recover")
        seen = node.seen()
        assert_same(seen, old, new)
        node.apply()
        assert_same(node.seen(), new)
    node.remove()
    assert_same(node.seen(), old)
