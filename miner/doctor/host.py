"""This machine: Python, libraries, GPU, memory, disk, files. Nothing here loads torch."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from miner.doctor.finding import Finding, fail, ok, warn
from miner.wire.server import SPARE_FILES
from models.compress.flash import refusal
from models.residency import GPU
from models.residency.gpus import ADA, BLACKWELL, HOPPER

NEEDED = ("torch", "transformers", "bittensor")
OLDEST_PYTHON = (3, 11)
DISK_FAIL, DISK_WARN = 500 * 10**6, 5 * 10**9
MEMORY_WARN = 3 * 10**9
"""An engine child with the embedded models takes about half of this."""


def python(version: tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> Finding:
    said = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return fail("python", f"Python {said} is too old.", "Make a virtual environment with Python 3.11.")
    return ok("python", f"Python {said}.")


def libraries(installed: Mapping[str, str | None] | None = None) -> Finding:
    """`installed`: name -> version, None where it is missing; by default what this environment holds."""
    found = {name: version_of(name) for name in NEEDED} if installed is None else installed
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return fail(
            "libraries", f"Not installed: {', '.join(missing)}.", "Run make venv, or pip install the project."
        )
    chain = str(found["bittensor"])
    if not chain.startswith("11.3."):
        return fail(
            "libraries",
            f"bittensor {chain} is installed; this miner speaks to the chain through 11.3.",
            "pip install 'bittensor==11.3.*', in an environment of this project's own.",
        )
    return ok("libraries", ", ".join(f"{name} {version}" for name, version in found.items()) + ".")


def device(asked: str, gpus: Mapping[int, GPU], torch_version: str | None, driver: str = "") -> Finding:
    """Whether `neuron.image_detector_device` can be had; `driver` its version."""
    wants = asked.startswith("cuda") or (asked == "auto" and gpus)
    if not wants:
        return ok(
            "device", "Models run on the CPU." if asked == "cpu" else "No NVIDIA GPU: models run on the CPU."
        )
    remedy = "Set neuron.image_detector_device to cpu, or mend the driver (nvidia-smi must list the GPU)."
    if not gpus:
        return fail("device", f"{asked} is asked for, and nvidia-smi lists no GPU.", remedy)
    index = int(asked.partition(":")[2] or 0)
    if index not in gpus:
        return fail("device", f"{asked} is asked for; there is {', '.join(map(str, gpus))}.", remedy)
    if torch_version is not None and "+cpu" in torch_version:
        return fail(
            "device",
            f"{gpus[index].name} is there, but torch {torch_version} is built for CPUs.",
            "pip install torch without the CPU constraint, or set neuron.image_detector_device to cpu.",
        )
    return ok("device", abilities(gpus[index]) + (f" Driver {driver}." if driver else ""))


def abilities(gpu: GPU) -> str:
    """What the GPU can really do, by its compute capability."""
    known = {
        "bf16": gpu.capability >= 80,
        "FP8": gpu.capability >= ADA,
        "FlashAttention-3": gpu.capability == HOPPER,
        "FP4": gpu.capability >= BLACKWELL,
    }
    has = [name for name, there in known.items() if there] or ["neither bf16 nor FP8"]
    lacks = [name for name, there in known.items() if not there]
    tail = f"; not {', '.join(lacks)}" if lacks else ""
    size = f"{gpu.memory / 1e9:.0f} GB, compute capability {gpu.capability / 10:.1f}"
    return f"{gpu.name}, {size}: {', '.join(has)}{tail}."


def attention(gpus: Mapping[int, GPU]) -> Finding:
    """Whether FlashAttention-3 could be chosen for the in-process VLMs, on the first GPU; if not, why."""
    if not gpus:
        return ok("attention", "No NVIDIA GPU: torch's own attention.")
    why = refusal("3", gpus[min(gpus)].capability)
    return ok("attention", f"{why}." if why else "FlashAttention-3 can be chosen: the step 'flash'.")


def disk(folder: Path, free: int | None = None) -> Finding:
    """Room where the state is; of the nearest folder that exists. Bytes."""
    if free is None:
        free = shutil.disk_usage(_nearest(folder)).free
    said = f"{free / 1e9:.1f} GB are free for {folder}."
    if free < DISK_FAIL:
        return fail("disk", said, "Make room, or set data.path to another disk: a full disk loses records.")
    if free < DISK_WARN:
        return warn("disk", said, "Ledger, logs and captured images may fill it: keep 5 GB free.")
    return ok("disk", said)


def writable(folder: Path) -> Finding:
    nearest = _nearest(folder)
    if os.access(nearest, os.W_OK | os.X_OK):
        return ok("data folder", f"{folder} can be written.")
    return fail(
        "data folder", f"{nearest} cannot be written by this user.", "Set data.path, or give it to this user."
    )


def memory(available: int | None) -> Finding:
    """`available` bytes that a new process could have; None where the system does not say."""
    if available is None:
        return ok("memory", "This system does not say how much memory is free.")
    said = f"{available / 1e9:.1f} GB of memory are available."
    if available < MEMORY_WARN:
        return warn(
            "memory", said, "The models may not fit beside their stand-by: --no-engine.standby saves one."
        )
    return ok("memory", said)


def files(connections: int, hard: int | None = None) -> Finding:
    """Whether enough descriptors may be open for `wire.connections`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if limit != resource.RLIM_INFINITY and limit < connections + SPARE_FILES:
        return warn(
            "open files",
            f"{limit} files may be open; wire.connections wants {connections + SPARE_FILES}.",
            "Raise the limit (LimitNOFILE= in systemd), or lower wire.connections.",
        )
    return ok("open files", f"Enough files may be open for {connections} connections.")


def _nearest(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def version_of(name: str) -> str | None:
    """Of an installed package; None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
