"""CMU's ROADWork: COCO files in `annotations/`, pictures in `images/`. Boxes -> labels.

All of its pictures were taken around work zones. A frame without a box of a works class is taken for "none":
the same camera, street and weather as its neighbours, which is what makes it worth having; how many of them
show works that nobody boxed is not known. Sequences are the places and drives in the file names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.learn.importing.boxes import is_works, sequence_of
from models.learn.importing.row import LayoutError, Row


def roadwork(folder: Path, source: str) -> Iterator[Row]:
    """Every picture of every `annotations/*.json`, once."""
    files = sorted((folder / "annotations").glob("*.json"))
    if not files:
        raise LayoutError(f"{folder} has no annotations/*.json")
    seen: set[str] = set()
    for file in files:
        content = _loaded(file)
        works = {each["id"] for each in content["categories"] if is_works(str(each["name"]))}
        classes: dict[Any, set[Any]] = defaultdict(set)
        for each in content["annotations"]:
            classes[each["image_id"]].add(each["category_id"])
        for image in content["images"]:
            path = folder / "images" / Path(str(image["file_name"])).name
            if path.name not in seen and path.is_file():
                seen.add(path.name)
                labelled = bool(classes[image["id"]] & works)
                yield Row(path.read_bytes(), labelled, source, sequence_of(path.stem), path.stem)


def _loaded(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        assert {"images", "annotations", "categories"} <= content.keys()
    except (ValueError, AssertionError, AttributeError) as error:
        raise LayoutError(f"{file} is no COCO file with images, annotations and categories") from error
    found: dict[str, Any] = content
    return found
