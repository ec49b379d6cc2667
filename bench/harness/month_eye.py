"""What classifiers make of pictures, each looked at once per backbone: a rehearsed month asks for the same
ones again and again. The checkpoint's own code prepares, judges, calibrates and remembers."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from miner.engine.interface import BadImage, EngineHealth
from models.cascade import State, verdict
from models.checkpoint import shown_how
from models.classifier import load_classifier
from models.core import Evidence, Request, Verdict
from models.description import Description
from models.imaging.decode import decode
from models.imaging.header import ImageError, Limits
from models.memory import Shelf

BATCH = 16
LIMITS = Limits(bytes=16 * 2**20, pixels=25_000_000)
Vectors = dict[str, np.ndarray]


class Eye:
    """`work` keeps embeddings for another run (None: nothing is kept)."""

    def __init__(self, work: Path | None) -> None:
        self._work = work
        self._known: dict[str, Vectors] = {}

    def of(self, space: str) -> Vectors:
        """SHA-256 of a picture -> its embedding in that space."""
        if space not in self._known:
            self._known[space] = self._read(space)
        return self._known[space]

    def keep(self) -> None:
        if self._work is None:
            return
        self._work.mkdir(parents=True, exist_ok=True)
        for space, known in self._known.items():
            if known:
                vectors = np.stack(list(known.values()))
                save_file({"vectors": vectors}, self._path(space), {"keys": " ".join(known)})

    def _read(self, space: str) -> Vectors:
        if self._work is None or not self._path(space).is_file():
            return {}
        with safe_open(self._path(space), framework="np") as file:
            keys = (file.metadata() or {})["keys"].split()
            return dict(zip(keys, file.get_tensor("vectors"), strict=True))

    def _path(self, space: str) -> Path:
        assert self._work is not None
        return self._work / f"seen-{space}.safetensors"


class Sight:
    """One checkpoint's answers. `memory` the folder in which labelled pictures are remembered."""

    def __init__(self, eye: Eye, folder: Path, memory: Path) -> None:
        self._tier = load_classifier(folder)
        self._embedder = self._tier.embed(shown_how(folder))
        self._known = eye.of(self._embedder.space)
        self._shelf = Shelf(memory, self._embedder.space, lambda why: None)
        self.version = self._tier.version

    def evidence(self, pictures: Sequence[bytes]) -> list[Evidence]:
        """Raises ImageError."""
        keys = [sha256(picture).hexdigest() for picture in pictures]
        fresh = {key: each for key, each in zip(keys, pictures, strict=True) if key not in self._known}
        self._look(list(fresh.items()))
        vectors = np.array([self._known[key] for key in keys], np.float32)
        memory = self._shelf.memory()
        told = memory.features(vectors) if memory else [{} for _ in keys]
        return [
            Evidence(self._tier.name, self.version, self._tier.calibration.apply(float(raw)), 0.0, more)
            for raw, more in zip(self._raw(vectors), told, strict=True)
        ]

    def verdict(self, name: str, picture: bytes) -> Verdict:
        return verdict(State(name, 0.0, (), (self.evidence([picture])[0],)))

    def _look(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        for first in range(0, len(pictures), BATCH):
            batch = pictures[first : first + BATCH]
            images = [decode(each, LIMITS, side=self._tier.side).image for _, each in batch]
            self._tier.logits([self._tier.prepare(image) for image in images])
            self._known.update(zip([key for key, _ in batch], self._embedder.take().numpy(), strict=True))

    def _raw(self, vectors: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = self._embedder.head(torch.from_numpy(vectors)).double()
        found: np.ndarray = self._tier.head.log_odds(logits).numpy()
        return found


class SeenEngine:
    """An `Engine` of one classifier through an `Eye`. `fallback` its folder where the cascade names none."""

    def __init__(self, described: Description, eye: Eye, fallback: Path, memory: Path) -> None:
        self._folder = Path(described.tiers[0].get("path") or fallback)
        self._eye, self._memory = eye, memory
        self._sight: Sight | None = None

    @property
    def sight(self) -> Sight:
        assert self._sight is not None
        return self._sight

    async def start(self) -> None:
        self._sight = Sight(self._eye, self._folder, self._memory)

    async def submit(self, request: Request) -> Verdict:
        try:
            return self.sight.verdict(request.id, request.views[0])
        except ImageError as error:
            raise BadImage(str(error)) from error

    def health(self) -> EngineHealth:
        versions = {"classifier": self._sight.version} if self._sight else {}
        return EngineHealth(
            self._sight is not None, "ready" if self._sight else "starting", versions=versions
        )

    async def stop(self) -> None:
        self._sight = None
