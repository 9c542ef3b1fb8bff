# SPDX-License-Identifier: Apache-2.0
"""Run on a node: makes weft's part many times in one process, and takes it away again. Prints as JSON what that process, the node's kernel and
its switch hold in some first cycles and in the last ones, with weft's part there and without it.
    cycles.py FABRIC NODE WAYS FIRST ALL
WAYS are taken in turn, with a plus between them: removed (apply and remove), undone (an apply whose last operation fails)."""
import glob
import json
import os
import subprocess
import sys
import time

import weft

file, node, ways, first, total = sys.argv[1], sys.argv[2], sys.argv[3].split("+"), int(sys.argv[4]), int(sys.argv[5])
assert first % len(ways) == total % len(ways) == 0
# Every run has one operation of this kind, and the orders are read once, by the first run. Each counts only what none before it has stopped.
EFFECTS = {"removed": 2, "undone": 1}
turn = sum(EFFECTS[way] for way in ways)
if "undone" in ways:
    os.environ["WEFT_FAULT"] = ";".join(f"fail effect {n}" for n in range(turn * total // len(ways), 0, -turn)) if turn > 1 else "fail effect 1+"


def lines(*words):
    """How many, but for what the kernel and the switch add by themselves, and later."""
    told = subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.splitlines()
    return sum(not any(word in line for word in ("fe80:", "ff00:", "multicast", "cookie=0x7765667400006c6e")) for line in told)


def space(name):
    ip = ["ip", *(["-n", name] if name else [])]
    return {"links": lines(*ip, "-o", "link"), "addresses": lines(*ip, "-o", "address"), "neighbours": lines(*ip, "neighbour", "show", "nud", "permanent"),
            "rules": [lines(*ip, v, "rule") for v in ("-4", "-6")], "routes": [lines(*ip, v, "route", "show", "table", "all") for v in ("-4", "-6")],
            "nft": lines(*(["ip", "netns", "exec", name] if name else []), "nft", "list", "ruleset")}


def switch():
    if not os.path.exists("/run/openvswitch/db.sock"):
        return {}
    held = {table: lines("ovs-vsctl", "-f", "csv", "--no-headings", "--columns=_uuid", "list", table)
            for table in ("Bridge", "Port", "Interface", "Controller", "Manager", "Mirror", "QoS", "Queue", "Flow_Table")}
    for bridge in os.listdir("/run/openvswitch"):
        if bridge.endswith(".mgmt"):
            held["flows of " + bridge] = lines("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:/run/openvswitch/{bridge}")
    return held


def processes():
    """Those of the node by name, this one among them, with how many files each kind of them has open."""
    own, held = os.readlink("/proc/self/ns/mnt"), {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/mnt") == own:
                name, files = open(f"/proc/{pid}/comm").read().strip(), len(os.listdir(f"/proc/{pid}/fd"))
                held[name] = [held.get(name, [0, 0])[0] + 1, held.get(name, [0, 0])[1] + files]
        except OSError:
            pass  # it has ended
    return held


def held_now():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {"threads": int(status["Threads"]), "descriptors": len(os.listdir("/proc/self/fd")),
            "children": [open(path).read() for path in glob.glob("/proc/self/task/*/children")], "processes": processes(),
            "spaces": {name: space(name) for name in ["", *sorted(os.listdir("/run/netns"))]}, "switch": switch(),
            "mounts": lines("cat", "/proc/self/mounts"),
            "files": sum(len(names) for root in ("/run/weft", "/var/lib/weft") for _, _, names in os.walk(root))}


def held():
    """As soon as it stays the same: what ends by itself takes a moment."""
    before = None
    for _ in range(20):
        now = held_now()
        if now == before:
            return now
        before = now
        time.sleep(0.2)
    sys.exit(f"what is held does not come to rest: {before}")


def memory():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS:")).split()[1])


def cycle(way, looks):
    fabric = weft.Fabric.from_file(file)
    fabric.allocate()
    if way == "removed":
        assert fabric.apply(node)["steps"] > 0
        if looks is not None:
            looks.append(held())
        assert weft.remove(fabric.name, node)["steps"] > 0
    else:
        try:
            fabric.apply(node)
        except weft.Error as e:
            assert "all steps were undone" in str(e), e
        else:
            sys.exit("the apply did not fail")
    if looks is not None:
        looks.append(held())


looks, sizes, began = [], [], 0.0
for i in range(total):
    cycle(ways[i % len(ways)], looks if first - len(ways) <= i < first or i >= total - len(ways) else None)
    if i == first - 1 or i == total - 1:
        sizes.append(memory())
        looks.append(None)
    if i == first - 1:
        began = time.monotonic()
middle = looks.index(None)
print(json.dumps({"memory": sizes, "first": looks[:middle], "last": looks[middle + 1:-1], "seconds": (time.monotonic() - began) / (total - first)}))
