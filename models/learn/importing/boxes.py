"""Boxes of a detector's training set as labels: YOLO text files and Pascal VOC's XML.

A picture with a box of a works class shows roadwork, one without shows none: right only where whoever drew
the boxes drew all of them. Which classes mean works is said by name.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as XML
from collections.abc import Collection, Iterator
from pathlib import Path

from models.learn.data import SUFFIXES
from models.learn.importing.row import LayoutError, Row

WORKS = re.compile(
    r"cone|barrel|drum|barricade|barrier|work|construction|channelizer|tubular|arrow.?board", re.I
)
MOST_XML = 1 << 20


def is_works(name: str) -> bool:
    """Whether a class of this name means roadwork."""
    return WORKS.search(name) is not None


def yolo(folder: Path, source: str) -> Iterator[Row]:
    """`images/**` beside `labels/**` (class x y w h a line), class names in `data.yaml` or `classes.txt`."""
    names = _names(folder)
    works = {str(number) for number, name in enumerate(names) if is_works(name)}
    if not works:
        raise LayoutError(f"none of the classes of {folder} means roadwork: {', '.join(names)}")
    for image in _images(folder):
        listed = _label_file(image, folder)
        if listed is None:
            continue  # no label file: nobody looked at it
        classes = {
            line.split()[0] for line in listed.read_text(encoding="utf-8").splitlines() if line.split()
        }
        yield _row(image, bool(classes & works), source)


def voc(folder: Path, source: str) -> Iterator[Row]:
    """`Annotations/*.xml` with `object/name`, pictures by `filename` in `JPEGImages/`, or beside the XML."""
    notes = sorted(folder.rglob("*.xml"))
    if not notes:
        raise LayoutError(f"{folder} has no XML annotations")
    for note in notes:
        root = _parsed(note)
        name = Path(root.findtext("filename") or note.stem).name
        image = _found(name, (folder / "JPEGImages", note.parent, folder))
        if image is not None:
            classes: Collection[str] = [each.findtext("name") or "" for each in root.iter("object")]
            yield _row(image, any(map(is_works, classes)), source)


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


def _row(image: Path, roadwork: bool, source: str) -> Row:
    return Row(image.read_bytes(), roadwork, source, sequence_of(image.stem), image.stem)


def sequence_of(stem: str) -> str:
    """Frames of one clip share the name before the number at its end."""
    return re.sub(r"[-_.]?\d+$", "", stem) or stem
