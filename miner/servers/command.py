"""From a server's spec to the process: command line, environment, and the file that keeps its key."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miner.servers.spec import ServerSpec
from models.vlm.secret import Secret

ENTRY = ("-m", "sglang.launch_server")
KV_FLAG = {"bf16": "bf16", "fp8": "fp8_e4m3", "nvfp4": "nvfp4"}

DIE_WITH_US = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)
"""Asks the kernel to end the process when the miner is gone, also by SIGKILL, and becomes it. SGLang asks the
same for its own children."""

DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES")
"""Ours, and wrong for an interpreter of another environment."""


def command(
    spec: ServerSpec,
    python: str,
    config: Path | None = None,
    entry: Sequence[str] = ENTRY,
    static: float | None = None,
) -> list[str]:
    """The command line; never with a key in it, since every user of the host may read it.

    `static`: its share of what is free, see `room`.
    """
    own = [python, *entry, *_own(spec, spec.mem_fraction if static is None else static)]
    if config is not None:
        own += ["--config", str(config)]
    for name, value in spec.flags.items():
        own += _flag(name, value)
    return [sys.executable, "-c", DIE_WITH_US, str(os.getpid()), *own]


def environment(spec: ServerSpec, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Its environment: what we have, without our settings and our Python."""
    given = os.environ if inherited is None else inherited
    kept = {k: v for k, v in given.items() if k not in DROPPED and not k.startswith("SVM_")}
    kept.pop(spec.key_env or "", None)
    if spec.device == "cuda":
        kept |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.gpus))}
    return {**kept, "PYTHONUNBUFFERED": "1", **spec.env}


def write_key(folder: Path, spec: ServerSpec, key: Secret | None) -> Path | None:
    """SGLang's own configuration file with the key, readable by this user only; None without a key."""
    path = folder / f"{spec.name}.yaml"
    if key is None:
        path.unlink(missing_ok=True)
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"api-key: {json.dumps(key.reveal())}\n")
    return path


def _own(spec: ServerSpec, static: float) -> list[str]:
    args = ["--model-path", spec.model_path, "--served-model-name", spec.model]
    args += ["--host", spec.host, "--port", str(spec.port), "--gated-launch-port", str(spec.gate)]
    args += ["--max-running-requests", str(spec.slots), "--mem-fraction-static", str(static)]
    if spec.revision:
        args += ["--revision", spec.revision]
    if spec.kv != "auto":
        args += ["--kv-cache-dtype", KV_FLAG[spec.kv]]
    if spec.device == "cpu":
        return [*args, "--device", "cpu"]
    return [*args, "--tp-size", str(len(spec.gpus))]


def _flag(name: str, value: Any) -> list[str]:
    """`true` is a bare flag, `false` none at all, a list several values, an object JSON."""
    flag = "--" + name.removeprefix("--").replace("_", "-")
    if isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, Mapping):
        return [flag, json.dumps(value)]
    return [flag, *map(str, value)] if isinstance(value, list) else [flag, str(value)]
