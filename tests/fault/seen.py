# SPDX-License-Identifier: Apache-2.0
"""Run on a node (seen.py [wanted]): prints all that a run of weft could have changed there, and what others have there, as JSON without what changes by
itself (numbers, counters, states of carrier). The tests run it after every point, so that it starts as few processes as it can, all at once,
and loads little."""
import array
import ctypes
import fcntl
import json
import os
import struct
import sys
from _socket import AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, socket

try:
    from _sha1 import sha1
except ImportError:
    from hashlib import sha1

CLONE_NEWNET = 0x40000000
NETLINK_ROUTE, NETLINK_NETFILTER, AF_NETLINK, AF_INET6 = 0, 12, 16, 10
LIBC = ctypes.CDLL(None, use_errno=True)
# What weft writes, what the kernel changes along with that (as redirects with ip_forward), and what a host may have set by device.
KEYS = {
    "ipv4": ["accept_redirects", "arp_accept", "arp_announce", "arp_evict_nocarrier", "arp_filter", "arp_ignore", "arp_notify", "forwarding",
             "promote_secondaries", "proxy_arp", "rp_filter", "send_redirects"],
    "ipv6": ["accept_dad", "accept_ra", "accept_redirects", "addr_gen_mode", "autoconf", "disable_ipv6", "forwarding", "keep_addr_on_down", "proxy_ndp"]}
SINGLE = ["ipv4/ip_forward", "ipv4/igmp_max_memberships", "netfilter/nf_conntrack_tcp_be_liberal", "bridge/bridge-nf-call-iptables",
          "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-arptables"]


class Out:
    """What a process says, which goes on beside this one until it is asked for."""

    def __init__(self, *words, told=""):
        self.said, asked = os.memfd_create("said"), os.memfd_create("asked")
        os.pwrite(asked, told.encode(), 0)
        self.pid = os.posix_spawnp(words[0], words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, asked, 0), (os.POSIX_SPAWN_DUP2, self.said, 1)])
        os.close(asked)

    def text(self):
        os.waitpid(self.pid, 0)
        with open(self.said, "rb") as said:
            said.seek(0)
            return said.read().decode()


def documents(text):
    """JSON documents that stand one after another."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        at = len(text) - len(text[at:].lstrip())
        if at == len(text):
            return
        value, at = decoder.raw_decode(text, at)
        yield value


def batch(*lines, family=()):
    return Out("ip", *family, "-j", "-d", "-force", "-batch", "-", told="".join(line + "\n" for line in lines))


def answers(out, count):
    found = list(documents(out.text()))
    assert len(found) == count, f"{len(found)} answers, not {count}"
    return found


def dump(protocol, kind, family):
    """What the kernel lists, as it is: equal dumps need be read only once."""
    said, asked = b"", socket(AF_NETLINK, SOCK_RAW, protocol)
    asked.send(struct.pack("=IHHIIB11x", 28, kind, 0x301, 1, 0, family))
    while True:
        part, at = asked.recv(1 << 18), 0
        while at < len(part):
            length, what = struct.unpack_from("=IH", part, at)
            if what in (2, 3):  # an error, or the end
                asked.close()
                return said
            said += part[at + 16:at + length]
            at += length + 3 & ~3


def without(value, keys):
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    if isinstance(value, list):
        return [without(v, keys) for v in value]
    return value


def features(name, control):
    """What a device offloads, of ETHTOOL_GFEATURES, and with `wanted` what was asked for, which another setting may keep from being so."""
    blocks = 3
    asked = array.array("B", struct.pack("=II", 0x3A, blocks) + bytes(16 * blocks))
    try:
        fcntl.ioctl(control, 0x8946, struct.pack("=16sQ16x", name.encode(), asked.buffer_info()[0]))
    except OSError:
        return None
    shown = "{0:x}/{1:x}" if "wanted" in sys.argv else "{1:x}"
    return " ".join(shown.format(wanted, active) for _, wanted, active, _ in struct.iter_unpack("=IIII", asked.tobytes()[8:]))


def linked(row, control):
    name, about = row["ifname"], row.get("linkinfo", {})
    kept = {"name": name, "mtu": row["mtu"], "group": row.get("group"), "master": row.get("master"), "alias": row.get("ifalias"),
            "up": "UP" in row["flags"], "promisc": "PROMISC" in row["flags"], "kind": about.get("info_kind"),
            "link": row.get("link"), "gen": row.get("inet6_addr_gen_mode"), "queue": row.get("txqlen"),
            "flags": sorted({"ALLMULTI", "NOARP", "DYNAMIC"} & set(row["flags"])), "features": features(name, control)}
    if about.get("info_kind") in ("vlan", "vxlan", "gre", "gretap", "macvlan", "vrf", "dummy"):
        kept["data"] = about.get("info_data")
    if not name.startswith(("br-", "tap", "theirs2", "ovs-netdev")):  # where nobody gives it an address, a device gets one by lot
        kept["mac"] = row.get("address")
    return kept


def table_of(entry):
    (what, body), = entry.items()
    return body["family"], body["name"] if what == "table" else body["table"]


def sysctls():
    """Those of the namespace that this thread is in."""
    kept = {}
    for family, keys in KEYS.items():
        try:
            devices = os.listdir(f"/proc/sys/net/{family}/conf")
        except OSError:
            continue
        for device in devices:
            read(kept, f"{family}/conf/{device}/", keys)
    read(kept, "", SINGLE)
    return kept


def read(kept, below, keys):
    try:
        folder = os.open("/proc/sys/net/" + below, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    for key in keys:
        try:
            opened = os.open(key, os.O_RDONLY, dir_fd=folder)
        except OSError:
            continue
        try:
            kept[below + key] = os.read(opened, 4096).decode().strip()
        except OSError:
            pass
        os.close(opened)
    os.close(folder)


def routes_of(rows, keys):
    return sorted(json.dumps(without(r, keys), sort_keys=True) for r in rows
                  if r.get("table") != "local" and not r.get("dst", "").startswith(("fe80:", "ff00:", "multicast")))


class Space:
    """A namespace; this thread goes into it, and stays."""
    rules6 = {}

    def __init__(self, name):
        if name:
            opened = os.open("/run/netns/" + name, os.O_RDONLY)
            if LIBC.setns(opened, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {name}")
            os.close(opened)
        self.objects = batch("link show", "addr show", "neigh show nud permanent", "route show table all", "rule show", "nexthop show")
        tables = dump(NETLINK_NETFILTER, 0xA01, 0)  # of no tables nft has nothing to say
        self.nft = Out("nft", "-j", "list", "ruleset") if tables else None
        self.raw6 = dump(NETLINK_ROUTE, 34, AF_INET6)
        if self.raw6 not in Space.rules6:
            Space.rules6[self.raw6] = batch("rule show", family=("-6",)) if self.raw6 else []
        self.control = socket(AF_INET, SOCK_DGRAM)  # a way into this namespace for later
        self.sysctl = sysctls()

    def seen(self):
        keys = {"ifindex", "flags", "dynamic", "valid_life_time", "preferred_life_time", "tentative", "operstate"}
        links, addresses, neighbours, routes, rules, nexthops = answers(self.objects, 6)
        nft = json.loads(self.nft.text() or "{}").get("nftables", []) if self.nft else []
        if isinstance(Space.rules6[self.raw6], Out):
            (Space.rules6[self.raw6],) = answers(Space.rules6[self.raw6], 1)
        return {
            "links": sorted((linked(r, self.control) for r in links), key=lambda r: r["name"]),
            "addresses": sorted(json.dumps(without({"on": r["ifname"], "is": [a for a in r["addr_info"] if a["scope"] != "link"]}, keys | {"index"}))
                                for r in addresses),
            "routes": routes_of(routes, keys),
            "rules": rules + Space.rules6[self.raw6],
            "nexthops": sorted(json.dumps(without(r, keys), sort_keys=True) for r in nexthops),
            "neighbours": sorted(json.dumps(without(r, keys), sort_keys=True) for r in neighbours),
            # Tables stand in the order in which they were made; within one the order counts.
            "nft": sorted(without([e for e in nft if "metainfo" not in e], {"handle", "packets", "bytes"}), key=table_of),
            "sysctl": self.sysctl,
        }


class Switch:
    COLUMNS = {"bridge": "name,datapath_type,fail_mode,protocols,other_config,external_ids",
               "port": "name,tag,trunks,vlan_mode,other_config,external_ids",
               "interface": "name,type,options,external_ids,mtu_request,ofport_request"}
    # What bridges consist of, and what weft leaves alone.
    MORE = {"bridge": "name,ports,stp_enable,rstp_enable,mcast_snooping_enable,flood_vlans", "controller": "target", "manager": "target",
            "port": "_uuid,name,bond_mode,lacp,qos", "interface": "name,mac,ingress_policing_rate,bfd,cfm_mpid", "open_vswitch": "external_ids,other_config"}

    def __init__(self):
        self.flows, self.asked = {}, [(table, columns) for kind in (self.COLUMNS, self.MORE) for table, columns in kind.items()]
        self.rows, server = None, socket(AF_UNIX, SOCK_STREAM)
        self.known = os.path.exists("/run/openvswitch/db.sock")
        # While the database is away vswitchd answers nobody.
        if server.connect_ex("/run/openvswitch/db.sock") == 0:
            words = [word for table, columns in self.asked for word in ("--", f"--columns={columns}", "list", table)]
            self.rows = Out("ovs-vsctl", "--timeout=20", "-f", "json", *words)
            for file in os.listdir("/run/openvswitch"):
                bridge, _, kind = file.rpartition(".")
                if kind == "mgmt":
                    self.flows[bridge] = Out("ovs-ofctl", "--timeout=20", "-O", "OpenFlow14", "--no-stats", "--names", "dump-flows",
                                             f"unix:/run/openvswitch/{file}")

    def seen(self):
        if not self.known:
            return {}
        told = [answer["data"] for answer in documents(self.rows.text() if self.rows else "")] or [[] for _ in self.asked]
        seen = {table: sorted(json.dumps(row) for row in rows) for (table, _), rows in zip(self.asked, told[:len(self.COLUMNS)])}
        more = dict(zip(self.MORE, told[len(self.COLUMNS):]))
        names = {json.dumps(row[0]): row[1] for row in more["port"]}
        flows = {bridge: out.text() for bridge, out in self.flows.items()}
        for bridge, ports, *rest in more["bridge"]:
            seen["more of " + bridge] = rest
            seen["ports of " + bridge] = sorted({names[json.dumps(p)] for p in (ports[1] if ports[0] == "set" else [ports])} - {bridge})
            seen["flows of " + bridge] = sorted(line.strip() for line in flows.get(bridge, "").splitlines()
                                                if "0x7765667400006c6e" not in line.split(",")[0])
        for table in ("controller", "manager", "interface", "open_vswitch"):
            seen["more of the table " + table] = sorted(json.dumps(row) for row in more[table])
        seen["more of the table port"] = sorted(json.dumps(row[1:]) for row in more["port"])
        return seen


def files(root, skip=()):
    kept = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if any(s in path for s in skip):
                continue
            try:
                kept[path] = sha1(open(path, "rb").read()).hexdigest()
            except OSError:
                kept[path] = "gone"
    return kept


def main():
    switch, spaces = Switch(), {name: Space(name) for name in ["", *sorted(os.listdir("/run/netns"))]}  # from each into the next
    print(json.dumps({
        "spaces": {name: space.seen() for name, space in spaces.items()},
        "switch": switch.seen(),
        "records": sorted(files("/run/weft/netns")),
        "memory": files("/var/lib/weft", (".leases", ".unconfirmed", "journal.kept", "/services/")),
        "services": {p: h for p, h in files("/run/weft/services", (".log", "/pid", "control", ".lock", ".sock", ".stats")).items()},
    }, sort_keys=True))


main()
