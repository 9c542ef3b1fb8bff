# SPDX-License-Identifier: Apache-2.0
"""A NIC that holds the host's addresses joins an Open vSwitch bridge: all of it moves there and back, in a lab, under pings at 1 kHz."""
import json
import re
import subprocess

import pytest

from conftest import FABRICS, PROGRAM, UPLINK, Lab, eventually

DATABASE = "/etc/openvswitch/conf.db"
OWN = UPLINK + """
ip link add elsewhere type veth peer name elsewhere-x
ip link set elsewhere up
ip address add 172.31.0.1/24 dev elsewhere
ip route add 172.30.0.0/16 via 172.31.0.2 dev elsewhere
"""


def state(lab):
    """What the network node's own namespace has, but for what the kernel makes of link-local addresses in its own time."""
    out = {}
    for what in ("-4 address show", "-6 address show scope global", "-4 route show table all", "-6 route show table all", "-4 rule show",
                 "-6 rule show", "neighbour show nud permanent"):
        rows = json.loads(lab.run("network", "ip", "-j", *what.split()).stdout or "[]")
        keep = []
        for row in rows:
            if row.get("ifname") not in (None, "eth0", "eth1", "eth2", "elsewhere"):
                continue
            if row.get("dst", "").startswith(("fe80:", "ff00:", "multicast")):
                continue
            for key in ("ifindex", "flags", "link_index"):
                row.pop(key, None)
            for address in row.get("addr_info", []):
                address.pop("tentative", None)
            keep.append(json.dumps(row, sort_keys=True))
        out[what] = sorted(keep)
    return out


def bare_host(lab, text=OWN):
    """A node as it was before weft, with an uplink that the host itself needs."""
    lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
    lab.run("network", "sh", "-ec", text)


class Pinger:
    """`ping` at 1 kHz for five seconds, at most 20 of them for a change in their middle."""

    def __init__(self, lab):
        self.process = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/lan1", "--", "ping", "-n", "-i", "0.001", "-c", "5000", "-W", "1",
                                         "192.168.100.52"], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "icmp_seq=300 " in line:
                break

    def result(self):
        """How many were lost, and how many came twice."""
        text = self.process.communicate(timeout=60)[0]
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        twice = re.search(r"\+(\d+) duplicates", text)
        assert sent == 5000
        return sent - received, int(twice.group(1)) if twice else 0


def test_the_uplink_moves_and_comes_back_and_nothing_of_the_host_is_lost(lab):
    bare_host(lab)
    before = state(lab)
    pinger = Pinger(lab)
    plan = lab.on("network", "plan", expect=2).stdout
    assert "+ address 192.168.100.52/24 dev br-ex  [eth2 pauses for a moment" in plan
    lab.on("network", "apply")
    lost, twice = pinger.result()
    assert lost < 200 and twice == 0  # benchmarks/uplink_move.sh has the figure

    def named(rows):
        return sorted(re.sub(r'"br-ex(:1)?"', r'"eth2\1"', row) for row in rows if '"eth1"' not in row and "br-eth1" not in row)

    now = state(lab)
    for what in ("-4 rule show", "-6 rule show", "neighbour show nud permanent", "-6 route show table all"):
        assert named(now[what]) == [row for row in before[what] if '"eth1"' not in row], what
    mine = [r for r in named(now["-4 route show table all"]) if "10.20.20" not in r and "10.10.10" not in r]
    assert mine == before["-4 route show table all"]
    assert "eth2" not in "".join(row for rows in now.values() for row in rows if "addr_info\": [{" not in row and '"ifname": "eth2"' not in row)
    # The host reaches the world, and routers of tenants share the uplink.
    lab.run("network", "ping", "-c", "1", "-W", "2", "203.0.113.10")
    lab.run("proj_one/vm1", "ping", "-c", "3", "-W", "2", "192.168.100.200")

    nothing = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}
    assert lab.writes("network") == nothing
    assert lab.writes("network") == nothing

    pinger = Pinger(lab)
    lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
    lost, twice = pinger.result()
    assert lost < 200 and twice == 0
    eventually(lambda: state(lab) == before)


def test_a_later_step_that_fails_brings_everything_back_to_the_nic(lab, tmp_path):
    # A route of weft's own whose gateway this host forbids: it is made after the move.
    bare_host(lab, OWN.replace("add default via 192.168.100.1 dev eth2", "add default via 192.168.100.1 dev eth2 metric 50") +
              "ip rule add to 10.20.20.1 priority 500 unreachable\n")
    text = (FABRICS / "grizzly.yaml").read_text()
    file = tmp_path / "fabric.yaml"
    file.write_text(text.replace("vm-config:  { cidr: 10.20.20.0/24,", "vm-config:  { cidr: 10.20.20.0/24, gateway: 10.20.20.1,"))
    before = state(lab)
    pinger = Pinger(lab)
    failed = lab.on("network", "apply", file=file, expect=None)
    assert failed.returncode not in (0, 2) and "all earlier steps were undone" in failed.stderr, failed.stderr
    lost, twice = pinger.result()
    assert lost < 400 and twice == 0
    eventually(lambda: state(lab) == before)
    assert lab.run("network", "ovs-vsctl", "list-br").stdout == ""


def test_after_a_boot_what_the_host_put_on_the_nic_again_moves_again(lab):
    # At a boot the database still has the port, and the host's own start gives the NIC what it had.
    lab.run("network", "sh", "-ec", "ip link set br-ex down\nip address flush dev br-ex\nnft delete table netdev weft\n"
                                    "ip address add 192.168.100.52/24 dev eth2\nip route add default via 192.168.100.1 dev eth2")
    lab.run("lan1", "ping", "-c", "1", "-W", "1", "192.168.100.52", expect=None)
    lab.on("network", "apply")
    lab.run("lan1", "ping", "-c", "2", "-W", "2", "192.168.100.52")
    assert "dev br-ex" in lab.run("network", "ip", "route", "show", "default").stdout
    assert lab.writes("network")["steps"] == 0
    lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
    lab.run("lan1", "ping", "-c", "2", "-W", "2", "192.168.100.52")
    assert "dev eth2" in lab.run("network", "ip", "route", "show", "default").stdout


@pytest.mark.parametrize("database", ["older", "empty"])
def test_what_went_with_the_bridge_is_on_the_nic_again_when_the_fabric_is_removed(lab, database):
    bare_host(lab)
    before = state(lab)
    lab.run("network", "cp", DATABASE, "/run/older.db")
    lab.on("network", "apply")
    assert "192.168.100.52" in lab.run("network", "ip", "address", "show", "dev", "br-ex").stdout
    lab.kill("network", "ovsdb-server")
    lab.run("network", "rm", DATABASE)
    if database == "older":
        lab.run("network", "cp", "/run/older.db", DATABASE)
    else:
        lab.run("network", "ovsdb-tool", "create", DATABASE, "/usr/share/openvswitch/vswitch.ovsschema")
    lab.start_server("network")
    if database == "empty":
        lab.run("network", "ovs-vsctl", "--no-wait", "init")
    eventually(lambda: lab.run("network", "ip", "link", "show", "br-ex", expect=None).returncode != 0)
    assert "192.168.100.52" not in lab.run("network", "ip", "address").stdout
    lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
    eventually(lambda: state(lab) == before)
    lab.run("lan1", "ping", "-c", "2", "-W", "2", "192.168.100.52")
    lab.on("network", "apply")
    assert lab.writes("network")["steps"] == 0


def test_the_hosts_address_is_not_put_on_a_bridge_with_a_controller(lab):
    lab.run("network", "sh", "-ec", "ovs-vsctl set-controller br-ex tcp:192.0.2.1:6653")
    # There is nothing of the host's on br-ex, so that it is its owner's business.
    assert lab.writes("network")["steps"] == 0
    lab.run("network", "sh", "-ec", "ip address add 192.168.100.52/24 dev eth2")
    before = state(lab)
    for verb in ("plan", "apply"):
        refused = lab.on("network", verb, expect=None)
        assert refused.returncode not in (0, 2) and "tcp:192.0.2.1:6653" in refused.stderr and "del-controller br-ex" in refused.stderr
    assert state(lab) == before
    lab.run("network", "ovs-vsctl", "del-controller", "br-ex")
    lab.on("network", "apply")
    lab.run("lan1", "ping", "-c", "2", "-W", "2", "192.168.100.52")


def test_a_leased_address_is_refused_with_the_reason(lab):
    bare_host(lab, "ip address add 192.168.100.52/24 dev eth2 valid_lft 3600 preferred_lft 3600")
    before = state(lab)
    refused = lab.on("network", "apply", expect=None)
    assert refused.returncode not in (0, 2) and "has a lifetime" in refused.stderr and "nothing was changed" in refused.stderr
    assert [row for rows in state(lab).values() for row in rows if "valid_life_time" not in row] == \
           [row for rows in before.values() for row in rows if "valid_life_time" not in row]


def mac_and_mtu(lab, device):
    (link,) = json.loads(lab.run("network", "ip", "-j", "link", "show", "dev", device).stdout)
    return link["address"], link["mtu"]


@pytest.mark.parametrize("mtu", [1400, 9000])
def test_the_bridge_has_the_mac_of_its_nic_and_the_mtu_of_its_network_and_the_nic_has_its_own_again(mtu, tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "grizzly.yaml").read_text()
    file.write_text(text.replace("cidr: 192.168.100.0/24,", f"cidr: 192.168.100.0/24, mtu: {mtu},", 1))
    assert file.read_text() != text
    lab = Lab(file)
    try:
        bare_host(lab, OWN + f"ip link set elsewhere-x address 02:00:00:00:00:01 mtu 1280 up\n")
        # What an operator may have set: another MTU than the file's, and a MAC that is higher than those of other ports.
        for own in (1500, 9000, 1300):
            lab.run("network", "sh", "-ec", f"ip link set eth2 address fe:00:00:00:0{own // 1000}:52; ip link set eth2 mtu {own}")
            lab.run("network", "ip", "route", "replace", "default", "via", "192.168.100.1", "dev", "eth2")
            before, mine = state(lab), mac_and_mtu(lab, "eth2")
            assert mine == (f"fe:00:00:00:0{own // 1000}:52", own)
            lab.on("network", "apply")
            assert mac_and_mtu(lab, "eth2") == mac_and_mtu(lab, "br-ex") == (mine[0], mtu)
            # Full packets go both ways and larger ones do not, so that the switch knows of it too.
            for size, arrives in ((mtu, True), (mtu + 1, False)):
                done = lab.run("network", "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", size - 28, "192.168.100.200", expect=None)
                assert (done.returncode == 0) == arrives, done.stdout + done.stderr
            # A bridge takes the lowest MAC of its ports, and the lowest MTU, where nobody says otherwise.
            lab.run("network", "ovs-vsctl", "add-port", "br-ex", "elsewhere-x")
            assert mac_and_mtu(lab, "br-ex") == (mine[0], mtu)
            lab.run("network", "ovs-vsctl", "del-port", "br-ex", "elsewhere-x")
            assert lab.writes("network")["steps"] == 0
            lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
            assert mac_and_mtu(lab, "eth2") == mine
            eventually(lambda: state(lab) == before)
    finally:
        lab.down()
