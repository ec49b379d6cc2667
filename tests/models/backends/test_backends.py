"""A model through another runtime says what torch says, at its first start and at every later one."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models.backends import beside, choice, graphs, quantise
from models.backends.choice import TORCH, Choice, choose, timed
from models.backends.close import CloseCalls, overstated
from models.backends.export import export
from models.backends.graphs import Graphs
from models.backends.machine import Machine, here
from models.backends.proof import BF16_PROOF, INT8, PROOF, Proof, Proven, proven, write
from models.backends.runtimes import RUNTIMES, installed
from models.classifier import load_classifier
from models.learn.data import read
from models.scenes import write_scenes

PROBES = np.random.default_rng(0).standard_normal((3, 3, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(3)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {"id2label": {0: "None", 1: "Roadwork"}, "label2id": {"None": 0, "Roadwork": 1}}
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **small, **labels)).save_pretrained(
        folder
    )
    shown = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(shown))
    return folder


def pictures(tier, count=3):
    noise = np.random.default_rng(1).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    return [tier.prepare(Image.fromarray(each)) for each in noise]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_gives_the_logits_and_features_of_torch(checkpoint, tmp_path, runtime):
    if runtime not in installed():
        pytest.skip(f"{runtime} is not installed (extra: cpu)")
    plain, quick = load_classifier(checkpoint), load_classifier(checkpoint)
    quick.embed(), plain.embed()
    quick.quicken(tmp_path, "auto", 1)
    assert not quick._model.training, "the exporter left dropout on"
    quick._runner = RUNTIMES[runtime](tmp_path / f"{quick.version}.onnx", 1)
    for count in (1, 3):
        batch = pictures(plain, count)
        assert torch.allclose(plain.logits(batch), quick.logits(batch), atol=1e-4)
        assert torch.allclose(plain.embed().take(), quick.embed().take(), atol=1e-4)


def test_what_was_found_out_is_not_found_out_again(checkpoint, tmp_path, monkeypatch):
    if not installed():
        pytest.skip("no runtime but torch is installed (extra: cpu)")
    load_classifier(checkpoint, backend="auto", backends=tmp_path)
    notes = list(tmp_path.glob("*.json"))
    assert len(notes) == 1
    assert set(json.loads(notes[0].read_text())["image_ms"]) == {TORCH, *installed()}
    monkeypatch.setattr(choice, "choose", lambda *given: pytest.fail("measured again"))
    load_classifier(checkpoint, backend="auto", backends=tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_exports_of_versions_that_are_gone_do_not_pile_up(checkpoint, tmp_path, monkeypatch):
    if not installed():
        pytest.skip("no runtime but torch is installed (extra: cpu)")
    monkeypatch.setattr(choice, "KEPT", 2)
    for age, name in enumerate(("old", "older", "oldest"), start=1):
        for file in (tmp_path / f"{name}.onnx", tmp_path / f"{name}-key.json"):
            file.write_text("")
            os.utime(file, (1e9 - age, 1e9 - age))
    version = load_classifier(checkpoint, backend="onnxruntime", backends=tmp_path).version
    assert {file.stem for file in tmp_path.glob("*.onnx")} == {version, "old"}
    assert {file.name.partition("-")[0] for file in tmp_path.glob("*.json")} == {version, "old"}


def test_torch_judges_until_a_process_beside_has_found_out(checkpoint, tmp_path):
    if not installed():
        pytest.skip("no runtime but torch is installed (extra: cpu)")
    tier = load_classifier(checkpoint, backend="onnxruntime", backends=tmp_path, later=True)
    batch = pictures(tier)
    before = tier.logits(batch)
    assert tier._runner is None, "nothing was found out yet, and nobody waited for it"
    for thread in threading.enumerate():
        if thread.name == "backend":
            thread.join(120)
    assert tier._runner is not None
    assert torch.allclose(before, tier.logits(batch), atol=1e-4)
    known = load_classifier(checkpoint, backend="onnxruntime", backends=tmp_path, later=True)
    assert known._runner is not None, "the next start has it at once"


def test_a_search_that_fails_leaves_torch_and_says_so(tmp_path):
    told: list[str] = []
    sink = logger.add(told.append, format="{message}")
    beside._find({"path": "nowhere", "backends": str(tmp_path)}, 1, lambda: False)
    logger.remove(sink)
    assert "torch judges" in told[-1] and "nowhere: no such folder" in told[-1]


def test_a_damaged_note_is_written_again(tmp_path):
    note = tmp_path / "note.json"
    note.write_text('{"backend": "torch", "image_')
    assert choice.read(note) is None
    choice.write(note, Choice(TORCH, {TORCH: 1.0}))
    assert choice.read(note) == Choice(TORCH, {TORCH: 1.0})


def test_a_runtime_that_is_gone_is_not_taken_from_a_note(tmp_path):
    choice.write(tmp_path / "note.json", Choice("uninstalled"))
    assert choice.read(tmp_path / "note.json") is None


def slow(pixels):
    for _ in range(200):
        np.linalg.svd(np.ones((12, 12)))
    return quick(pixels)


def quick(pixels):
    return pixels.reshape(len(pixels), -1)[:, :2].copy(), None


def first(logits):
    return logits[:, 0]


def other(pixels):
    return quick(pixels)[0] + 0.5, None


def broken():
    raise OSError("no such kernel")


def test_the_fastest_that_agrees_is_chosen_and_the_others_are_named():
    found, runner = choose(slow, {"quick": lambda: quick, "other": lambda: other, "broken": broken}, PROBES)
    assert found.backend == "quick" and runner is quick
    assert set(found.image_ms) == {TORCH, "quick"}
    assert set(found.refused) == {"other", "broken"}
    assert "no such kernel" in found.refused["broken"]


def test_torch_stays_where_nothing_is_faster():
    found, runner = choose(quick, {"slow": lambda: slow}, PROBES)
    assert found.backend == TORCH and runner is quick


def test_the_best_turn_counts_per_image():
    turns = [0.050, 0.050] + [0.004] * 100  # the first turn of each batch size is a slow one
    ticks = iter(np.cumsum([step for taken in turns for step in (0.0, taken)]))
    found = timed({"one": quick}, PROBES, clock=lambda: float(next(ticks)))["one"]
    assert found == pytest.approx(4 / 8**0.5), "4 ms for 1 and for 8 images: their geometric mean an image"


def test_trouble_of_any_kind_leaves_torch(tmp_path):
    def export(path):
        raise RuntimeError("an operator that is not exported")

    if not installed():
        pytest.skip("no runtime but torch is installed (extra: cpu)")
    for only in (None, "nobody"):
        found = choice.chosen(tmp_path, "v", 1, quick, lambda: PROBES, export, first, only=only)
        assert found == (TORCH, None)


def test_the_machine_is_told_with_what_it_lacks():
    machine = here()
    assert machine.cpu and not set(machine.has) & set(machine.lacks)
    assert Machine("x", ("avx2", "avx512_vnni")).int8
    assert not Machine("x", ("avx2",)).int8
    assert Machine("x", ("avx2", "amx_bf16")).bf16 and not Machine("x", ("avx2", "amx_int8")).bf16


@pytest.mark.parametrize(
    ("images", "agreement", "mcc", "why"),
    [
        (400, 0.997, 0.70, ""),
        (50, 1.0, 0.70, "50 images"),
        (400, 0.99, 0.70, "99.00%"),
        (400, 0.996, 0.69, "MCC"),
    ],
)
def test_an_int8_copy_serves_only_with_a_proof_that_holds(tmp_path, images, agreement, mcc, why):
    shown = Proof("abc", images, agreement, mcc, 0.70)
    assert why in shown.why_not and bool(why) == bool(shown.why_not)
    (tmp_path / INT8).write_bytes(b"onnx")
    write(tmp_path / PROOF, shown)
    assert bool(proven(tmp_path, "abc").int8) != bool(why)
    write(tmp_path / BF16_PROOF, shown)
    assert proven(tmp_path, "abc").bf16 != bool(why)
    assert not proven(tmp_path, "another version")


def test_a_proven_copy_need_not_agree_to_the_digit_but_is_no_nonsense():
    def wild(pixels):
        return quick(pixels)[0] + 100, None

    copies = {"other-int8": lambda: other, "wild-int8": lambda: wild}
    found, _ = choose(slow, copies, PROBES)
    assert found.backend == "other-int8" and set(found.refused) == {"wild-int8"}


def test_every_runtime_must_bear_a_copy_out(checkpoint, tmp_path, monkeypatch):
    fine = Proof("v", 300, agreement=0.996, mcc=0.8, mcc_float=0.8)
    lossy = Proof("v", 300, agreement=0.999, mcc=0.7, mcc_float=0.8)
    told = iter((fine, lossy))
    monkeypatch.setattr(quantise, "quantise", lambda tier, examples, file: file.write_bytes(b"copy"))
    write_scenes(tmp_path / "data" / "train", 2, 0), write_scenes(tmp_path / "data" / "val", 2, 9)
    monkeypatch.setattr(quantise, "careful", lambda *_: {"one": quick, "two": quick})
    monkeypatch.setattr(quantise, "compare", lambda *_: next(told))
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    assert quantise.make(folder, tmp_path / "data", say=lambda _: None) == lossy
    assert not (folder / INT8).exists()


def test_graphs_say_what_the_network_says_in_any_batch(checkpoint):
    tier = load_classifier(checkpoint)
    embedder, made = tier.embed(), Graphs(tier.network, 2, (32, 32), "cpu", buckets=(1, 4))
    before = None
    for count in (1, 3, 9):  # one that fits, one beside what the batch before left, one in pieces
        batch = pictures(tier, count)
        logits, features = made(np.stack(batch))
        assert np.allclose(logits, tier.logits(batch), atol=1e-4) and len(logits) == count
        assert np.allclose(features, embedder.take(), atol=1e-4)
        assert before is None or not np.shares_memory(before, logits), "an answer outlives the next batch"
        before = logits
    assert made.room(4).shape == (4, 3, 32, 32) and made.room(5) is None


def test_a_classifier_judges_by_graphs_where_they_are_faster(checkpoint, monkeypatch):
    monkeypatch.setattr(
        choice, "timed", lambda sound, probes: {n: len(sound) - i for i, n in enumerate(sound)}
    )
    monkeypatch.setattr(graphs, "BUCKETS", (1, 4))
    plain = load_classifier(checkpoint)
    for bf16 in (False, True):
        tier = load_classifier(checkpoint)
        tier.record(bf16=bf16)
        assert tier.version == plain.version + ("@bf16" if bf16 else "")
        batch = pictures(plain, 3)
        assert torch.allclose(tier.logits(batch), plain.logits(batch), atol=0.1 if bf16 else 1e-4)
        assert np.shares_memory(tier._stacked(batch), tier._runner.room(3)), "stacked where it is pinned"


def test_torch_stays_where_no_graph_can_be_recorded(checkpoint, monkeypatch):
    monkeypatch.setattr(graphs, "recorded", lambda *_: (_ for _ in ()).throw(RuntimeError("no memory")))
    tier = load_classifier(checkpoint)
    tier.record()
    assert tier._runner is None and tier.evidence(pictures(tier, 1))


def test_bfloat16_is_proven_or_refused_and_chosen_only_when_proven(checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    write_scenes(tmp_path / "data" / "train", 2, 0), write_scenes(tmp_path / "data" / "val", 8, 9)
    assert quantise.main([str(folder), "--data", str(tmp_path / "data"), "--most", "8", "--bf16"]) == 1
    assert not proven(folder, load_classifier(folder).version), "eight images prove nothing"
    monkeypatch.setattr("models.backends.proof.LEAST_IMAGES", 8)
    made = quantise.make_bf16(folder, tmp_path / "data", device="cpu", most=8, say=lambda _: None)
    allowed = proven(folder, made.version)
    assert allowed.bf16 != bool(made.why_not)
    runtimes = ["onnxruntime", "openvino"]
    offered = choice._candidates(folder / "x.onnx", 1, runtimes, Proven(bf16=True), first)
    assert set(offered) == {"onnxruntime", "openvino", "openvino-bf16"}
    assert "openvino-bf16" not in choice._candidates(folder / "x.onnx", 1, ["openvino"], Proven(), first)


def test_an_int8_copy_is_made_compared_and_kept_or_refused(checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    write_scenes(tmp_path / "data" / "train", 8, 0), write_scenes(tmp_path / "data" / "val", 8, 9)
    said: list[str] = []
    monkeypatch.setattr("models.backends.proof.LEAST_IMAGES", 8)
    made = quantise.make(folder, tmp_path / "data", most=8, say=said.append)
    assert (folder / INT8).is_file() == (not made.why_not), said
    monkeypatch.setattr("models.backends.proof.AGREEMENT", 0.5)  # so few images prove nothing either way
    monkeypatch.setattr("models.backends.proof.MCC_LOSS", 1.0)
    made = quantise.make(folder, tmp_path / "data", most=8, say=said.append)
    tier = load_classifier(folder)
    assert made.images == 8 and made.version == tier.version
    assert (folder / INT8).is_file() and not made.why_not, said
    assert not list(folder.glob("*.part"))
    allowed = proven(folder, tier.version)
    assert allowed.int8 == folder / INT8 and allowed.margin == made.margin
    export(tier.network, 2, (32, 32), tmp_path / "whole.onnx")
    offered = choice._candidates(tmp_path / "whole.onnx", 1, ["onnxruntime"], allowed, tier.odds)
    served = offered["onnxruntime-int8"]()
    batch = np.stack(pictures(tier, 6))
    whole = tier.odds(tier.logits(list(batch)).numpy())
    assert np.abs(tier.odds(served(batch)[0]) - whole).max() < 0.5


def test_what_is_close_to_call_is_judged_again_in_float32():
    asked = []

    def rounded(pixels):
        return np.round(quick(pixels)[0]), pixels.reshape(len(pixels), -1)[:, :1].copy()

    def whole(pixels):
        asked.append(len(pixels))
        return quick(pixels)[0], np.full((len(pixels), 1), 9, np.float32)

    pixels = np.zeros((4, 3, 2, 2), np.float32)
    pixels[:, 0, 0, 0] = [0.3, -1.4, 0.8, -0.4]
    logits, features = CloseCalls(rounded, whole, first, margin=0.5)(pixels)
    assert logits[:, 0] == pytest.approx([0.3, -1, 1, -0.4]) and asked == [2]
    assert features[:, 0] == pytest.approx([9, -1.4, 0.8, 9])
    assert (logits[:, 0] > 0).tolist() == (pixels[:, 0, 0, 0] > 0).tolist(), "no error is over the margin"
    CloseCalls(rounded, whole, first, margin=0.5)(pixels[1:3])
    assert asked == [2], "nobody is asked where nothing is close"


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-1, 1)), min_size=2, max_size=40))
def test_with_the_largest_overstatement_as_margin_no_image_it_was_taken_from_is_decided_differently(drawn):
    whole = np.array([value for value, _ in drawn])
    copy = whole + np.array([error for _, error in drawn])
    margin = overstated(copy, whole).max()
    kept = np.abs(copy) > max(margin, 0)
    assert ((copy > 0) == (whole > 0))[kept].all()


def test_the_correction_takes_a_copys_logits_to_the_models(checkpoint, tmp_path):
    """Whatever the rounding did to them evenly is gone."""
    runtime = pytest.importorskip("onnxruntime") and RUNTIMES["onnxruntime"]
    tier, file = load_classifier(checkpoint), tmp_path / "whole.onnx"
    export(tier.network, 2, (32, 32), file)
    batch = np.stack(pictures(tier, 5))
    plain, features = runtime(file, 1)(batch)
    quantise.correct(file, np.float32([2, 0.5]), np.float32([-1, 3]))
    corrected, heard = runtime(file, 1)(batch)
    assert np.allclose(corrected, plain * [2, 0.5] + [-1, 3], atol=1e-5)
    assert np.allclose(heard, features)
    write_scenes(tmp_path / "data" / "train", 6, 0)
    slope, intercept = quantise.lines(tier, runtime(file, 1), read(tmp_path / "data"))
    assert slope == pytest.approx([0.5, 2], abs=1e-3) and intercept == pytest.approx([0.5, -6], abs=1e-2)
