"""An engine child with a tier that has moods, as a GPU has: `python -m harness.soak.child` as child_main.

The tier says how bright a picture is. On a device "cuda..." it obeys the word in its mood file:

`dead`   CUDA fails: at once, for the rest of the process, and when a new one loads.
`full`   the GPU has memory for one picture at a time.
`eat`    it takes host memory until the kernel gives none, if it is limited.
`hang`   one kernel never returns: the process must be killed. The word is taken back then, or the next
         child would hang while it loads, for as long as loading may take.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miner.engine import child_main, tiers
from models.core import Evidence

KIND = "moody"
CHUNK = 32 * 2**20
FOR_EVER_S = 3600.0


class Moody:
    """log-odds = (brightness - 128) / 32. `device` is only a name: there need be no GPU."""

    name, version = KIND, "1"

    def __init__(self, mood: Path, device: str) -> None:
        self.device = device
        self._mood, self._dead = mood, False
        if self._now() == "dead":
            raise RuntimeError("CUDA error: no CUDA-capable device is detected")

    def prepare(self, image: Any) -> int:
        value: int = image.convert("L").resize((1, 1)).getpixel((0, 0))
        return value

    def evidence(self, batch: Sequence[int]) -> list[Evidence]:
        self._suffer(self._now(), len(batch))
        return [Evidence(self.name, self.version, (value - 128) / 32) for value in batch]

    def _now(self) -> str:
        return self._mood.read_text().strip() if self.device.startswith("cuda") else ""

    def _suffer(self, mood: str, images: int) -> None:
        self._dead = self._dead or mood == "dead"
        if self._dead:  # an error of CUDA sticks to the process
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if mood == "full" and images > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if mood == "eat":
            _eat()
        if mood == "hang":
            self._mood.write_text("")
            time.sleep(FOR_EVER_S)


def _eat() -> None:
    """Raises MemoryError where the process is limited; the next child has memory enough."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    taken = []
    while True:
        taken.append(bytearray(CHUNK))


def moody(spec: Mapping[str, Any], device: str) -> Moody:
    return Moody(Path(spec["mood"]), device)


if __name__ == "__main__":
    tiers.FACTORIES[KIND] = moody
    child_main.main()
