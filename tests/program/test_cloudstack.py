# SPDX-License-Identifier: Apache-2.0
"""CloudStack hosts in a lab with VXLAN guest networks: every cell, isolation by frames, the MTU to the byte, what is the agent's or somebody else's
stays through apply and remove, and remove leaves nothing of ours.

    web1, db1 - kvm1 - cloudbr1 ----- vm-config ----- cloudbr1 - kvm2, kvm3 - web2, db2, zenith's
"""
import json
import re

import pytest

from conftest import FABRICS, PROGRAM, Ear, Lab, weft

HOSTS = ["kvm1", "kvm2", "kvm3"]
NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}
GUEST_MTU = 1500 - 20 - 8 - 8 - 14  # IPv4, UDP, VXLAN, the inner Ethernet
HEADERS = 20 + 8  # IPv4 and ICMP, which ping's size leaves out


class Cloud(Lab):
    def links(self, host):
        return {l["ifname"]: l for l in json.loads(self.run(host, "ip", "-d", "-j", "link").stdout)}

    def ports(self, host, bridge):
        return {name for name, l in self.links(host).items() if l.get("master") == bridge}

    def ping(self, guest, target, *words, expect=0):
        return self.run(guest, "ping", "-q", "-c", "2", "-i", "0.2", "-W", "1", *words, target, expect=expect)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    file = tmp_path_factory.mktemp("cloudstack") / "fabric.yaml"
    file.write_text((FABRICS / "cloudstack.yaml").read_text())
    weft("allocate", file)
    standing = Cloud(file)
    yield standing
    standing.down()


def test_every_cell_is_as_expected_and_a_second_apply_writes_nothing(cloud):
    cloud.assert_green()
    for host in HOSTS:
        assert cloud.writes(host) == NOTHING


def test_bridges_and_devices_are_those_that_the_agent_looks_for(cloud):
    links = cloud.links("kvm1")
    assert {"cloud0", "cloudbr0", "cloudbr1", "brvx-101", "brvx-102"} <= links.keys()
    device = links["vxlan101"]
    assert device["master"] == "brvx-101" and device["mtu"] == GUEST_MTU
    data = device["linkinfo"]["info_data"]
    assert (data["id"], data["group"], data["link"], data["port"], data["ttl"]) == (101, "239.0.0.101", "cloudbr1", 8472, 10)
    (control,) = json.loads(cloud.run("kvm1", "ip", "-j", "-4", "address", "show", "dev", "cloud0").stdout)
    assert [(a["local"], a["prefixlen"]) for a in control["addr_info"]] == [("169.254.0.1", 16)]
    assert "cloudbr1" in cloud.run("kvm1", "ip", "route", "show", "239.0.0.101").stdout


def test_full_packets_pass_and_one_byte_more_does_not(cloud):
    target = cloud.address("acme/web2")
    cloud.ping("acme/web1", target, "-M", "do", "-s", str(GUEST_MTU - HEADERS))
    told = cloud.run("acme/web1", "ping", "-c", "1", "-W", "1", "-M", "do", "-s", str(GUEST_MTU - HEADERS + 1), target, expect=1)
    assert "message too long" in told.stdout + told.stderr


def test_a_broadcast_stays_in_its_network(cloud):
    near, other, twin = (Ear(cloud, guest, "arp") for guest in ("acme/web2", "acme/db1", "zenith/web1"))
    cloud.run("acme/web1", "ip", "neigh", "flush", "all")
    cloud.ping("acme/web1", "10.1.1.199", expect=1)  # nobody has it, so that it is asked for
    assert "who-has 10.1.1.199" in near.stop()
    assert "10.1.1.199" not in other.stop()
    assert "10.1.1.199" not in twin.stop()


def test_guests_and_bridges_of_others_stay_through_apply_and_remove(cloud):
    host, tap = "kvm1", "vnet77"
    cloud.run(host, "ip", "tuntap", "add", tap, "mode", "tap")
    cloud.run(host, "ip", "link", "set", tap, "master", "brvx-101", "up")
    cloud.run(host, "ip", "link", "add", "theirs", "type", "bridge")
    cloud.run(host, "ip", "link", "add", "brvx-999", "type", "bridge")  # the agent's own, of a network that the file does not know
    theirs = {"theirs", "brvx-999"}
    before = {name: cloud.links(host)[name]["address"] for name in theirs | {tap}}
    assert cloud.writes(host) == NOTHING
    assert tap in cloud.ports(host, "brvx-101")
    guests = cloud.ports(host, "brvx-101") - {"vxlan101"}

    cloud.run(host, PROGRAM, "remove", "--node", host)
    links = cloud.links(host)
    assert {name: links[name]["address"] for name in before} == before
    assert guests <= links.keys()
    gone = {"cloud0", "cloudbr0", "cloudbr1", "brvx-101", "brvx-102", "vxlan101", "vxlan102"}
    assert not gone & links.keys()
    assert "239." not in cloud.run(host, "ip", "route").stdout
    assert cloud.run(host, "nft", "list", "ruleset").stdout.strip() == ""

    cloud.on(host, "apply")
    for guest in guests:  # who plugged it, plugs it again
        cloud.run(host, "ip", "link", "set", guest, "master", "brvx-101")
    assert cloud.writes(host) == NOTHING
    cloud.ping("acme/web1", cloud.address("acme/web2"))


def test_a_removal_that_is_killed_anywhere_is_undone_or_done_as_a_whole(cloud):
    host = "kvm1"

    def state():
        links = {name: (l.get("master"), l["mtu"], l.get("ifalias")) for name, l in cloud.links(host).items() if not name.startswith("vnet")}
        said = cloud.run(host, "sh", "-c", "ip -o -4 address; ip route; cd /proc/sys/net/ipv6/conf; grep . c*/disable_ipv6 br*/disable_ipv6 vx*/disable_ipv6; true").stdout
        return links, sorted(re.sub(r"^\d+: ", "", line) for line in said.splitlines() if "vnet" not in line)

    def remove(fault):
        return cloud.run(host, "env", f"WEFT_FAULT={fault}", PROGRAM, "remove", "--node", host, expect=None)

    old = state()
    points = re.findall(r"weft: fault: log (journal \d+),", remove("log journal 0").stderr)
    new = state()
    assert len(points) > 8 and old != new
    for point in points:
        cloud.on(host, "apply")
        assert state() == old, point
        assert remove(f"kill {point}").returncode != 0
        cloud.run(host, PROGRAM, "recover")
        assert state() in (old, new), point
    cloud.on(host, "apply")
    assert state() == old
