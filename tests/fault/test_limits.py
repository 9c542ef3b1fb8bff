# SPDX-License-Identifier: Apache-2.0
"""A run that may open few files, or on a host whose folders cannot be written: refused before a write, or all or nothing."""
import pytest

from faults import EXHAUSTIVE, Node, Run, assert_same, chosen


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("name", ["controller", "compute1"] + ["network"] * EXHAUSTIVE)
def test_too_few_descriptors(lab, states, name, what):
    node = Node(lab, name)
    old, new = states[name]
    prepare, before, after = (node.remove, old, new) if what == "apply" else (node.apply, new, old)
    for limit in chosen(f"descriptors {name} {what}", range(5, 40), 5):
        prepare()
        done = Run(node, node.words(what), before=["prlimit", f"--nofile={limit}"]).result(75)
        if done.returncode == 0:
            assert_same(node.seen(), after)
            continue
        assert "Too many open files" in done.stderr or "shared libraries" in done.stderr, f"{limit}: {done.returncode} {done.stderr}"
        if "the journal is kept" in done.stderr:
            node.weft("recover")
        assert_same(node.seen(), before)
    node.apply()
    assert_same(node.seen(), new)
    node.remove()
    assert_same(node.seen(), old)


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("name", ["controller", "compute1"] + ["network"] * EXHAUSTIVE)
def test_too_little_memory(lab, states, name, what):
    """The libraries below end the process where they get none, so that it may die anywhere, as from a memory cgroup's hand."""
    node = Node(lab, name)
    old, new = states[name]
    prepare, before, after = (node.remove, old, new) if what == "apply" else (node.apply, new, old)
    ended = []
    for megabytes in chosen(f"memory {name} {what}", range(20, 160, 4), 6):
        prepare()
        done = Run(node, node.words(what), before=["prlimit", "--core=0", f"--as={megabytes << 20}"])
        done.process.wait(75)
        ended.append(done.process.returncode)
        if done.process.returncode == 0:
            assert_same(node.seen(), after)
            continue
        assert done.said().strip() != ""
        node.weft("recover")
        assert_same(node.seen(), before, after)
    assert EXHAUSTIVE or 0 in ended and any(ended)  # a run that was taken up again has the last ones only
    node.apply()
    assert_same(node.seen(), new)
    node.remove()
    assert_same(node.seen(), old)


# A removal with /run/netns alone read-only is the next test: what it unmounts, it would here unmount for itself and not for the node.
@pytest.mark.parametrize("folder, what", [(f, w) for f in ("/run", "/run/weft", "/var/lib/weft") for w in ("apply", "remove")] + [("/run/netns", "apply")])
@pytest.mark.parametrize("name", ["controller", "network"])
def test_a_folder_that_is_read_only(lab, states, name, folder, what):
    node = Node(lab, name)
    old, new = states[name]
    prepare, before, after = (node.remove, old, new) if what == "apply" else (node.apply, new, old)
    prepare()
    # The run alone sees it so: it has mounts of its own.
    node.run("mkdir", "-p", "/var/lib/weft", "/run/weft")
    script = f"mount --rbind {folder} {folder}; mount -o remount,bind,ro {folder}; exec \"$@\""
    done = Run(node, node.words(what), before=["unshare", "-m", "sh", "-ec", script, "sh"]).result(75)
    if done.returncode == 0:
        # This node's part of the fabric has nothing there.
        assert folder == "/run/netns" and name != "network"
        assert_same(node.seen(), after)
    else:
        assert "Read-only file system" in done.stderr, done.stderr
        assert_same(node.seen(), before)
        assert "nothing to recover" in node.weft("recover").stdout
    node.remove()
    assert_same(node.seen(), old)


def test_namespaces_whose_names_cannot_be_removed(lab, states):
    node = Node(lab, "network")
    old, new = states["network"]
    node.apply()
    node.run("mount", "-o", "remount,bind,ro", "/run/netns")
    try:
        done = Run(node, node.words("remove")).result(75)
        assert done.returncode != 0
        assert "delete namespace" in done.stderr and "Read-only file system" in done.stderr, done.stderr
    finally:
        node.run("mount", "-o", "remount,bind,rw", "/run/netns")
    assert_same(node.seen(), new)
    assert "nothing to recover" in node.weft("recover").stdout
    node.remove()
    assert_same(node.seen(), old)
