"""A tier whose folder says how it judges: `lamp.json` beside weights that nobody reads."""

import json
import math
import os
import time
from hashlib import sha256
from pathlib import Path

from models.core import Evidence


class Lamp:
    """log-odds = `sign` * (mean brightness - 128) / 32, wrong on pictures whose brightness is in `wrong`.

    `nan_on` a brightness with which it is lost, `die_on` one that ends its process; `ms` an image takes;
    `load_ms` that loading takes, `broken` a reason not to load, `megabytes` that it holds."""

    side = 1

    def __init__(self, name="lamp", path=None, sign=1, wrong=(), nan_on=(), die_on=(), ms=0.0, load_ms=0.0,
                 broken="", nan=False, megabytes=0):  # fmt: skip
        if broken:
            raise ValueError(broken)
        time.sleep(load_ms / 1e3)
        self.name = name
        text = f"{sign} {wrong} {nan_on} {die_on} {ms} {nan} {megabytes}"
        self.version = sha256(text.encode()).hexdigest()[:8]
        self.sign, self.wrong, self.nan_on, self.die_on, self.ms, self.nan = (
            sign,
            wrong,
            nan_on,
            die_on,
            ms,
            nan,
        )
        self.held = b"x" * (megabytes << 20)

    def prepare(self, image):
        return image.convert("L").resize((1, 1)).getpixel((0, 0))

    def evidence(self, batch):
        time.sleep(self.ms / 1e3 * len(batch))
        if any(value in self.die_on for value in batch):
            os._exit(9)
        return [Evidence(self.name, self.version, self._odds(value)) for value in batch]

    def _odds(self, value):
        if self.nan or value in self.nan_on:
            return math.nan
        odds = self.sign * (value - 128 + 0.5) / 32
        return -odds if value in self.wrong else odds


def lamp(spec, device):
    told = {}
    if spec.get("path"):
        told = json.loads((Path(spec["path"]) / "lamp.json").read_text())
    options = {key: value for key, value in spec.items() if key not in ("kind", "path")}
    return Lamp(spec["kind"], **{**options, **told})


KINDS = {"lamp": lamp, "torch_light": lamp}
