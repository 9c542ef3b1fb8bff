# SPDX-License-Identifier: Apache-2.0
"""A network removed and another added: everything else keeps its id, its local VLAN, its addresses and its MACs."""
import json
import shutil

from conftest import NODES, SWITCHES, Lab, weft


def test_a_change_of_networks_leaves_the_others_alone(tmp_path):
    text = (__import__("conftest").FABRICS / "grizzly.yaml").read_text()
    file = tmp_path / "fabric.yaml"
    file.write_text(text)
    weft("allocate", file)
    before = json.loads(weft("allocate", file, "--json").stdout)
    lab = Lab(file)
    try:
        seen = {node: state(lab, node) for node in SWITCHES}
        changed = text.replace("      net2: { cidr: 50.50.2.0/24, dns: [8.8.8.8] }\n", "      net0: { cidr: 50.50.3.0/24 }\n")
        changed = changed.replace("networks: [net1, net2]", "networks: [net0, net1]")
        changed = "".join(line for line in changed.splitlines(True) if "vm3:" not in line)
        assert changed != text
        file.write_text(changed)
        weft("allocate", file)
        after = json.loads(weft("allocate", file, "--json").stdout)
        for key in before.keys() & after.keys():
            assert before[key] == after[key], key
        assert any("net0" in key for key in after) and not any("net2" in key for key in after)
        for node in NODES:
            lab.on(node, "apply")
        for node in NODES:
            lab.on(node, "plan", expect=0)
        (gone_with_its_vm,) = [before[key] + "/32" for key in before if "vm3" in key and "floating" in key]
        for node in SWITCHES:
            now = state(lab, node)
            kept = {key for key, tag in now["tags"].items() if key in seen[node]["tags"] and tag != 4095}
            assert kept
            assert {key: now["tags"][key] for key in kept} == {key: seen[node]["tags"][key] for key in kept}
            for link, (mac, addresses) in now["links"].items():
                if link in seen[node]["links"]:
                    was_mac, was = seen[node]["links"][link]
                    assert (mac, addresses) == (was_mac, [a for a in was if a != gone_with_its_vm]), (node, link)
        cells = [c for c in lab.cells() if "vm3" not in c["from"] + c["to"]]
        assert cells and [c for c in cells if not c["ok"]] == []
    finally:
        lab.down()


def state(lab, node):
    """Local VLANs by port, and MAC and addresses by namespace and link."""
    links = {}
    for netns in [""] + [line.split()[0] for line in lab.run(node, "ip", "netns", "list").stdout.splitlines()]:
        inside = ["ip", "netns", "exec", netns] if netns else []
        for link in json.loads(lab.run(node, *inside, "ip", "-j", "address").stdout):
            addresses = sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link")
            links[f"{netns}/{link['ifname']}"] = [link.get("address"), addresses]
    return {"tags": lab.tags(node), "links": {k: v for k, v in links.items() if not k.startswith("/ovs-")}}
