# SPDX-License-Identifier: Apache-2.0
"""Run on a node: prints all that a run of weft could have changed there, and what others have there, as JSON without what changes by
itself (numbers, counters, states of carrier)."""
import glob
import hashlib
import json
import os
import subprocess


def out(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    return done.stdout


def rows(*words):
    return json.loads(out(*words) or "[]")


def without(value, keys):
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    if isinstance(value, list):
        return [without(v, keys) for v in value]
    return value


def linked(row):
    name = row["ifname"]
    kept = {"name": name, "mtu": row["mtu"], "group": row.get("group"), "master": row.get("master"), "alias": row.get("ifalias"),
            "up": "UP" in row["flags"], "promisc": "PROMISC" in row["flags"], "kind": row.get("linkinfo", {}).get("info_kind")}
    if not name.startswith(("br-", "tap", "theirs2", "ovs-netdev")):  # where nobody gives it an address, a device gets one by lot
        kept["mac"] = row.get("address")
    return kept


def table_of(entry):
    (what, body), = entry.items()
    return body["family"], body["name"] if what == "table" else body["table"]


def space(name):
    ip = ["ip"] + (["-n", name] if name else [])
    keys = {"ifindex", "flags", "dynamic", "valid_life_time", "preferred_life_time", "tentative", "operstate"}
    routes = [r for v in "46" for r in rows(*ip, f"-{v}", "-j", "route", "show", "table", "all")
              if r.get("table") != "local" and not r.get("dst", "").startswith(("fe80:", "ff00:", "multicast"))]
    within = ["ip", "netns", "exec", name] if name else []
    nft = json.loads(out(*within, "nft", "-j", "list", "ruleset") or "{}").get("nftables", [])
    sysctl = {}
    root = f"/proc/sys/net"
    if not name:
        for path in [f"{root}/ipv4/ip_forward", f"{root}/ipv6/conf/all/forwarding"] + glob.glob(f"{root}/ipv4/conf/*/arp_*") + glob.glob(
                f"{root}/ipv4/conf/*/rp_filter"):
            try:
                sysctl[path[len(root):]] = open(path).read().strip()
            except OSError:
                pass
    else:
        sysctl["forward"] = out(*within, "sysctl", "-n", "net.ipv4.ip_forward").strip()
    return {
        "links": sorted((linked(r) for r in rows(*ip, "-j", "-d", "link", "show")), key=lambda r: r["name"]),
        "addresses": sorted(json.dumps(without({"on": r["ifname"], "is": [a for a in r["addr_info"] if a["scope"] != "link"]}, keys | {"index"}))
                            for r in rows(*ip, "-j", "addr", "show")),
        "routes": sorted(json.dumps(without(r, keys), sort_keys=True) for r in routes),
        "rules": [r for v in "46" for r in rows(*ip, f"-{v}", "-j", "rule", "show")],
        "neighbours": sorted(json.dumps(without(r, keys), sort_keys=True) for r in rows(*ip, "-j", "neigh", "show", "nud", "permanent")),
        # Tables stand in the order in which they were made; within one the order counts.
        "nft": sorted(without([e for e in nft if "metainfo" not in e], {"handle", "packets", "bytes"}), key=table_of),
        "sysctl": sysctl,
    }


def switch():
    if not os.path.exists("/run/openvswitch/db.sock"):
        return {}
    columns = {"bridge": "name,datapath_type,fail_mode,protocols,other_config,external_ids",
               "port": "name,tag,trunks,vlan_mode,other_config,external_ids",
               "interface": "name,type,options,external_ids,mtu_request,ofport_request"}
    seen = {table: sorted(json.dumps(row) for row in json.loads(out("ovs-vsctl", "-f", "json", f"--columns={list_}", "list", table) or
                                                                '{"data": []}')["data"]) for table, list_ in columns.items()}
    for bridge in out("ovs-vsctl", "list-br").split():
        seen["ports of " + bridge] = sorted(out("ovs-vsctl", "list-ports", bridge).split())
        flows = out("ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "--names", "dump-flows", f"unix:/run/openvswitch/{bridge}.mgmt")
        seen["flows of " + bridge] = sorted(line.strip() for line in flows.splitlines() if "0x7765667400006c6e" not in line.split(",")[0])
    return seen


def files(root, skip=()):
    kept = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if any(s in path for s in skip):
                continue
            try:
                kept[path] = hashlib.sha1(open(path, "rb").read()).hexdigest()
            except OSError:
                kept[path] = "gone"
    return kept


spaces = [""] + sorted(os.listdir("/run/netns"))
print(json.dumps({
    "spaces": {name: space(name) for name in spaces},
    "switch": switch(),
    "records": sorted(files("/run/weft/netns")),
    "memory": files("/var/lib/weft", (".leases", ".unconfirmed", "journal.kept", "/services/")),
    "services": {p: h for p, h in files("/run/weft/services", (".log", "/pid", "control", ".lock", ".sock", ".stats")).items()},
}, sort_keys=True))
