"""A subnet in a folder: a local chain, a wallet, a validator's key, and miners as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from bittensor.keyfiles import Keypair
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from miner.chain.client import Chain
from miner.chain.local import LocalChain
from miner.control import SOCKET_NAME, ControlError, NotRunning, call
from miner.ledger import LEDGER_NAME
from miner.rehearsal.connection import Connection
from miner.rehearsal.dendrite import Dendrite, Reply, prebuild
from miner.rehearsal.processes import Child
from miner.rehearsal.scenery import free_port
from miner.rehearsal.stage import clean_environment
from miner.rehearsal.wallets import HOTKEY, identity

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "neurons" / "miner.py"
NETUID = 72
VALIDATOR = Keypair.create_from_uri("//neurons/test/validator")
PATIENCE_S = 90.0
STOP_S = 20.0


class Stage:
    """What a miner needs around it. Whatever is started here ends with `close()`."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        rules = {"serving_rate_limit": 1, "weights_rate_limit": 1, "immunity_period": 600}
        self.chain = LocalChain.create(
            folder / "chain.sqlite", block_s=0.2, tempo=20, allow_loopback=True, **rules
        )
        self.wallet = identity(folder / "wallets", "miner")
        self.chain.register(VALIDATOR.ss58_address, alpha=50_000.0, permit=True)
        self.chain.register(self.wallet.hotkey, self.wallet.coldkey)
        self._miners: list[Miner] = []

    def flags(self, data: Path, port: int) -> dict[str, Any]:
        return {
            "netuid": NETUID,
            "wallet.name": self.wallet.name,
            "wallet.hotkey": HOTKEY,
            "wallet.path": self.wallet.path,
            "subtensor.network": "local",
            "subtensor.local_file": self.chain.path,
            "subtensor.refresh_s": 0.5,
            "subtensor.timeout_s": 2.0,
            "axon.ip": "127.0.0.1",
            "axon.port": port,
            "axon.external_ip": "127.0.0.1",
            "wire.caller_rate": 100_000,
            "wire.caller_burst": 100_000,
            "page.port": 0,
            "data.path": data,
            "model.path": self.checkpoint,
            "engine.threads": 1,
            "engine.standby": "false",
            "engine.backend": "torch",
        }

    def start(self, name: str = "data", **flags: Any) -> Miner:
        """A miner on the data folder `name`, not awaited. Flags with `__` for the dot."""
        port = flags.pop("axon__port", None) or free_port()
        given = self.flags(self.folder / name, port)
        given |= {key.replace("__", "."): value for key, value in flags.items()}
        miner = Miner(given, self.wallet.hotkey, self.folder)
        self._miners.append(miner)
        return miner

    async def vote(self) -> None:
        """The validator sets all its weight on the miner."""
        chain = Chain(NETUID, substrate=self.chain)
        uid = await chain.uid(self.wallet.hotkey)
        assert uid is not None
        await chain.set_weights({uid: 1.0}, VALIDATOR)

    def close(self) -> None:
        for miner in self._miners:
            miner.kill()
        self._miners.clear()


class Miner:
    """A running `neurons/miner.py`, seen from outside. `said` is its log, which is kept off the disk."""

    def __init__(self, flags: dict[str, Any], hotkey: str, folder: Path) -> None:
        self.flags, self.hotkey = flags, hotkey
        self.data, self.port = Path(flags["data.path"]), int(flags["axon.port"])
        self.argv = [f"--{name}={value}" for name, value in flags.items()]
        self._said = bytearray()
        reader, writer = os.pipe()
        try:
            self.child = Child(
                "miner",
                [sys.executable, str(SCRIPT), *self.argv],
                cwd=folder,
                env=clean_environment(os.environ),
                log=Path(f"/proc/self/fd/{writer}"),
            )
        finally:
            os.close(writer)
        self._listener = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        self._listener.start()

    def _listen(self, reader: int) -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while text := pipe.read(1 << 16):
                self._said += text

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def said(self) -> str:
        return self._said.decode(errors="replace")

    def kill(self) -> None:
        """With all that it started."""
        self.child.stop(0)
        self._listener.join(5)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = call(self.data / SOCKET_NAME, "status")
        return status

    def ready(self) -> bool:
        """Whether it says so itself. Fails the test when the process is gone."""
        assert self.child.code is None, f"the miner ended with {self.child.code}:\n{self.said}"
        with contextlib.suppress(ControlError, OSError):
            return bool(self.status()["ready"])
        return False

    def eventually(self, true_of: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Its first status of which that is true."""

        def found() -> dict[str, Any] | None:
            with contextlib.suppress(NotRunning):
                return told if true_of(told := self.status()) else None
            return None

        told: dict[str, Any] = eventually(found, "such a status", lambda: self.said)
        return told

    def await_ready(self) -> Miner:
        eventually(self.ready, "the miner is ready", lambda: self.said)
        return self

    def await_end(self) -> int:
        """Its exit code."""
        eventually(lambda: self.child.code is not None, "the miner ends", lambda: self.said)
        self._listener.join(5)
        assert self.child.code is not None
        return self.child.code

    def family(self) -> list[psutil.Process]:
        """Its children and their children, now."""
        return psutil.Process(self.pid).children(recursive=True)

    def serving_child(self) -> int:
        pid = self.status()["engine"]["pid"]
        assert pid is not None
        return int(pid)

    def command(self, *words: str) -> Any:
        """What `streetvision-miner WORDS --json` prints for this miner."""
        argv = [sys.executable, "-m", "miner", *words, "--json", *self.argv]
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample of /metrics; None when there is none."""
        status, text = self.page("metrics")
        assert status == 200
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def page(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"{self.status()['url']}{path}", timeout=10) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def rows(self) -> list[dict[str, Any]]:
        """The ledger's challenges, oldest first."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.data / LEDGER_NAME}?mode=ro", uri=True, timeout=10)
        ) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM challenges ORDER BY at_ns")]

    def json_lines(self) -> list[dict[str, Any]]:
        path = self.data / "challenges.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def dendrite(self) -> Dendrite:
        return Dendrite(VALIDATOR, "127.0.0.1", self.port, self.hotkey)

    async def ask(self, image: bytes) -> Reply:
        async with self.dendrite() as dendrite:
            return await dendrite.challenge(image)

    async def send(self, parts: tuple[bytes, bytes, bytes]) -> int:
        """The status that these very bytes get, over a connection of their own."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self.port)
        try:
            return (await connection.ask(parts))[0]
        finally:
            connection.close()


@dataclass
class Common:
    """The shared subnet, and the miner on it once somebody has asked for it."""

    stage: Stage
    miner: Miner | None = None


@dataclass(frozen=True)
class Sent:
    """One challenge of a load: the SHA-256 of its image, what came back, and when (monotonic seconds)."""

    sha256: str
    reply: Reply
    asked_s: float
    done_s: float


@contextlib.asynccontextmanager
async def load(miner: Miner, concurrency: int = 8, pause_s: float = 0.005) -> AsyncIterator[list[Sent]]:
    """Challenges, each with an image of its own, while the block runs; then whatever is in flight ends."""
    sent: list[Sent] = []
    over = asyncio.Event()
    numbers = itertools.count(random.getrandbits(40))

    async def caller(dendrite: Dendrite) -> None:
        while not over.is_set():
            image = jpeg(next(numbers))
            asked_s = time.monotonic()
            reply = await dendrite.challenge(prebuild(image))
            sent.append(Sent(hashlib.sha256(image).hexdigest(), reply, asked_s, time.monotonic()))
            await asyncio.sleep(pause_s if reply.status else 0.05)

    async with miner.dendrite() as dendrite:
        callers = [asyncio.create_task(caller(dendrite)) for _ in range(concurrency)]
        try:
            yield sent
        finally:
            over.set()
            await asyncio.gather(*callers)


def jpeg(number: int = 0, side: int = 64) -> bytes:
    """A picture whose bytes no other number gives."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (90, 110, 130)).save(buffer, "JPEG", comment=str(number).encode())
    return buffer.getvalue()


def eventually(
    condition: Callable[[], Any], what: str, said: Callable[[], str] = str, pause_s: float = 0.05
) -> Any:
    """Wait for something true and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}\n{said()}"
        time.sleep(pause_s)
    return found


async def soon(condition: Callable[[], Any], what: str, said: Callable[[], str] = str) -> Any:
    """`eventually` while other tasks go on."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}\n{said()}"
        await asyncio.sleep(0.05)
    return found


def runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def tiny_checkpoint(folder: Path) -> Path:
    """A ViT of two layers with random weights, as transformers writes it."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {"id2label": {0: "None", 1: "Roadwork"}, "label2id": {"None": 0, "Roadwork": 1}}
    model = ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **sizes, **labels))
    model.save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder
