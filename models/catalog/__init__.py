"""The catalogue of models this project knows, with sizes that a test recounts.

Rows live in `rows/`, config excerpts with their revisions in `configs/`. Figures are of the named revision; a
row that no test can recount says `verified=False`. Nothing here imports torch: `count.py` does.
"""

from __future__ import annotations

import difflib

from models.catalog.entry import Model, Precision, Server, Text
from models.catalog.rows import internvl, light, llama, qwen3_vl, vision
from models.catalog.visual import Visual

__all__ = ["CATALOGUE", "Model", "Precision", "Server", "Text", "UnknownModel", "Visual", "find"]

_ROWS = (*vision.ROWS, *light.ROWS, *qwen3_vl.ROWS, *internvl.ROWS, *llama.ROWS)
CATALOGUE: dict[str, Model] = {row.name: row for row in _ROWS}


class UnknownModel(ValueError):
    """No row has this name; the message names the nearest ones."""


def find(name: str) -> Model:
    """The row of this name. Raises UnknownModel."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.3) or sorted(CATALOGUE)
    raise UnknownModel(f"no model {name!r} in the catalogue; near it: {', '.join(near)}")
