# SPDX-License-Identifier: Apache-2.0
"""Faults that others had, as the program's users would meet them: poisoned rules, a service that fails, two at once. See docs/security.md."""
import fcntl
import json
import os
import re
import subprocess
import threading
import time

import pytest

from conftest import FABRICS, PROGRAM, Lab, eventually, weft

RULES = "ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 } ]"
FIRST_VM = "      vm1: { node: compute1, network: net1, address: 50.50.1.11, floating: auto, security-groups: [default] }\n"

# Listens on several ports and answers each connection with the port's number.
SERVERS = """
import socket, sys, threading
def serve(port):
    server = socket.create_server(("0.0.0.0", port))
    while True:
        link = server.accept()[0]; link.sendall(str(port).encode()); link.close()
for port in map(int, sys.argv[1:]):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
print("listening", flush=True); sys.stdin.read()
"""
ASK = """
import socket, sys
for port in map(int, sys.argv[2:]):
    try:
        print(socket.create_connection((sys.argv[1], port), 1.5).recv(9).decode())
    except OSError:
        print("-")
"""


def allocated(tmp_path, text=None):
    file = tmp_path / "fabric.yaml"
    file.write_text(text or (FABRICS / "grizzly.yaml").read_text())
    weft("allocate", file)
    return file


def flows(lab, node):
    return sorted(lab.run(node, "ovs-ofctl", "-OOpenFlow14", "--no-stats", "--names", "dump-flows", "br-int").stdout.splitlines())


def configuration(lab, node):
    return lab.run(node, "ovs-vsctl", "get", "open_vswitch", ".", "next_cfg").stdout, flows(lab, node)


def assert_protected(lab):
    """Both ways of every port: what may pass does, what is forged or not allowed does not."""
    vm1, vm2 = lab.address("proj_one/vm1"), lab.address("proj_one/vm2")
    lab.run("proj_one/vm1", "ping", "-c1", "-W3", vm2)
    lab.run("proj_two/vm1", "ping", "-c1", "-W3", lab.address("proj_two/vm2"))
    lab.run("proj_one/vm1", "ip", "address", "add", "50.50.1.99/32", "dev", "eth0")
    lab.run("proj_one/vm1", "ping", "-c1", "-W1", "-I", "50.50.1.99", vm2, expect=1)
    lab.run("proj_one/vm1", "ip", "address", "del", "50.50.1.99/32", "dev", "eth0")
    assert lab.run("proj_one/vm2", "python3", "-c", ASK, vm1, "23").stdout == "-\n"


POISON = [
    ("CVE-2014-0187", RULES, "ingress: [ { protocol: icmp, remote: 10.0.0.0/33 } ]", "10.0.0.0/33", "neither a CIDR nor a security group"),
    ("CVE-2014-0187", RULES, "ingress: [ { protocol: icmp, remote: 10.0.0.1/8 } ]", "10.0.0.1/8", "misaligned"),
    ("CVE-2015-3221", FIRST_VM, FIRST_VM.replace("[default] }", "[default], allowed-addresses: [ { address: 10.0.0.0/40 } ] }"), "10.0.0.0/40", ""),
    ("CVE-2015-3221", FIRST_VM, FIRST_VM.replace("[default] }", "[default], allowed-addresses: [ { address: fd00::1/64 } ] }"), "fd00::1/64", "misaligned"),
    ("CVE-2015-3221", FIRST_VM, FIRST_VM.replace("[default] }", "[default], allowed-addresses: [ { address: 50.50.1.9, mac: \"ff:ff:ff:ff:ff:ff\" } ] }"), "ff:ff:ff:ff:ff:ff", "unicast"),
    ("CVE-2019-9735", RULES, "ingress: [ { protocol: 112, ports: 22 } ]", "22", "needs a protocol with ports"),
    ("CVE-2019-9735", RULES, "ingress: [ { protocol: icmp, ports: 22 } ]", "22", "needs a protocol with ports"),
    ("CVE-2019-9735", RULES, "ingress: [ { protocol: tcp, ports: 0-70000 } ]", "0-70000", "not a port"),
    ("CVE-2019-10876", RULES, "ingress: [ { protocol: tcp, ports: 30-20 } ]", "30-20", "not a port"),
    ("CVE-2019-10876", RULES, "ingress: [ { protocol: tcp, ports: \"22,23\" } ]", "22,23", "not a port"),
]


def test_cve_2014_0187_cve_2015_3221_cve_2019_9735_cve_2019_10876_a_poisoned_rule_is_refused_whole_and_all_stay_protected(tmp_path):
    file = allocated(tmp_path)
    good = file.read_text()
    lab = Lab(file)
    try:
        before = {node: configuration(lab, node) for node in ("compute1", "compute2", "network")}
        assert_protected(lab)
        for cve, old, new, value, problem in POISON:
            assert old in good
            bad = good.replace(old, new, 1)
            file.write_text(bad)
            line = next(i for i, text in enumerate(bad.splitlines(), 1) if value in text)
            column = bad.splitlines()[line - 1].index(value) + 1
            for node in before:
                told = lab.on(node, "apply", expect=1).stderr
                assert re.search(rf"fabric\.yaml:{line}:({column}|{column - 1}):", told), (cve, told)  # with a quote before it or without
                assert value in told and problem in told, (cve, told)
                assert configuration(lab, node) == before[node], cve
        assert_protected(lab)
        file.write_text(good)
        for node in before:
            lab.on(node, "plan", expect=0)
    finally:
        lab.down()


def test_cve_2019_10876_cve_2015_3221_rules_that_overlap_and_the_widest_pair_are_accepted_and_all_work(tmp_path):
    file = allocated(tmp_path)
    good = file.read_text()
    lab = Lab(file)
    server = None
    try:
        text = good.replace(RULES, "ingress: [ { protocol: icmp }, { protocol: tcp, ports: 20-30, remote: 50.50.1.0/24 },"
                            " { protocol: tcp, ports: 25-40, remote: 50.50.0.0/16 }, { protocol: tcp, ports: 22 }, { protocol: tcp, ports: 22 },"
                            " { protocol: tcp, ports: 20-22, remote: default } ]", 1)
        assert text != good
        file.write_text(text)
        for node in ("compute1", "compute2", "network"):
            lab.on(node, "apply")
            lab.on(node, "plan", expect=0)
        server = subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/proj_one/vm2", "--", "python3", "-c", SERVERS, "20", "22", "27", "35", "41"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "listening\n"
        vm2 = lab.address("proj_one/vm2")
        assert lab.run("proj_one/vm1", "python3", "-c", ASK, vm2, "20", "22", "27", "35", "41").stdout.split() == ["20", "22", "27", "35", "-"]
        assert_protected(lab)

        # The widest pair lifts that port's own pins, which is what it says, and nobody else's.
        wide = text.replace(FIRST_VM, FIRST_VM.replace("[default] }", "[default], allowed-addresses: [ { address: 0.0.0.0/0 }, { address: \"::/0\" } ] }"), 1)
        assert wide != text
        file.write_text(wide)
        for node in ("compute1", "compute2", "network"):
            lab.on(node, "apply")
            lab.on(node, "plan", expect=0)
        # Of others the pins stand as before.
        lab.run("proj_one/vm2", "ip", "address", "add", "50.50.1.98/32", "dev", "eth0")
        lab.run("proj_one/vm2", "ping", "-c1", "-W1", "-I", "50.50.1.98", lab.address("proj_one/vm1"), expect=1)
        lab.run("proj_one/vm1", "ping", "-c1", "-W3", vm2)
        lab.run("proj_two/vm1", "ping", "-c1", "-W3", lab.address("proj_two/vm2"))
        assert lab.run("proj_one/vm1", "python3", "-c", ASK, vm2, "27", "41").stdout.split() == ["27", "-"]
    finally:
        if server:
            server.stdin.close()
            server.wait(10)
        lab.down()


def services(file):
    """dnsmasq's name and its lease file, by the subnet that it serves."""
    out = {}
    for service in json.loads(weft("compile", file, "--node", "network", "--json").stdout)["services"]:
        option = {word.split("=", 1)[0]: word.split("=", 1)[1] for word in service["argv"] if "=" in word}
        out[option["--dhcp-range"].split(",")[0]] = (service["name"], option["--dhcp-leasefile"], option["--pid-file"])
    return out


def test_cve_2014_8153_cve_2014_4167_a_dnsmasq_that_dies_or_hangs_holds_back_no_other(tmp_path):
    file = allocated(tmp_path)
    good = file.read_text()
    lab = Lab(file)
    try:
        more = good.replace("  proj_two:\n", "  aaa_bad:\n    networks: { dies: { cidr: 60.0.1.0/24 }, hangs: { cidr: 60.0.2.0/24 } }\n"
                            "  proj_two:\n", 1)
        more = more.replace("networks: { net1: { cidr: 50.50.1.0/24 } }   #", "networks: { net1: { cidr: 50.50.1.0/24 }, fine: { cidr: 60.0.3.0/24 }, fine2: { cidr: 60.0.4.0/24 } }   #", 1)
        more = more.replace("      vm2: { node: compute2, network: net1, security-groups: [default] }",
                            "      vm9: { node: compute2, network: net1, address: 50.50.1.99 }\n      vm2: { node: compute2, network: net1, security-groups: [default] }", 1)
        assert more.count("60.0.") == 4 and "vm9" in more
        file.write_text(more)
        weft("allocate", file)
        named = services(file)
        # A lease file that cannot be opened ends it at once; one that never gives its content keeps it from serving.
        for subnet, command in (("60.0.1.0", "mkdir -p"), ("60.0.2.0", "mkfifo")):
            lease = named[subnet][1]
            lab.run("network", "sh", "-c", f"mkdir -p {os.path.dirname(lease)} && {command} {lease}")
        pids = {subnet: lab.run("network", "cat", named[subnet][2]).stdout for subnet in ("50.50.2.0",)}

        for _ in range(2):  # the second time everything else is in place, and it is no longer for that
            start = time.monotonic()
            told = lab.on("network", "apply", expect=1).stderr
            assert time.monotonic() - start < 20
            assert named["60.0.1.0"][0] in told and named["60.0.2.0"][0] in told, told
            assert "all else is done" in told
        # What stands is what a follower goes on from.
        assert "aaa_bad" in lab.run("network", "cat", "/var/lib/weft/grizzly.network.fabric").stdout
        assert lab.run("network", "cat", named["50.50.2.0"][2]).stdout == pids["50.50.2.0"]
        for subnet in ("60.0.3.0", "60.0.4.0", "50.50.2.0"):
            pid = lab.run("network", "cat", named[subnet][2]).stdout.strip()
            lab.run("network", "sh", "-c", f"kill -0 {pid}")
        plan = lab.on("network", "plan", expect=2).stdout
        assert "2 steps" in plan and named["60.0.1.0"][0] in plan and named["60.0.2.0"][0] in plan, plan
        # The others are served: a client asks again and is answered, and a new port's line is known.
        assert "50.50.1.99" in lab.run("network", "sh", "-c", f"cat {os.path.dirname(named['50.50.2.0'][2])}/../*/hosts").stdout
        for vm in ("proj_one/vm1", "proj_one/vm3", "proj_two/vm2"):
            assert "obtained" in lab.run(vm, "sh", "-c", "busybox udhcpc -n -q -f -t 3 -T 1 -i eth0 -s /bin/true 2>&1").stdout
        lab.run("proj_one/vm1", "ping", "-c1", "-W3", "192.168.100.200")

        # Once what was in its way has gone, the same apply mends it.
        for subnet in ("60.0.1.0", "60.0.2.0"):
            lab.run("network", "rm", "-rf", named[subnet][1])
        lab.on("network", "apply")
        lab.on("network", "plan", expect=0)

        # One that stops while it runs: the others go on, and so does apply.
        stopped = lab.run("network", "cat", named["60.0.3.0"][2]).stdout.strip()
        lab.run("network", "kill", "-STOP", stopped)
        file.write_text(more.replace("address: 50.50.1.99", "address: 50.50.1.98", 1))
        start = time.monotonic()
        lab.on("network", "apply")
        assert time.monotonic() - start < 20
        assert "obtained" in lab.run("proj_two/vm2", "sh", "-c", "busybox udhcpc -n -q -f -t 3 -T 1 -i eth0 -s /bin/true 2>&1").stdout
    finally:
        lab.down()


def test_cve_2025_69233_of_two_allocations_at_once_none_gives_an_address_twice(tmp_path):
    file = allocated(tmp_path)
    text = file.read_text()
    lock = tmp_path / "fabric.lock"
    # Whoever allocates waits for the one that does, and reads the file only then.
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    waiting = subprocess.Popen([PROGRAM, "allocate", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.7)
    extra = "      aa{0}: {{ node: compute2, network: net1, floating: auto, security-groups: [default] }}\n"
    file.write_text(text.replace(FIRST_VM, FIRST_VM + extra.format(0), 1))
    os.close(folder)
    assert waiting.wait(10) == 0
    assert "proj_one/ports/aa0/address" in lock.read_text()

    # Eight at a time, while the file grows: what one told is what the lock says in the end.
    told, failed = {}, []

    def allocate():
        done = subprocess.run([PROGRAM, "allocate", str(file), "--json"], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            failed.append(done.stderr)
            return
        for key, value in json.loads(done.stdout).items():
            told.setdefault(key, set()).add(value)

    for n in range(1, 5):
        draft = tmp_path / "draft"
        draft.write_text(text.replace(FIRST_VM, FIRST_VM + "".join(extra.format(i) for i in range(n, -1, -1)), 1))
        some = [threading.Thread(target=allocate) for _ in range(4)]
        for thread in some:
            thread.start()
        os.replace(draft, file)
        rest = [threading.Thread(target=allocate) for _ in range(4)]
        for thread in rest:
            thread.start()
        for thread in some + rest:
            thread.join()
    assert failed == []
    assert [key for key, values in told.items() if len(values) > 1] == []
    final = json.loads(weft("allocate", file, "--json").stdout)
    assert {key: {value} for key, value in final.items()} == told
    for kind in ("proj_one/networks/net1", "/floating"):
        addresses = [value for key, value in final.items() if key.endswith(kind) or (kind != "/floating" and key.startswith("proj_one/ports") and key.endswith("/address"))]
        assert len(addresses) == len(set(addresses))


def test_cve_2025_69233_an_exhausted_pool_gives_nothing_and_keeps_what_it_gave(tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "grizzly.yaml").read_text().replace("192.168.100.102-192.168.100.126", "192.168.100.102-192.168.100.106")
    file.write_text(text)
    weft("allocate", file)  # two routers and three floating addresses: all five
    lock = (tmp_path / "fabric.lock").read_text()
    file.write_text(text.replace("vm2: { node: compute2, network: net1, address: 50.50.1.22", "vm2: { node: compute2, network: net1, floating: auto, address: 50.50.1.22"))
    for _ in range(2):
        told = weft("allocate", file, expect=1).stderr
        assert "no free address left" in told and "192.168.100.102-192.168.100.106" in told
        assert (tmp_path / "fabric.lock").read_text() == lock


def test_cve_2025_69233_of_two_applies_at_once_one_works_and_the_other_is_told(tmp_path):
    file = allocated(tmp_path)
    good = file.read_text()
    lab = Lab(file)
    try:
        file.write_text(good.replace(RULES, "ingress: [ { protocol: icmp }, { protocol: tcp, ports: 22 }, { protocol: udp, ports: 1-999 } ]"))
        command = [PROGRAM, "lab", "exec", f"{lab.name}/compute1", "--", PROGRAM, "apply", str(file), "--node", "compute1"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        outcomes = [(p.communicate(timeout=60), p.returncode) for p in both]
        assert any(code == 0 for _, code in outcomes)
        for (out, err), code in outcomes:
            assert code == 0 or "another" in err, err
        lab.on("compute1", "apply")
        lab.on("compute1", "plan", expect=0)
        assert_protected(lab)
    finally:
        lab.down()
