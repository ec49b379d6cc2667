"""An interrupted training goes on where it stood: weights, their average, the optimiser, the generator.

One file of the safetensors format, replaced whole, so a crash leaves either the old one or the new one; what
is no tensor is JSON in its header. Views need no state: they are made from their number (`batches.Stream`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

NAME = "snapshot.safetensors"
State = dict[str, torch.Tensor]


class SnapshotError(ValueError):
    """The file is damaged or is another training's; the message says which, and what to do."""


@dataclass
class Parts:
    """What a training consists of. `average` name -> averaged weight, shared with whoever averages."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: State


@dataclass(frozen=True)
class Progress:
    """`losses` of every step so far; `averaged` how often the average was updated."""

    losses: list[float]
    averaged: int


def save(folder: Path, key: str, parts: Parts, progress: Progress) -> None:
    """Write, replacing what was there. `key` names everything that the training depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    moving = _moving(parts.module)
    tensors: State = {f"module.{name}": parts.module.state_dict()[name] for name in moving}
    tensors |= {f"average.{name}": parts.average[name] for name in moving}
    for index, state in parts.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    about = {"key": key, "losses": json.dumps(progress.losses), "averaged": str(progress.averaged)}
    write(folder / NAME, tensors, about)


def load(folder: Path, key: str, parts: Parts) -> Progress | None:
    """Put everything back into `parts`; None when nothing was kept. Raises SnapshotError."""
    path = folder / NAME
    if not path.is_file():
        return None
    tensors, about = read(path)
    if about.get("key") != key:
        raise SnapshotError(f"{path} is of another training (data, recipe or seed): name another folder")
    try:
        _restore(parts, tensors)
        return Progress([float(loss) for loss in json.loads(about["losses"])], int(about["averaged"]))
    except (KeyError, ValueError, RuntimeError) as error:
        raise SnapshotError(f"{path} does not fit this network: {error}") from error


def claim(folder: Path, key: str) -> None:
    """Note whose intermediate results lie in `folder`. Raises SnapshotError when another's."""
    path = folder / "training-key.json"
    results = [each for each in folder.iterdir() if each != path] if folder.is_dir() else []
    if path.is_file() and results:
        if json.loads(path.read_text(encoding="utf-8")) != key:
            raise SnapshotError(f"{folder} holds another training (data, recipe or seed): remove it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(key) + "\n", encoding="utf-8")


def write(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> None:
    """A safetensors file, on disk and whole before it takes its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, dict(about)
    )
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path) -> tuple[State, dict[str, str]]:
    """(tensors, header). Raises SnapshotError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
        return load_file(path), about
    except (SafetensorError, OSError) as error:
        raise SnapshotError(f"{path} is damaged, remove it to start anew: {error}") from error


def _moving(module: nn.Module) -> list[str]:
    """Names of what training changes: trainable weights and buffers; the rest comes from the backbone."""
    still = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    return [name for name in module.state_dict() if name not in still]


@torch.no_grad()
def _restore(parts: Parts, tensors: State) -> None:
    held = parts.module.state_dict()
    for name in _moving(parts.module):
        held[name].copy_(tensors[f"module.{name}"])
        parts.average[name].copy_(tensors[f"average.{name}"])
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = parts.optimiser.state_dict()["param_groups"]
    parts.optimiser.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
