# SPDX-License-Identifier: Apache-2.0
"""Run on a node: applies and removes weft many times in one process, and prints as JSON what that process and the node's kernel hold
after some first cycles and after all of them.
    cycles.py FABRIC NODE FIRST ALL"""
import json
import os
import subprocess
import sys

import weft

file, node, first, total = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def lines(*words):
    return len(subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.splitlines())


def held():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {"memory": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]), "descriptors": len(os.listdir("/proc/self/fd")),
            "namespaces": len(os.listdir("/run/netns")), "links": lines("ip", "-o", "link"), "addresses": lines("ip", "-o", "address"),
            "rules": lines("ip", "rule"), "routes": lines("ip", "route", "show", "table", "all"), "nft": lines("nft", "list", "ruleset"),
            "mounts": lines("cat", "/proc/self/mounts"),
            "files": sum(len(names) for root in ("/run/weft", "/var/lib/weft") for _, _, names in os.walk(root))}


def cycle():
    fabric = weft.Fabric.from_file(file)
    fabric.allocate()
    assert fabric.apply(node)["steps"] > 0
    assert weft.remove(fabric.name, node)["steps"] > 0


for _ in range(first):
    cycle()
start = held()
for _ in range(total - first):
    cycle()
print(json.dumps([start, held()]))
