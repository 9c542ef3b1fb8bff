# SPDX-License-Identifier: Apache-2.0
"""`weft apply --follow`: a port that somebody plugs is bound without anybody's asking, and only that."""
import os
import queue
import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import FABRICS, PROGRAM, Lab, eventually, weft

NODE, VM, MAC = "cloud", "proj_one/vm1", "02:77:65:66:74:11"


class Follower:
    """The program in the foreground on a node, as systemd would run it."""

    def __init__(self, lab):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{NODE}", "--", PROGRAM, "apply", lab.file, "--node", NODE, "--follow"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.said = queue.Queue(), []
        self.reader = threading.Thread(target=lambda: [self.lines.put(line.rstrip("\n")) for line in self.process.stdout], daemon=True)
        self.reader.start()

    def hear(self, words, seconds=10.0):
        """The next line that has these words, and when it came."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f"no line with {words!r}; it said {self.said}") from None
            self.said.append(line)
            if words in line:
                return line

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()


@pytest.fixture
def lab(tmp_path):
    file = tmp_path / "guests.yaml"
    shutil.copy(FABRICS.parent / "guests" / "guests.yaml", file)
    weft("allocate", file)
    standing = Lab(file)
    yield standing
    standing.down()


@pytest.fixture
def follower(lab):
    running = Follower(lab)
    try:
        running.hear("following")
        running.hear(f"bound proj_one/ports/vm1 to {tap_of(lab)[0]}")
        yield running
    finally:
        running.stop()


def external_ids(lab, device):
    said = lab.run(NODE, "ovs-vsctl", "--if-exists", "get", "interface", device, "external_ids:iface-id", expect=None).stdout
    return said.strip().strip('"')


def tap_of(lab):
    """The device that carries the VM, and its iface-id."""
    (device,) = lab.run(NODE, "ovs-vsctl", "--bare", "--columns=name", "find", "interface", f'external_ids:attached-mac="{MAC}"').stdout.split()
    return device, external_ids(lab, device)


def plug(lab, device, iface_id, mac=MAC):
    lab.run(NODE, "ovs-vsctl", "add-port", "br-int", device, "--", "set", "interface", device, f'external_ids:iface-id="{iface_id}"',
            f'external_ids:attached-mac="{mac}"', "external_ids:iface-status=active")


def pings(lab):
    return lab.run(VM, "ping", "-q", "-c", "1", "-W", "1", "50.50.1.1", expect=None).returncode == 0


def flows_of(lab, device):
    flows = lab.run(NODE, "ovs-ofctl", "-OOpenFlow13", "--names", "--no-stats", "dump-flows", "br-int").stdout
    return [f for f in flows.splitlines() if device in f]


def tag_of(lab, device):
    return lab.run(NODE, "ovs-vsctl", "get", "port", device, "tag").stdout.strip()


def test_a_vm_that_is_plugged_pings_within_two_seconds_also_under_another_device(lab, follower):
    device, iface_id = tap_of(lab)
    assert pings(lab)
    lab.run(NODE, "ovs-vsctl", "del-port", device)
    follower.hear(f"unbound proj_one/ports/vm1 from {device}")
    eventually(lambda: not flows_of(lab, device))
    assert not pings(lab)

    for name in (device, "vnet7", "42"):
        if name != device:
            lab.run(NODE, "ip", "link", "set", device, "down")
            lab.run(NODE, "ip", "link", "set", device, "name", name)
            lab.run(NODE, "ip", "link", "set", name, "up")
            device = name
        start = time.monotonic()
        plug(lab, device, iface_id)
        eventually(lambda: pings(lab), seconds=2)
        assert time.monotonic() - start < 2
        assert "local VLAN 1" in follower.hear(f"bound proj_one/ports/vm1 to {device}")
        assert tag_of(lab, device) == "1"
        lab.on(NODE, "plan", expect=0)
        lab.run(NODE, "ovs-vsctl", "del-port", device)
        follower.hear(f"unbound proj_one/ports/vm1 from {device}")


def test_a_second_device_of_the_same_id_and_one_of_an_unknown_id_get_nothing(lab, follower):
    device, iface_id = tap_of(lab)
    for name, its_id, why in (("a-double", iface_id, f"{device} has the id already"),
                              ("stranger", "11111111-2222-3333-4444-555555555555", "it is no port of this node")):
        lab.run(NODE, "ip", "link", "add", name, "type", "veth", "peer", "name", name + "-p")
        lab.run(NODE, "ip", "link", "set", name, "up")
        plug(lab, name, its_id)
        assert why in follower.hear(f"left alone {name}")
        assert tag_of(lab, name) == "[]" and flows_of(lab, name) == []
        assert flows_of(lab, device) and pings(lab)
    # When the first one goes, the second one has its turn.
    lab.run(NODE, "ovs-vsctl", "del-port", device)
    follower.hear("bound proj_one/ports/vm1 to a-double")
    assert flows_of(lab, "a-double")
    # And does not give it back to the first.
    plug(lab, device, iface_id)
    assert "a-double has the id already" in follower.hear(f"left alone {device}")
    lab.run(NODE, "ovs-vsctl", "del-port", device)
    # A guest that is killed leaves a row without a device; that one holds nothing up.
    lab.run(NODE, "ip", "link", "delete", "a-double")
    plug(lab, device, iface_id)
    follower.hear(f"bound proj_one/ports/vm1 to {device}")
    eventually(lambda: pings(lab), seconds=3)
    lab.on(NODE, "plan", expect=0)


def test_it_rests_between_failures_and_ends_with_the_fabric(lab, follower):
    device, iface_id = tap_of(lab)
    lab.kill(NODE, "ovs-vswitchd")
    lab.run(NODE, "ovs-vsctl", "--no-wait", "del-port", device)  # whoever unplugs does not wait for a switch that is not there
    follower.hear("failed, and is tried again")
    before, since = follower.processor_seconds(), time.monotonic()
    time.sleep(2)  # the measured time: a tight loop would burn all of it
    assert follower.processor_seconds() - before < 0.5 * (time.monotonic() - since)
    lab.start_switchd(NODE)
    follower.hear("unbound proj_one/ports/vm1", seconds=15)
    assert len([line for line in follower.said if "failed" in line]) <= 3

    # A port that comes and goes all the time costs a bounded share.
    before, since = follower.processor_seconds(), time.monotonic()
    for _ in range(15):
        plug(lab, device, iface_id)
        lab.run(NODE, "ovs-vsctl", "del-port", device)
    assert follower.processor_seconds() - before < 0.7 * (time.monotonic() - since)
    plug(lab, device, iface_id)
    eventually(lambda: pings(lab), seconds=5)

    # What another run applied is what is followed from then on.
    text = lab.file.read_text()
    other = lab.file.parent / "other.yaml"
    other.write_text("".join(line for line in text.splitlines(True) if "vm1:" not in line))
    weft("allocate", other)
    lab.on(NODE, "apply", file=other)
    follower.hear("left alone " + device, seconds=10) if follower_is_due(lab, device, iface_id) else None
    assert not pings(lab) and flows_of(lab, device) == []
    lab.run(NODE, PROGRAM, "remove", "--node", NODE)
    follower.hear("has been taken off this node")
    eventually(lambda: follower.process.poll() == 0)


def follower_is_due(lab, device, iface_id):
    """Gives the follower a reason: the port comes anew."""
    lab.run(NODE, "ovs-vsctl", "del-port", device)
    plug(lab, device, iface_id)
    return True
