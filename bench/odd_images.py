"""What hostile and odd images cost: outcome, time and memory of decoding each, in a process of its own.

    python bench/odd_images.py [--quick] [--json FILE] [--check] [--images FOLDER]

Decodes every file of the folder (default ../shared/data/odd) as the engine does, and bombs made here:
pictures of 25 megapixels in a few kilobytes, scans by the dozen, text that unpacks without end. Each runs in
a forked child; memory is how far its resident set rises above where it stood (Linux: /proc). `--quick` leaves
out the bombs. `--check` fails when a file ends in neither an image nor a reason, or costs too much.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

from models.imaging.decode import ImageError, Limits, decode  # noqa: E402
from models.imaging.header import SOS, segments  # noqa: E402

LIMITS = Limits(bytes=4 * 2**20, pixels=25_000_000)
SIDE = 224
EDGE = 5000
TARGET_MS, TARGET_MB, TIMEOUT_S = 3000.0, 600.0, 60.0


def png(depth: int, colour: int, row: int, extra: bytes = b"", edge: int = EDGE) -> bytes:
    """Black, `row` bytes a row, packed a thousandfold."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(row + 1)) for _ in range(EDGE)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def saved(mode: str, form: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.effect_noise((EDGE, EDGE), 10).convert(mode).save(file, form, **options)
    return file.getvalue()


def flat(mode: str, form: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.new(mode, (EDGE, EDGE), (90, 60, 30, 200)).save(file, form, **options)
    return file.getvalue()


def scans(count: int) -> bytes:
    data = saved("L", "JPEG", progressive=True, quality=2)
    last = [segment for segment in segments(data) if segment.marker == SOS][-1]
    return data[: last.end] + data[last.start : last.end] * count + b"\xff\xd9"


def texts() -> bytes:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20), 9))
    return png(8, 2, 96, text * 64 * 16, edge=32)


BOMBS: dict[str, Callable[[], bytes]] = {
    "25 Mpx PNG RGBA": lambda: png(8, 6, 4 * EDGE),
    "25 Mpx PNG 16-bit RGBA": lambda: png(16, 6, 8 * EDGE),
    "25 Mpx PNG 16-bit grey": lambda: png(16, 0, 2 * EDGE),
    "25 Mpx PNG palette": lambda: png(8, 3, EDGE, chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256))),
    "26 Mpx PNG": lambda: png(8, 2, 3 * EDGE, edge=5100),
    "PNG with 1 GiB of text": texts,
    "PNG with more data than pixels": lambda: png(8, 2, 2**19, edge=8),
    "25 Mpx JPEG": lambda: saved("RGB", "JPEG", quality=5),
    "25 Mpx JPEG progressive 4:4:4": lambda: saved("RGB", "JPEG", quality=3, progressive=True, subsampling=0),
    "25 Mpx JPEG progressive CMYK": lambda: saved("CMYK", "JPEG", quality=2, progressive=True),
    "25 Mpx JPEG of 50 scans": lambda: scans(44),
    "25 Mpx JPEG of 1,000 scans": lambda: scans(1000),
    "25 Mpx WebP": lambda: saved("RGB", "WEBP", quality=1),
    "25 Mpx WebP lossless with alpha": lambda: flat("RGBA", "WEBP", lossless=True),
    "4 MiB of fill bytes": lambda: b"\xff\xd8\xff\xe0\0\x02" + b"\xff" * (2**22 - 7) + b"\0",
}  # fmt: skip


def resident(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure(data: bytes) -> dict[str, Any]:
    """Decode once; runs in a fresh child."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, started = resident("VmRSS"), time.perf_counter()
    outcome, size, scaled, notes = "image", "", "", ""
    try:
        found = decode(data, LIMITS, side=SIDE)
        size, notes = "{} x {}".format(*found.size), " ".join(found.notes)
        scaled = "{} x {}".format(*found.image.size)
    except ImageError as error:
        outcome = error.reason
    ms = (time.perf_counter() - started) * 1e3
    peak = max(resident("VmHWM") - before, 0.0)
    return {"outcome": outcome, "size": size, "scaled": scaled, "notes": notes, "ms": ms, "mb": peak}


def judged(name: str, data: bytes) -> dict[str, Any]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            row = pool.apply_async(measure, (data,)).get(TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 whatever else comes out is the finding
            row = {
                "outcome": f"FAILED {error!r}",
                "size": "",
                "scaled": "",
                "notes": "",
                "ms": 0.0,
                "mb": 0.0,
            }
    return {"name": name, "bytes": len(data), **row}


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['name'][-58:]:58} {row['bytes']:8} {row['outcome'] + ' ' + row['notes']:22} {row['size']:12} "
        f"{row['scaled']:10} {row['ms']:7.1f} {row['mb']:7.1f}"
    )


def misses(rows: list[dict[str, Any]]) -> list[str]:
    failed = [row["name"] for row in rows if row["outcome"].startswith("FAILED")]
    slow = [row["name"] for row in rows if row["ms"] > TARGET_MS]
    large = [row["name"] for row in rows if row["mb"] > TARGET_MB]
    return [
        *(f"neither an image nor a reason: {name}" for name in failed),
        *(f"over {TARGET_MS:.0f} ms: {name}" for name in slow),
        *(f"over {TARGET_MB:.0f} MB: {name}" for name in large),
        *([] if rows else ["no images found"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="leave out the bombs")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "data" / "odd")
    options = parser.parse_args()
    rows = []
    print(f"{'file':58} {'bytes':>8} {'outcome':22} {'size':12} {'scaled':10} {'ms':>7} {'peak MB':>7}")
    files = {path.name: path.read_bytes for path in sorted(options.images.glob("*")) if path.suffix != ".csv"}
    for name, make in (files | ({} if options.quick else BOMBS)).items():
        rows.append(judged(name, make()))
        show(rows[-1])
    images = sum(row["outcome"] == "image" for row in rows)
    slowest, largest = (max(rows, key=lambda row: row[key], default=None) for key in ("ms", "mb"))
    if slowest and largest:
        print(f"{len(rows)} files: {images} images, {len(rows) - images} refused")
        print(f"slowest {slowest['ms']:.0f} ms: {slowest['name']}")
        print(f"largest +{largest['mb']:.0f} MB: {largest['name']}")
    if options.json:
        options.json.write_text(json.dumps({"limits": asdict(LIMITS), "side": SIDE, "rows": rows}, indent=1))
    missed = misses(rows)
    print("targets met" if not missed else "MISSED: " + "; ".join(missed))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
