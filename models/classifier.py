"""A transformers or timm image-classification checkpoint (`models.checkpoint`) as a tier of the cascade;
several are several tiers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from PIL import Image

from models.backends import beside, choice, graphs
from models.backends.export import export
from models.backends.machine import here
from models.backends.proof import FLOAT32, Proven, proven
from models.backends.runtimes import Runner
from models.calibration import Calibration
from models.checkpoint import (
    CheckpointError,
    Head,
    calibrated,
    configuration,
    find_head,
    fingerprint,
    layout,
    locate,
    network,
    preprocessing,
    shown_how,
)
from models.core import Evidence
from models.embedding import Embedder, NoHead
from models.memory import Shelf
from models.ondevice import Bytes, OnDevice
from models.preprocess import Pixels, Preprocess
from models.scenes import render
from models.testviews import VIEWS, WHOLE, checked

NAME = "classifier"
PROBES = 4


class Classifier:
    """A `models.core.Tier`. Attributes beside the protocol's:

    `side`        shorter side in pixels down to which decoding may scale (`decode(..., side=tier.side)`).
    `device`      where it runs; `calibration` what was applied; `head` the labels and the positive one.
    `views`       names out of `models.testviews.VIEWS` whose log-odds are averaged.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        head: Head,
        prepare: Preprocess,
        applied: Calibration,
        version: str,
        *,
        name: str = NAME,
        views: Sequence[str] = WHOLE,
    ) -> None:
        self.name = name
        self.views = tuple(views)
        self.version = version
        self.head = head
        self.calibration = applied
        self.side = prepare.side
        self._preprocess = prepare
        self._model = model
        self.device = str(next(model.parameters()).device)
        self._layout = layout(model)
        self._shelf: Shelf | None = None
        self._embedder: Embedder | None = None
        self._runner: Runner | None = None
        self._room: Callable[[int], Pixels | None] | None = None
        self._on_device: OnDevice | None = None

    def embed(self, preprocessing: str = "") -> Embedder:
        """From now on keep what stands before the head of each batch. `preprocessing` see Embedder. Raises
        NoHead."""
        self._embedder = self._embedder or Embedder(self._model, len(self.head.labels), preprocessing)
        return self._embedder

    @property
    def network(self) -> torch.nn.Module:
        """The model itself."""
        return self._model

    def quicken(
        self,
        folder: Path,
        backend: str,
        threads: int,
        allowed: Proven = FLOAT32,
        *,
        known: bool = False,
    ) -> bool:
        """From now on judge by whichever CPU runtime is fastest here (`models.backends`), or by `backend` if
        that is not "auto", with so many `threads`. `folder` keeps what was found out. `allowed` beside
        float32: where that is the fastest, `version` says so. Torch stays where none is faster. `known`: only
        by what was found out before; False when nothing was."""
        only = None if backend == "auto" else backend
        if known:
            found = choice.recalled(folder, self.version, threads, self.odds, only=only, proven=allowed)
            if found is None:
                return False
        else:
            height, width = self._preprocess.crop
            found = choice.chosen(
                folder,
                self.version,
                threads,
                self._reference,
                self._probes,
                lambda file: export(self._model, len(self.head.labels), (height, width), file),
                self.odds,
                only=only,
                proven=allowed,
            )
        used, self._runner = found
        self.version += choice.precision(used)
        return True

    def record(self, *, bf16: bool = False) -> None:
        """From now on judge by CUDA graphs (`models.backends.graphs`), if these are faster and say the same;
        also in bfloat16 if that is allowed: then `version` says so."""
        made = graphs.candidates(
            *(self._model, len(self.head.labels), self._preprocess.crop, self.device, self._layout), bf16=bf16
        )
        try:
            found, runner = choice.choose(self._reference, made, self._probes())
        except RuntimeError as error:
            logger.warning("no CUDA graphs for this model, torch judges: {}", error)
            return
        choice.tell(found)
        if found.backend != choice.TORCH:
            self._runner, self._room = runner, getattr(runner, "room", None)
            self.version += choice.precision(found.backend)

    def resize_on_device(self) -> None:
        """From now on have the device resize and normalise (`models.ondevice`); `version` says so. Raises
        ValueError where it cannot."""
        if self.views != WHOLE:
            raise ValueError("only whole pictures can be resized on the device, not other views of them")
        self._on_device = OnDevice(self._preprocess, self.device)
        self.version += "@device"

    def _reference(self, pixels: Pixels) -> tuple[Pixels, None]:
        return self._torch(torch.from_numpy(pixels)).float().numpy(), None

    def _probes(self) -> Pixels:
        """A few rendered streets."""
        return np.stack([self._preprocess(render(seed, seed % 2 == 0)) for seed in range(PROBES)])

    def recall(self, folder: Path, preprocessing: str) -> None:
        """From now on tell of labelled look-alikes in `folder` (`models.memory`), as features of
        `models.recall`. A model without a linear head cannot, and says so in the log."""
        try:
            space = self.embed(preprocessing).space
        except NoHead as error:
            logger.warning("{} remembers nothing: {}", self.name, error)
            return
        self._shelf = Shelf(folder, space, lambda why: logger.warning("{}: {}", self.name, why))

    def prepare(self, image: Image.Image) -> Pixels | Bytes:
        """PIL RGB image -> float32 (3, height, width), several views stacked before it; or its bytes, where
        the device resizes. Thread-safe."""
        if self._on_device is not None:
            return self._on_device.hold(image)
        if self.views == WHOLE:
            return self._preprocess(image)
        shown = [self._preprocess(VIEWS[view](image)) for view in self.views]
        return shown[0] if len(shown) == 1 else np.stack(shown)

    def evidence(self, batch: Sequence[NDArray[Any]]) -> list[Evidence]:
        """Judge prepared images. With several views the log-odds is their mean before calibration, and the
        feature `spread` the largest less the smallest. Raises ArithmeticError, naming the items, when a logit
        is not finite."""
        started = time.perf_counter()
        many = len(self.views)
        each = self.head.log_odds(self.logits(batch)).reshape(-1, many)
        raw = each.mean(dim=1).tolist()
        spreads = (each.amax(dim=1) - each.amin(dim=1)).tolist()
        bad = [str(index) for index, value in enumerate(raw) if not np.isfinite(value)]
        if bad:
            raise ArithmeticError(
                f"the model's logits are not finite for item {', '.join(bad)} of {len(raw)}"
            )
        cost = (time.perf_counter() - started) * 1e3 / max(len(raw), 1)
        more = [{"spread": spread} for spread in spreads] if many > 1 else [{} for _ in raw]
        return [
            Evidence(self.name, self.version, self.calibration.apply(value), cost, {**noticed, **recalled})
            for value, noticed, recalled in zip(raw, more, self._recalled(len(raw)), strict=True)
        ]

    def _recalled(self, count: int) -> list[dict[str, float]]:
        """Of the `count` images just judged."""
        memory = self._shelf.memory() if self._shelf else None
        if memory is None or self._embedder is None:
            return [{} for _ in range(count)]
        shown = self._embedder.take()
        return memory.features(shown.reshape(count, -1, shown.shape[-1]).mean(dim=1).numpy())

    def logits(self, batch: Sequence[NDArray[Any]]) -> torch.Tensor:
        """(batch * views, classes) float64 logits on the CPU."""
        shown = self._stacked(batch)
        if self._runner is None:
            return self._torch(torch.as_tensor(shown))
        told, features = self._runner(shown)
        if self._embedder is not None and features is not None:
            self._embedder.hear(torch.from_numpy(features))
        return torch.from_numpy(told).double()

    def odds(self, logits: Pixels) -> Pixels:
        """(batch, classes) logits -> (batch,) calibrated log-odds."""
        raw = self.head.log_odds(torch.from_numpy(logits).double()).tolist()
        return np.array([self.calibration.apply(value) for value in raw], np.float32)

    def _stacked(self, batch: Sequence[NDArray[Any]]) -> Any:
        """Pixels (batch * views, 3, height, width), where the runner wants them; a tensor if they are made on
        the GPU."""
        if self._on_device is not None:
            resized = self._on_device(batch)
            return resized if resized.is_cuda else resized.numpy()
        flat = [each.reshape(-1, *each.shape[-3:]) for each in batch]
        room = self._room(len(flat) * len(flat[0])) if self._room is not None else None
        return np.concatenate(flat, out=room)

    def _torch(self, flat: torch.Tensor) -> torch.Tensor:
        pixels = flat.to(self.device, memory_format=self._layout)
        with torch.inference_mode():
            logits: torch.Tensor = self._model(pixel_values=pixels).logits
        return logits.double().cpu()


def load_classifier(
    path: str | Path,
    *,
    revision: str | None = None,
    label: str = "Roadwork",
    device: str = "cpu",
    temperature: float | None = None,
    threshold: float | None = None,
    name: str = NAME,
    views: Sequence[str] = WHOLE,
    memory: str | Path | None = None,
    backend: str = "torch",
    backends: str | Path | None = None,
    later: bool = False,
    resize: str = "host",
) -> Classifier:
    """Load a checkpoint and prove that it can judge an image.

    `path` a folder, or a hub id together with its commit as `revision`. `label` names the positive class, in
    any case. `device` as `resolve_device` takes it. `temperature`, `threshold`: see `models.calibration`;
    what is not given comes from a `calibration.json` beside the weights, else 1 and 0.5. `name` tells
    several classifiers apart; `views`: see `models.testviews` (each costs a forward pass; a calibration made
    for one view need not hold for the mean of others). `memory` a folder in which labelled images are, or
    will be, remembered (`models.memory`). `backend` torch, auto, or a runtime of `models.backends`, which
    needs a folder `backends` to keep what it finds out; `later`: torch judges until that is found out, in a
    process beside this one, instead of finding it out first. On a GPU there are torch and graphs (CUDA
    graphs where they are faster). `resize` "device": pictures are resized and normalised there, by a kernel,
    and not by Pillow on the host. Raises CheckpointError.
    """
    if resize not in ("host", "device"):
        raise CheckpointError(f"resize is host or device, not {resize!r}")
    folder = locate(path, revision)
    config = configuration(folder)
    head = find_head(config.id2label, label, config.problem_type)
    try:
        shown = checked(views)
        prepare = preprocessing(folder)
        applied = calibrated(folder, temperature, threshold)
    except (ValueError, OSError) as error:
        raise CheckpointError(str(error)) from error
    target = resolve_device(device)
    model = network(folder, config)
    model.to(torch.device(target)).to(memory_format=layout(model))  # type: ignore[call-overload] # torch's stub
    version = fingerprint(folder, applied, head, shown)
    tier = Classifier(model, head, prepare, applied, version, name=name, views=shown)
    if resize == "device":
        try:
            tier.resize_on_device()
        except ValueError as error:
            raise CheckpointError(str(error)) from error
    _rehearse(tier, folder)
    if backend != "torch" and backends is not None:
        options = {"label": label, "temperature": temperature, "threshold": threshold, "views": list(views)}
        _quicken(tier, folder, backend, Path(backends), options if later else None)
    if memory is not None:
        tier.recall(Path(memory), shown_how(folder, shown))
    return tier


def _quicken(
    tier: Classifier, folder: Path, backend: str, backends: Path, options: Mapping[str, Any] | None
) -> None:
    """`options` to load it once more with, for whoever finds out its runtime beside this process; None: here
    and now. Another precision has another version, and no member changes that while it serves: now, too."""
    threads, allowed = torch.get_num_threads(), proven(folder, tier.version)
    only = None if backend == "auto" else backend
    if tier.device != "cpu":
        if only == graphs.GRAPHS:
            tier.record(bf16=allowed.bf16)
        elif only is not None:
            logger.warning("{} is for CPUs: on {} {} is judged by torch", backend, tier.device, tier.name)
        return
    if only == graphs.GRAPHS:
        logger.warning("graphs are for GPUs: on the CPU {} is judged by torch", tier.name)
        return
    if not here().bf16:
        allowed = replace(allowed, bf16=False)
    if options is None or allowed or not choice.present(only):
        tier.quicken(backends, backend, threads, allowed)
        return

    def adopt() -> bool:
        return tier.quicken(backends, backend, threads, known=True)

    try:
        found = adopt()
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises on a file of its own: found out again
        logger.warning("the runtime chosen before fails, torch judges: {}: {}", type(error).__name__, error)
        found = False
    if not found:
        told = {**options, "path": str(folder), "backend": backend, "backends": str(backends)}
        beside.find(told, threads, adopt)


def resolve_device(device: str) -> str:
    """From auto, cpu, cuda or cuda:N to cpu or cuda:N. Raises CheckpointError for what is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if count else "cpu"
    if device == "cpu":
        return device
    found = re.fullmatch(r"cuda(?::(\d+))?", device)
    if found is None:
        raise CheckpointError(f"device {device!r} is not one of auto, cpu, cuda and cuda:N")
    index = int(found[1] or 0)
    if index >= count:
        nearest = f"cuda:{count - 1}" if count else "cpu"
        raise CheckpointError(
            f"device {device} is not there: this host has {count} GPUs; {nearest} would work"
        )
    return f"cuda:{index}"


def _rehearse(tier: Classifier, folder: Path) -> None:
    """Judge one image: sizes that do not fit and broken weights come to light here, not in a challenge."""
    try:
        logits = tier.logits([tier.prepare(Image.new("RGB", (64, 48), (128, 128, 128)))])
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder} cannot judge an image its own preprocessor made: {error}") from error
    if logits.shape != (len(tier.views), len(tier.head.labels)):
        raise CheckpointError(f"{folder} has {logits.shape[-1]} outputs for {len(tier.head.labels)} labels")
    if not torch.isfinite(logits).all():
        raise CheckpointError(f"{folder} gives logits that are not finite")
