"""The real SGLang on a CPU, in its own environment, and a supervisor that looks after it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path

from contract_suite import Live, plain_pictures
from test_servers_supervisor import eager, free_port

from miner.servers import ServerSpec
from miner.servers.supervisor import Host, Supervisor

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


class Supervised:
    """A supervisor with its real server, in an event loop of its own thread, for a whole session."""

    def __init__(self, tiny: Path, folder: Path, name: str) -> None:
        self.spec = ServerSpec(
            name=name, model="tiny", model_path=str(tiny), port=free_port(), gate_port=free_port(),
            device="cpu", gpus=(), mem_fraction=0.3, slots=4, flags=FLAGS, env=STUBBED, probe_mass=0.0,
            check_s=1.0, hang_s=15.0, start_s=READY_S, protocol="decisions",
        )  # fmt: skip
        self.supervisor = Supervisor(self.spec, Host(PYTHON, folder), breaker=eager())
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._task = self.loop.create_task(self.supervisor.run())
        self.loop.run_until_complete(asyncio.wait([self._task]))

    def __enter__(self) -> Supervised:
        self._thread.start()
        self.until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)

    @property
    def live(self):
        return Live(self.spec.address, "tiny", plain_pictures(), slow=True)

    @property
    def health(self):
        return self.supervisor.health()

    def until_ready(self, pid_not: int = -1) -> None:
        end = time.monotonic() + READY_S
        while not (self.health.ready and self.health.pid != pid_not):
            assert time.monotonic() < end and self.health.state != "crash_loop", self.health
            time.sleep(0.1)
