# SPDX-License-Identifier: Apache-2.0
"""The blink test: pings at 200 Hz go on while rules, floating addresses, groups and ports of others change; none is lost, none comes twice.

No device, address or route of a node's own namespace comes or goes meanwhile, so the devices of new ports are there before and have no IPv6: with
each such event Open vSwitch's userspace datapath empties and fills its table of tunnels, and what comes through a tunnel at that moment is lost,
whoever made it (docs/architecture.md)."""
import json
import time
import uuid

from beside import Pinger
from conftest import FABRICS, NODES, SWITCHES, Lab, weft

# Of the names that weft computes ids from.
NAMES = uuid.UUID("8d5e1c3a-0b6f-4b52-9e57-776566742026")
RULES = "ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ]"


def test_no_packet_is_lost_or_comes_twice_while_others_change(tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "grizzly.yaml").read_text()
    file.write_text(text)
    weft("allocate", file)
    lab, pingers = Lab(file), []
    try:
        floating = json.loads(weft("allocate", file, "--json").stdout)["proj_one/ports/vm1/floating"]
        vm2 = lab.address("proj_one/vm2")
        # The devices of ports that the file will name later, as a hypervisor plugs them.
        for port in ("proj_two/ports/vm8", "proj_one/ports/vm9"):
            link = f"late{port[-3:]}"
            lab.run("compute1", "sh", "-c", f"ip link add {link} type veth peer name {link}x && for d in {link} {link}x; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; "
                    f"ip link set $d up; done && "
                    f"ovs-vsctl add-port br-int {link} -- set interface {link} external_ids:iface-id={uuid.uuid5(NAMES, 'grizzly/' + port)}")

        def changed(*pairs):
            out = text
            for old, new in pairs:
                assert old in out, old
                out = out.replace(old, new)
            return out

        two = "      vm2: { node: compute2, network: net1, address: 50.50.1.22 }\n"
        late = two + "      vm8: { node: compute1, network: net1, address: 50.50.1.88 }\n"
        ours = "      vm3: { node: compute2, network: net2, floating: auto, security-groups: [default] }\n"
        variants = [
            # Another tenant's rules, and a group for one port of ours that is not spoken to.
            changed((text[text.index("security-groups", text.index("proj_two:")):].split("\n")[0],
                     "security-groups: { default: { ingress: [ { protocol: icmp }, { protocol: udp } ], egress: [ { protocol: icmp } ] } }")),
            # Another tenant's floating address comes, one of our own router's goes.
            changed((two, two.replace("address: 50.50.1.22", "address: 50.50.1.22, floating: auto")), (ours, ours.replace(" floating: auto,", ""))),
            # A port of another tenant, and one in our network, on the node that our traffic leaves from.
            changed((two, late), (ours, ours + "      vm9: { node: compute1, network: net1, address: 50.50.1.99, security-groups: [default, more] }\n"),
                    ("    security-groups: { " + "default: { " + RULES + " } }\n    ports:\n      vm1: { node: compute1, network: net1, address: 50.50.1.11",
                     "    security-groups: { default: { " + RULES + " }, more: { ingress: [ { remote: default }, { protocol: udp, ports: 1000-1999 } ] } }\n"
                     "    ports:\n      vm1: { node: compute1, network: net1, address: 50.50.1.11")),
            text,
            # What a port of ours, not spoken to, may send from.
            changed((ours, ours.replace("security-groups: [default]", "allowed-addresses: [ { address: 50.50.2.100/32, mac: \"00:00:5e:00:01:07\" } ]"))),
            text,
        ]

        pingers += [Pinger(lab, "proj_one/vm1", vm2), Pinger(lab, "lan1", floating), Pinger(lab, "proj_one/vm2", lab.address("proj_one/vm3")),
                    Pinger(lab, "proj_one/vm1", "192.168.100.200")]
        for pinger in pingers:
            pinger.begun()
        steps, history = 0, []
        for number, variant in enumerate(variants):
            file.write_text(variant)
            weft("allocate", file)
            for node in NODES:
                history.append((time.monotonic(), f"{number}/{node}"))
                report = json.loads(lab.on(node, "apply", "--json").stdout)
                steps += report["steps"]
                assert report["pending"] == []
                if node in SWITCHES:
                    lab.on(node, "plan", expect=0)
        assert steps > 80
        Pinger.assert_all_whole(pingers, history)
    finally:
        for pinger in pingers:
            pinger.process.kill()
            pinger.process.wait()
        lab.down()
