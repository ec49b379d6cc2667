"""A capture without processes: pictures, answers, and a scaler that makes what it is told."""

import hashlib
import random
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from miner.capture.child import Refused, Scaled
from miner.capture.keeper import Keeper, Offer
from miner.capture.policy import Choice, Rates
from miner.capture.service import Capture
from miner.capture.shelf import Bounds
from miner.capture.store import Store
from miner.capture.switch import Switch
from miner.disk import Disk
from miner.ledger import LEDGER_NAME, Ledger
from miner.records import Exchange
from models.core import Verdict

NOW = 1_800_000_000_000_000_000
CHOICE = Choice(("near",), {"audit": 0.015, "near": 1.0}, 1.0)


def photograph(seed, size=(320, 200), **saved):
    """A JPEG of smooth random light, so that its fingerprint is its own and survives scaling."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90, **saved)
    return out.getvalue()


def answered(picture, log_odds=0.2, at_ns=NOW, **more):
    sha256 = hashlib.sha256(picture).hexdigest()
    return Exchange(
        id=f"c-{sha256[:6]}",
        **{"at_ns": at_ns, "hotkey": "ours", "caller": "theirs", "address": "", "client_version": ""},
        **{"status": 200, "outcome": "answered", "sha256": sha256, "prediction": 0.55, "log_odds": log_odds},
        **more,
    )


def verdict(log_odds=0.2, **evidence):
    return Verdict("v", 0.55, log_odds, ("fast",), evidence=evidence or {"fast": log_odds})


class Scaler:
    """Says of a picture what its bytes say: `size` of them is kept, with the mark in the first eight."""

    def __init__(self, size=None):
        self.size, self.seen = size, 0

    def scale(self, picture):
        self.seen += 1
        if picture == b"bad":
            raise Refused("format")
        mark = int.from_bytes(hashlib.sha256(picture).digest()[:8], "big")
        size = len(picture) if self.size is None else self.size
        return Scaled(picture.ljust(size, b"\0")[:size], mark, {"width": 1, "height": 1, "blurred": 0})

    def close(self):
        pass


def keeper(
    data: Path, ledger=None, *, size=None, encrypt=False, scaler=None, bits=4, clock_ns=lambda: NOW, **bounds
):
    ledger = ledger or Ledger(data / LEDGER_NAME, hotkey="ours")
    most = {"bytes": 10**9, "count": 1000, "days": 30.0, "gold_days": 365.0} | bounds
    return Keeper(
        *(Store(data, encrypt=encrypt), ledger, Bounds(**most), scaler or Scaler(size)),
        **{"duplicate_bits": bits, "clock_ns": clock_ns},
    )


def offer(picture, at_ns=NOW):
    return Offer(answered(picture, at_ns=at_ns), picture, CHOICE, {"path": ["fast"]})


def capture(data: Path, ledger, *, enabled=True, free=10**12, events=None, rates=None, seed=0, **more):
    disk = Disk(
        data, 10**9, free=free if callable(free) else lambda _: free, clock=iter(range(10**9)).__next__
    )
    return Capture(
        *(keeper(data, ledger, **more), Switch(data, enabled=enabled), disk, rates or Rates()),
        **{"most_bytes": 10**9, "days": 30, "unlabelled": lambda: 0, "draw": random.Random(seed).random},
        note=(lambda *_: None) if events is None else (lambda kind, data: events.append((kind, dict(data)))),
    )


def files(data: Path):
    folder = data / "capture"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def size_on_disk(data: Path):
    return sum(path.stat().st_size for path in files(data))
