# SPDX-License-Identifier: Apache-2.0
"""Ports with `attach: tap`: the tap is its user's, a guest on it is answered, a second apply writes nothing, and it goes as it came."""
import json
import pathlib
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from conftest import FABRICS, PROGRAM, Lab, eventually, weft

GUESTS = FABRICS.parent / "guests" / "guests.yaml"
GUEST = pathlib.Path(__file__).parent / "guest.py"
NODE, OWNER, MAC = "cloud", 64055, "02:77:65:66:74:12"
NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}


@pytest.fixture
def lab(tmp_path):
    file = tmp_path / "guests.yaml"
    shutil.copy(GUESTS, file)
    standing = Lab(file)
    yield standing
    standing.down()


def rows(lab, table, *columns):
    said = lab.run(NODE, "ovs-vsctl", "-f", "json", "-d", "json", "--columns=" + ",".join(columns), "list", table).stdout
    return json.loads(said)["data"]


def tap_of(lab):
    """Device and external_ids of the port that weft made for a VM."""
    found = [(name, dict(ids[1])) for name, ids in rows(lab, "interface", "name", "external_ids") if "vm-uuid" in dict(ids[1])]
    (only,) = found
    return only


def link(lab, device):
    done = lab.run(NODE, "ip", "-d", "-j", "link", "show", "dev", device, expect=None)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def as_user(lab, uid, *command, expect=0, timeout=60):
    return lab.run(NODE, "setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *command, expect=expect, timeout=timeout)


def change(lab, old, new):
    text = lab.file.read_text()
    assert old in text
    lab.file.write_text(text.replace(old, new))


def test_a_guest_on_the_tap_gets_its_address_and_its_gateway_answers_and_nobody_else_may_open_it(lab):
    device, ids = tap_of(lab)
    assert device == "tap" + ids["iface-id"][:11]
    assert {k: ids[k] for k in ("attached-mac", "iface-status", "vm-id", "vm-uuid")} == {
        "attached-mac": MAC, "iface-status": "active", "vm-id": "5f0c1f7e-3d0b-4c4e-9d59-0e1f6a7b8c02",
        "vm-uuid": "5f0c1f7e-3d0b-4c4e-9d59-0e1f6a7b8c02"}
    shown = link(lab, device)
    made = shown["linkinfo"]["info_data"]
    assert made["type"] == "tap" and made["persist"] and str(made["user"]) == str(OWNER)
    assert not made["vnet_hdr"] and not made["multi_queue"] and not made["pi"]
    assert shown["mtu"] == 1500 and "UP" in shown["flags"] and "LOWER_UP" not in shown["flags"]
    assert lab.writes(NODE) == NOTHING

    as_user(lab, 65534, sys.executable, GUEST, device, MAC, expect=13)
    said = json.loads(as_user(lab, OWNER, sys.executable, GUEST, device, MAC).stdout)
    assert said == {"uid": OWNER, "address": "50.50.1.12", "gateway": "50.50.1.1", "mtu": 1500, "pinged": True}
    # A guest with another MAC than its port's is nobody.
    assert json.loads(as_user(lab, OWNER, sys.executable, GUEST, device, "02:77:65:66:74:99").stdout)["address"] is None
    assert lab.writes(NODE) == NOTHING
    # The lab's matrix leaves out what no guest of it could answer.
    cells = lab.cells()
    assert cells and [c for c in cells if not c["ok"] or "proj_one/vm2" in (c["from"], c["to"])] == []


def test_another_user_gets_the_tap_in_place_unless_a_guest_has_it_open(lab):
    device, _ = tap_of(lab)
    (number,) = [n for name, n in rows(lab, "interface", "name", "ofport") if name == device]
    index = link(lab, device)["ifindex"]
    change(lab, f"user: {OWNER}", "user: nobody")
    holding = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{NODE}", "--", sys.executable, "-c",
                                "import sys; sys.path.insert(0, sys.argv[3]); import guest\n"
                                "g = guest.Guest(sys.argv[1], bytes.fromhex(sys.argv[2].replace(':', '')))\nprint('open', flush=True)\nsys.stdin.read()",
                                device, MAC, str(GUEST.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holding.stdout.readline() == "open\n"
        refused = lab.on(NODE, "apply", expect=1).stderr
        assert device in refused and "a guest has the device open" in refused
        assert lab.on(NODE, "plan", expect=2).stdout.count("owner 64055 → 65534") == 1
    finally:
        holding.communicate(timeout=10)
    assert "1 step" in lab.on(NODE, "apply").stdout
    as_user(lab, OWNER, sys.executable, GUEST, device, MAC, expect=13)
    assert json.loads(as_user(lab, 65534, sys.executable, GUEST, device, MAC).stdout)["pinged"]
    assert link(lab, device)["ifindex"] == index  # the same device, at the same port
    assert [n for name, n in rows(lab, "interface", "name", "ofport") if name == device] == [number]
    assert lab.writes(NODE) == NOTHING


def test_a_tap_goes_with_its_port_and_a_foreign_device_of_its_name_is_left_alone(lab):
    device, _ = tap_of(lab)
    text = lab.file.read_text()
    lab.file.write_text("".join(line for line in text.splitlines(True) if "vm2:" not in line))
    lab.on(NODE, "apply")
    assert link(lab, device) is None
    assert device not in [name for (name,) in rows(lab, "port", "name")]
    assert lab.writes(NODE) == NOTHING

    lab.run(NODE, "ip", "tuntap", "add", device, "mode", "tap")
    lab.file.write_text(text)
    refused = lab.on(NODE, "apply", expect=1).stderr
    assert device in refused and "bears no mark of weft" in refused
    assert link(lab, device)["group"] == "default"
    lab.run(NODE, "ip", "link", "delete", device)

    # The same with a port that somebody made of its name.
    lab.run(NODE, "ovs-vsctl", "add-port", "br-int", device, "--", "set", "interface", device, "type=internal")
    lab.on(NODE, "apply", expect=1)
    lab.run(NODE, "ovs-vsctl", "del-port", device)
    eventually(lambda: link(lab, device) is None)
    lab.on(NODE, "apply")
    assert json.loads(as_user(lab, OWNER, sys.executable, GUEST, device, MAC).stdout)["pinged"]
    lab.on(NODE, "plan", expect=0)
    lab.run(NODE, PROGRAM, "remove", "--node", NODE)
    assert link(lab, device) is None


def test_a_user_that_the_node_does_not_know_is_refused_before_anything_is_written(lab):
    change(lab, f"user: {OWNER}", "user: nobody-knows-me")
    refused = lab.on(NODE, "apply", expect=1).stderr
    assert "nobody-knows-me" in refused and "no such user" in refused


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs QEMU")
def test_a_real_qemu_run_by_the_taps_user_boots_from_the_network(lab):
    device, _ = tap_of(lab)
    process = subprocess.Popen(
        [PROGRAM, "lab", "exec", f"{lab.name}/{NODE}", "--", "setpriv", "--reuid", str(OWNER), "--regid", str(OWNER), "--clear-groups",
         GUESTS.parent / "vm2.sh", "-accel", "tcg", "-nodefaults", "-no-user-config", "-monitor", "none", "-serial", "none"],
        stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: "LOWER_UP" in link(lab, device)["flags"])
        # The boot ROM of the card asks for an address and is given that of the port.
        leases = "/var/lib/weft/services/guests"
        eventually(lambda: f"{MAC} 50.50.1.12" in lab.run(NODE, "sh", "-c", f"cat {leases}/*/leases", expect=None).stdout, seconds=40)
        assert lab.writes(NODE) == NOTHING  # a guest that runs is no difference
    finally:
        process.kill()
        _, said = process.communicate(timeout=10)
    assert said == ""


def test_the_examples_for_libvirt_and_qemu_have_the_values_that_weft_shows(lab):
    ports = {p["port"]: p for p in json.loads(lab.on(NODE, "show", "--json").stdout)["ports"]}
    said = lab.on(NODE, "show").stdout
    for p in ports.values():
        assert f"port {p['port']} id {p['id']} mac {p['mac']} address {p['address']} mtu {p['mtu']} {p['attach']}, device {p['device']}" in said
    plugged = ElementTree.parse(GUESTS.parent / "vm1.xml").find("./devices/interface")
    vm1 = ports["proj_one/vm1"]
    assert plugged.get("type") == "bridge" and plugged.find("source").get("bridge") == "br-int"
    assert plugged.find("mac").get("address") == vm1["mac"]
    assert plugged.find("virtualport").get("type") == "openvswitch"
    assert plugged.find("virtualport/parameters").get("interfaceid") == vm1["id"]
    assert plugged.find("target").get("dev") == vm1["tap"]

    domain = ElementTree.parse(GUESTS.parent / "vm2.xml").getroot()
    made, vm2 = domain.find("./devices/interface"), ports["proj_one/vm2"]
    assert made.get("type") == "ethernet" and made.find("target").attrib == {"dev": vm2["device"], "managed": "no"}
    assert made.find("mac").get("address") == vm2["mac"]
    device, ids = tap_of(lab)
    assert device == vm2["device"] and ids["iface-id"] == vm2["id"]
    assert domain.find("uuid").text == ids["vm-uuid"]
    command = (GUESTS.parent / "vm2.sh").read_text()
    assert f"ifname={vm2['device']}," in command and f"mac={vm2['mac']} " in command


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_run_that_is_killed_while_it_makes_the_tap_leaves_none_behind(lab):
    lab.on(NODE, "apply")
    device = tap_of(lab)[0]
    file = str(lab.file)
    apply = [PROGRAM, "apply", file, "--node", NODE]

    def traced(*more):
        return lab.run(NODE, "strace", "-qq", "-o", "/run/trace", "-e", "trace=ioctl", *more, *apply, expect=None)

    lab.run(NODE, PROGRAM, "remove", "--node", NODE)
    assert traced().returncode == 0
    own = lab.run(NODE, "cat", "/run/trace").stdout.splitlines()
    places = [n for n, text in enumerate(own, 1) if "TUNSET" in text]
    assert len(places) >= 3 and "TUNSETPERSIST" in own[places[-1] - 1]
    for n in places:
        lab.run(NODE, PROGRAM, "remove", "--node", NODE)
        assert link(lab, device) is None
        assert traced("-e", f"inject=ioctl:signal=KILL:when={n}").returncode != 0
        lab.run(NODE, PROGRAM, "recover")
        assert link(lab, device) is None, own[n - 1]
        lab.on(NODE, "apply")
        assert "nothing to do" in lab.on(NODE, "apply").stdout
