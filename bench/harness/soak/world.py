"""What the miner of a soak lives in: a disk of its own, a local chain, a VLM server, and who restarts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.process import ROOT, Talk, children, ours
from harness.soak.child import KIND
from harness.soak.clock import Step
from harness.soak.load import BURSTER
from harness.stage import MEMBERS, MINER, ss58
from miner.chain.local import LocalChain
from miner.control import SOCKET_NAME, ControlError, NotRunning, call
from miner.ledger import LEDGER_NAME
from miner.rehearsal.scenery import free_port

NETUID = 72
GPU = "cuda:0"
DISK_MB = 96
BLOCK_S, TEMPO = 0.5, 20
FAKE_SERVER = ROOT / "tests" / "vlm" / "fake_server.py"
SHIM = "import runpy\nrunpy.run_path({!r}, run_name='__main__')\n"
LOOK_S = 0.3
TROUBLE = (ControlError, NotRunning, OSError)


class World:
    """Use as `async with`. `folder` an empty one; `day_s` seconds that a day of the miner's jobs lasts;
    `small` whether what the miner remembers (answers, challenges watched for drift) is full within minutes:
    only then can memory be seen not to grow in a short soak.

    `disk` whether the data folder lies on a small file system of its own, which takes root.
    """

    def __init__(self, folder: Path, *, day_s: float, small: bool) -> None:
        self.folder, self._day_s, self._small = folder, day_s, small
        self.port, self.page = free_port(), free_port()
        self.mood = folder / "mood"
        self.mood.write_text("")
        self.clock = Step(folder / "clock")
        self.disk = self._mounted()
        self.data = folder / "disk" / "data"
        self.data.mkdir(parents=True)
        self.chain = self._founded()
        self.flags = self._flags()
        self.starts = 0
        self._miner: Talk | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> World:
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._miner is not None:
            self.signal(signal.SIGCONT)
            await asyncio.to_thread(self._miner.close, 30.0)

    def close(self) -> None:
        """Let the disk go; its files with it."""
        if self.disk:
            subprocess.run(["umount", "--lazy", self.folder / "disk"], check=False)

    @property
    def pid(self) -> int:
        assert self._miner is not None
        return self._miner.pid

    @property
    def ledger(self) -> Path:
        return self.data / LEDGER_NAME

    def processes(self) -> dict[str, int]:
        """The front, and the engine child that is asked on the GPU."""
        found = {"front": self.pid}
        with contextlib.suppress(OSError):
            for pid in children(self.pid):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"soak.child" in words and "engine child" not in found:
                    found["engine child"] = pid
        return found

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def said(self) -> str:
        """The logs of all its lives."""
        logs = sorted(self.folder.glob("miner-*.log"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(errors="replace") for path in logs)

    async def status(self) -> dict[str, Any]:
        """Raises one of TROUBLE."""
        told: dict[str, Any] = await asyncio.to_thread(call, self.data / SOCKET_NAME, "status", timeout_s=2.0)
        return told

    async def run_job(self, job: str) -> None:
        """Raises one of TROUBLE."""
        await asyncio.to_thread(call, self.data / SOCKET_NAME, "job_run", timeout_s=30.0, name=job)

    async def probe(self, path: str) -> str:
        """The HTTP status of a path of the page, or "none"."""
        return await asyncio.to_thread(_http, f"http://127.0.0.1:{self.page}{path}")

    async def trouble(self) -> str:
        """What is not as it should be; "" when all is."""
        try:
            return _trouble(await self.status())
        except TROUBLE as error:
            return f"no status: {error}"

    async def _keep(self) -> None:
        """As a service manager: whenever it has ended, start it again."""
        while True:
            await asyncio.sleep(0.05)
            if self._miner is not None and self._miner.code is not None:
                await self._start()

    async def _start(self) -> None:
        self.starts += 1
        tiers = [
            {"kind": KIND, "mood": str(self.mood)},
            {"kind": "vlm", "url": f"http://127.0.0.1:{self._server['port']}", "model": "m"},
        ]
        first = {"flags": self.flags, "tiers": tiers, "clock": str(self.folder / "clock"), "key": MINER}
        log = self.folder / f"miner-{self.starts}.log"
        self._miner = await asyncio.to_thread(ours, "harness.soak.daemon", log, first)

    def _mounted(self) -> bool:
        disk, image = self.folder / "disk", self.folder / "disk.img"
        disk.mkdir()
        if os.geteuid() != 0:
            return False
        with image.open("wb") as file:
            file.truncate(DISK_MB * 2**20)
        try:
            for line in (f"mkfs.ext4 -q -m 0 {image}", f"mount -o loop {image} {disk}"):
                subprocess.run(line.split(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _founded(self) -> LocalChain:
        rules: dict[str, Any] = {"serving_rate_limit": 1, "weights_rate_limit": 1, "immunity_period": 600}
        chain = LocalChain.create(
            self.folder / "chain.sqlite", block_s=BLOCK_S, tempo=TEMPO, allow_loopback=True, **rules
        )
        for uri, stake, permit in (*MEMBERS, (BURSTER, 2000.0, True)):
            chain.register(ss58(uri), alpha=stake, permit=permit)
        return chain

    def _flags(self) -> dict[str, str]:
        site = self.folder / "site" / "sglang"
        site.mkdir(parents=True)
        (site / "__init__.py").touch()
        (site / "launch_server.py").write_text(SHIM.format(str(FAKE_SERVER)))
        self._server = {
            "name": "vlm", "model": "m", "model_path": "nowhere", "port": free_port(),
            "gate_port": free_port(), "device": "cpu", "check_s": 0.5,
            "env": {"PYTHONPATH": str(site.parent)},
        }  # fmt: skip
        servers = self.folder / "servers.json"
        servers.write_text(json.dumps({"servers": [self._server]}))
        flags = {
            "subtensor.network": "local",
            "subtensor.local_file": self.folder / "chain.sqlite",
            "subtensor.refresh_s": 1.0,
            "subtensor.timeout_s": 2.0,
            "axon.ip": "127.0.0.1",
            "axon.external_ip": "127.0.0.1",
            "axon.announce": "force",
            "axon.port": self.port,
            "page.port": self.page,
            "data.path": self.data,
            "data.min_free_mb": 1,
            "neuron.image_detector_device": GPU,
            "engine.hang_s": 4.0,
            "jobs.day_s": self._day_s,
            "rewards.halt_gaps": 1000,
            "rewards.silent_gaps": 1000,
            "servers.file": servers,
            "servers.python": sys.executable,
        }
        if self._small:
            flags |= {"engine.cache_items": 256, "learning.watched": 500}
        return {name: str(value) for name, value in flags.items()}


def _http(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as reply:
            return str(reply.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError:
        return "none"


async def until_well(world: World, patience_s: float) -> str:
    """Wait until all is well, two looks long. What was wrong last, or ""."""
    start, before = time.monotonic(), "nobody looked"
    while time.monotonic() - start < patience_s:
        trouble = await world.trouble()
        if not trouble and not before:
            return ""
        before = trouble
        await asyncio.sleep(LOOK_S)
    return before or "not for two looks"


def _trouble(told: Mapping[str, Any]) -> str:
    engine = told["engine"]
    if not told["ready"]:
        return "; ".join(told["reasons"])
    if engine["device"] != GPU or engine["state"] != "ready" or engine["detail"]:
        return f"engine {engine['state']} on {engine['device']}: {engine['detail']}"
    if told["chain"]["state"] != "ok":
        return f"chain {told['chain']['state']}"
    if any(server["state"] != "ready" for server in told["servers"]):
        return f"server {told['servers'][0]['state']}: {told['servers'][0]['detail']}"
    if told["recorder"]["failing"] or told["recorder"]["last_write_age_s"] > 1.0:
        return f"the recorder: {told['recorder']}"
    return ""
