# SPDX-License-Identifier: Apache-2.0
"""Packets in fragments, of which a userspace datapath shows no ports: they go, whole, where a rule without ports lets them or where their connection
is established, and nowhere else, not a piece."""
import socket
import subprocess

import pytest

from conftest import FABRICS, PROGRAM, Ear, Lab, weft

RULES = "      default: { ingress: [ { protocol: icmp }, { protocol: icmpv6 }, { protocol: tcp, ports: 22 } ] }\n"
WITH_UDP = RULES.replace("ports: 22 }", "ports: 22 }, { protocol: udp, ports: 4000-4009 }")
GROUPS = """      sender: { egress: [ { protocol: udp, ports: 4001 }, { protocol: icmpv6 } ] }
      answers: { ingress: [ { protocol: icmp, type: 0 }, { protocol: icmpv6, type: 129 } ] }
      asks: { ingress: [ { protocol: icmp, type: 8 }, { protocol: icmpv6, type: 128 }, { protocol: udp } ] }
"""
PORTS = "      vm4: { node: compute2, network: net3, security-groups: [inside] }\n"
MORE = """      vm5: { node: compute2, network: net1, security-groups: [answers] }
      vm6: { node: compute2, network: net1, security-groups: [asks] }
      vm9: { node: compute1, network: net1, security-groups: [default] }
"""
SIZE = 4000  # bytes, more than two packets take
# Sends datagrams of these sizes and prints the answers' numbers.
SEND = """
import socket, sys
family, address, port, source = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind(("", source))
s.settimeout(0.3)
for number, size in enumerate(map(int, sys.argv[5:])):
    s.sendto(bytes([number]) * size, (address, port))
    try:
        print(s.recv(65535)[0])
    except (TimeoutError, ConnectionRefusedError):
        pass
"""
# Prints number, size and how many kinds of bytes each datagram has, and answers it in one of the same size.
RECEIVE = """
import socket, sys, time
s = socket.socket(int(sys.argv[1]), socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[2])))
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[3])
while True:
    s.settimeout(max(0.01, end - time.monotonic()))
    try:
        data, sender = s.recvfrom(65535)
    except TimeoutError:
        break
    print(data[0], len(data), len(set(data)), flush=True)
    s.sendto(data, sender)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    text = (FABRICS / "dual-stack.yaml").read_text()
    assert RULES in text
    file = tmp_path_factory.mktemp("fragments") / "dual-stack.yaml"
    assert PORTS in text
    file.write_text(text.replace(RULES, WITH_UDP + GROUPS).replace(PORTS, PORTS + MORE).replace("security-groups: [inside]", "security-groups: [sender]"))
    standing = Lab(file)
    yield standing
    standing.down()


def address(lab, vm, family):
    if family == socket.AF_INET:
        return lab.address(vm)
    words = lab.run(vm, "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global").stdout.split()
    return words[words.index("inet6") + 1].split("/")[0]


def heard(lab, sender, receiver, family, port, source, sizes):
    """What the receiver's program got (number, size, kinds of bytes), and the numbers of the answers that came back."""
    seconds = 1.5 + 0.35 * len(sizes)
    with subprocess.Popen([PROGRAM, "lab", "exec", f"{lab.name}/{receiver}", "--", "python3", "-c", RECEIVE, str(int(family)), str(port), str(seconds)],
                          stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout.readline() == "ready\n"
        said = lab.run(sender, "python3", "-c", SEND, int(family), address(lab, receiver, family), port, source, *sizes).stdout
        return [tuple(map(int, line.split())) for line in there.stdout], list(map(int, said.split()))


def listens(lab, vm, sender, family):
    """An ear at the VM for the sender's UDP, and for what shows no protocol."""
    return Ear(lab, vm, f"src host {address(lab, sender, family)} and (udp or ip6 proto 44 or (ip and ip[6:2] & 0x3fff != 0))")


MIXED = [10, SIZE, 10, SIZE, SIZE, SIZE]


def whole(sizes):
    return [(n, size, 1) for n, size in enumerate(sizes)], list(range(len(sizes)))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_large_datagram_comes_whole_where_a_rule_lets_the_protocol_in_and_is_answered_from_the_first_one_on(lab, family):
    for sender in ("proj_one/vm1", "proj_one/vm2", "proj_one/vm3"):  # on the other node, on its own, beyond the router
        assert heard(lab, sender, "proj_one/vm6", family, 4100, 5001, [SIZE] * 4) == whole([SIZE] * 4), sender


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_by_a_rule_of_ports_it_comes_whole_once_the_connection_is_established(lab, family):
    for sender, receiver, source in (("proj_one/vm1", "proj_one/vm2", 5101), ("proj_one/vm1", "proj_one/vm9", 5102), ("proj_one/vm3", "proj_one/vm2", 5103)):
        assert heard(lab, sender, receiver, family, 4003, source, MIXED) == whole(MIXED), (sender, receiver)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_not_a_piece_of_it_comes_to_a_port_that_no_rule_opens(lab, family):
    ear = listens(lab, "proj_one/vm2", "proj_one/vm1", family)
    assert heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4010, 5011, MIXED) == ([], [])
    assert ear.stop() == ""
    # The twin of an open port shows that the ear hears fragments.
    ear = listens(lab, "proj_one/vm2", "proj_one/vm1", family)
    assert heard(lab, "proj_one/vm1", "proj_one/vm2", family, 4004, 5012, MIXED) == whole(MIXED)
    assert len(ear.stop().splitlines()) >= 10


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_ping_larger_than_the_mtu_is_answered(lab, family):
    for sender, receiver in (("proj_one/vm1", "proj_one/vm2"), ("proj_one/vm3", "proj_one/vm1")):
        lab.run(sender, "ping", "-q", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-s", "3000", address(lab, receiver, family))


@pytest.mark.parametrize("receiver", ["proj_one/vm2", "proj_one/vm9"])  # on the other node, and on the sender's own
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_whose_rule_goes_is_cut_for_large_and_small_packets_and_comes_again_with_it(lab, family, receiver):
    assert heard(lab, "proj_one/vm1", receiver, family, 4005, 5021, MIXED) == whole(MIXED)
    text = lab.file.read_text()
    try:
        lab.file.write_text(text.replace("ports: 4000-4009", "ports: 4006-4009"))
        weft("allocate", lab.file)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
        for sizes in ([SIZE] * 3, MIXED, [SIZE, 10, SIZE]):
            assert heard(lab, "proj_one/vm1", receiver, family, 4005, 5021, sizes) == ([], []), sizes
        assert heard(lab, "proj_one/vm1", receiver, family, 4007, 5021, MIXED) == whole(MIXED)
    finally:
        lab.file.write_text(text)
        for node in ("compute1", "compute2"):
            lab.on(node, "apply")
    assert heard(lab, "proj_one/vm1", receiver, family, 4005, 5021, MIXED) == whole(MIXED)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_large_datagram_leaves_only_by_an_egress_rule(lab, family):
    # vm4's group lets UDP out to port 4001 alone.
    assert heard(lab, "proj_one/vm4", "proj_one/vm2", family, 4001, 5031, MIXED) == whole(MIXED)
    ear = listens(lab, "proj_one/vm2", "proj_one/vm4", family)
    assert heard(lab, "proj_one/vm4", "proj_one/vm2", family, 4002, 5032, MIXED) == ([], [])
    assert ear.stop() == ""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_rule_of_an_icmp_type_takes_no_fragments_of_any(lab, family):
    # vm5 lets answers in unasked, whose type of IPv4 is 0, as that of a fragment reads; vm6 lets echo requests in.
    for vm, size, expect in (("proj_one/vm5", 56, 1), ("proj_one/vm5", 3000, 1), ("proj_one/vm6", 56, 0), ("proj_one/vm6", 3000, 1)):
        lab.run("proj_one/vm1", "ping", "-q", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-s", size, address(lab, vm, family), expect=expect)
