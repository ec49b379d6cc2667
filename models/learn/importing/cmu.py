"""CMU's ROADWork: COCO files in `annotations/`, pictures in `images/`. Boxes -> labels.

All of its pictures were taken around work zones. A frame without a box of a works class is taken for "none":
the same camera, street and weather as its neighbours, which is what makes it worth having; how many of them
show works that nobody boxed is not known. Sequences are the drives in the file names: `pgh<drive>_<frame>`
and `<city>_<drive>_<video>_<frame>`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from models.learn.importing.boxes import box, sequence_of, works_of
from models.learn.importing.row import Box, LayoutError, Row

FENCE = "fence"
"""Works here, where only fences around works are boxed; anywhere else a fence is a fence."""


def roadwork(folder: Path, source: str, works: Collection[str] = ()) -> Iterator[Row]:
    """Every picture of every `annotations/*.json`, once."""
    files = sorted((folder / "annotations").glob("*.json"))
    if not files:
        raise LayoutError(f"{folder} has no annotations/*.json")
    seen: set[str] = set()
    for file in files:
        content = _loaded(file)
        names = {each["id"]: str(each["name"]) for each in content["categories"]}
        fences = {name for name in names.values() if name.casefold() == FENCE and not works}
        meant = works_of(names.values(), works, file) | fences
        boxes: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for each in content["annotations"]:
            if names.get(each["category_id"]) in meant:
                boxes[each["image_id"]].append(each)
        for image in content["images"]:
            path = folder / "images" / Path(str(image["file_name"])).name
            if path.name not in seen and path.is_file():
                seen.add(path.name)
                shown = tuple(_box(each, image, file) for each in boxes[image["id"]])
                drive = drive_of(path.stem)
                yield Row(path.read_bytes(), bool(shown), source, drive, path.stem, boxes=shown)


def drive_of(stem: str) -> str:
    """Videos of one drive show one street after the other: they belong together."""
    return stem.rsplit("_", 2)[0] if stem.count("_") >= 3 else sequence_of(stem)


def _box(each: Mapping[str, Any], image: Mapping[str, Any], file: Path) -> Box:
    try:
        left, top, width, height = (float(edge) for edge in each["bbox"])
        across, down = float(image["width"]), float(image["height"])
        return box(left / across, top / down, (left + width) / across, (top + height) / down)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise LayoutError(f"{file}: a box or the size of {image['file_name']} is missing") from error


def _loaded(file: Path) -> dict[str, Any]:
    wrong = LayoutError(f"{file} is no COCO file with images, annotations and categories")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise wrong from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise wrong
    return content
