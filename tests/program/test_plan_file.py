# SPDX-License-Identifier: Apache-2.0
"""A plan that somebody looked at is what `apply --plan` does, or nothing is done."""
import json

from conftest import FABRICS, Lab, weft


def test_apply_does_the_plan_that_was_agreed_to_and_no_other(tmp_path):
    file, kept = tmp_path / "fabric.yaml", tmp_path / "plan.json"
    text = (FABRICS / "grizzly.yaml").read_text()
    file.write_text(text)
    weft("allocate", file)
    lab = Lab(file)
    try:
        file.write_text(text.replace("{ protocol: tcp, ports: 22 }", "{ protocol: tcp, ports: 23 }", 1))
        assert file.read_text() != text
        kept.write_text(lab.on("compute1", "plan", "--json", expect=2).stdout)
        steps = len(json.loads(kept.read_text())["steps"])
        assert steps > 0

        def flows():
            return sorted(lab.run("compute1", "ovs-ofctl", "-OOpenFlow14", "dump-flows", "--no-stats", "br-int").stdout.splitlines()[1:])

        # The host changed since: a flow of ours has gone.
        before = flows()
        lab.run("compute1", "ovs-ofctl", "-OOpenFlow14", "--strict", "del-flows", "br-int", "table=23,priority=0")
        refused = lab.on("compute1", "apply", "--plan", kept, expect=1).stderr
        assert "the host or the fabric changed since" in refused and "step 1" in refused
        assert len(flows()) == len(before) - 1
        lab.run("compute1", "ovs-ofctl", "-OOpenFlow14", "add-flow", "br-int", "cookie=0x7765667400000001,table=23,priority=0,actions=drop")
        assert flows() == before

        # Of another node, edited, and missing.
        assert "the plan is of" in lab.on("compute2", "apply", "--plan", kept, expect=1).stderr
        edited = tmp_path / "edited.json"
        edited.write_text(kept.read_text().replace("tp_dst=23", "tp_dst=24"))
        assert edited.read_text() != kept.read_text()
        assert "the file was edited" in lab.on("compute1", "apply", "--plan", edited, expect=1).stderr
        assert "no such file" in lab.on("compute1", "apply", "--plan", tmp_path / "nowhere.json", expect=1).stderr

        done = json.loads(lab.on("compute1", "apply", "--plan", kept, "--json").stdout)
        assert done["steps"] == steps
        # What is done already is no longer the plan.
        assert "now it would be no step 1" in lab.on("compute1", "apply", "--plan", kept, expect=1).stderr
        assert lab.on("compute1", "plan").returncode == 0
    finally:
        lab.down()
