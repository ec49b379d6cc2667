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
from models.learn.importing.__main__ import IMPORTERS
from models.learn.importing.boxes import is_works, sequence_of, voc, yolo
from models.learn.importing.bring import bring_in, unpacked
from models.learn.importing.cmu import drive_of, roadwork
from models.learn.importing.crops import LEAST_PX, MOST, clear, places, with_pairs
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


NOTE = (
    "<annotation><filename>{name}.jpg</filename><size><width>100</width><height>50</height></size>"
    "<object><name>{thing}</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    "</object></annotation>"
)


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
    "name",
    [
        "Traffic Cone",
        "work_vehicle",
        "Drum",
        "barricade",
        "TTC Sign: left chevron",
        "Temporary Traffic Control Sign",
        "Vertical Panel",
    ],
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
    said = {each.name: each.roadwork for each in yolo(tmp_path, "y", works=["car"])}
    assert said == {"a_1": True, "a_2": True, "b_1": False}


def test_yolo_boxes_and_polygons_have_places(tmp_path):
    (tmp_path / "classes.txt").write_text("cone\n")
    put(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", b"0 .5 .5 .2 .4\n0 .1 .1 .3 .2 .2 .9\n")
    (found,) = yolo(tmp_path, "y")
    assert found.boxes == (pytest.approx((0.4, 0.3, 0.6, 0.7)), (0.1, 0.1, 0.3, 0.9))
    put(tmp_path / "a.txt", b"0 nowhere\n")
    with pytest.raises(LayoutError, match=r"a\.txt has a line that is no box"):
        list(yolo(tmp_path, "y"))


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
        text = NOTE.format(name=name, thing=thing)
        put(tmp_path / "Annotations" / f"{name}.xml", text.encode())
    assert {each.name: (each.roadwork, each.boxes) for each in voc(tmp_path, "v")} == {
        "one": (True, ((0.1, 0.2, 0.3, 0.6),)),
        "two": (False, ()),
    }
    said = {each.name: each.roadwork for each in voc(tmp_path, "v", works=["car"])}
    assert said == {"one": False, "two": True}


@pytest.mark.parametrize(("classes", "said", "match"), [("dog", (), "none of the"), ("dog", ("cat",), "cat")])
def test_boxes_of_other_things_are_not_taken_for_a_set_without_works(tmp_path, classes, said, match):
    put(tmp_path / "JPEGImages" / "a.jpg")
    put(tmp_path / "Annotations" / "a.xml", NOTE.format(name="a", thing=classes).encode())
    with pytest.raises(LayoutError, match=match):
        list(voc(tmp_path, "v", works=said))
    content = {"images": [], "categories": [{"id": 1, "name": classes}], "annotations": []}
    put(tmp_path / "annotations" / "a.json", json.dumps(content).encode())
    with pytest.raises(LayoutError, match=match):
        list(roadwork(tmp_path, "cmu", works=said))


@pytest.mark.parametrize(
    "text", ['<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "<annotation>", ""]
)
def test_hostile_or_broken_annotations_are_refused(tmp_path, text):
    put(tmp_path / "Annotations" / "a.xml", text.encode())
    with pytest.raises(LayoutError):
        list(voc(tmp_path, "v"))


def test_a_name_in_an_annotation_leads_nowhere_else(tmp_path):
    put(tmp_path / "secret.jpg")
    text = NOTE.format(name="../secret", thing="cone")
    put(tmp_path / "set" / "Annotations" / "a.xml", text.encode())
    assert list(voc(tmp_path / "set", "v")) == []


def test_roadworks_frames_without_boxes_are_its_negatives(tmp_path):
    """Its own classes: fences, signs and panels are works there, police officers are not."""
    names = ["pgh03_0001", "pgh03_0002", "boston_a_01_0003", "boston_a_02_0004", "absent_1"]
    for name in names[:4]:
        put(tmp_path / "images" / f"{name}.jpg")
    classes = ["Police Officer", "Cone", "Fence", "Temporary Traffic Control Sign"]
    content = {
        "images": [
            {"id": n, "file_name": f"{name}.jpg", "width": 100, "height": 50} for n, name in enumerate(names)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes)],
        "annotations": [{"image_id": n, "category_id": n, "bbox": [10, 10, 20, 20]} for n in range(4)],
    }
    put(tmp_path / "annotations" / "train.json", json.dumps(content).encode())
    put(tmp_path / "annotations" / "again.json", json.dumps(content).encode())
    found = {each.name: (each.roadwork, each.sequence) for each in roadwork(tmp_path, "cmu")}
    assert found == {
        "pgh03_0001": (False, "pgh03"),
        "pgh03_0002": (True, "pgh03"),
        "boston_a_01_0003": (True, "boston_a"),
        "boston_a_02_0004": (True, "boston_a"),
    }
    assert drive_of("pittsburgh_01_0001") == "pittsburgh_01"
    for text in ("{", "[]", '{"images": []}'):
        (tmp_path / "annotations" / "again.json").write_text(text)
        with pytest.raises(LayoutError, match=r"again\.json is no COCO file"):
            list(roadwork(tmp_path, "cmu"))


def test_parquet_rows_that_contradict_themselves_are_left_out(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [
        {"image": {"bytes": jpeg(street(n)), "path": None}, "label": label, "scene_description": text}
        for n, (label, text) in enumerate([(1, "cones"), (0, ""), (1, ""), (0, "a crane")])
    ]
    write_table(arrow.Table.from_pylist(rows), tmp_path / "part-0.parquet")
    assert [each.roadwork for each in parquet(tmp_path, "natix")] == [True, False]
    assert [each.roadwork for each in read(unpacked(tmp_path, tmp_path / "out"))] == [True, False]
    for rows, match in (
        ([{"label": 1}], "column image"),
        ([{"image": {"bytes": None, "path": "a.jpg"}, "label": 1}], "no picture"),
        ([{"image": {"bytes": b"x", "path": None}, "label": "Cones"}], "'Cones' is neither"),
    ):
        write_table(arrow.Table.from_pylist(rows), tmp_path / "part-0.parquet")
        with pytest.raises(LayoutError, match=match):
            list(parquet(tmp_path, "natix"))


def test_a_label_in_words_is_not_taken_for_true():
    assert not clashes({"label": "None", "scene_description": ""})
    assert clashes({"label": "None", "scene_description": "cones"})


def test_rows_without_descriptions_clash_with_nothing():
    assert not clashes({"label": 0}) and clashes({"label": 0, "scene_description": "x"})


@pytest.mark.parametrize("kind", sorted(set(IMPORTERS) - {"parquet"}))
def test_an_empty_folder_is_no_layout(tmp_path, kind):
    with pytest.raises(LayoutError):
        list(IMPORTERS[kind](tmp_path, "s"))


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [
        ("a_001", "a"),
        ("r-2.17", "r-2"),
        ("17", "17"),
        ("x", "x"),
        ("clip_07_jpg.rf.0a1b2c", "clip"),
        ("clip_08_jpg.rf.ffee12", "clip"),
    ],
)
def test_frames_of_a_clip_share_a_sequence(stem, sequence):
    assert sequence_of(stem) == sequence


# Crops

sides = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
areas = st.tuples(sides, sides).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


@given(
    boxes=st.lists(areas, min_size=1, max_size=4), size=st.tuples(st.integers(100, 900), st.integers(60, 900))
)
@settings(max_examples=50, deadline=None)
def test_a_pair_has_one_size_and_height_and_only_one_of_it_shows_works(boxes, size):
    found = places(size, boxes)
    if found is None:
        left, right = clear(boxes)
        assert min(right - left, MOST) * size[0] < max(LEAST_PX, size[0] / 4) + 1
        return
    works, street = found
    assert works[1::2] == street[1::2] and works[2] - works[0] == street[2] - street[0] >= LEAST_PX
    largest = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    middle = (largest[0] + largest[2]) / 2 * size[0]
    assert works[0] - 1 <= middle <= works[2] + 1
    for left, _, right, _ in boxes:
        assert right * size[0] <= street[0] or street[2] <= left * size[0]
    for x0, y0, x1, y1 in found:
        assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]


def test_crops_of_both_labels_follow_a_frame_with_boxes(tmp_path):
    frame = Image.new("RGB", (400, 300), (90, 90, 90))
    frame.paste((250, 120, 0), (40, 150, 100, 250))
    rows = [
        Row(jpeg(frame), True, "s", "clip", "a", boxes=((0.1, 0.5, 0.25, 0.83),)),
        row("b", jpeg(street(4)), works=False),
        Row(jpeg(frame), True, "s", "clip", "crowded", boxes=((0, 0, 1, 1),)),
        Row(b"no picture", True, "s", "clip", "broken", boxes=((0.1, 0.5, 0.25, 0.83),)),
    ]
    found = list(with_pairs(rows))
    assert [(each.name, each.roadwork, each.strength, each.sequence) for each in found] == [
        ("a", True, "", "clip"),
        ("a-works", True, "crop", "clip"),
        ("a-street", False, "crop", "clip"),
        ("b", False, "", "clip"),
        ("crowded", True, "", "clip"),
        ("broken", True, "", "clip"),
    ]
    works, street_crop = (Image.open(io.BytesIO(each.image)) for each in found[1:3])
    assert works.size == street_crop.size == (240, 180)
    orange = [(np.asarray(image)[..., 2] < 40).mean() for image in (works, street_crop)]
    assert orange[0] > 0.1 and orange[1] == 0


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


def test_a_second_import_adds_to_the_first_and_the_same_again_adds_nothing(tmp_path):
    first, second = [row("a", jpeg(street(1)))], [row("a", jpeg(street(2))), row("b", jpeg(street(3)))]
    bring_in(first, tmp_path)
    assert bring_in(second, tmp_path, split="val") == {"kept": 2}
    assert bring_in([*first, *second], tmp_path) == {"alike": 3}
    assert len(read(tmp_path, "train")) == 1 and len(read(tmp_path, "val")) == 2
    assert len({each.path for each in read(tmp_path)}) == 3
    assert bring_in(first, tmp_path, alike=True) == {"kept": 1}


def test_a_folder_of_somebody_elses_is_not_written_to(tmp_path):
    put(tmp_path / "plain" / "none" / "a.jpg")
    put(tmp_path / "other" / "manifest.csv", b"file,label\n")
    for name, match in (("plain", "without a manifest"), ("other", "other columns")):
        with pytest.raises(LayoutError, match=match):
            bring_in([row("a", jpeg(street(1)))], tmp_path / name)


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
        [*command, "folder", str(tmp_path / "in"), "--crops", "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1 and "not imported: --works and --crops" in refused.stderr
