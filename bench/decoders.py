"""From a JPEG's bytes to the model's input: our decoder (Pillow, scaled while decoding, hostile-proof) beside
the bare Pillow call without scaling and, where they are installed, simplejpeg and OpenCV with theirs.

Rendered streets of 224 px, and of 1280 x 720; CPU milliseconds of one thread, the best of interleaved turns.
Target: ours is at most 1.5 times the fastest, its checks of hostile files included."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from models.imaging.decode import decode
from models.imaging.header import Limits
from models.preprocess import Preprocess, read
from models.scenes import render
from models.weights import DEFAULT

LIMITS = Limits(2**22, 25_000_000)
SIZES = ((224, 224), (1280, 720))
GOAL = 1.5
Way = Callable[[bytes], Any]


def ways(prepare: Preprocess) -> dict[str, Way]:
    """Name -> bytes to input; those whose library is installed."""

    def plain(data: bytes) -> Any:
        return prepare(Image.open(BytesIO(data)).convert("RGB"))

    found: dict[str, Way] = {
        "ours": lambda data: prepare(decode(data, LIMITS, side=prepare.side).image),
        "Pillow, full size": plain,
    }
    if find_spec("simplejpeg"):
        simple = import_module("simplejpeg")
        side = prepare.side
        found["simplejpeg, scaled"] = lambda data: prepare(
            Image.fromarray(simple.decode_jpeg(data, min_height=side, min_width=side, fastdct=True))
        )
    if find_spec("cv2"):
        found["OpenCV, full size"] = _opencv(prepare)
    return found


def _opencv(prepare: Preprocess) -> Way:
    cv2, numpy = import_module("cv2"), import_module("numpy")
    cv2.setNumThreads(1)

    def way(data: bytes) -> Any:
        pixels = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR_RGB)
        return prepare(Image.fromarray(pixels))

    return way


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    out = BytesIO()
    render(seed, seed % 2 == 0).resize(size).save(out, "JPEG", quality=90)
    return out.getvalue()


def measure(found: dict[str, Way], images: list[bytes], turns: int) -> dict[str, float]:
    """Milliseconds an image: over the images, the mean of each one's best."""
    best: dict[tuple[str, int], float] = {}
    for _ in range(turns):
        for name, way in found.items():
            for index, data in enumerate(images):
                start = time.thread_time()
                way(data)
                taken = time.thread_time() - start
                best[name, index] = min(taken, best.get((name, index), taken))
    return {name: 1e3 * sum(best[name, i] for i in range(len(images))) / len(images) for name in found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when the target is missed")
    given = parser.parse_args()
    found = ways(read(DEFAULT / "preprocessor_config.json"))
    table, missed = {}, []
    for size in SIZES:
        ms = measure(found, [jpeg(size, seed) for seed in range(4)], 15 if given.quick else 60)
        table["x".join(map(str, size))] = ms
        for name, taken in ms.items():
            print(f"{size[0]:5d} x {size[1]:4d}  {name:20s} {taken:7.2f} ms")
        if ms["ours"] > GOAL * min(ms.values()):
            missed.append(
                f"ours takes {ms['ours'] / min(ms.values()):.2f} times the fastest at {size} (target: {GOAL})"
            )
    if given.json:
        given.json.write_text(json.dumps(table, indent=1))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(given.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
