"""Boxes as a perfect detector would give them: of things put on a drawn street at known places."""

import numpy as np

from models.core import Box
from models.scenes import SIZES
from models.scenes.canvas import open_canvas
from models.scenes.stencil import trace
from models.scenes.street import lay_out


def box_of(canvas, item, view=0):
    """None for what takes too few pixels to be seen."""
    inked = np.asarray(trace(canvas, [item])) > 0
    if inked.sum() < 6:
        return None
    rows, columns = np.nonzero(inked)
    height, width = inked.shape
    edges = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height
    return Box(view, item.label, 0.9, *map(float, edges))


def line_of(maker, seed, lean, side):
    """Boxes, wholly in view, of 8 to 15 devices from the kerb of `side` (-1 left, 1 right) on; the first half
    leans inward by `lean` metres per metre."""
    rng = np.random.default_rng(seed)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    canvas, street = open_canvas(width, height, rng), lay_out(rng)
    edge = street.right if side > 0 else street.left
    near, length = float(rng.uniform(5, 9)), float(rng.uniform(14, 30))
    items = [
        maker(edge - side * lean * min(z, length / 2), near + z, rng)
        for z in np.linspace(0, length, int(rng.integers(8, 16))).tolist()
    ]
    boxes = [box for item in items if (box := box_of(canvas, item))]
    return [box for box in boxes if box.x0 > 0 and box.x1 < 1]
