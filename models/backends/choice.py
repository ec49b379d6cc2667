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

from models.backends.machine import Machine, here
from models.backends.runtimes import RUNTIMES, Floats, Runner, installed

TORCH = "torch"
INT8 = "-int8"
"""Behind the name of a runtime: the int8 copy in it."""
SAME = 0.02
"""Most by which a logit in float32 may differ from torch's: it moves a probability by half a percent."""
NEAR = 3.0
"""The same in int8, where decisions were compared on real images: only nonsense is found out here."""
ROUNDS = 5
BATCHES = (1, 8)


@dataclass(frozen=True, slots=True)
class Choice:
    """`backend` the chosen one; `image_ms` what each took for an image, over BATCHES (geometric mean of the
    best of ROUNDS); `refused` backend -> why it is not in question."""

    backend: str
    image_ms: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[], Runner]


def choose(
    reference: Runner, candidates: Mapping[str, Make], probes: Floats, proven: Collection[str] = ()
) -> tuple[Choice, Runner]:
    """Hold each candidate against `reference` on `probes` (images, 3, height, width), time those that agree
    in turns, and take the fastest; torch itself is one of them. Those `proven` on real images need not agree
    to the digit."""
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
        if apart <= (NEAR if name in proven else SAME):
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
    *,
    only: str | None = None,
    int8: Path | None = None,
) -> tuple[str, Runner | None]:
    """The backend of the model of this `version` on this machine, and its runner (None: torch, as it is).

    What was found out is kept in `folder`, with the exported model. `only`: that runtime, without a contest
    of speed; it still must agree. `int8` a copy of the model that was proven. Whatever goes wrong is said in
    the log, and torch serves.
    """
    usable = present(only)
    if only is not None and not usable:
        logger.warning("the backend {} is not installed (extra: cpu): torch judges", only)
    if not usable:
        return TORCH, None
    try:
        if (known := recalled(folder, version, threads, only=only, int8=int8)) is not None:
            return known
        file = _file(folder, version)
        if not file.is_file():
            export(file)
        candidates = _candidates(file, threads, usable, int8)
        choice, runner = choose(reference, candidates, probes(), {name + INT8 for name in usable})
        write(_note(folder, version, threads, only, int8), choice)
    except Exception as error:  # noqa: BLE001 - an exporter, a runtime, a disk: none may cost the start
        logger.warning("no faster runtime for this model, torch judges: {}: {}", type(error).__name__, error)
        return TORCH, None
    tell(choice)
    return choice.backend, None if choice.backend == TORCH else runner


def recalled(
    folder: Path, version: str, threads: int, *, only: str | None = None, int8: Path | None = None
) -> tuple[str, Runner | None] | None:
    """As `chosen`, by what was found out before; None when nothing was. Raises whatever a runtime raises on
    its own file."""
    known, file = read(_note(folder, version, threads, only, int8)), _file(folder, version)
    if known is None or not file.is_file():
        return None
    if known.backend == TORCH:
        return TORCH, None
    candidates = _candidates(file, threads, present(only), int8)
    return (known.backend, candidates[known.backend]()) if known.backend in candidates else None


def present(only: str | None) -> list[str]:
    """The runtimes in question that are installed: `only` that one, or all."""
    return [name for name in installed() if only in (None, name)]


def _file(folder: Path, version: str) -> Path:
    return folder / f"{version}.onnx"


def _note(folder: Path, version: str, threads: int, only: str | None, int8: Path | None) -> Path:
    return folder / f"{version}-{_key(here(), threads, only, int8 is not None)}.json"


def _candidates(file: Path, threads: int, usable: Collection[str], int8: Path | None) -> dict[str, Make]:
    found: dict[str, Make] = {name: partial(RUNTIMES[name], file, threads) for name in usable}
    if int8 is not None:
        found |= {name + INT8: partial(RUNTIMES[name], int8, threads) for name in usable}
    return found


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
    return choice if choice.backend.removesuffix(INT8) in (TORCH, *installed()) else None


def write(note: Path, choice: Choice) -> None:
    part = note.with_name(f"{note.name}.{os.getpid()}.part")
    part.write_text(json.dumps(asdict(choice), indent=1), encoding="utf-8")
    part.replace(note)


def _key(machine: Machine, threads: int, only: str | None, int8: bool) -> str:
    """Eight hexadecimal digits over what the choice depends on, the runtimes' versions included."""
    told = json.dumps([asdict(machine), threads, only, int8, installed()], sort_keys=True)
    return sha256(told.encode()).hexdigest()[:8]
