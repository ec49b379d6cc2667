"""Reading labelled folders, and splits that keep sequences whole."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.learn.data import DataError, Example, grouped_folds, judged_split, read, splits, two_sided

SHARED = Path(__file__).parents[4] / "shared" / "data"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the real images in ../shared/data, which are absent"
)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 6), 100).save(path)
    return path


def example(sequence, roadwork, source="s"):
    return Example(Path("x.jpg"), roadwork, source, sequence)


def test_plain_folder(tmp_path):
    for name in ("roadwork/a.jpg", "none/b.png", "none/deep/c.jpeg", "none/notes.txt"):
        picture(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("x")
    found = read(tmp_path)
    assert Counter(each.label for each in found) == {"roadwork": 1, "none": 2}
    assert len({each.sequence for each in found}) == 3
    assert found[0].load().mode == "RGB"


def test_manifest_gives_sources_and_sequences_by_split(tmp_path):
    rows = ["file,label,strength,source,sequence,split"]
    rows += ["train/roadwork/1.jpg,roadwork,crop,cam,clip1,train", "val/none/2.jpg,none,,cam,clip2,val"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    (only,) = read(tmp_path, "val")
    assert (only.path, only.roadwork, only.source, only.sequence) == (
        tmp_path / "val/none/2.jpg",
        False,
        "cam",
        "clip2",
    )
    assert len(read(tmp_path)) == 2


def test_bad_label_names_file_and_line(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,label,source,sequence,split\na.jpg,maybe,s,q,train\n")
    with pytest.raises(DataError, match=r"manifest\.csv:2.*maybe"):
        read(tmp_path)


def test_empty_folder_and_unknown_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="roadwork/ and none/"):
        read(tmp_path)
    picture(tmp_path / "none" / "a.jpg")
    (tmp_path / "manifest.csv").write_text("file,label,source,sequence,split\nnone/a.jpg,none,s,q,train\n")
    with pytest.raises(DataError, match="'test'"):
        read(tmp_path, "test")


def test_a_folder_that_is_not_split_is_nobodys_test_set(tmp_path):
    """It would be trained on and judged on at once."""
    picture(tmp_path / "roadwork" / "a.jpg")
    assert splits(tmp_path) == set() and len(read(tmp_path)) == 1 and judged_split(tmp_path) is None
    with pytest.raises(DataError, match="split 'val'; splits: none"):
        read(tmp_path, "val")


def test_a_folder_for_each_split(tmp_path):
    for name in ("train/roadwork/a.jpg", "train/none/b.jpg", "val/none/c.jpg"):
        picture(tmp_path / name)
    assert splits(tmp_path) == {"train", "val"} and len(read(tmp_path)) == 3
    assert judged_split(tmp_path) == "val"
    assert [each.sequence for each in read(tmp_path, "val")] == ["c"]


def test_pictures_of_one_folder_below_a_label_are_one_sequence(tmp_path):
    for name in ("roadwork/drive 1/1.jpg", "roadwork/drive 1/2.jpg", "none/drive 1/3.jpg", "none/4.jpg"):
        picture(tmp_path / name)
    assert Counter(each.sequence for each in read(tmp_path)) == {"drive 1": 3, "4": 1}


def test_what_a_manifest_does_not_know_is_made_up_apart(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,label\na.jpg,none\nb.jpg,roadwork\n")
    assert [(each.source, each.sequence) for each in read(tmp_path)] == [
        (tmp_path.name, "a"),
        (tmp_path.name, "b"),
    ]
    (tmp_path / "manifest.csv").write_text("label\nnone\n")
    with pytest.raises(DataError, match=r"manifest\.csv:2: no file"):
        read(tmp_path)


def test_a_picture_that_lies_on_its_side_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    pixels = Image.new("L", (40, 20))
    pixels.paste(255, (0, 0, 20, 20))
    pixels.save(path, exif=exif)
    found = Example(path, True, "s", "q")
    image = found.load()
    assert image.size == found.size() == (20, 40)
    assert image.getpixel((10, 5))[0] > 200 > 50 > image.getpixel((10, 35))[0], "what was left is on top"


@pytest.mark.parametrize("content", [b"no picture", b"\xff\xd8\xff\xe0 cut short"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    for ask in (Example.load, Example.size):
        with pytest.raises(DataError, match=r"broken\.jpg is no picture"):
            ask(Example(tmp_path / "broken.jpg", True, "s", "q"))


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12),
    count=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_folds_hold_everything_once_and_never_part_a_sequence(sizes, count, seed):
    sizes = [(works, max(none, 1)) for works, none in sizes]
    examples = [
        example(f"q{index}", label)
        for index, (works, none) in enumerate(sizes)
        for label in [True] * works + [False] * none
    ]
    folds = grouped_folds(examples, count, seed)
    assert sum(map(len, folds)) == len(examples)
    sequences = [{each.sequence for each in fold} for fold in folds]
    assert sum(map(len, sequences)) == len(sizes)
    assert all(sequences)
    assert folds == grouped_folds(examples, count, seed)


def test_folds_balance_both_labels():
    examples = [example(f"w{i}", True) for i in range(6) for _ in range(5)]
    examples += [example(f"n{i}", False) for i in range(6) for _ in range(9)]
    for fold in grouped_folds(examples, 3):
        assert Counter(each.roadwork for each in fold) == {True: 10, False: 18}


def test_too_few_sequences_for_the_folds():
    with pytest.raises(DataError, match="1 sequences cannot fill 2 folds"):
        grouped_folds([example("q", True)], 2)


def test_two_sided_sources():
    examples = [example("a", True, "cam"), example("b", False, "cam"), example("c", False, "web")]
    assert two_sided(examples) == {"cam"}


@real
def test_shared_images_load_and_no_sequence_is_in_two_splits():
    train, val = read(SHARED, "train"), read(SHARED, "val")
    assert Counter(each.roadwork for each in train) == {True: 565, False: 607}
    assert not {each.sequence for each in train} & {each.sequence for each in val}
    assert two_sided(train) == {"mi3", "owais"}
    assert min(val[0].load().size) > 100
