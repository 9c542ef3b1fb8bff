# SPDX-License-Identifier: Apache-2.0
"""The file's checks in a lab: a change that breaks the way to the gateway is undone at once; what failed before does not count."""
import json
import re

import pytest

from conftest import FABRICS, PROGRAM, Lab, weft

OF_NETWORK = "  network: [ { ping: 192.168.100.1, mtu: full }, { arp: 10.10.10.51 } ]"
CHECKS = (
    "  network: [ { ping: 192.168.100.1, mtu: full }, { arp: 10.10.10.51 }, { tcp: 10.10.10.51, port: 22 } ]\n"
    "  controller: [ { ping: 192.168.100.1, mtu: full }, { arp: 192.168.100.1 }, { ping: 10.10.10.99 } ]"
)


@pytest.fixture
def checked(tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "grizzly.yaml").read_text()
    assert OF_NETWORK in text
    file.write_text(text.replace(OF_NETWORK, CHECKS))
    weft("allocate", file)
    lab = Lab(file)
    yield lab, file
    lab.down()


def stands(lab, node):
    """Links, addresses, routes and rules of the host's own namespace, without what the kernel counts or finds out by itself (IPv6)."""
    told = [lab.run(node, *words).stdout for words in (["ip", "-d", "-o", "link"], ["ip", "-4", "-o", "address"], ["nft", "list", "ruleset"])]
    told.append("\n".join(sorted(lab.run(node, "ip", "-4", "route", "show", "table", "all").stdout.splitlines())))
    return [re.sub(r"promiscuity \d+", "", each).splitlines() for each in told]


def test_a_change_that_breaks_the_way_to_the_gateway_is_undone_at_once(checked):
    lab, file = checked
    text = file.read_text()
    # A filter of somebody else takes packets from the address that the node has, and from no other.
    for words in ("add table ip other", "add chain ip other out { type filter hook output priority 0; }",
                  "add rule ip other out ip saddr 192.168.100.90 drop"):
        lab.run("controller", "nft", words)
    before = stands(lab, "controller")
    file.write_text(text.replace("address: 192.168.100.51", "address: 192.168.100.90"))
    assert file.read_text() != text
    weft("allocate", file)
    refused = lab.on("controller", "apply", expect=1).stderr
    assert "check ping 192.168.100.1 (1500 bytes, DF) from the host" in refused
    assert "although it passed before (all steps were undone)" in refused
    assert "arp 192.168.100.1" not in refused and "10.10.10.99" not in refused
    assert stands(lab, "controller") == before

    # Where the filter lets it, the same change goes through; the check that never passed is told.
    lab.run("controller", "nft", "delete", "table", "ip", "other")
    done = lab.on("controller", "apply").stdout
    assert "check failed, as before the change: ping 10.10.10.99 from the host: no answer to " in done
    assert lab.on("controller", "plan").returncode == 0


def test_arp_and_tcp_from_a_node_with_a_router(checked):
    lab, file = checked
    # Nobody listens on the controller's port 22 yet: it failed before, and does not count.
    lab.run("network", "ip", "address", "del", "10.10.10.52/24", "dev", "eth0")
    report = json.loads(lab.on("network", "apply", "--json").stdout)
    assert report["steps"] > 0
    (failed,) = report["failed_checks"]
    assert failed == "tcp 10.10.10.51 port 22 from the host: no route at the source" or failed.endswith(": refused")
    assert lab.on("network", "plan").returncode == 0


def test_a_service_that_does_not_start_hides_no_check_that_failed(checked):
    lab, _ = checked
    lease = re.search(r"--dhcp-leasefile=([^\"]+)", lab.run("network", "sh", "-c", "cat /run/weft/services/grizzly/dnsmasq-*.json").stdout).group(1)
    lab.run("network", PROGRAM, "remove", "--fabric", "grizzly", "--node", "network")
    lab.run("network", "mkdir", "-p", lease)
    told = lab.on("network", "apply", expect=1).stderr
    assert "all else is done" in told
    assert "a check that failed before still does: tcp 10.10.10.51 port 22 from the host" in told


def test_a_change_that_breaks_the_way_out_over_ipv6_alone_is_undone_at_once(tmp_path):
    file = tmp_path / "fabric.yaml"
    text = (FABRICS / "dual-stack.yaml").read_text()
    file.write_text(text)
    weft("allocate", file)
    lab = Lab(file)
    try:
        # A filter of somebody else takes packets from the address that the node has, and from no other.
        for words in ("add table ip6 other", "add chain ip6 other out { type filter hook output priority 0; }",
                      "add rule ip6 other out ip6 saddr 2001:db8:100::90 icmpv6 type echo-request drop"):
            lab.run("controller", "nft", words)
        before = stands(lab, "controller")
        of_v6 = lab.run("controller", "ip", "-6", "-o", "address").stdout
        assert "address6: \"2001:db8:100::51\"" in text
        file.write_text(text.replace("address6: \"2001:db8:100::51\"", "address6: \"2001:db8:100::90\""))
        weft("allocate", file)
        refused = lab.on("controller", "apply", expect=1).stderr
        assert "check ping 2001:db8:100::1 (1500 bytes, DF) from the host" in refused
        assert "although it passed before (all steps were undone)" in refused and "192.168.100.1" not in refused
        assert stands(lab, "controller") == before
        assert lab.run("controller", "ip", "-6", "-o", "address").stdout == of_v6
        lab.run("controller", "nft", "delete", "table", "ip6", "other")
        assert json.loads(lab.on("controller", "apply", "--json").stdout)["failed_checks"] == []
        # The network node has no address on the LAN: its router asks.
        space = next(n.split()[0] for n in lab.run("network", "ip", "netns", "list").stdout.splitlines() if n.startswith("qrouter-"))
        for words in ("add table ip6 other", "add chain ip6 other out { type filter hook output priority 0; }",
                      "add rule ip6 other out ip6 daddr 2001:db8:100::1 icmpv6 type echo-request drop"):
            lab.run("network", "ip", "netns", "exec", space, "nft", words)
        lab.run("network", "ip", "address", "del", "fd00:10::52/64", "dev", "eth0")
        report = json.loads(lab.on("network", "apply", "--json").stdout)
        assert report["steps"] > 0
        assert [f for f in report["failed_checks"] if f.startswith(f"ping 2001:db8:100::1 (1500 bytes, DF) from {space}: ")]
    finally:
        lab.down()
