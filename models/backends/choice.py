"""Which runtime a model gets on this machine: the fastest one that says the same as torch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from loguru import logger

from models.backends.close import CloseCalls, Odds
from models.backends.machine import Machine, here
from models.backends.proof import FLOAT32, Proven
from models.backends.runtimes import BF16_RUNTIMES, RUNTIMES, Floats, Runner, installed

TORCH = "torch"
INT8, BF16 = "-int8", "-bf16"
"""Behind the name of a runtime: the int8 copy in it; the model in bfloat16."""
SAME = 0.02
"""Most by which a logit in float32 may differ from torch's: it moves a probability by half a percent."""
NEAR = 3.0
"""The same in int8 or bfloat16, where decisions were compared on real images: only nonsense is found out
here."""
ROUNDS = 5
BATCHES = (1, 8)
KEPT = 8
"""Exported models in the folder; those that were needed last."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`backend` the chosen one; `image_ms` what each took for an image, over BATCHES (geometric mean of the
    best of ROUNDS); `refused` backend -> why it is not in question."""

    backend: str
    image_ms: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[], Runner]


def precision(backend: str) -> str:
    """Of a chosen backend, as a model's version tells it: "@int8", "@bf16", or "" for float32. Another
    precision is another member to a certificate."""
    return next((f"@{suffix[1:]}" for suffix in (INT8, BF16) if backend.endswith(suffix)), "")


def choose(reference: Runner, candidates: Mapping[str, Make], probes: Floats) -> tuple[Choice, Runner]:
    """Hold each candidate against `reference` on `probes` (images, 3, height, width), time those that agree
    in turns, and take the fastest; torch itself is one of them. Those in another precision were proven on
    real images and need not agree to the digit."""
    expected = reference(probes)[0]
    sound: dict[str, Runner] = {TORCH: reference}
    refused: dict[str, str] = {}
    for name, make in candidates.items():
        try:
            runner = make()
            apart = float(np.abs(runner(probes)[0] - expected).max())
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises: there are others
            refused[name] = f"{type(error).__name__}: {error}"
            continue
        if apart <= (NEAR if precision(name) else SAME):
            sound[name] = runner
        else:
            refused[name] = f"a logit is {apart:.3g} from torch's"
    image_ms = timed(sound, probes)
    best = min(image_ms, key=image_ms.__getitem__)
    return Choice(best, image_ms, refused), sound[best]


def timed(
    runners: Mapping[str, Runner], probes: Floats, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Milliseconds an image of each, measured in turns, so that whatever else the machine does meets all."""
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            for size in BATCHES:
                shown = np.resize(probes, (size, *probes.shape[1:]))
                start = clock()
                runner(shown)
                taken = (clock() - start) / size
                best[name, size] = min(taken, best.get((name, size), taken))
    return {
        name: 1e3 * float(np.exp(np.mean([np.log(best[name, size]) for size in BATCHES]))) for name in runners
    }


def chosen(
    folder: Path,
    version: str,
    threads: int,
    reference: Runner,
    probes: Callable[[], Floats],
    export: Callable[[Path], None],
    odds: Odds,
    *,
    only: str | None = None,
    proven: Proven = FLOAT32,
) -> tuple[str, Runner | None]:
    """The backend of the model of this `version` on this machine, and its runner (None: torch, as it is).

    What was found out is kept in `folder`, with the exported model. `odds` what the model's logits mean.
    `only`: that runtime, without a contest of speed; it still must agree. `proven` what else than float32 it
    may be. Whatever goes wrong is said in the log, and torch serves.
    """
    usable = present(only)
    if only is not None and not usable:
        logger.warning("the backend {} is not installed (extra: cpu): torch judges", only)
    if not usable:
        return TORCH, None
    try:
        if (known := recalled(folder, version, threads, odds, only=only, proven=proven)) is not None:
            return known
        file = _file(folder, version)
        if not file.is_file():
            export(file)
        choice, runner = choose(reference, _candidates(file, threads, usable, proven, odds), probes())
        write(_note(folder, version, threads, only, proven), choice)
        _prune(folder)
    except Exception as error:  # noqa: BLE001 - an exporter, a runtime, a disk: none may cost the start
        logger.warning("no faster runtime for this model, torch judges: {}: {}", type(error).__name__, error)
        return TORCH, None
    tell(choice)
    return choice.backend, None if choice.backend == TORCH else runner


def recalled(
    folder: Path, version: str, threads: int, odds: Odds, *, only: str | None = None, proven: Proven = FLOAT32
) -> tuple[str, Runner | None] | None:
    """As `chosen`, by what was found out before; None when nothing was. Raises whatever a runtime raises on
    its own file."""
    known, file = read(_note(folder, version, threads, only, proven)), _file(folder, version)
    if known is None or not file.is_file():
        return None
    if known.backend == TORCH:
        return TORCH, None
    os.utime(file)  # it is needed
    candidates = _candidates(file, threads, present(only), proven, odds)
    return (known.backend, candidates[known.backend]()) if known.backend in candidates else None


def present(only: str | None) -> list[str]:
    """The runtimes in question that are installed: `only` that one, or all."""
    return [name for name in installed() if only in (None, name)]


def _file(folder: Path, version: str) -> Path:
    return folder / f"{version}.onnx"


def _note(folder: Path, version: str, threads: int, only: str | None, proven: Proven) -> Path:
    return folder / f"{version}-{_key(here(), threads, only, proven)}.json"


def _candidates(
    file: Path, threads: int, usable: Collection[str], proven: Proven, odds: Odds
) -> dict[str, Make]:
    found: dict[str, Make] = {name: partial(RUNTIMES[name], file, threads) for name in usable}
    if proven.int8 is not None:
        found |= {
            name + INT8: partial(_rounded, RUNTIMES[name], proven.int8, file, threads, odds, proven.margin)
            for name in usable
        }
    if proven.bf16:
        able = [name for name in usable if name in BF16_RUNTIMES]
        found |= {name + BF16: partial(BF16_RUNTIMES[name], file, threads) for name in able}
    return found


def _rounded(
    make: Callable[[Path, int], Runner], copy: Path, file: Path, threads: int, odds: Odds, margin: float
) -> Runner:
    return CloseCalls(make(copy, threads), make(file, threads), odds, margin)


def _prune(folder: Path) -> None:
    """Versions come and go; each leaves a file as large as the model. Whoever has one open keeps it."""
    files = sorted(folder.glob("*.onnx"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in files[KEPT:]:
        for file in (old, *folder.glob(f"{old.stem}-*.json")):
            file.unlink(missing_ok=True)


def tell(choice: Choice) -> None:
    """In the log: what was chosen, and what was not and why."""
    times = ", ".join(
        f"{name} {ms:.1f} ms" for name, ms in sorted(choice.image_ms.items(), key=lambda e: e[1])
    )
    logger.info("the model runs on {}: {} an image", choice.backend, times)
    for name, why in choice.refused.items():
        logger.warning("{} is not used: {}", name, why)


def read(note: Path) -> Choice | None:
    """What was found out before; None when that is not there, or of another make."""
    try:
        choice = Choice(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    runtime = choice.backend.removesuffix(INT8).removesuffix(BF16)
    return choice if runtime in (TORCH, *installed()) else None


def write(note: Path, choice: Choice) -> None:
    part = note.with_name(f"{note.name}.{os.getpid()}.part")
    part.write_text(json.dumps(asdict(choice), indent=1), encoding="utf-8")
    part.replace(note)


def _key(machine: Machine, threads: int, only: str | None, proven: Proven) -> str:
    """Eight hexadecimal digits over what the choice depends on, the runtimes' versions included."""
    more = [proven.int8 is not None and proven.margin, proven.bf16]
    told = json.dumps([asdict(machine), threads, only, more, installed()], sort_keys=True)
    return sha256(told.encode()).hexdigest()[:8]
