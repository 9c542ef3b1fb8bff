# SPDX-License-Identifier: Apache-2.0
"""Undoing on a host of which a part cannot be had: what can be taken back is, what remains is told and remembered, and the next recover ends it."""

import pytest

from faults import Node, Run, assert_same, eventually

PATH = "/var/lib/weft/journal"
# Of the journal's points the last two are of its end, and the two before them of the record that the run is complete.
BEFORE_COMPLETE, BEFORE_END = 3, 1


@pytest.fixture
def node(lab, states):
    n = Node(lab, "network")
    n.remove()
    yield n
    n.run("sh", "-c", f"rm -rf {PATH}* /var/lib/weft/earlier-boot*")
    n.apply()
    n.remove()


def killed(node, verb, fault):
    done = verb(fault=fault, expect=None)
    assert done.returncode in (-9, 137), f"{fault}: {done.returncode}\n{done.stderr}"


def killed_before_the_end(node, prepare, verb, points_from_the_end):
    prepare()
    points = node.points(verb, "journal")
    prepare()
    killed(node, verb, f"kill journal {points - points_from_the_end}")


def there(node, path=PATH):
    return node.run("test", "-e", path, expect=None).returncode == 0


def kernel_of(seen, uplink=True):
    """The kernel's part of a state, but for the devices that Open vSwitch makes in the host's own namespace, and, where it is to go to one of these,
    for what moves with the uplink."""
    spaces = {name: dict(space) for name, space in seen["spaces"].items()}
    own = spaces[""]
    own["links"] = [link["name"] for link in own["links"] if link["group"] not in (None, "default")]
    own.pop("addresses"), own.pop("sysctl"), own.pop("routes")  # of these some are of bridges' devices
    if not uplink:
        own.pop("rules"), own.pop("neighbours")
    return spaces


@pytest.mark.parametrize("what", ["apply", "remove"])
def test_the_kernels_part_is_taken_back_while_open_vswitch_cannot_be_read_and_the_rest_once_it_can(node, lab, states, what):
    prepare, verb, sign = {"apply": (node.remove, node.apply, "-"), "remove": (node.apply, node.remove, "+")}[what]
    before = states[node.name][0 if what == "apply" else 1]
    killed_before_the_end(node, prepare, verb, BEFORE_COMPLETE)
    lab.kill(node.name, "ovsdb-server")
    try:
        for _ in range(2):
            partly = node.weft("recover", expect=1)
            assert f"not undone: {sign} bridge br-int" in partly.stderr and "Open vSwitch" in partly.stderr and "the journal is kept" in partly.stderr
            assert_same(kernel_of(node.seen(), what == "apply"), kernel_of(before, what == "apply"))
            assert there(node)
        assert f"not undone: {sign} bridge br-int" in node.apply(expect=1).stderr
    finally:
        lab.start_server(node.name)
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), before)
    assert "nothing to recover" in node.weft("recover").stdout


def test_what_moved_with_a_nic_to_a_bridge_of_the_userspace_switch_goes_back_without_it_and_the_host_is_reached(node, lab, states):
    killed_before_the_end(node, node.remove, node.apply, BEFORE_COMPLETE)
    lab.kill(node.name, "ovsdb-server")
    try:
        partly = node.weft("recover", expect=1)
        assert "address 192.168.100.52/24" not in partly.stderr
        assert "192.168.100.52" in node.run("ip", "address", "show", "eth2").stdout
        lab.run("lan1", "ping", "-n", "-c", 3, "-i", "0.2", "-W", 2, "192.168.100.52")
    finally:
        lab.start_server(node.name)
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), states[node.name][0])


def test_what_moved_with_a_nic_in_a_run_that_is_final_stays_on_its_bridge_when_another_one_is_undone_without_the_switch(node, lab):
    node.apply()
    killed_before_the_end(node, lambda: node.run("nft", "delete", "table", "inet", "weft", expect=None), node.apply, BEFORE_COMPLETE)
    lab.kill(node.name, "ovsdb-server")
    node.run("rm", "/run/openvswitch/db.sock")  # as after a stop of the service
    try:
        assert "is undone" in node.weft("recover").stdout
        assert "192.168.100.52" in node.run("ip", "address", "show", "br-ex").stdout
        assert "192.168.100.52" not in node.run("ip", "address", "show", "eth2").stdout
        assert "br-ex" in node.run("ip", "route", "show", "198.51.101.0/24").stdout
    finally:
        lab.start_server(node.name)
    lab.run("lan1", "ping", "-n", "-c", 3, "-i", "0.2", "-W", 2, "192.168.100.52")


def test_the_guardian_takes_the_kernels_part_back_while_open_vswitch_is_away_and_the_rest_later(node, lab, states):
    log = "/run/weft/guardian.log"
    node.run("rm", "-f", log)  # with what the guardians of other tests have told
    node.apply("--confirm", 1)
    lab.kill(node.name, "ovsdb-server")
    try:
        # It tells so at the end of its first try. Until then namespaces go while one looks.
        eventually(lambda: "not undone" in node.run("cat", log).stdout, 20)
        assert_same(kernel_of(node.seen()), kernel_of(states[node.name][0]))
        assert there(node)
    finally:
        lab.start_server(node.name)
    eventually(lambda: not there(node), 40)
    assert_same(node.seen(), states[node.name][0])


def test_a_name_that_others_took_since_is_left_to_them_and_told_and_all_else_comes_back(node, states):
    killed_before_the_end(node, node.apply, node.remove, BEFORE_COMPLETE)
    old, new = states[node.name]
    ours = [e["table"] for e in new["spaces"][""]["nft"] if "table" in e and e not in old["spaces"][""]["nft"]]
    taken = ours[0]
    node.run("nft", "add", "table", taken["family"], taken["name"])
    try:
        refused = node.weft("recover", expect=1)
        assert f"{taken['name']}" in refused.stderr and "bears no mark of weft" in refused.stderr
        now = node.seen()
        now["spaces"][""]["nft"] = new["spaces"][""]["nft"]
        assert_same({**now, "memory": 0}, {**new, "memory": 0})
        assert "bears no mark of weft" in node.weft("recover", expect=1).stderr
    finally:
        node.run("nft", "delete", "table", taken["family"], taken["name"])
    # It is tried again, and now it can be.
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), new)


def test_a_namespace_that_others_made_under_its_name_is_left_as_it_is_and_all_else_comes_back(node, states):
    killed_before_the_end(node, node.apply, node.remove, BEFORE_COMPLETE)
    new = states[node.name][1]
    taken = next(name for name in new["spaces"] if name.startswith("qdhcp"))
    node.run("ip", "netns", "add", taken)
    try:
        refused = node.weft("recover", expect=1)
        assert f"the name {taken} is taken by a namespace that weft did not make" in refused.stderr
        now = node.seen()
        assert [link["name"] for link in now["spaces"][taken]["links"]] == ["lo"]
        for name, space in new["spaces"].items():
            if name and name != taken:
                assert_same(now["spaces"][name], space)
        assert_same(now["spaces"][""]["nft"], new["spaces"][""]["nft"])
    finally:
        node.run("ip", "netns", "delete", taken)
    node.apply()
    assert set(node.seen()["spaces"]) == set(new["spaces"])


def test_a_complete_run_is_ended_although_a_namespace_of_it_has_gone_since(node, states):
    killed_before_the_end(node, node.remove, node.apply, BEFORE_END)
    gone = next(name for name in states[node.name][1]["spaces"] if name.startswith("qrouter"))
    node.run("ip", "netns", "delete", gone)
    assert "is final" in node.weft("recover").stdout
    node.apply()
    # The ports of its devices are plugged anew, and ask for the numbers that they had.
    seen, new = node.seen(), states[node.name][1]
    assert_same({**seen["spaces"], **seen["switch"], "interface": 0}, {**new["spaces"], **new["switch"], "interface": 0})


def test_a_run_that_was_not_verified_yet_is_undone(node, states):
    killed(node, node.apply, "kill effect 1")
    assert "is undone" in node.weft("recover").stdout
    assert_same(node.seen(), states[node.name][0])


def test_of_devices_that_an_undo_makes_again_nothing_is_asked_that_nobody_had_asked_for(node, states):
    # Segmentation is off where checksums are, and comes back with them unless somebody turned it off.
    node.apply()
    before = node.seen("wanted")
    node.remove(fault="fail effect 1", expect=1)
    assert_same(node.seen("wanted"), before)


def test_a_rollback_that_could_not_be_recorded_goes_on_and_nobody_can_confirm_what_it_left(node, states):
    node.apply("--confirm", 60)
    killed(node, lambda **more: node.weft("rollback", **more), "fail journal 1; kill netlink 2")
    node.weft("confirm", expect=1)
    eventually(lambda: not there(node), 20)
    assert_same(node.seen(), states[node.name][0])


def test_a_removal_sees_what_was_made_while_it_ran_and_ends_with_nothing_of_ours_left(node, states):
    node.apply()
    run = Run(node, node.words("remove"), fault="stop effect 1")
    assert run.halted()
    # All its steps are done. What bears weft's mark now was made by somebody else's hand.
    node.run("ip", "route", "add", "198.51.100.77", "dev", "lo", "proto", "87")
    run.go_on()
    assert run.result().returncode == 0
    assert_same(node.seen(), states[node.name][0])


def test_on_a_full_disk_a_record_that_was_cut_short_keeps_no_undo_from_being_done(node, states):
    killed_before_the_end(node, node.remove, node.apply, BEFORE_COMPLETE)
    pad = f"t = open({PATH!r}, 'rb').read(); open('/run/full/journal', 'wb').write(t + b'0' * (-len(t) % 4096 or 4096))"
    node.run("sh", "-ec", f'''mkdir -p /run/full; mount -t tmpfs -o size=4m tmpfs /run/full; cp -a /var/lib/weft/. /run/full/
        /usr/bin/python3 -c "{pad}"; chmod 600 /run/full/journal
        ! dd if=/dev/zero of=/run/full/filler bs=4096 2>/dev/null; ! printf x >>/run/full/journal; mount --bind /run/full /var/lib/weft''')
    try:
        undone = node.weft("recover")
        assert "is undone" in undone.stdout
        assert not there(node)
    finally:
        node.run("sh", "-ec", "umount /var/lib/weft; umount /run/full; rm -rf /var/lib/weft/journal /var/lib/weft/grizzly.network.*")
    assert_same(node.seen(), states[node.name][0])


def test_what_was_found_stays_known_for_what_an_undo_left(node, states):
    node.remove()
    writes = node.points(node.apply, "sysctl")
    node.remove()
    failed = node.apply(fault=f"fail openflow 1; fail sysctl {writes + 1}+", expect=1)
    assert "undone, but for these" in failed.stderr
    known = node.run("cat", "/var/lib/weft/grizzly.network.sysctls", expect=None).stdout
    assert "arp_announce=0" in known
    # Nobody can undo it now either: the journal is set aside, and what was found is still given back by whoever takes weft off.
    node.weft("recover", fault="fail sysctl 1+", expect=1)
    assert node.run("cat", "/var/lib/weft/grizzly.network.sysctls", expect=None).stdout == known
    node.remove()
    assert_same(node.seen(), states[node.name][0])


@pytest.fixture
def another_boot(node):
    def start():
        node.run("sh", "-ec", "echo 00000000-0000-4000-8000-000000000000 >/run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id")

    yield start
    node.run("umount", "--lazy", "/proc/sys/kernel/random/boot_id", expect=None)  # where it was mounted


@pytest.mark.parametrize("fault", ["journal 1", "journal 2", "netlink 1", "openflow 1", "effect 1"])
def test_after_a_restart_a_recover_that_is_killed_while_it_makes_the_node_anew_is_gone_on_with(node, states, another_boot, fault):
    node.apply()
    node.remove("--confirm", 60)
    another_boot()
    killed(node, lambda **more: node.weft("recover", **more), f"kill {fault}")
    node.weft("recover")
    assert_same(node.seen(), states[node.name][1])
    assert "nothing to recover" in node.weft("recover").stdout


@pytest.mark.parametrize("then", ["the same boot", "recover at the next boot", "apply at the next boot"])
def test_a_confirm_that_is_killed_once_it_stands_on_disk_is_final_and_nothing_remembers_it_as_unconfirmed(node, states, another_boot, then):
    node.remove()
    node.apply("--confirm", 60)
    killed(node, lambda **more: node.weft("confirm", **more), "kill journal 2")
    if then != "the same boot":
        another_boot()
    if then == "apply at the next boot":
        assert "confirmed" not in node.apply("--boot").stderr
    node.weft("recover")
    eventually(lambda: not there(node), 20)
    assert node.run("sh", "-c", "ls /var/lib/weft/*.unconfirmed", expect=None).stdout == ""
    assert "no change waits" in node.weft("rollback", expect=1).stderr
    assert_same(node.seen(), states[node.name][1])


def test_a_confirm_that_is_killed_before_the_end_of_the_journal_has_forgotten_no_lease(node, states):
    node.apply()
    lease = next(p for p in node.run("find", "/var/lib/weft/services", "-mindepth", 2, "-maxdepth", 2, "-type", "d").stdout.split()) + "/kept.leases"
    node.run("touch", lease)
    node.remove("--confirm", 60)
    killed(node, lambda **more: node.weft("confirm", **more), "kill journal 1")
    assert there(node, lease)
    node.weft("rollback", expect=None)
    eventually(lambda: not there(node), 20)
    assert_same(node.seen(), states[node.name][1])
    assert there(node, lease)
    node.remove("--confirm", 60)
    assert "is final" in node.weft("confirm").stdout
    assert not there(node, lease)
