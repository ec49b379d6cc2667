"""Other people's layouts become ours: labels by the boxes, look-alikes and hostile files left out."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from models.imaging.likeness import ALIKE, distance, fingerprint
from models.learn.data import read
from models.learn.importing.__main__ import IMPORTERS, bring_in
from models.learn.importing.boxes import is_works, sequence_of, voc, yolo
from models.learn.importing.cmu import roadwork
from models.learn.importing.parquet import clashes, parquet
from models.learn.importing.row import LayoutError, Row


def street(seed: int, size=(160, 120)) -> Image.Image:
    """A picture of coarse patches: unlike any of another seed, whatever its scale."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality=90) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def put(path, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if content is not None else jpeg(street(hash(path.name) % 1000)))
    return path


def row(name: str, image: bytes, works=True) -> Row:
    return Row(image, works, "s", "clip", name)


# Look-alikes


@given(seed=st.integers(0, 10**6), factor=st.floats(0.5, 1.0), quality=st.integers(40, 95))
@settings(max_examples=40, deadline=None)
def test_scaling_compression_and_light_keep_a_picture_alike(seed, factor, quality):
    image = street(seed)
    small = image.resize((round(160 * factor), round(120 * factor)), Image.Resampling.BILINEAR)
    again = Image.open(io.BytesIO(jpeg(ImageEnhance.Brightness(small).enhance(0.9), quality)))
    assert distance(fingerprint(image), fingerprint(again)) <= ALIKE


@given(seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
@settings(max_examples=40, deadline=None)
def test_other_pictures_are_not_alike(seeds):
    one, other = (fingerprint(street(seed)) for seed in seeds)
    assert distance(one, other) > ALIKE and distance(one, one) == 0


# Layouts


@pytest.mark.parametrize(
    "name", ["Traffic Cone", "work_vehicle", "Drum", "barricade", "TTC Sign: construction"]
)
def test_classes_that_mean_works(name):
    assert is_works(name)


@pytest.mark.parametrize("name", ["car", "person", "traffic light", "pole"])
def test_classes_that_do_not(name):
    assert not is_works(name)


def test_yolo_boxes_become_labels_and_unlabelled_pictures_are_left_out(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [car, cone]\n")
    for name, boxes in (("a_1", "1 .5 .5 .1 .1\n0 .1 .1 .1 .1\n"), ("a_2", "0 .5 .5 .1 .1\n"), ("b_1", "")):
        put(tmp_path / "images" / "train" / f"{name}.jpg")
        put(tmp_path / "labels" / "train" / f"{name}.txt", boxes.encode())
    put(tmp_path / "images" / "train" / "nobody_looked.jpg")
    found = {each.name: (each.roadwork, each.sequence) for each in yolo(tmp_path, "y")}
    assert found == {"a_1": (True, "a"), "a_2": (False, "a"), "b_1": (False, "b")}


def test_yolo_without_class_names_or_works_says_so(tmp_path):
    put(tmp_path / "images" / "a.jpg")
    with pytest.raises(LayoutError, match="classes"):
        list(yolo(tmp_path, "y"))
    (tmp_path / "classes.txt").write_text("car\n")
    with pytest.raises(LayoutError, match="means roadwork"):
        list(yolo(tmp_path, "y"))


def test_voc_boxes_become_labels(tmp_path):
    for name, thing in (("one", "traffic cone"), ("two", "car")):
        put(tmp_path / "JPEGImages" / f"{name}.jpg")
        text = f"<a><filename>{name}.jpg</filename><object><name>{thing}</name></object></a>"
        put(tmp_path / "Annotations" / f"{name}.xml", text.encode())
    assert {each.name: each.roadwork for each in voc(tmp_path, "v")} == {"one": True, "two": False}


@pytest.mark.parametrize(
    "text", ['<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "<annotation>", ""]
)
def test_hostile_or_broken_annotations_are_refused(tmp_path, text):
    put(tmp_path / "Annotations" / "a.xml", text.encode())
    with pytest.raises(LayoutError):
        list(voc(tmp_path, "v"))


def test_a_name_in_an_annotation_leads_nowhere_else(tmp_path):
    put(tmp_path / "secret.jpg")
    text = "<annotation><filename>../secret.jpg</filename></annotation>"
    put(tmp_path / "set" / "Annotations" / "a.xml", text.encode())
    assert list(voc(tmp_path / "set", "v")) == []


def test_roadworks_frames_without_boxes_are_its_negatives(tmp_path):
    for name in ("pittsburgh_01_0001.jpg", "pittsburgh_01_0002.jpg"):
        put(tmp_path / "images" / name)
    content = {
        "images": [{"id": n, "file_name": f"pittsburgh_01_000{n}.jpg"} for n in (1, 2, 3)],
        "categories": [{"id": 7, "name": "Cone"}, {"id": 8, "name": "Police Officer"}],
        "annotations": [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 8}],
    }
    put(tmp_path / "annotations" / "train.json", json.dumps(content).encode())
    put(tmp_path / "annotations" / "again.json", json.dumps(content).encode())
    found = list(roadwork(tmp_path, "cmu"))
    assert [(each.name, each.roadwork) for each in found] == [
        ("pittsburgh_01_0001", True),
        ("pittsburgh_01_0002", False),
    ]
    assert {each.sequence for each in found} == {"pittsburgh_01"}


def test_parquet_rows_that_contradict_themselves_are_left_out(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [
        {"image": {"bytes": jpeg(street(n)), "path": None}, "label": label, "scene_description": text}
        for n, (label, text) in enumerate([(1, "cones"), (0, ""), (1, ""), (0, "a crane")])
    ]
    write_table(arrow.Table.from_pylist(rows), tmp_path / "part-0.parquet")
    assert [each.roadwork for each in parquet(tmp_path, "natix")] == [True, False]
    write_table(arrow.Table.from_pylist([{"label": 1}]), tmp_path / "part-0.parquet")
    with pytest.raises(LayoutError, match="column image"):
        list(parquet(tmp_path, "natix"))


def test_rows_without_descriptions_clash_with_nothing():
    assert not clashes({"label": 0}) and clashes({"label": 0, "scene_description": "x"})


@pytest.mark.parametrize("kind", sorted(set(IMPORTERS) - {"parquet"}))
def test_an_empty_folder_is_no_layout(tmp_path, kind):
    with pytest.raises(LayoutError):
        list(IMPORTERS[kind](tmp_path, "s"))


@pytest.mark.parametrize(("stem", "sequence"), [("a_001", "a"), ("r-2.17", "r-2"), ("17", "17"), ("x", "x")])
def test_frames_of_a_clip_share_a_sequence(stem, sequence):
    assert sequence_of(stem) == sequence


# Into one folder of ours


def test_look_alikes_and_unreadable_files_are_left_out(tmp_path):
    image = street(1)
    rows = [
        row("first", jpeg(image)),
        row("again", jpeg(image.resize((80, 60)), 70)),
        row("leaked", jpeg(street(2))),
        row("broken", b"\xff\xd8\xff no"),
        row("../../other", jpeg(street(3)), works=False),
    ]
    counts = bring_in(rows, tmp_path / "out", known=[fingerprint(street(2))])
    assert counts == {"kept": 2, "alike": 2, "unreadable": 1}
    found = read(tmp_path / "out", "train")
    assert [(each.label, each.source, each.sequence) for each in found] == [
        ("roadwork", "s", "clip"),
        ("none", "s", "clip"),
    ]
    assert all(each.path.resolve().is_relative_to(tmp_path / "out") for each in found)
    assert found[0].path.read_bytes() == jpeg(image), "untouched unless scaling is asked for"


def test_large_pictures_are_scaled_when_asked(tmp_path):
    bring_in([row("big", jpeg(street(1, (800, 600))))], tmp_path, side=280)
    assert read(tmp_path)[0].load().size == (373, 280)


def test_the_command_brings_a_folder_in_and_refuses_in_words(tmp_path):
    put(tmp_path / "in" / "roadwork" / "a.jpg", jpeg(street(1)))
    put(tmp_path / "in" / "none" / "b.jpg", jpeg(street(2)))
    command = [sys.executable, "-m", "models.learn.importing"]
    done = subprocess.run(
        [*command, "folder", str(tmp_path / "in"), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "2 kept, 0 alike, 0 unreadable" in done.stdout and len(read(tmp_path / "out")) == 2
    refused = subprocess.run(
        [*command, "yolo", str(tmp_path / "none"), "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1 and "not imported" in refused.stderr
