# SPDX-License-Identifier: Apache-2.0
"""An upgrade of weft under load: the watch is killed or ended and another program takes its place; traffic goes on, the services stand, and what
somebody changed while nobody watched is told and put back."""
import shutil
import time

from beside import Pinger, Watch
from conftest import PROGRAM, SWITCHES, eventually


def services(lab):
    """Name and process of each service of the network node."""
    return lab.run("network", "sh", "-c", "grep . /run/weft/services/grizzly/*/pid").stdout


def test_the_watch_is_replaced_under_load_and_no_packet_is_lost(lab, tmp_path):
    # As a package manager does it: another file takes the name of the old one, which runs on until it is ended.
    program = tmp_path / "bin" / "weft"
    program.parent.mkdir()
    shutil.copy(PROGRAM, program)
    standing = services(lab)
    pingers = [Pinger(lab, "proj_one/vm1", lab.address("proj_one/vm2")), Pinger(lab, "proj_one/vm2", lab.address("proj_one/vm3")),
               Pinger(lab, "proj_one/vm1", "192.168.100.200")]
    watches, history = {}, []
    try:
        for node in SWITCHES:
            watches[node] = Watch(lab, "--heal", node=node, program=str(program))
        for pinger in pingers:
            pinger.begun()
        for round in range(4):
            fresh = program.with_suffix(".new")
            shutil.copy(PROGRAM, fresh)
            fresh.replace(program)
            for node in SWITCHES:
                history.append((time.monotonic(), f"{round}/{node}"))
                if round % 2:
                    assert watches[node].stop() == 0
                else:
                    watches[node].process.kill()
                    watches[node].process.wait(10)
            # Nobody watches: flows of a broadcast that no pinger needs, and a setting that no event tells of.
            for node in SWITCHES:
                lab.run(node, "ovs-ofctl", "-OOpenFlow13", "del-flows", "br-tun", "table=22")
                lab.run(node, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
            for node in SWITCHES:
                watches[node] = Watch(lab, "--heal", node=node, program=str(program))
            for node in SWITCHES:
                watches[node].hear("repaired", "flow", "table=22")
                watches[node].hear("repaired", "sysctl", "arp_ignore")
                eventually(lambda: "nothing to do" in lab.on(node, "plan", expect=None).stdout)
        # The new program finds nothing to do either, and the old one's services are its own.
        for node in SWITCHES:
            assert "nothing to do" in lab.run(node, program, "apply", lab.file, "--node", node).stdout
        assert standing and services(lab) == standing
        Pinger.assert_all_whole(pingers, history)
    finally:
        for watch in watches.values():
            if watch.process.poll() is None:
                watch.stop()
        for pinger in pingers:
            pinger.process.kill()
            pinger.process.wait()
    lab.assert_green()
