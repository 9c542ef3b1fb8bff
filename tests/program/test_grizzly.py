# SPDX-License-Identifier: Apache-2.0
"""Profile grizzly: weft's nodes talk to one that was built by hand, with ovs-vsctl and ovs-ofctl, as OpenStack Grizzly's agent did
it; a port that is nobody's neither speaks nor hears; from one profile to the other, back, undone and taken off."""
import json
import re
import time

import pytest

from conftest import FABRICS, PROGRAM, Ear, Lab, eventually, weft

SWITCHES = ["network", "compute1", "compute2", "compute3"]
NOTHING = {"steps": 0, "netlink_writes": 0, "ovsdb_writes": 0, "flow_writes": 0}
LEARNED = "0x7765667400006c6e"  # the cookie of what the default profile's learn action leaves
TENANT_MTU = 1500 - 20 - 8 - 14 - 4  # IPv4, GRE with key, Ethernet, and the tag that stays on
MANY = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"
HAND_VLANS = {"proj_one/net1": 101, "proj_two/net1": 102}  # of the node built by hand: none that weft would choose


class Compat(Lab):
    def __init__(self, folder):
        self.text = (FABRICS / "grizzly-compat.yaml").read_text()
        file = folder / "fabric.yaml"
        file.write_text(self.text)
        weft("allocate", file)
        lock = json.loads(weft("allocate", file, "--json").stdout)
        self.ids = {key.replace("/networks/", "/")[:-3]: int(value) for key, value in lock.items() if re.fullmatch(r"[^/]+/networks/[^/]+/id", key)}
        super().__init__(file)

    def mac(self, vm):
        return json.loads(self.run(vm, "ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["address"]

    def plug(self, node, vm):
        """The device of a VM on its node."""
        return self.run(node, "ovs-vsctl", "--bare", "--columns=name", "find", "interface", f'external_ids:attached-mac="{self.mac(vm)}"').stdout.strip()

    def flows(self, node, bridge):
        """(table, priority, match, actions) of each, as ovs-ofctl tells them in the OpenFlow of that time."""
        out = set()
        for text in self.run(node, "ovs-ofctl", "-OOpenFlow10", "--names", "--no-stats", "dump-flows", bridge).stdout.splitlines():
            if "actions=" not in text:
                continue
            head, actions = text.strip().split(" actions=")
            words = [w for w in re.split(r"[, ]+", head) if not re.match(r"cookie=|idle_|hard_", w)]
            table = [int(w[6:]) for w in words if w.startswith("table=")] or [0]
            (priority,) = [int(w[9:]) for w in words if w.startswith("priority=")]
            out.add((table[0], priority, ",".join(w for w in words if not w.startswith(("table=", "priority="))).replace('"', ""), actions.replace('"', "")))
        return out

    def vlans(self, node):
        """The local VLAN of each network on the node, out of the rows' own memory."""
        rows = json.loads(self.run(node, "ovs-vsctl", "-f", "json", "-d", "json", "--columns=tag,other_config", "list", "port").stdout)["data"]
        return {dict(config[1])["weft-network"]: tag for tag, config in rows if "weft-network" in dict(config[1]) and isinstance(tag, int) and tag != 4095}

    def vif_macs(self, node):
        """(tag, MAC) of whatever is in a network there."""
        tags = self.tags(node)
        rows = json.loads(self.run(node, "ovs-vsctl", "-f", "json", "-d", "json", "--columns=name,external_ids", "list", "interface").stdout)["data"]
        return {(tags[name], dict(ids[1])["attached-mac"]) for name, ids in rows if tags.get(name, 4095) != 4095 and "attached-mac" in dict(ids[1])}

    def ping(self, vm, target, *words, expect=0):
        return self.run(vm, "ping", "-q", "-c", "3", "-i", "0.1", "-W", "1", *words, target, expect=expect)

    def forget_neighbours(self, *vms):
        for vm in vms:
            self.run(vm, "ip", "neigh", "flush", "all")


@pytest.fixture
def lab(tmp_path):
    standing = Compat(tmp_path)
    yield standing
    standing.down()


def section_5(lab, node):
    """The flows of br-tun that DATAPLANE section 5 asks for; mod_vlan_vid as a load, which replaces the tag just the same."""
    vlans = lab.vlans(node)
    out = {(0, 1, "", "drop")}
    for network, vlan in vlans.items():
        seg = f"0x{lab.ids[network]:x}"
        arrive = f"load:0x{vlan | 0x1000:x}->NXM_OF_VLAN_TCI[0..12]"
        out |= {(0, 4, f"in_port=patch-int,dl_vlan={vlan}", f"load:{seg}->NXM_NX_TUN_ID[],NORMAL"),
                (0, 3, f"tun_id={seg},{MANY}", f"{arrive},output:patch-int")}
        out |= {(0, 3, f"tun_id={seg},dl_dst={mac}", f"{arrive},NORMAL") for tag, mac in lab.vif_macs(node) if tag == vlan}
    return out


def plain(flows):
    """ovs-ofctl has two words for the same: set_tunnel, and a load of the tunnel's id."""
    return {(t, p, m, re.sub(r"set_tunnel(64)?:(0x[0-9a-f]+)", r"load:\2->NXM_NX_TUN_ID[]", a)) for t, p, m, a in flows}


def test_the_flows_are_those_of_section_5_to_the_last_one_and_tenants_have_1454_bytes(lab):
    lab.assert_green()
    for node in SWITCHES:
        assert lab.flows(node, "br-int") == {(0, 1, "", "NORMAL")}
        assert plain(lab.flows(node, "br-tun")) == section_5(lab, node)
        assert lab.writes(node) == NOTHING
    # What is left is the wire's, not the devices': they may carry more than the tunnel.
    for vm, node in (("proj_one/vm1", "compute1"), ("proj_one/vm2", "compute2")):
        assert json.loads(lab.run(vm, "ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["mtu"] == TENANT_MTU
        lab.run(vm, "ip", "link", "set", "eth0", "mtu", "1500")
        lab.run(node, "ip", "link", "set", lab.plug(node, vm), "mtu", "1500")
    for vm, peer in (("proj_one/vm1", "proj_one/vm2"), ("proj_one/vm2", "proj_one/vm1")):
        lab.ping(vm, lab.address(peer), "-M", "do", "-s", str(TENANT_MTU - 28))
        lab.ping(vm, lab.address(peer), "-M", "do", "-s", str(TENANT_MTU - 28 + 1), expect=1)


def build_by_hand(lab, node, endpoint, vms):
    """br-int and br-tun as the guide and Grizzly's agent made them; br-phy below, because the switch here is the userspace one."""
    peers = [e for e in ("10.20.20.52", "10.20.20.53", "10.20.20.54", "10.20.20.55") if e != endpoint]
    taps = {vm: lab.plug(node, vm) for vm in vms}
    macs = {vm: lab.mac(vm) for vm in vms}
    lab.run(node, PROGRAM, "remove", "--node", node)
    assert lab.run(node, "ovs-vsctl", "list-br").stdout == ""
    assert lab.run(node, "nft", "list", "ruleset").stdout == ""
    assert lab.run(node, "ip", "-4", "-br", "address", "show", "dev", "eth1").stdout == ""
    hwaddr = json.loads(lab.run(node, "ip", "-j", "link", "show", "dev", "eth1").stdout)[0]["address"]
    lab.run(node, "nft", "add table netdev hand")
    for device in ("eth1", *taps.values()):  # the host's own stack sees each frame of a port of this switch, and would answer too
        lab.run(node, "nft", f"add chain netdev hand drop-{device} {{ type filter hook ingress device {device} priority -300; policy drop; }}")
    words = ["ovs-vsctl", "--timeout=20", "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", f'other_config:hwaddr="{hwaddr}"',
             "--", "add-port", "br-phy", "eth1"]
    for bridge, port, peer in (("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun")):
        words += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "--", "add-port", bridge, port,
                  "--", "set", "interface", port, "type=patch", f"options:peer={peer}"]
    for number, peer in enumerate(peers, 1):
        words += ["--", "add-port", "br-tun", f"gre-{number}", "--", "set", "interface", f"gre-{number}", "type=gre", f"options:remote_ip={peer}",
                  "options:in_key=flow", "options:out_key=flow"]
    for vm, network in vms.items():
        words += ["--", "add-port", "br-int", taps[vm], f"tag={HAND_VLANS[network]}"]
    lab.run(node, *words)
    lab.run(node, "ip", "link", "set", "eth1", "up")
    lab.run(node, "ip", "link", "set", "br-phy", "up")
    lab.run(node, "ip", "address", "add", f"{endpoint}/24", "dev", "br-phy")
    patch = lab.run(node, "ovs-vsctl", "get", "interface", "patch-int", "ofport").stdout.strip()
    flows = {"br-int": ["priority=1,actions=normal"], "br-tun": ["priority=1,actions=drop"]}
    for network in set(vms.values()):
        seg, vlan = lab.ids[network], HAND_VLANS[network]
        flows["br-tun"] += [f"priority=4,in_port={patch},dl_vlan={vlan},actions=set_tunnel:{seg},normal",
                            f"priority=3,tun_id={seg},{MANY},actions=mod_vlan_vid:{vlan},output:{patch}"]
    for vm, network in vms.items():
        flows["br-tun"].append(f"priority=3,tun_id={lab.ids[network]},dl_dst={macs[vm]},actions=mod_vlan_vid:{HAND_VLANS[network]},normal")
    for bridge, lines in flows.items():
        lab.run(node, "ovs-ofctl", "-OOpenFlow10", "del-flows", bridge)
        for line in lines:
            lab.run(node, "ovs-ofctl", "-OOpenFlow10", "add-flow", bridge, line)
    return taps


def test_a_node_built_by_hand_is_talked_to_both_ways(lab):
    hand, ours, ours_too, router = "proj_one/vm4", "proj_one/vm1", "proj_one/vm2", "50.50.1.1"
    build_by_hand(lab, "compute3", "10.20.20.55", {hand: "proj_one/net1", "proj_two/vm2": "proj_two/net1"})
    address = {vm: lab.address(vm) for vm in (hand, ours, ours_too, "proj_two/vm1", "proj_two/vm2")}
    eventually(lambda: lab.run("compute3", "ping", "-c", "1", "-W", "1", "10.20.20.53", expect=None).returncode == 0)

    # Both ways, each beginning with a question to everybody.
    for vm, target in ((hand, address[ours]), (ours, address[hand]), (hand, address[ours_too]), (ours_too, address[hand]), (hand, router),
                       ("proj_two/vm1", address["proj_two/vm2"]), ("proj_two/vm2", address["proj_two/vm1"]), ("proj_two/vm2", router)):
        lab.forget_neighbours(hand, ours, ours_too, "proj_two/vm1", "proj_two/vm2")
        told = lab.ping(vm, target).stdout
        assert " 0% packet loss" in told and "duplicates" not in told, (vm, target, told)
    # It serves DHCP to whoever is behind the tunnel, too.
    leased = lab.run(hand, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", "/bin/true", expect=None)
    assert f"lease of {address[hand]} obtained" in leased.stdout + leased.stderr

    # Other tenants hear nothing of it, not even what is for everybody; their own they hear.
    for asker, wanted, heard_by, deaf in ((hand, address[ours], ours, "proj_two/vm1"), (ours, address[hand], hand, "proj_two/vm2")):
        ears = {vm: Ear(lab, vm, f"arp and ether src {lab.mac(asker)}") for vm in (heard_by, deaf)}
        lab.run(asker, "arping", "-b", "-c", "3", "-w", "2", "-I", "eth0", wanted, expect=None)
        assert wanted in ears[heard_by].stop()
        assert ears[deaf].stop() == ""

    # On the wire each side's frames keep its own tag: 0x8100 and the sender's local VLAN, behind 4 + 4 + 12 bytes of GRE and MACs.
    seen = lab.vlans("compute1")["proj_one/net1"]
    assert seen not in HAND_VLANS.values()
    for node, source, vlan in (("compute1", "10.20.20.55", HAND_VLANS["proj_one/net1"]), ("compute3", "10.20.20.53", seen)):
        ear = Ear(lab, node, f"proto gre and src host {source}", "eth1", more=["-xx"])
        lab.ping(hand, address[ours])
        assert f"8100 {vlan:04x} 0800" in re.sub(r"\s+0x[0-9a-f]+:\s+|\s+", " ", ear.stop()), (node, vlan)

    # To the byte, between the two kinds.
    for vm, node in ((hand, "compute3"), (ours, "compute1")):
        device = lab.run(node, "ovs-vsctl", "--bare", "--columns=name", "find", "port", f"tag={HAND_VLANS['proj_one/net1'] if node == 'compute3' else seen}").stdout.split()[0]
        lab.run(vm, "ip", "link", "set", "eth0", "mtu", "1500")
        lab.run(node, "ip", "link", "set", device, "mtu", "1500")
    for vm, peer in ((hand, ours), (ours, hand)):
        lab.ping(vm, address[peer], "-M", "do", "-s", str(TENANT_MTU - 28))
        lab.ping(vm, address[peer], "-M", "do", "-s", str(TENANT_MTU - 28 + 1), expect=1)
    # weft's own nodes did nothing about it, and have nothing to do.
    for node in ("network", "compute1", "compute2"):
        lab.on(node, "plan", expect=0)


def test_a_tag_that_a_vm_makes_itself_leads_nowhere(lab):
    send = "import socket,sys; s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind(('eth0',0)); [s.send(bytes.fromhex(sys.argv[1])) for _ in range(5)]"
    source, vlans = lab.mac("proj_one/vm1").replace(":", ""), lab.vlans("compute1")
    # The other tenant's VLAN on this node, and the tags behind which a second one would be read; at last no tag, which is to be heard.
    tags = ["8100%04x" % vlans["proj_two/net1"], "8100%04x" % vlans["proj_one/net1"], "8100%04x8100%04x" % (vlans["proj_one/net1"], vlans["proj_two/net1"]),
            "8100" + "0000" + "8100%04x" % vlans["proj_two/net1"], ""]
    for tag in tags:
        ears = {vm: Ear(lab, vm, f"ether src {lab.mac('proj_one/vm1')}") for vm in ("proj_two/vm1", "proj_two/vm2", "proj_one/vm2")}
        lab.run("proj_one/vm1", "/usr/bin/python3", "-c", send, "f" * 12 + source + tag + "88b5" + "00" * 50)
        heard = {vm: ear.stop() for vm, ear in ears.items()}
        assert heard["proj_two/vm1"] == heard["proj_two/vm2"] == "", tag
        if not tag:
            assert "88b5" in heard["proj_one/vm2"]


def test_a_port_that_is_nobodys_neither_speaks_nor_hears_and_leaves_no_trace(lab):
    before = lab.flows("compute1", "br-int"), lab.flows("compute1", "br-tun")
    lab.run("compute1", "ip", "netns", "add", "stranger")
    lab.run("compute1", "ip", "link", "add", "outer", "type", "veth", "peer", "name", "inner", "netns", "stranger")
    for words in (("sysctl", "-q", "-w", "net.ipv6.conf.outer.disable_ipv6=1"),  # what the host's own stack says there is not the switch's
                  ("ip", "link", "set", "outer", "up"), ("ip", "-n", "stranger", "link", "set", "inner", "up"),
                  ("ip", "-n", "stranger", "address", "add", "50.50.1.99/24", "dev", "inner"),
                  ("ovs-vsctl", "--timeout=20", "add-port", "br-int", "outer", "--", "set", "interface", "outer", "external_ids:iface-id=nobody")):
        lab.run("compute1", *words)
    lab.on("compute1", "apply")
    assert lab.writes("compute1") == NOTHING
    assert lab.flows("compute1", "br-int") == before[0] | {(0, 2, "in_port=outer", "drop")}
    assert lab.tags("compute1")["outer"] == 4095

    heard = Ear(lab, "compute1", "", "inner", inside=["ip", "netns", "exec", "stranger"])
    target = lab.address("proj_one/vm1")
    lab.forget_neighbours("proj_one/vm2")
    lab.ping("proj_one/vm2", target)
    lab.run("compute1", "ip", "netns", "exec", "stranger", "ping", "-c", "2", "-i", "0.2", "-W", "1", target, expect=1)
    assert heard.stop() == ""
    # In no network's VLAN any more: it would pass here, if only the tag were wrong.
    lab.run("compute1", "ovs-vsctl", "--timeout=20", "set", "port", "outer", f"tag={lab.vlans('compute1')['proj_one/net1']}")
    assert "outer" in lab.on("compute1", "plan", expect=2).stdout
    lab.on("compute1", "apply")
    assert lab.tags("compute1")["outer"] == 4095

    lab.run("compute1", "ovs-vsctl", "--timeout=20", "del-port", "br-int", "outer")
    lab.run("compute1", "ip", "netns", "del", "stranger")
    lab.on("compute1", "apply")
    assert (lab.flows("compute1", "br-int"), lab.flows("compute1", "br-tun")) == before
    lab.on("compute1", "plan", expect=0)
    assert "outer" not in lab.run("compute1", "ovs-vsctl", "list-ports", "br-int").stdout


def test_from_one_profile_to_the_other_and_back(lab):
    def flows_of(node):
        """Without what the switch itself learned by the other profile's flows: table 0 does not lead there any more, and it ends by itself."""
        learned = lab.run(node, "ovs-ofctl", "-OOpenFlow14", "dump-flows", "br-tun", f"table=20,cookie={LEARNED}/-1").stdout.count("hard_timeout=300")
        flows = {bridge: lab.flows(node, bridge) for bridge in ("br-int", "br-tun")}
        if not any(priority == 0 for table, priority, _, _ in flows["br-tun"] if table == 20):
            assert learned == len([f for f in flows["br-tun"] if f[0] == 20])
            flows["br-tun"] = {f for f in flows["br-tun"] if f[0] != 20}
        return flows

    def settle():
        for node in SWITCHES:
            lab.on(node, "apply")
        for node in SWITCHES:
            lab.on(node, "plan", expect=0)
            assert lab.writes(node) == NOTHING
        lab.assert_green()

    grizzly, tags = {node: flows_of(node) for node in SWITCHES}, {node: lab.tags(node) for node in SWITCHES}
    changed = lab.text.replace("profile: grizzly", "profile: default")
    assert changed != lab.text
    lab.file.write_text(changed)
    assert "NORMAL" in lab.on("compute1", "plan", expect=2).stdout

    # Not confirmed in time or taken back: as if it had never been.
    lab.on("compute1", "apply", "--confirm", "60")
    assert lab.flows("compute1", "br-tun") != grizzly["compute1"]["br-tun"]
    lab.run("compute1", PROGRAM, "rollback")
    assert flows_of("compute1") == grizzly["compute1"]
    settle()
    for node in SWITCHES:
        flows = lab.flows(node, "br-tun")
        assert {t for t, _, _, _ in flows} >= {0, 2, 3, 10, 20, 22} and not any("NORMAL" in a for _, _, _, a in flows)
        assert lab.tags(node) == tags[node]

    lab.file.write_text(lab.text)
    settle()
    for node in SWITCHES:
        assert lab.tags(node) == tags[node]
        assert flows_of(node) == grizzly[node], node


def test_taken_off_it_leaves_nothing(lab):
    for node in ("network", "compute1"):
        lab.run(node, PROGRAM, "remove", "--node", node)
        assert lab.run(node, "ovs-vsctl", "list-br").stdout == ""
        assert lab.run(node, "ip", "netns", "list").stdout == ""
        assert lab.run(node, "nft", "list", "ruleset").stdout == ""
    for node in ("network", "compute1"):
        lab.on(node, "apply")
        lab.on(node, "plan", expect=0)
