"""From a miner's start to its first answer, stage by stage.

`neurons/miner.py` as it is: the embedded cascade on the CPU, a local chain in a file, an empty data folder
for the first start and the same one for those after it (so the first one finds no runtime chosen yet). A
permitted validator challenges it from the beginning, twenty times a second, until it is answered; nonces are
taken from `--max-ahead` seconds (wire.max_ahead_s) after the start on. What is read from the disk is read
once before, so that the disk is warm.

Stages are seconds from the process's beginning to the stage's end, by the miner's own record ("ready" in the
ledger); several go on at once: the chain is read while the engine child loads."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.daemon import found
from harness.ending import conclude
from harness.process import ROOT
from harness.stage import CHALLENGE_BYTES, MINER, VALIDATOR, jpeg, keypair, ss58
from wire import free_port

from miner import ledger
from miner.ledger import LEDGER_NAME
from miner.rehearsal.dendrite import Dendrite, prebuild
from miner.settings.tree import Wire

GOAL_S = 10.0
PATIENCE_S = 180.0
EVERY_S = 0.05
STARTED = """
import sys
from harness.stage import MINER, keypair
from miner import identity, start
identity.load_hotkeys = lambda wallet: (keypair(MINER),)
sys.exit(start.main(sys.argv[1:]))
"""
"""The miner's own start, but for the wallet: the stage's key instead of a file."""


@dataclass(frozen=True, slots=True)
class Start:
    """`answer_s` seconds from the start to the first answer; `stages` -> seconds to their end; `cpu_s` CPU
    seconds that the front and its children took until then; `load` average of the machine before."""

    first: bool
    answer_s: float
    stages: dict[str, float]
    cpu_s: float
    load: float


async def first_answer(port: int, began: float) -> float:
    """Seconds from `began` (perf_counter) until a challenge is answered. Raises SystemExit."""
    body = prebuild(jpeg(size=CHALLENGE_BYTES))
    while time.perf_counter() - began < PATIENCE_S:
        async with Dendrite(keypair(VALIDATOR), "127.0.0.1", port, ss58(MINER), timeout=9.0) as dendrite:
            if (await dendrite.challenge(body)).outcome == "answered":
                return time.perf_counter() - began
        await asyncio.sleep(EVERY_S)
    raise SystemExit(f"no answer within {PATIENCE_S:.0f} s")


def start(folder: Path, ahead_s: float, number: int) -> Start:
    """One start, ended after its first answer."""
    port, load = free_port(), os.getloadavg()[0]
    flags = {
        "subtensor.network": "local",
        "subtensor.local_file": folder / "chain.sqlite",
        "data.path": folder / "data",
        "axon.port": port,
        "page.port": 0,
        "neuron.image_detector_device": "cpu",
        "wire.max_ahead_s": ahead_s,
    }
    words = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT)])
    with (folder / f"miner-{number}.log").open("w") as log:
        before, began = os.times(), time.perf_counter()
        process = subprocess.Popen(
            *([sys.executable, "-c", STARTED, *words],),
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            cwd=ROOT,
        )
        try:
            answer_s = asyncio.run(first_answer(port, began))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    after = os.times()
    spent = sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    return Start(number == 0, answer_s, stages(folder / "data" / LEDGER_NAME), spent, load)


def stages(path: Path) -> dict[str, float]:
    """Of the newest start in the ledger."""
    newest: dict[str, Any] = ledger.events(path, 1, "ready")[0]
    return dict(newest["data"]["seconds"])


def show(done: Start) -> None:
    ends = ", ".join(f"{stage} {at:.2f}" for stage, at in done.stages.items())
    which = "first" if done.first else "later"
    print(f"{which} start: answered after {done.answer_s:.2f} s; {ends}; CPU {done.cpu_s:.1f} s", flush=True)


def misses(starts: list[Start]) -> list[str]:
    slow = [each for each in starts if each.answer_s > GOAL_S]
    first = {True: "the first start", False: "a later start"}
    return [
        f"{first[each.first]} answered after {each.answer_s:.1f} s (target: {GOAL_S:.0f})" for each in slow
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a first start and a later one")
    parser.add_argument("--starts", type=int, default=6, help="the first one among them")
    parser.add_argument(
        "--max-ahead",
        type=float,
        default=Wire.model_fields["max_ahead_s"].default,
        help="wire.max_ahead_s: no request signed before the start plus this is taken (default: the miner's)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f}", flush=True)
    starts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found(folder / "chain.sqlite")
        for number in range(2 if given.quick else given.starts):
            starts.append(start(folder, given.max_ahead, number))
            show(starts[-1])
    later = [each.answer_s for each in starts if not each.first]
    if later:
        middle = statistics.median(later)
        print(f"later starts: median {middle:.2f} s, slowest {max(later):.2f} s")
    return conclude([asdict(each) for each in starts], misses(starts), file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
