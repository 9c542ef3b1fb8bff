# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's daemons that die, hang or lose their memory while a run halts at one of its points: it ends in bounded time, says what
happened, touches nothing of others, and once the daemons are back a plain recover and apply bring the node to where it belongs."""
import json
import os
import random
import re
import signal
import time

import pytest

from faults import EXHAUSTIVE, FOREIGN_SWITCH, SEED, Node, Run, assert_same, chosen, eventually

NODES = ["network", "compute1"]
VERBS = ["apply", "remove"]
KINDS = ["ovsdb", "ovsdb-answer", "openflow", "journal"]  # before and after each group of steps, and where it speaks to a daemon
DATABASE = "/etc/openvswitch/conf.db"
BOUND = 75  # s that a run may take with a daemon that does not answer: a few deadlines of 5 and 10 s, one after the other


@pytest.fixture(scope="module", params=[f"{name}-{what}" for name in NODES for what in VERBS] if EXHAUSTIVE else ["all"])
def places(lab, states, request):
    """Every point of a run that writes rows or flows, of one node and verb or of all."""
    found = []
    for name in NODES:
        node = Node(lab, name)
        for what, prepare, verb in [("apply", node.remove, node.apply), ("remove", node.apply, node.remove)]:
            if request.param not in ("all", f"{name}-{what}"):
                continue
            prepare()
            said = verb(fault="; ".join(f"log {kind} 0" for kind in KINDS)).stderr
            found += [f"{name} {what} {kind} {n}" for kind, n in re.findall(r"weft: fault: log ([a-z-]+) (\d+),", said)]
    return found


def some(places, label, sample, kinds=KINDS):
    """In a seeded order, since the first of them would be the same for every test."""
    shuffled = [p for p in places if p.split()[2] in kinds]
    random.Random(f"{SEED} {label}").shuffle(shuffled)
    if not EXHAUSTIVE:
        shuffled = shuffled[:sample]
    return chosen(f"daemons {label}", shuffled, sample)


def label(places):
    """Of which node and verb they are, where of one."""
    return " ".join(places[0].split()[:2]) if EXHAUSTIVE else places[0].split()[0]


def without_memory(state):
    return {key: value for key, value in state.items() if key != "memory"}


class Halted:
    """A run that halts at a place, on a node in the state before it."""

    def __init__(self, lab, states, place):
        name, self.what, kind, n = place.split()
        self.place, self.lab = place, lab
        self.node = Node(lab, name)
        self.old, self.new = states[name]
        self.node.remove() if self.what == "apply" else self.node.apply()
        self.run = Run(self.node, self.node.words(self.what), f"stop {kind} {n}")
        assert self.run.halted(), self.run.said()

    def daemon(self, name):
        return self.lab.daemon_pid(self.node.name, name)

    def ends(self):
        self.run.go_on()
        return self.told(self.run.result(BOUND))

    def told(self, done):
        """It names what it spoke to when it failed, or the bridge or its device that went with the database; and does not list flows that have one
        reason one by one."""
        assert done.returncode in (0, 1), f"{self.place}: {done.stderr}"
        assert done.returncode == 0 or re.search("openvswitch|flow|ovs-vswitchd|there is no link br-|no such bridge", done.stderr), f"{self.place}: {done.stderr}"
        flows = re.findall(r"not undone: (?!\d+ flows of ).*\bflow \S+", done.stderr)
        assert len(flows) <= 3, f"{self.place}: {done.stderr}"
        return done

    def comes_back(self, lost_flows=False, strict=True):
        """The daemons are back: recover leaves old or new, apply makes new, remove makes old."""
        if lost_flows:  # its owner puts it again
            self.node.run("sh", "-ec", FOREIGN_SWITCH.splitlines()[-1])
        recovered = self.node.weft("recover", expect=None, timeout=BOUND)
        assert recovered.returncode == 0, f"{self.place}: {recovered.stderr}"
        if strict:
            assert_same(self.node.seen(), self.old, self.new)
        self.node.apply()
        # Devices that vswitchd made anew come with other settings than their first ones had, and weft remembers what it finds.
        but_for = dict if strict else without_memory
        assert_same(but_for(self.node.seen()), but_for(self.new))
        assert "nothing to do" in self.node.apply().stdout
        self.node.remove()
        assert_same(self.node.seen(), self.old)


def serve_again(lab, name):
    """ovsdb-server is back, and vswitchd has found it."""
    lab.start_server(name)
    lab.run(name, "ovs-vsctl", "--timeout=20", "set", "Open_vSwitch", ".", "external_ids:tested=1")
    lab.run(name, "ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", "tested")


@pytest.mark.parametrize("daemon, sample", [("ovsdb-server", 1), ("ovs-vswitchd", 1)])
def test_killed(lab, states, places, daemon, sample):
    for place in some(places, f"kill {daemon} {label(places)}", sample):
        h = Halted(lab, states, place)
        lab.kill(h.node.name, daemon)
        h.ends()
        if daemon == "ovsdb-server":
            serve_again(lab, h.node.name)
        else:
            lab.start_switchd(h.node.name)
        # What the switch had in its memory went with it: flows of bridges that the run had not reached, too.
        h.comes_back(lost_flows=daemon == "ovs-vswitchd", strict=daemon == "ovsdb-server")


@pytest.mark.parametrize("name", NODES)
def test_killed_between_two_runs_it_leaves_nothing_of_its_own_behind(lab, states, name):
    node = Node(lab, name)
    old, new = states[name]
    node.apply()
    lab.kill(name, "ovs-vswitchd")
    lab.start_switchd(name)
    node.run("sh", "-ec", FOREIGN_SWITCH.splitlines()[-1])
    node.apply()
    assert_same(without_memory(node.seen()), without_memory(new))
    node.remove()
    assert_same(node.seen(), old)


@pytest.mark.parametrize("patience", ["goes on in time", "goes on after the run told its error"])
@pytest.mark.parametrize("daemon", ["ovsdb-server", "ovs-vswitchd"])
def test_hung(lab, states, places, daemon, patience):
    for place in some(places, f"hang {daemon} {patience} {label(places)}", 1, ["ovsdb", "openflow"]):
        h = Halted(lab, states, place)
        pid = h.daemon(daemon)
        os.kill(pid, signal.SIGSTOP)
        try:
            h.run.go_on()
            if patience == "goes on in time":
                time.sleep(1)
                os.kill(pid, signal.SIGCONT)
                assert h.run.result(BOUND).returncode == 0, h.run.said()
            else:
                assert h.told(h.run.result(BOUND)).returncode == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        h.comes_back()


@pytest.mark.parametrize("database", ["empty", "older"])
def test_the_server_comes_back_with_another_database(lab, states, places, database):
    for place in some(places, f"database {database} {label(places)}", 1):
        node = Node(lab, place.split()[0])
        node.remove()
        node.run("cp", DATABASE, "/run/older.db")
        h = Halted(lab, states, place)
        lab.kill(node.name, "ovsdb-server")
        node.run("rm", DATABASE)
        if database == "empty":
            node.run("ovsdb-tool", "create", DATABASE, "/usr/share/openvswitch/vswitch.ovsschema")
        else:
            node.run("cp", "/run/older.db", DATABASE)
        lab.start_server(node.name)
        if database == "empty":
            node.run("ovs-vsctl", "--no-wait", "init")
        h.ends()
        node.weft("recover", expect=None, timeout=BOUND)
        node.apply(timeout=BOUND)
        assert "nothing to do" in node.apply().stdout
        # What others have in the kernel, without the devices of their switch, which are the database's.
        lost = {"br-theirs", "theirs2"}
        for space in ("", "theirs"):
            kept = [link for link in h.old["spaces"][space]["links"] if link["name"].startswith("theirs") and link["name"] not in lost]
            assert [link for link in kept if link not in node.seen()["spaces"][space]["links"]] == []
        # And with the older one everything is as it was.
        lab.kill(node.name, "ovsdb-server")
        node.run("cp", "/run/older.db", DATABASE)
        serve_again(lab, node.name)
        h.comes_back(lost_flows=True, strict=False)


@pytest.mark.parametrize("places", ["network-apply"], indirect=True)
def test_a_device_that_the_switch_cannot_open(lab, states, places):
    h = Halted(lab, states, next(p for p in places if p.startswith("network apply ovsdb ")))
    listed = json.loads(h.node.run("ip", "-j", "-d", "link", "show", "type", "veth").stdout)
    victim = next(link["ifname"] for link in listed if link.get("ifalias", "").startswith("weft:"))
    h.node.run("ip", "link", "delete", victim)
    h.run.go_on()
    done = h.run.result(BOUND)
    assert done.returncode == 1
    # The database's own words, and the row is gone again.
    assert re.search(rf"open port {victim}: .*could not open network device {victim} \(No such device\)", done.stderr), done.stderr
    assert victim not in h.node.run("ovs-vsctl", "list-ifaces", "br-int", expect=None).stdout
    assert_same(h.node.seen(), h.old)
    assert "nothing to recover" in h.node.weft("recover").stdout
