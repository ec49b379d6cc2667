"""Episodic memory: labelled images by their embeddings, so that look-alikes get the answer of their label.

Takes effect minutes after a label, with no training: nearest neighbours vote, and the farther they are the
less they count. Bounded in size, each item removable; one folder on disk, replaced atomically. What is stored
of an image is its embedding, which still tells something of it: it is personal data as far as the image was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from models.recall import LABEL, NOVELTY, TRUST

FILE = "memory.json"
NEIGHBOURS = 8
PRIOR = 0.5
"""Weight of doubt: trust in look-alikes of total weight w is w / (w + PRIOR); one exact copy has 2/3."""
LEAST = 0.02
"""Total weight below which nobody is remembered."""
MOST = 4096
CLOSE = 0.01
"""The share of pairs of reference images that are closer than twice the reach."""
_PAIRS = 1500
_FLAT = 1e-3

Vectors = NDArray[np.float32]
Flags = NDArray[np.bool_]


class MemoryDamaged(ValueError):
    """The folder holds no memory that can be read; the message is for the operator."""


@dataclass(frozen=True)
class Reference:
    """What images usually look like, in embedding space. `centre`, `spread` (d,) mean and standard deviation;
    `reach` the cosine distance, as seen from the centre, at which a look-alike's weight has fallen to 1/e."""

    centre: Vectors
    spread: Vectors
    reach: float

    def unit(self, embeddings: Vectors) -> Vectors:
        """(n, d) -> (n, d) directions from the centre, of length 1."""
        shifted = embeddings.astype(np.float32) - self.centre
        found: Vectors = shifted / np.maximum(np.linalg.norm(shifted, axis=1, keepdims=True), 1e-6)
        return found

    def novelty(self, embeddings: Vectors) -> NDArray[np.float64]:
        """(n,) mean squared z-scores, over the dimensions that vary at all."""
        varies = self.spread > _FLAT
        if not varies.any():
            return np.zeros(len(embeddings))
        scores = (embeddings[:, varies] - self.centre[varies]) / self.spread[varies]
        found: NDArray[np.float64] = np.minimum((scores.astype(np.float64) ** 2).mean(axis=1), 1e6)
        return found


def refer(embeddings: Vectors, seed: int = 0) -> Reference:
    """From (n, d) embeddings of at least two usual images. Raises ValueError for fewer."""
    if len(embeddings) < 2:
        raise ValueError(f"a reference needs two images or more, not {len(embeddings)}")
    centre = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    loose = Reference(centre, embeddings.std(axis=0, dtype=np.float64).astype(np.float32), 1.0)
    rng = np.random.default_rng(seed)
    some = loose.unit(embeddings[rng.permutation(len(embeddings))[:_PAIRS]])
    apart = (1 - some @ some.T)[np.triu_indices(len(some), 1)]
    return replace(loose, reach=float(max(np.quantile(apart, CLOSE) / 2, 1e-3)))


@dataclass(frozen=True)
class Memory:
    """`space` whose embeddings these are (`models.embedding.Embedder.space`); `keys` (n) of the images, the
    oldest first; `roadwork` (n,); `vectors` (n, d) unit rows."""

    space: str
    reference: Reference
    keys: tuple[str, ...]
    roadwork: Flags
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.keys)

    def features(self, embeddings: Vectors) -> list[dict[str, float]]:
        """What to tell about each of (n, d) embeddings, as features of `models.recall`."""
        told = [{NOVELTY: float(value)} for value in self.reference.novelty(embeddings)]
        if len(self):
            for found, more in zip(told, self._recalled(embeddings), strict=True):
                found.update(more)
        return told

    def _recalled(self, embeddings: Vectors) -> list[dict[str, float]]:
        apart = np.maximum(1 - self.reference.unit(embeddings) @ self.vectors.T, 0.0)
        nearest = np.argsort(apart, axis=1)[:, :NEIGHBOURS]
        weights = np.exp(-((np.take_along_axis(apart, nearest, axis=1) / self.reference.reach) ** 2))
        totals = weights.sum(axis=1, dtype=np.float64)
        votes = (weights * np.where(self.roadwork[nearest], 1.0, -1.0)).sum(axis=1)
        return [
            {LABEL: float(vote / total), TRUST: float(total / (total + PRIOR))} if total >= LEAST else {}
            for vote, total in zip(votes, totals, strict=True)
        ]

    def remember(self, key: str, roadwork: bool, embedding: Vectors, most: int = MOST) -> Memory:
        """With one more, or with its label changed; the oldest ones go beyond `most`."""
        rest = self.without(key)
        vectors = np.concatenate([rest.vectors, self.reference.unit(embedding[None])])[-most:]
        labels = np.append(rest.roadwork, roadwork)[-most:]
        return replace(self, keys=(*rest.keys, key)[-most:], roadwork=labels, vectors=vectors)

    def without(self, key: str) -> Memory:
        """With that image forgotten; itself when it never was remembered."""
        keep = np.array([other != key for other in self.keys], bool)
        if keep.all():
            return self
        keys = tuple(other for other in self.keys if other != key)
        return replace(self, keys=keys, roadwork=self.roadwork[keep], vectors=self.vectors[keep])


def blank(space: str, reference: Reference) -> Memory:
    """Nothing remembered yet."""
    nothing = np.zeros((0, len(reference.centre)), np.float32)
    return Memory(space, reference, (), np.zeros(0, bool), nothing)


def write(folder: Path, memory: Memory) -> None:
    """Replace the memory in `folder`, which is made: the tensors first, then the file that names them.
    Raises OSError; the old one then stands."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tensors = save(
        {
            "vectors": memory.vectors.astype(np.float16),
            "roadwork": memory.roadwork.astype(np.uint8),
            "centre": memory.reference.centre,
            "spread": memory.reference.spread,
        }
    )
    name = f"memory-{sha256(tensors).hexdigest()[:16]}.safetensors"
    _replace(folder / name, tensors)
    about = {"space": memory.space, "reach": memory.reference.reach, "keys": memory.keys, "tensors": name}
    _replace(folder / FILE, json.dumps(about).encode())
    for old in folder.glob("memory-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read(folder: Path) -> Memory:
    """Raises MemoryDamaged, naming the folder, for what `write` did not leave there."""
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / Path(about["tensors"]).name)
        reference = Reference(tensors["centre"], tensors["spread"], float(about["reach"]))
        vectors = tensors["vectors"].astype(np.float32)
        keys = tuple(map(str, about["keys"]))
        memory = Memory(str(about["space"]), reference, keys, tensors["roadwork"].astype(bool), vectors)
        if not len(keys) == len(memory.roadwork) == len(vectors):
            raise ValueError("its parts differ in length")
        if not (np.isfinite(vectors).all() and np.isfinite(reference.centre).all() and reference.reach > 0):
            raise ValueError("its numbers are not finite")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise MemoryDamaged(f"{folder} holds no memory: {error!r}") from error
    return memory


class Shelf:
    """The memory of a folder as it is now: read again when somebody has replaced it, and only if its space is
    the one that is wanted. `told` hears, once per file, why there is none."""

    def __init__(self, folder: Path, space: str, told: Callable[[str], None]) -> None:
        self._folder = folder
        self._space = space
        self._told = told
        self._seen: tuple[int, int] | None = None
        self._memory: Memory | None = None

    def memory(self) -> Memory | None:
        """One `stat` when nothing has changed."""
        try:
            about = (self._folder / FILE).stat()
            seen = (about.st_mtime_ns, about.st_ino)
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen, self._memory = seen, self._read() if seen else None
        return self._memory

    def _read(self) -> Memory | None:
        try:
            found = read(self._folder)
        except MemoryDamaged as error:
            self._told(str(error))
            return None
        if found.space != self._space:
            self._told(f"what is remembered is of another model ({found.space}): not used until made anew")
            return None
        return found


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
