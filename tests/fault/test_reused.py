# SPDX-License-Identifier: Apache-2.0
"""Links that another tool removes, renames or makes in the middle of a run: one that got the number of weft's is not touched, and none is made under a
name that the switch has open."""
import json
import random
import re

import pytest

from faults import EXHAUSTIVE, FOREIGN_SWITCH, SEED, Node, Run, assert_same, chosen, eventually


def links(node):
    return json.loads(node.run("ip", "-j", "-d", "link", "show").stdout)


def kept(node, name):
    """All of a link that another could change."""
    link = next((link for link in links(node) if link["ifname"] == name), None)
    shown = node.run("ip", "-j", "address", "show", "dev", name, expect=None)
    if link is None or shown.returncode != 0:
        return None
    more = json.loads(shown.stdout)[0]["addr_info"]
    return {key: link.get(key) for key in ("ifindex", "ifname", "flags", "mtu", "master", "group", "ifalias", "address", "promiscuity", "linkinfo")}, more


def but_for_requests(state):
    """Without the numbers that ports ask for: one whose device was made anew asks for the number that flows know it by, and goes on to."""
    rows = [json.loads(row) for row in state["switch"]["interface"]]
    return {**state, "switch": {**state["switch"], "interface": sorted(json.dumps(row[:-1]) for row in rows)}}


@pytest.mark.parametrize("what", ["apply", "remove"])
@pytest.mark.parametrize("how", ["removed", "renamed"] if EXHAUSTIVE else ["removed"])
def test_a_number_that_went_to_another_link(lab, states, how, what):
    node = Node(lab, "network")
    old, new = states["network"]
    prepare, verb = (node.remove, node.apply) if what == "apply" else (node.apply, node.remove)
    prepare()
    said = verb(fault="log netlink 0; log journal 0").stderr
    points = re.findall(r"weft: fault: log ([a-z]+) (\d+),", said)
    random.Random(f"{SEED} {how} {what}").shuffle(points)
    met = 0
    for point in chosen(f"reused {how} {what}", [" ".join(p) for p in points], len(points)):
        prepare()
        run = Run(node, node.words(what), f"stop {point}")
        assert run.halted(), run.said()
        ours = [link for link in links(node) if link.get("ifalias", "").startswith("weft:") and link.get("linkinfo", {}).get("info_kind") == "veth"]
        if ours:
            met += 1
            victim = ours[-1]
            if how == "removed":
                node.run("ip", "link", "delete", victim["ifname"])
                node.run("ip", "link", "add", "reused0", "index", victim["ifindex"], "mtu", 1400, "type", "bridge")
            else:
                node.run("ip", "link", "set", victim["ifname"], "name", "reused0", "mtu", 1400, "alias", "theirs", "group", "default")
            before = kept(node, "reused0")
        run.go_on()
        done = run.result(75)
        assert done.returncode in (0, 1), done.stderr
        if not ours:
            continue
        if how == "renamed":
            # It goes with its other end, where that one's namespace goes. This takes the kernel a moment, in which it has no carrier.
            eventually(lambda: kept(node, "reused0") in (before, None))
        else:
            assert kept(node, "reused0") == before, f"{point}: {done.stderr}"
        node.run("ip", "link", "delete", "reused0", expect=0 if how == "removed" else None)
        node.weft("recover", expect=None)
        node.apply()
        assert_same(but_for_requests(node.seen()), but_for_requests(new))
        node.remove()
        assert_same(node.seen(), old)
        if met >= 1 and not EXHAUSTIVE:
            break
    assert met > 0 or EXHAUSTIVE  # one that is taken up again may have met them before


def test_a_device_that_the_switch_has_opened_meanwhile_is_not_made_under_it(lab, states):
    """A userspace switch does not see a device go, and reads nothing from another one of its name: all looks well, and no packet comes."""
    node = Node(lab, "network")
    node.apply()
    space = next(line.split()[0] for line in node.run("ip", "netns", "list").stdout.splitlines() if line.startswith("qrouter-"))
    (leg,) = re.findall(r"qg-\w+-\w+", node.run("ip", "-n", space, "-br", "link").stdout)[:1]
    outer = f"tap{leg[3:]}"

    def opened():
        return int(node.run("ovs-vsctl", "get", "interface", outer, "ofport").stdout) > 0

    def answers():
        return node.run("ip", "netns", "exec", space, "ping", "-c", 1, "-W", 1, "192.168.100.1", expect=None).returncode == 0

    eventually(answers)
    node.run("ip", "link", "delete", outer)
    lab.kill(node.name, "ovs-vswitchd")
    lab.start_switchd(node.name)
    node.run("sh", "-ec", FOREIGN_SWITCH.splitlines()[-1])  # flows went with the daemon
    eventually(lambda: not opened())
    run = Run(node, node.words("apply"), "stop journal 1")
    assert run.halted(), run.said()
    node.run("ip", "link", "add", outer, "type", "veth", "peer", "name", "reused0")
    eventually(opened)
    node.run("ip", "link", "delete", outer)
    run.go_on()
    done = run.result(30)
    assert done.returncode == 1 and f"create link {outer}: ovs-vswitchd has a device of this name open" in done.stderr, done.stderr
    node.apply()
    eventually(answers)
    assert_same(but_for_requests(node.seen()), but_for_requests(states["network"][1]))
