# SPDX-License-Identifier: Apache-2.0
"""`weft watch`: what somebody changes by hand is told, with --heal it comes back, and what is not weft's is neither told nor touched."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from beside import Watch
from conftest import FABRICS, PROGRAM, Lab, eventually

NODE = "network"


@pytest.fixture(scope="module")
def lab():
    standing = Lab(FABRICS / "grizzly.yaml")
    yield standing
    standing.down()


@pytest.fixture
def start(lab):
    """Starts a watch, which ends with the test; what it left undone is put back, so that tests do not meet each other's traces."""
    running = []

    def begin(*words, **options):
        running.append(Watch(lab, *words, **options))
        return running[-1]

    yield begin
    for watch in running:
        if watch.process.poll() is None:
            watch.stop()
    lab.on(NODE, "apply")


def router(lab):
    """A router's namespace, and its leg outside."""
    space = next(n.split()[0] for n in lab.run(NODE, "ip", "netns", "list").stdout.splitlines() if n.startswith("qrouter-"))
    (leg,) = re.findall(r"qg-\w+-\w+", lab.run(NODE, "ip", "-n", space, "-br", "link").stdout)[:1]
    return space, leg


def in_place(lab, node=NODE):
    return "nothing to do" in lab.on(node, "plan", expect=None).stdout


def changes(lab):
    """One change by hand of each kind: what it is, the command, kind and part of the name of what is told."""
    space, leg = router(lab)
    inside = ["ip", "netns", "exec", space]
    link = f"tap{leg[3:]}"
    return [("route", [*inside, "ip", "route", "del", "default"], "route", "default"),
            ("address", [*inside, "ip", "address", "flush", "dev", leg], "address", leg),
            ("nft table", [*inside, "nft", "delete", "table", "ip", "weft"], "nft table", "weft"),
            ("nft chain", [*inside, "nft", "flush", "table", "ip", "weft"], "nft table", "weft"),
            ("flow", ["ovs-ofctl", "-OOpenFlow13", "del-flows", "br-tun", "table=22"], "flow", "table=22"),
            ("port", ["ovs-vsctl", "del-port", "patch-tun"], "port", "patch-tun"),
            ("bridge", ["ovs-vsctl", "del-br", "br-tun"], "bridge", "br-tun"),
            ("sysctl that is told", [*inside, "sysctl", "-qw", "net.ipv4.ip_forward=0"], "sysctl", "ip_forward"),
            ("sysctl that nothing tells of", ["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0"], "sysctl", "arp_ignore"),
            ("veth", ["ip", "link", "del", link], "link", link),
            ("mtu", ["ip", "link", "set", link, "mtu", "1300"], "link", link),
            ("namespace", ["ip", "netns", "del", space], "namespace", space)]


def test_each_change_is_told_with_what_is_wanted_and_seen_and_that_it_is_over(lab, start):
    watch = start()
    space, _ = router(lab)
    route = lab.run(NODE, "ip", "-n", space, "route", "show", "default").stdout.split()
    lab.run(NODE, "ip", "-n", space, "route", "del", "default")
    told = watch.hear("seen", "route", "default")
    assert (told["scope"], told["seen"], told["wanted"]["nexthops"][0]["gateway"]) == (space, None, route[2])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["when"])
    before = len(watch.said)
    time.sleep(3)
    assert watch.said[before:] == []  # once
    lab.run(NODE, "ip", "-n", space, "route", "add", *route)
    watch.hear("over", "route", "default")
    # Another way without weft's mark is somebody else's, and the place is taken.
    lab.run(NODE, "ip", "-n", space, "route", "replace", "default", "via", "192.168.100.2", "proto", "static")
    assert "bears no mark" in watch.hear("trouble")["detail"]
    lab.run(NODE, "ip", "-n", space, "route", "replace", *route)
    watch.hear("well")

    lab.run(NODE, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
    told = watch.hear("seen", "sysctl", "arp_ignore", seconds=5)
    assert (told["seen"]["value"], told["wanted"]["value"]) == ("0", "1")
    assert not watch.find("repaired")
    assert not in_place(lab)


def test_what_others_put_into_a_place_of_ours_is_told_and_left_and_everything_else_comes_back(lab, start):
    watch = start("--heal")
    space, leg = router(lab)
    link = f"tap{leg[3:]}"
    lab.run(NODE, "sh", "-ec", f"ip link del {link}; ip link add {link} type bridge", expect=None)
    # Whoever was first: where the watch put its own back before, the other tool was refused.
    eventually(lambda: lab.run(NODE, "sh", "-ec", f"ip link del {link}; ip link add {link} type bridge", expect=None).returncode == 0)
    assert f"link {link}: the name is taken" in watch.hear("trouble")["detail"]
    before = len(watch.said)
    lab.run(NODE, "ovs-ofctl", "-OOpenFlow13", "del-flows", "br-tun", "table=22")
    watch.hear("repaired", "flow", "table=22", since=before)
    lab.run(NODE, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
    watch.hear("repaired", "sysctl", "arp_ignore", since=before)
    kind = lab.run(NODE, "ip", "-d", "link", "show", link).stdout
    assert "bridge" in kind and "weft:" not in kind
    lab.run(NODE, "ip", "link", "del", link)
    watch.hear("well", since=before)
    eventually(lambda: in_place(lab), 20)
    lab.assert_green()


def assert_rest_is_healed(lab, watch):
    """Beside what is left to others, and with a part of it alone the node is not taken for made."""
    record = "/var/lib/weft/earlier-boot"
    lab.run(NODE, "sh", "-ec", f"printf 'apply grizzly {NODE}' >{record}")
    before = len(watch.said)
    lab.run(NODE, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
    watch.hear("repaired", "sysctl", "arp_ignore", since=before)
    assert lab.run(NODE, "cat", record).stdout == f"apply grizzly {NODE}"
    return record


def assert_made_again(lab, watch, record, before):
    watch.hear("well", since=before, seconds=20)
    eventually(lambda: in_place(lab), 20)
    eventually(lambda: lab.run(NODE, "cat", record, expect=None).stdout == "")
    assert lab.run(NODE, "cat", record, expect=None).stdout == ""
    lab.assert_green()


def test_the_inner_end_of_a_veth_in_the_hands_of_others_stops_no_other_repair(lab, start):
    watch = start("--heal")
    space, leg = router(lab)
    outer = f"tap{leg[3:]}"
    take = f"ip link del {outer}; ip -n {space} link add {leg} type bridge"
    eventually(lambda: lab.run(NODE, "sh", "-ec", take, expect=None).returncode == 0)
    assert f"link {leg} in {space}: the name is taken" in watch.hear("trouble")["detail"]
    record = assert_rest_is_healed(lab, watch)
    assert lab.run(NODE, "ip", "link", "show", outer, expect=None).returncode != 0
    before = len(watch.said)
    lab.run(NODE, "ip", "-n", space, "link", "del", leg)
    assert_made_again(lab, watch, record, before)


def test_a_namespace_of_others_under_a_name_of_ours_stops_no_other_repair(lab, start):
    watch = start("--heal")
    space, leg = router(lab)
    # Whoever makes a namespace has no record of weft's.
    take = f"ip netns del {space}; rm -f /run/weft/netns/{space}; ip netns add {space}; rm -f /run/weft/netns/{space}"
    eventually(lambda: "is taken" in (lab.run(NODE, "sh", "-ec", take, expect=None), lab.on(NODE, "plan", expect=None).stderr)[1], 20)
    assert f"namespace {space}: the name is taken" in watch.hear("trouble")["detail"]
    record = assert_rest_is_healed(lab, watch)
    assert "lo" == lab.run(NODE, "ip", "-n", space, "-br", "link").stdout.split()[0] and leg not in lab.run(NODE, "ip", "-n", space, "link").stdout
    before = len(watch.said)
    lab.run(NODE, "ip", "netns", "del", space)
    assert_made_again(lab, watch, record, before)


def test_what_is_changed_or_deleted_by_hand_comes_back_and_is_told(lab, start):
    watch = start("--heal")
    for what, command, kind, name in changes(lab):
        before = len(watch.said)
        lab.run(NODE, *command)
        watch.hear("repaired", kind, name, since=before)
        eventually(lambda: in_place(lab))
        assert not [s for s in watch.said[before:] if s["state"] == "trouble"], what
        time.sleep(0.6)
    assert not watch.find("held")
    watch.stop()
    assert lab.writes(NODE)["steps"] == 0
    lab.assert_green()


def test_what_others_add_and_remove_is_neither_told_nor_touched(lab, start):
    watch = start("--heal")
    space, leg = router(lab)
    inside = ["ip", "netns", "exec", space]
    made = [["ip", "link", "add", "theirs", "type", "veth", "peer", "name", "theirs2"], ["ip", "link", "set", "theirs", "up"], ["ip", "address", "add", "203.0.113.77/32", "dev", "theirs"],
            ["ip", "route", "add", "203.0.113.128/25", "dev", "theirs"], ["nft", "add", "table", "inet", "theirs"],
            [*inside, "nft", "add", "table", "inet", "theirs"], [*inside, "ip", "route", "add", "203.0.113.128/25", "dev", leg],
            ["ovs-ofctl", "-OOpenFlow13", "add-flow", "br-int", "cookie=0x1234,table=200,actions=drop"],
            ["ovs-vsctl", "add-br", "br-theirs", "--", "set", "bridge", "br-theirs", "datapath_type=netdev"],
            ["ip", "netns", "add", "theirs"]]
    for command in made:
        lab.run(NODE, *command)
    time.sleep(3)
    assert "203.0.113.77" in lab.run(NODE, "ip", "address", "show", "dev", "theirs").stdout
    assert "203.0.113.128/25" in lab.run(NODE, *inside, "ip", "route").stdout + lab.run(NODE, "ip", "route").stdout
    assert "theirs" in lab.run(NODE, "nft", "list", "tables").stdout
    assert "0x1234" in lab.run(NODE, "ovs-ofctl", "-OOpenFlow13", "dump-flows", "br-int", "table=200").stdout
    for command in (["ip", "netns", "del", "theirs"], ["ovs-vsctl", "del-br", "br-theirs"],
                    ["ovs-ofctl", "-OOpenFlow13", "del-flows", "br-int", "cookie=0x1234/-1"], [*inside, "ip", "route", "del", "203.0.113.128/25"],
                    [*inside, "nft", "delete", "table", "inet", "theirs"], ["nft", "delete", "table", "inet", "theirs"], ["ip", "link", "del", "theirs"]):
        lab.run(NODE, *command)
    time.sleep(2)
    assert [s for s in watch.said if s["state"] not in ("watching", "note")] == []


def test_a_route_that_the_kernel_drops_without_a_word_comes_back(lab, start):
    watch = start("--heal")
    space, leg = router(lab)
    before = lab.run(NODE, "ip", "-n", space, "route").stdout
    lab.run(NODE, "ip", "-n", space, "link", "set", leg, "down")
    lab.run(NODE, "ip", "-n", space, "link", "set", leg, "up")
    eventually(lambda: lab.run(NODE, "ip", "-n", space, "route").stdout == before, 5)
    watch.hear("repaired", "route", "default")


def test_another_writer_is_met_with_patience_and_told_of_and_the_route_is_healed_when_he_stops(lab, start):
    watch = start("--heal")
    space, _ = router(lab)
    lab.run(NODE, "sh", "-c", f"end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do ip -n {space} route del default 2>/dev/null; sleep 0.01; done")
    repairs = len(watch.find("repaired", "route"))
    assert 2 <= repairs <= 12, watch.said
    assert "somebody else" in watch.hear("held", "route", "default")["detail"]
    eventually(lambda: "default" in lab.run(NODE, "ip", "-n", space, "route").stdout, 8)
    assert len(watch.said) < 60


def test_a_switch_that_is_killed_and_started_gets_its_flows_and_an_empty_database_its_rows(lab, start):
    watch = start("--heal")
    flows = lambda: lab.run(NODE, "ovs-ofctl", "-OOpenFlow13", "dump-flows", "br-int", expect=None).stdout.count("cookie=0x77656674")  # noqa: E731
    many = flows()
    lab.kill(NODE, "ovs-vswitchd")
    assert "ovs-vswitchd" in watch.hear("trouble")["detail"]
    lab.start_switchd(NODE)
    eventually(lambda: flows() == many, 20)
    eventually(lambda: in_place(lab), 20)
    watch.hear("well")

    before = len(watch.said)
    lab.kill(NODE, "ovs-vswitchd")
    lab.kill(NODE, "ovsdb-server")
    watch.hear("trouble", since=before)
    lab.run(NODE, "rm", "/etc/openvswitch/conf.db")
    lab.run(NODE, "ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    lab.start_server(NODE)
    lab.run(NODE, "ovs-vsctl", "--no-wait", "init")
    lab.start_switchd(NODE)
    eventually(lambda: in_place(lab), 30)
    watch.stop()
    lab.assert_green()


def test_a_run_of_another_weft_is_respected_and_what_it_makes_is_not_taken_back(lab, start, tmp_path):
    watch = start("--heal")
    lab.on(NODE, "apply")
    edited = tmp_path / "grizzly.yaml"
    edited.write_text(lab.file.read_text().replace("50.50.2.0/24, dns", "50.50.2.0/24, mtu: 1300, dns"))
    subprocess.run([PROGRAM, "allocate", edited], check=True, capture_output=True)
    for file in (edited, lab.file):
        lab.on(NODE, "apply", file=file)
        time.sleep(1.5)
        assert "nothing to do" in lab.on(NODE, "plan", file=file, expect=None).stdout
    assert [s for s in watch.said if s["state"] in ("repaired", "failed", "held")] == []


def test_in_quiet_times_nothing_is_written_or_said_and_little_is_computed(lab, start):
    watch = start("--heal")
    time.sleep(1)
    said, spent = len(watch.said), watch.processor_seconds()
    time.sleep(15)
    assert watch.said[said:] == []
    assert watch.processor_seconds() - spent < 3  # of 15, on a machine that may be busy
    assert watch.stop() == 0


def test_a_flood_of_events_that_are_not_ours_costs_neither_a_word_nor_a_late_repair(lab, start):
    watch = start("--heal")
    space, _ = router(lab)
    flood = f"for r in 1 2 3; do for v in add del; do for i in $(seq 250); do echo route $v 198.18.$r.$i/32 dev lo; done | ip -n {space} -batch -; done; done"
    lab.run(NODE, "sh", "-c", flood)
    assert not watch.find("repaired")
    lab.run(NODE, "ip", "-n", space, "route", "del", "default")
    watch.hear("repaired", "route", "default", seconds=5)


def assert_lives(server):
    server.settimeout(10)
    assert b"READY=1" in server.recv(200)
    assert b"WATCHDOG=1" in server.recv(200)
    first = time.monotonic()
    assert b"WATCHDOG=1" in server.recv(200)
    assert time.monotonic() - first < 4


SYSTEMD = {"WATCHDOG_USEC": "4000000"}


def test_systemd_is_told_when_the_node_was_looked_at_and_that_the_watch_lives(lab, start, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        watch = start(environment={**SYSTEMD, "NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert_lives(server)
        watch.stop()


def test_a_node_that_cannot_be_read_is_told_and_systemd_too_at_an_abstract_address(tmp_path):
    space = f"weft-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        # A member of a lab has other abstract names, so this one runs here, on an empty namespace.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(f"\0{space}")
            file = tmp_path / "grizzly.yaml"
            file.write_text((FABRICS / "grizzly.yaml").read_text())
            subprocess.run([PROGRAM, "allocate", file], check=True, capture_output=True)
            process = subprocess.Popen([PROGRAM, "watch", file, "--node", "controller", "--netns", space, "--ovs-rundir", tmp_path, "--heal"],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       env={**os.environ, **SYSTEMD, "NOTIFY_SOCKET": f"@{space}"})
            try:
                assert_lives(server)
            finally:
                process.send_signal(signal.SIGTERM)
                said, _ = process.communicate(timeout=10)
            assert process.returncode == 0
            assert said.count("no such link") == 1
    finally:
        subprocess.run(["ip", "netns", "del", space], check=True)
        os.unlink(f"/run/weft/lock.{space}")


def test_a_node_where_nothing_was_applied_is_brought_up_and_the_watch_ends_when_weft_is_taken_off(start, lab):
    lab.run("compute2", PROGRAM, "remove", "--node", "compute2", "--fabric", "grizzly")
    assert not in_place(lab, "compute2")
    watch = start("--heal", node="compute2")
    eventually(lambda: in_place(lab, "compute2"), 20)
    lab.run("compute2", PROGRAM, "remove", "--node", "compute2", "--fabric", "grizzly")
    watch.process.wait(10)
    watch.reader.join(10)
    assert watch.said[-1]["state"] == "ended"
    lab.on("compute2", "apply")
