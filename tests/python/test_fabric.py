# SPDX-License-Identifier: Apache-2.0
"""weft.Fabric and weft.Error without privileges: read, check, allocate, compile, and what goes wrong."""
import pytest
import weft


def errors(fabric):
    return [row for row in fabric.check() if row["severity"] == "error"]


def test_a_sound_fabric(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    assert errors(fabric) == []
    assert fabric.nodes == ["compute1", "network"]
    assert not fabric.complete


def test_a_fault_has_its_place(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text.replace("node: compute1", "node: compute9"))
    faults = errors(fabric)
    assert any("compute9" in row["value"] and row["line"] > 0 and row["column"] > 0 for row in faults), faults
    with pytest.raises(weft.Error) as caught:
        fabric.allocate()
    assert caught.value.code == "invalid_input"


def test_faults_of_form_and_of_meaning_come_together_at_their_values(fabric_text):
    text = fabric_text.replace("node: compute1", "node: compute9").replace("type: gre", "typ: gre")
    lines = text.split("\n")
    faults = errors(weft.Fabric.from_text(text))
    assert {row["value"] for row in faults} == {"compute9", "typ"}
    for row in faults:
        assert lines[row["line"] - 1][row["column"] - 1:].startswith(row["value"]), row
        assert row["allowed"]


def test_an_unknown_key_is_refused(fabric_text):
    assert errors(weft.Fabric.from_text(fabric_text + "colour: blue\n"))


def test_a_missing_file_is_a_fault(tmp_path):
    assert errors(weft.Fabric.from_file(str(tmp_path / "none.yaml")))


def test_allocate_is_stable(fabric_file):
    lock = weft.Fabric.from_file(str(fabric_file)).allocate(save=True)
    assert fabric_file.with_suffix(".lock").exists()
    again = weft.Fabric.from_file(str(fabric_file))
    assert again.allocate() == lock
    assert again.complete


def test_text_has_no_lock_to_save(fabric_text):
    with pytest.raises(weft.Error):
        weft.Fabric.from_text(fabric_text).allocate(save=True)


def test_compile_gives_the_state_of_a_node(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    with pytest.raises(weft.Error) as caught:
        fabric.compile("network")
    assert "allocate" in caught.value.detail
    fabric.allocate()
    state = fabric.compile("network")
    assert {"br-int", "br-tun", "br-ex"} <= {bridge["name"] for bridge in state["bridges"]}
    assert any(ns.get("name", "").startswith("qrouter-") for ns in state["namespaces"])


def test_an_unknown_node_is_not_found(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    fabric.allocate()
    with pytest.raises(weft.Error) as caught:
        fabric.compile("compute9")
    assert caught.value.code == "not_found"
    assert isinstance(caught.value, Exception)
    assert "compute9" in str(caught.value)


def test_expectations_have_both_kinds(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    fabric.allocate()
    assert {row["expected"] for row in fabric.expectations()} == {"reachable", "blocked"}


def test_a_missing_namespace_is_told(fabric_text):
    fabric = weft.Fabric.from_text(fabric_text)
    fabric.allocate()
    with pytest.raises(weft.Error):
        fabric.plan("compute1", netns="weft-python-none", ovs_rundir="/nonexistent")


def test_schema_and_version():
    assert weft.schema()["type"] == "object"
    assert weft.__version__
