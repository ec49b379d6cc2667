"""Boxes of a detector's training set as labels: YOLO text files and Pascal VOC's XML.

A picture with a box of a works class shows roadwork, one without shows none: right only where whoever drew
the boxes drew all of them. Which classes mean works is guessed from their names, or said.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as XML
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from models.learn.data import SUFFIXES
from models.learn.importing.row import Box, LayoutError, Row

WORKS = re.compile(
    r"cone|barrel|drum|barricade|barrier|work|construction|channelizer|tubular|arrow.?board|vertical.?panel"
    r"|temporary.?traffic|\bttc\b",
    re.I,
)
EXPORTED = re.compile(r"_(jpe?g|png|webp)\.rf\.[0-9a-f]+$", re.I)
"""What a well-known labelling service adds to a picture's name, differently for each copy of it."""
MOST_XML = 1 << 20


def is_works(name: str) -> bool:
    """Whether a class of this name means roadwork."""
    return WORKS.search(name) is not None


def works_of(names: Collection[str], said: Collection[str], place: Path) -> set[str]:
    """Those of the classes `names` that mean works: by their names, or those `said`. Raises LayoutError when
    none does, or one said is not there."""
    missing = sorted(set(said) - set(names))
    found = set(said) or {name for name in names if is_works(name)}
    if missing or not found:
        wrong = (
            f"no class is called {', '.join(missing)}" if missing else "none of the classes means roadwork"
        )
        raise LayoutError(
            f"{place}: {wrong}; name them with --works: {', '.join(sorted(names)) or 'there are none'}"
        )
    return found


def yolo(folder: Path, source: str, works: Collection[str] = ()) -> Iterator[Row]:
    """`images/**` beside `labels/**` (class x y w h, or a polygon, a line), class names in `data.yaml` or
    `classes.txt`."""
    names = _names(folder)
    meant = works_of(names, works, folder)
    numbers = {str(number) for number, name in enumerate(names) if name in meant}
    for image in _images(folder):
        listed = _label_file(image, folder)
        if listed is None:
            continue  # no label file: nobody looked at it
        lines = [line.split() for line in listed.read_text(encoding="utf-8").splitlines() if line.split()]
        boxes = [_yolo_box(line[1:], listed) for line in lines if line[0] in numbers]
        yield _row(image, source, boxes)


def voc(folder: Path, source: str, works: Collection[str] = ()) -> Iterator[Row]:
    """`Annotations/*.xml` with `object/name`, pictures by `filename` in `JPEGImages/`, or beside the XML."""
    notes = sorted(folder.rglob("*.xml"))
    if not notes:
        raise LayoutError(f"{folder} has no XML annotations")
    names = {_named(each) for note in notes for each in _parsed(note).iter("object")}
    meant = works_of(names, works, folder)
    for note in notes:
        root = _parsed(note)
        name = Path(root.findtext("filename") or note.stem).name
        image = _found(name, (folder / "JPEGImages", note.parent, folder))
        if image is not None:
            shown = [each for each in root.iter("object") if _named(each) in meant]
            yield _row(image, source, [_voc_box(each, root, note) for each in shown])


def box(left: float, top: float, right: float, bottom: float) -> Box:
    """Within the picture."""
    x0, y0, x1, y1 = (min(max(0.0, each), 1.0) for each in (left, top, right, bottom))
    return x0, y0, x1, y1


def _yolo_box(words: Sequence[str], listed: Path) -> Box:
    try:
        numbers = [float(word) for word in words]
        if len(numbers) == 4:
            x, y, width, height = numbers
            return box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        across, down = numbers[0::2], numbers[1::2]
        return box(min(across), min(down), max(across), max(down))
    except ValueError as error:
        raise LayoutError(f"{listed} has a line that is no box: {' '.join(words)[:80]!r}") from error


def _named(thing: XML.Element) -> str:
    return (thing.findtext("name") or "").strip()


def _voc_box(thing: XML.Element, root: XML.Element, note: Path) -> Box:
    try:
        width, height = (float(root.findtext(f"size/{edge}", "")) for edge in ("width", "height"))
        corners = ("xmin", "ymin", "xmax", "ymax")
        x0, y0, x1, y1 = (float(thing.findtext(f"bndbox/{corner}", "")) for corner in corners)
        return box(x0 / width, y0 / height, x1 / width, y1 / height)
    except (ValueError, ZeroDivisionError) as error:
        raise LayoutError(f"{note} has an object without size and bndbox") from error


def _parsed(note: Path) -> XML.Element:
    """Without entities: a document type declares them, so none is read."""
    text = note.read_bytes()
    if len(text) > MOST_XML or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise LayoutError(f"{note} is no plain annotation")
    try:
        return XML.fromstring(text)
    except XML.ParseError as error:
        raise LayoutError(f"{note} cannot be read: {error}") from error


def _names(folder: Path) -> list[str]:
    listed = folder / "classes.txt"
    if listed.is_file():
        return [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    described = folder / "data.yaml"
    if described.is_file():
        return _yaml_names(described)
    raise LayoutError(f"{folder} has neither data.yaml nor classes.txt: nobody says what the classes are")


def _yaml_names(path: Path) -> list[str]:
    import yaml

    found = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("names")
    if isinstance(found, dict):
        return [str(found[number]) for number in sorted(found)]
    if isinstance(found, list) and found:
        return [str(name) for name in found]
    raise LayoutError(f"{path} has no names")


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise LayoutError(f"{folder} has no pictures")
    return found


def _label_file(image: Path, folder: Path) -> Path | None:
    parts = image.relative_to(folder).with_suffix(".txt").parts
    beside = folder.joinpath(*("labels" if part == "images" else part for part in parts))
    return next((path for path in (beside, image.with_suffix(".txt")) if path.is_file()), None)


def _found(name: str, folders: Collection[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _row(image: Path, source: str, boxes: Sequence[Box]) -> Row:
    """`boxes` of works."""
    sequence = sequence_of(image.stem)
    return Row(image.read_bytes(), bool(boxes), source, sequence, image.stem, boxes=tuple(boxes))


def sequence_of(stem: str) -> str:
    """Frames of one clip share the name before the number at its end, and copies of one picture share it."""
    stem = EXPORTED.sub("", stem)
    return re.sub(r"[-_.]?\d+$", "", stem) or stem
