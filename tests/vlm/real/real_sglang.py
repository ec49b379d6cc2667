"""The real SGLang on a CPU, in its own environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from supervised import Supervised
from test_servers_supervisor import free_port

from miner.servers import ServerSpec
from miner.servers.supervisor import Host
from models.vlm.secret import Secret

HERE = Path(__file__).parent
PYTHON = os.environ.get("SGLANG_PYTHON", "")
READY_S = 480.0

STUBBED = {
    "PYTHONPATH": str(HERE / "stub"),
    "SGLANG_USE_CPU_ENGINE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
FLAGS = {
    "attention-backend": "torch_native",
    "dtype": "float32",
    "max-total-tokens": 8192,
    "skip-server-warmup": True,
}


def in_its_environment(script: str, *args: str, given: str | None = None) -> str:
    """What a script of this folder prints under SGLang's own Python."""
    command = [PYTHON, str(HERE / script), *args]
    environment = {**os.environ, **STUBBED}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, env=environment
    ).stdout


def real_spec(model: Path, **given) -> ServerSpec:
    """A server of the tiny model: four requests at a time, probes every second."""
    usual = {
        "name": "real", "model": "tiny", "model_path": str(model), "port": free_port(),
        "gate_port": free_port(), "device": "cpu", "gpus": (), "mem_fraction": 0.3, "slots": 4,
        "flags": FLAGS, "env": STUBBED, "probe_mass": 0.0, "protocol": "decisions", "check_s": 1.0,
        "hang_s": 15.0, "start_s": READY_S,
    }  # fmt: skip
    return ServerSpec(**{**usual, **given})


def real_server(model: Path, folder: Path, key: Secret | None = None, **given) -> Supervised:
    return Supervised(real_spec(model, **given), Host(PYTHON, folder), patience_s=READY_S, key=key)
