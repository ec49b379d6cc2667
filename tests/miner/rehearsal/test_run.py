"""A validator's run: real HTTP, real signatures, a local chain that pays."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsal_kit import MINER, STRANGER, VALIDATOR, local_chain, running_miner, write_pictures

from miner.chain.client import Chain
from miner.chain.errors import ChainDown
from miner.rehearsal.challenges import Draws, pictures_in
from miner.rehearsal.run import Pace, Validator
from miner.rehearsal.scores import Scores
from miner.rehearsal.show import Board, Lines
from miner.rehearsal.subnet import Subnet

REPOSITORY = Path(__file__).parents[3]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def draws(tmp_path):
    return Draws(pictures_in(write_pictures(tmp_path / "pictures")), ["native"], seed=7)


async def serving_chain(path, port: int, **options) -> Chain:
    chain = Chain(72, substrate=local_chain(path, **options))
    await chain.serve("127.0.0.1", port, MINER)
    return chain


async def test_a_run_challenges_scores_and_pays(tmp_path, draws):
    out = io.StringIO()
    async with running_miner() as miner:
        chain = await serving_chain(tmp_path / "chain", miner.port)
        pace = Pace(rate=0, concurrency=2, count=24, settle=True)
        validator = Validator(chain, VALIDATOR, draws, pace, Lines(out))
        async with asyncio.timeout(30):
            await validator.run()
        weights = await chain.weights()
    summary = validator.summary()
    assert (summary["challenges"], summary["answered"], summary["accuracy"]) == (24, 24, 1.0)
    (row,) = summary["miners"]
    assert (row["hotkey"], row["mcc"], row["accuracy"], row["reward"]) == (MINER.ss58_address, 1.0, 1.0, 1.0)
    assert row["alpha_paid"] > 0
    assert summary["epochs"] >= 1
    assert weights == {1: {2: 1.0}}
    assert "alpha_paid=" in out.getvalue()
    assert len(miner.exchanges) == 24


async def test_the_average_is_the_subnets(tmp_path, draws):
    """Worked out again from what was sent: both windows full of right answers but the first one."""
    async with running_miner() as miner:
        chain = await serving_chain(tmp_path / "chain", miner.port)
        validator = Validator(
            chain, VALIDATOR, draws, Pace(rate=0, concurrency=1, count=30), Lines(io.StringIO())
        )
        await validator.run()
    labels = [draws.draw(number).label for number in range(30)]
    both = next(n for n in range(30) if len(set(labels[: n + 1])) == 2)
    score = 0.0
    for n in range(30):
        score = 0.95 * score + 0.05 * (1.0 if n >= both else 0.125)
    assert validator.summary()["miners"][0]["score"] == pytest.approx(score, abs=1e-6)


async def test_prepared_challenges_go_round(tmp_path, draws):
    async with running_miner() as miner:
        chain = await serving_chain(tmp_path / "chain", miner.port)
        pace = Pace(rate=0, concurrency=4, count=40, distinct=5)
        validator = Validator(chain, VALIDATOR, draws, pace, Lines(io.StringIO()))
        await validator.run()
    assert validator.summary()["answered"] == 40
    assert 1 < len({exchange.sha256 for exchange in miner.exchanges}) <= 5


async def test_a_picture_that_cannot_be_read_is_passed_over(tmp_path):
    folder = write_pictures(tmp_path / "pictures", each=1)
    draws = Draws(pictures_in(folder), ["native"], seed=7)
    readable = sum(draws.draw(number).label for number in range(12))
    (folder / "none" / "0.jpg").write_bytes(b"no picture")
    out = io.StringIO()
    async with running_miner() as miner:
        chain = await serving_chain(tmp_path / "chain", miner.port)
        validator = Validator(chain, VALIDATOR, draws, Pace(rate=0, count=12), Lines(out))
        await validator.run()
    assert validator.summary()["challenges"] == readable < 12
    assert out.getvalue().count("could not be drawn") == 12 - readable


async def test_a_cancelled_run_still_has_its_summary(tmp_path, draws):
    async with running_miner() as miner:
        chain = await serving_chain(tmp_path / "chain", miner.port)
        validator = Validator(chain, VALIDATOR, draws, Pace(rate=0, concurrency=1), Lines(io.StringIO()))
        work = asyncio.create_task(validator.run())
        while len(miner.exchanges) < 3:
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert validator.summary()["answered"] >= 2


# the chain side, on a clock of its own


def subnet(chain: Chain, scores: Scores, keypair=VALIDATOR, notes: list[str] | None = None) -> Subnet:
    def note(text: str) -> None:
        (notes if notes is not None else []).append(text)

    return Subnet(chain, keypair, scores, changed=lambda board: None, note=note, refresh_s=0.01)


def right(scores: Scores, times: int = 10) -> None:
    for number in range(times):
        scores.observe(2, MINER.ss58_address, float(number % 2), number % 2)


async def test_weights_are_set_once_per_interval_and_paid_by_the_epoch(tmp_path):
    clock = Clock()
    chain = await serving_chain(tmp_path / "chain", 8091, clock=clock, block_s=1.0, tempo=36)
    scores = Scores(VALIDATOR.ss58_address)
    view = subnet(chain, scores)
    await view.refresh()
    right(scores)
    clock.now += 9
    await view.refresh()
    assert await chain.weights() == {}
    clock.now += 1
    await view.refresh()
    assert await chain.weights() == {1: {2: 1.0}}
    assert view.board.miners[0].alpha == 0.0
    clock.now += 36
    await view.refresh()
    row = view.board.miners[0]
    assert view.board.epochs == 1
    assert row.alpha == pytest.approx(0.41 * 36)
    assert (row.incentive, row.weight) == (pytest.approx(1.0), 1.0)


async def test_without_a_score_no_weights_are_set(tmp_path):
    clock = Clock()
    chain = await serving_chain(tmp_path / "chain", 8091, clock=clock)
    view = subnet(chain, Scores(VALIDATOR.ss58_address))
    for _ in range(3):
        clock.now += 100
        await view.refresh()
    assert await chain.weights() == {}


async def test_who_serves_can_be_asked_and_nobody_else(tmp_path):
    clock = Clock()
    local = local_chain(tmp_path / "chain", clock=clock)
    chain = Chain(72, substrate=local)
    view = subnet(chain, Scores(VALIDATOR.ss58_address))
    await view.refresh()
    assert not view.anyone.is_set()
    assert not view.targets
    await chain.serve("127.0.0.1", 8091, MINER)
    await view.refresh()
    assert view.anyone.is_set()
    assert [(t.hotkey, t.port) for t in view.targets.values()] == [(MINER.ss58_address, 8091)]
    local.deregister(MINER.ss58_address)
    await view.refresh()
    assert not view.anyone.is_set()


async def test_a_chain_that_fails_is_noted_once_and_waited_for(tmp_path):
    local = local_chain(tmp_path / "chain")
    notes: list[str] = []
    view = subnet(Chain(72, substrate=local), Scores(VALIDATOR.ss58_address), notes=notes)
    local.set_down(True)
    with pytest.raises(ChainDown):
        await view.refresh()
    keeper = asyncio.create_task(view.keep())
    while not notes:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    local.set_down(False)
    while not view.board.block:
        await asyncio.sleep(0.01)
    keeper.cancel()
    assert len(notes) == 1
    assert "switched off" in notes[0]


async def test_a_refused_weight_is_noted(tmp_path):
    """A validator that is not registered may not set weights; the run goes on."""
    clock, notes = Clock(), []
    chain = await serving_chain(tmp_path / "chain", 8091, clock=clock)
    scores = Scores(STRANGER.ss58_address)
    view = subnet(chain, scores, STRANGER, notes)
    await view.refresh()
    right(scores)
    clock.now += 100
    keeper = asyncio.create_task(view.keep())
    while not notes:
        await asyncio.sleep(0.01)
    keeper.cancel()
    assert notes


# how it looks


def test_lines_show_at_most_five_answers_a_second_and_count_the_rest(tmp_path, draws):
    from miner.rehearsal.dendrite import Reply
    from miner.rehearsal.show import Asked

    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    asked = Asked(draws.draw(0), 2, Reply(200, 0.75, 12.0), Scores("v").observe(2, "m", 0.75, 1))
    for step in (0.0, 0.1, 0.05, 0.1):
        clock.now += step
        lines.asked(asked)
    first, second = out.getvalue().splitlines()
    assert "prediction=0.750" in first
    assert second.endswith("(and 2 not shown)")


def test_the_table_shows_answers_miners_and_pay(draws):
    from rich.console import Console

    from miner.rehearsal.dendrite import Reply
    from miner.rehearsal.show import Asked, MinerRow, Screen

    console = Console(file=io.StringIO(), width=140, force_terminal=True)
    screen = Screen(console)
    standing = Scores("v").observe(2, "m", 0.75, 1)
    screen.asked(Asked(draws.draw(0), 2, Reply(0, -1.0, 9000.0, "timeout"), standing))
    screen.board(Board(123, 4, [MinerRow(2, MINER.ss58_address, "127.0.0.1:1", standing, 1.0, 0.5, 8.25)]))
    screen.note("remark")
    screen.close()
    shown = console.file.getvalue()
    assert all(text in shown for text in ("timeout", "8.2500", "epochs paid 4", "remark"))


# the start script


def script(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "neurons" / "validator.py"), *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "--concurrency"),
        (["--cuont", "3"], 2, "--cuont"),
        (["--rate", "-1"], 2, "--rate"),
        (["--data", "nothing"], 2, "there is no local chain"),
    ],
)
def test_the_script_runs_from_any_folder_and_says_what_is_wrong(tmp_path, arguments, code, text):
    process = script(*arguments, cwd=tmp_path)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert text in out + errors
    assert "Traceback" not in errors


async def test_the_script_ends_cleanly_on_a_signal(tmp_path):
    from miner.rehearsal.scenery import prepare

    await asyncio.to_thread(prepare, tmp_path, block_s=0.1, tempo=10)
    write_pictures(tmp_path / "pictures")
    summary = tmp_path / "summary.json"
    process = script("--data", str(tmp_path), "--images", "pictures", "--json", str(summary), cwd=tmp_path)
    try:
        line = await asyncio.to_thread(process.stdout.readline)  # the first look at the chain has happened
        process.send_signal(signal.SIGTERM)
        out, errors = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert "0 challenges" in line + out
    assert json.loads(summary.read_text())["challenges"] == 0
