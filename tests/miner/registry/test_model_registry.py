"""What is let in, what is kept, who serves; and that no crash leaves half of it."""

import json
import os
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.registry import NoSuchVersion, Refused, Registry
from miner.registry.door import RUNS_CODE
from miner.registry.state import NAME, Pointers

TIER = "classifier"


def weights(tensors=b"abcd"):
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(tensors)], "data_offsets": [0, len(tensors)]}})
    return struct.pack("<Q", len(header)) + header.encode() + tensors


def brought(folder, content=b"abcd", **manifest):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights(content))
    (folder / "config.json").write_text("{}")
    if manifest:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def test_a_version_knows_where_it_came_from_and_how_to_load_it(registry, tmp_path):
    source = brought(tmp_path / "in", licence="MIT", metrics={"mcc": 0.7}, options={"threshold": 0.4})
    version = registry.add(TIER, source, {"source": "retrain", "parent": "a1"})
    found = registry.version(TIER, version).manifest
    assert set(found.files) == {"model.safetensors", "config.json"}
    facts = found.facts
    assert (facts.source, facts.parent, facts.licence) == ("retrain", "a1", "MIT")
    assert facts.metrics == {"mcc": 0.7}
    folder = registry.path(TIER, version)
    assert registry.spec(TIER, version) == {"kind": TIER, "path": str(folder), "threshold": 0.4}
    assert (folder / "model.safetensors").read_bytes() == weights()
    assert registry.add(TIER, source) == version, "the same model is the same version"
    assert len(registry.versions(TIER)) == 1


def refusal(registry, source):
    with pytest.raises(Refused) as caught:
        registry.add(TIER, source)
    assert registry.versions(TIER) == []
    assert not list(registry.folder.glob(".incoming*"))
    return str(caught.value)


@pytest.mark.parametrize("suffix", RUNS_CODE)
def test_files_that_can_run_code_stay_outside(registry, tmp_path, suffix):
    source = brought(tmp_path / "in")
    (source / f"model{suffix}").write_bytes(pickle.dumps({"a": 1}))
    assert "can run code" in refusal(registry, source)


def test_links_subfolders_and_the_unknown_stay_outside(registry, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    linked, nested, odd = (brought(tmp_path / name) for name in ("linked", "nested", "odd"))
    (linked / "more.json").symlink_to(tmp_path / "secret.json")
    (nested / "sub").mkdir()
    (odd / "run.sh").write_text("")
    assert "is a link" in refusal(registry, linked)
    assert "flat folder" in refusal(registry, nested)
    assert "run.sh is no file of a model" in refusal(registry, odd)
    whole = tmp_path / "whole"
    whole.symlink_to(brought(tmp_path / "real"))
    assert "is a link" in refusal(registry, whole)
    (tmp_path / "empty").mkdir()
    assert "nothing to load" in refusal(registry, tmp_path / "empty")
    pipe = brought(tmp_path / "pipe")
    os.mkfifo(pipe / "x.json")
    assert "no plain file" in refusal(registry, pipe)


@pytest.mark.parametrize("cut", [3, 20, -1])
def test_weights_that_were_cut_short_are_refused(registry, tmp_path, cut):
    source = brought(tmp_path / "in")
    (source / "model.safetensors").write_bytes(weights()[:cut])
    assert "model.safetensors is damaged" in refusal(registry, source)


def test_a_promised_hash_is_held_against_the_file(registry, tmp_path):
    good = brought(tmp_path / "good")
    files = registry.version(TIER, registry.add(TIER, good)).manifest.files
    registry = Registry(tmp_path / "other")
    bad = brought(tmp_path / "bad", b"abcx", files=dict(files))
    assert "model.safetensors is damaged or was changed" in refusal(registry, bad)
    more = brought(tmp_path / "more", files=dict(files))
    (more / "vocab.txt").write_text("x")
    assert "vocab.txt is there and is not in the manifest" in refusal(registry, more)
    assert registry.add(TIER, brought(tmp_path / "fine", files=dict(files)))


@pytest.mark.parametrize("option", ["path", "kind", "backbone", "revision"])
def test_options_cannot_point_outside_the_model(registry, tmp_path, option):
    assert f"may not say {option}" in refusal(registry, brought(tmp_path / "in", options={option: "/etc"}))


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", "A", ".hidden", "x" * 80])
def test_names_that_are_paths_are_no_names(registry, name):
    with pytest.raises(NoSuchVersion):
        registry.path(TIER, name)
    with pytest.raises(NoSuchVersion):
        registry.versions(name)


def test_the_way_there_and_back_and_what_survives_a_restart(registry, tmp_path):
    one, two = (registry.add(TIER, brought(tmp_path / name, name.encode())) for name in ("one", "two2"))
    registry.promote(TIER, one)
    registry.challenge(TIER, two)
    registry.promote(TIER, two)
    again = Registry(registry.folder)
    assert again.pointers(TIER) == Pointers(two, None, one, changes=2)
    assert again.rollback(TIER).champion == one
    assert again.rollback(TIER).champion == two, "and forth"
    with pytest.raises(NoSuchVersion, match=f"there is {two}, {one}|there is {one}, {two}"):
        again.promote(TIER, "missing")


def test_the_first_promotion_can_be_taken_back_to_the_settings(registry, tmp_path):
    with pytest.raises(ValueError, match="nothing to go back to"):
        registry.rollback(TIER)
    registry.promote(TIER, registry.add(TIER, brought(tmp_path / "in")))
    assert registry.rollback(TIER).champion is None


def test_what_is_quarantined_does_not_come_in_again(registry, tmp_path):
    source = brought(tmp_path / "in")
    version = registry.add(TIER, source)
    registry.challenge(TIER, version)
    registry.quarantine(TIER, version, "it said NaN")
    assert registry.pointers(TIER).challenger is None
    assert registry.version(TIER, version).quarantined == "it said NaN"
    with pytest.raises(Refused, match="is quarantined: it said NaN"):
        Registry(registry.folder).add(TIER, source)
    registry.promote(TIER, version)
    assert registry.version(TIER, version).quarantined is None, "forced by the operator"


def test_old_versions_go_and_those_that_are_pointed_at_stay(registry, tmp_path):
    names = [registry.add(TIER, brought(tmp_path / str(n), bytes([n]))) for n in range(6)]
    registry.promote(TIER, names[0])
    registry.promote(TIER, names[1])
    registry.challenge(TIER, names[2])
    gone = registry.prune(TIER, 1)
    left = {one.name for one in registry.versions(TIER)}
    assert {names[0], names[1], names[2]} <= left and len(left) == 4 and len(gone) == 2


def test_a_file_that_changed_on_disk_is_found(registry, tmp_path):
    version = registry.add(TIER, brought(tmp_path / "in"))
    registry.verify(TIER, version)
    (registry.path(TIER, version) / "config.json").write_text("{ }")
    with pytest.raises(Refused, match=r"config\.json is damaged or was changed"):
        registry.verify(TIER, version)


def test_a_disk_that_is_full_changes_nothing(registry, tmp_path, monkeypatch):
    version = registry.add(TIER, brought(tmp_path / "in"))

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        registry.promote(TIER, version)
    assert registry.pointers(TIER).champion is None
    assert "cannot be copied: No space left" in _why(
        lambda: registry.add(TIER, brought(tmp_path / "b", b"b"))
    )
    monkeypatch.undo()
    assert Registry(registry.folder).pointers(TIER).champion is None
    assert len(registry.versions(TIER)) == 1


def _why(work):
    with pytest.raises(Refused) as caught:
        work()
    return str(caught.value)


def test_a_damaged_state_file_does_not_keep_the_miner_down(registry, tmp_path):
    registry.promote(TIER, registry.add(TIER, brought(tmp_path / "in")))
    (registry.folder / NAME).write_text("{")
    again = Registry(registry.folder)
    assert again.pointers(TIER).champion is None and len(again.versions(TIER)) == 1


def test_leftovers_of_a_crash_are_swept(registry, tmp_path):
    registry.add(TIER, brought(tmp_path / "in"))
    (registry.folder / ".incoming-abc").mkdir()
    registry.sweep()
    assert not list(registry.folder.glob(".incoming*")) and len(registry.versions(TIER)) == 1


def test_what_a_version_was_trained_on_is_known(registry, tmp_path):
    source = brought(tmp_path / "in")
    (source / "trained.json").write_text(json.dumps(["aa", "bb"]))
    assert registry.trained(TIER, registry.add(TIER, source)) == {"aa", "bb"}
    assert registry.trained(TIER, "missing") == frozenset()


steps = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=8)


@given(steps)
def test_a_rollback_undoes_the_last_promotion(promotions):
    pointers = Pointers()
    before = pointers
    for version in promotions:
        before, pointers = pointers, pointers.promoted(version)
    if promotions:
        assert pointers.promoted(pointers.previous).champion == before.champion
