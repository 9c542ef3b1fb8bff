# SPDX-License-Identifier: Apache-2.0
"""Packets in fragments, of which only the first shows ports: they go where the rule of their ports lets them, whole, and nowhere else, not a piece."""
import socket
import subprocess

import pytest

from conftest import FABRICS, PROGRAM, Ear, Lab, weft

RULES = "      default: { ingress: [ { protocol: icmp }, { protocol: icmpv6 }, { protocol: tcp, ports: 22 } ] }\n"
WITH_UDP = RULES.replace("ports: 22 }", "ports: 22 }, { protocol: udp, ports: 4000-4009 }")
SIZE = 4000  # bytes, more than two packets take
SEND = """
import socket, sys, time
family, address, port, source = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind(("", source))
for number in range(4):
    s.sendto(bytes([number]) * %d, (address, port))
    time.sleep(0.1)
""" % SIZE
RECEIVE = """
import socket, sys, time
s = socket.socket(int(sys.argv[1]), socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[2])))
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[3])
while True:
    s.settimeout(max(0.01, end - time.monotonic()))
    try:
        data = s.recv(65535)
    except TimeoutError:
        break
    print(data[0], len(data), len(set(data)), flush=True)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    text = (FABRICS / "dual-stack.yaml").read_text()
    assert RULES in text
    file = tmp_path_factory.mktemp("fragments") / "dual-stack.yaml"
    file.write_text(text.replace(RULES, WITH_UDP))
    standing = Lab(file)
    yield standing
    standing.down()


def address(lab, vm, family):
    if family == socket.AF_INET:
        return lab.address(vm)
    words = lab.run(vm, "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global").stdout.split()
    return words[words.index("inet6") + 1].split("/")[0]


def heard(lab, sender, receiver, family, port, source, seconds=2.5):
    """What the receiver's program got: number, size, how many kinds of bytes."""
    with subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{receiver}", "--", "python3", "-c", RECEIVE, str(int(family)), str(port), str(seconds)],
                          stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout.readline() == "ready\n"
        lab.run(sender, "python3", "-c", SEND, int(family), address(lab, receiver, family), port, source)
        return [tuple(map(int, line.split())) for line in there.stdout]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_large_datagram_comes_whole_to_a_port_that_a_rule_opens_from_the_first_one_on(lab, family):
    # To the other node, and to a network beyond the router.
    for sender, receiver, source in (("proj_one/vm1", "proj_one/vm2", 5001), ("proj_one/vm2", "proj_one/vm1", 5002), ("proj_one/vm3", "proj_one/vm2", 5003)):
        assert heard(lab, sender, receiver, family, 4003, source) == [(n, SIZE, 1) for n in range(4)], (sender, receiver)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_not_a_piece_of_it_comes_to_a_port_that_no_rule_opens(lab, family):
    ear = Ear(lab, "proj_one/vm2", f"src host {address(lab, 'proj_one/vm1', family)} and (ip or ip6)", more=["-l"])
    assert heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4010, 5011) == []
    # The twin of an open port shows that the ear hears fragments.
    quiet = ear.stop()
    assert "IP" not in quiet, quiet
    ear = Ear(lab, "proj_one/vm2", f"src host {address(lab, 'proj_one/vm1', family)} and (ip or ip6)", more=["-l"])
    assert len(heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4004, 5012)) == 4
    assert ear.stop().count("\n") >= 7


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_ping_larger_than_the_mtu_is_answered(lab, family):
    for sender, receiver in (("proj_one/vm1", "proj_one/vm2"), ("proj_one/vm3", "proj_one/vm1")):
        lab.run(sender, "ping", "-q", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-s", "3000", address(lab, receiver, family))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_whose_rule_goes_is_cut_in_fragments_too_and_comes_again_with_it(lab, family):
    assert len(heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4005, 5021)) == 4
    text = lab.file.read_text()
    try:
        lab.file.write_text(text.replace("ports: 4000-4009", "ports: 4006-4009"))
        weft("allocate", lab.file)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
        assert heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4005, 5021) == []
        assert len(heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4007, 5021)) == 4
    finally:
        lab.file.write_text(text)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
    assert [n for n, *_ in heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4005, 5021)][-3:] == [1, 2, 3]
