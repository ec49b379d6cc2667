"""The whole miner as a process: answers, tells, keeps going on bad days, ends and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from bittensor.keyfiles import Keypair
from neurons_kit import (
    SCRIPT,
    VALIDATOR,
    Common,
    Miner,
    Stage,
    jpeg,
    load,
    runs,
    soon,
)
from PIL import Image

from miner.control import SOCKET_NAME
from miner.ledger import LEDGER_NAME, events, last_subnet_health
from miner.rehearsal.dendrite import Body, Dendrite, prebuild
from miner.rehearsal.scenery import free_port

pytestmark = pytest.mark.timeout(240)

LOADED_S = 2.5
"""How long a load runs before something bad happens."""


# What it answers and tells


async def test_a_signed_challenge_is_answered_and_written_down(miner: Miner):
    image = jpeg(1)
    reply = await miner.ask(image)
    assert (reply.status, 0.0 <= reply.prediction <= 1.0) == (200, True)
    digest = hashlib.sha256(image).hexdigest()
    (row,) = await soon(lambda: [row for row in miner.rows() if row["sha256"] == digest], "its row")
    assert (row["outcome"], row["status"], row["caller"]) == ("answered", 200, VALIDATOR.ss58_address)
    assert row["hotkey"] == miner.hotkey
    assert row["prediction"] == pytest.approx(reply.prediction)
    (line,) = [line for line in miner.json_lines() if line["id"] == row["id"]]
    assert (line["sha256"], line["prediction"]) == (digest, row["prediction"])
    (readable,) = [line for line in miner.said.splitlines() if row["id"] in line.split()]
    assert f"answered p={reply.prediction:.3f} {VALIDATOR.ss58_address[:6]}" in readable


async def test_a_stranger_gets_403_and_is_counted(miner: Miner):
    stranger = Keypair.create_from_uri("//neurons/test/stranger")
    before = miner.status()["counts"]["refused"].get("403 stranger", 0)
    async with Dendrite(stranger, "127.0.0.1", miner.port, miner.hotkey) as dendrite:
        assert (await dendrite.challenge(jpeg())).status == 403
    assert miner.status()["counts"]["refused"]["403 stranger"] == before + 1


async def test_page_metrics_socket_and_command_line_tell_the_same(miner: Miner):
    await miner.ask(jpeg(2))
    await soon(lambda: miner.status()["recorder"]["queued"] == 0 and miner.status()["recent"], "the row")
    told = miner.status()
    status, text = miner.page("status.json")
    page, command = json.loads(text), miner.command("status")
    assert status == 200
    for name in ("version", "netuid", "url", "started_at", "hotkey", "uid", "registered", "ready", "counts"):
        assert page[name] == told[name] == command[name], name
    assert page["engine"]["versions"] == told["engine"]["versions"] == command["engine"]["versions"]
    assert page["recent"] == told["recent"] == command["recent"]
    assert (told["ready"], told["hotkey"], told["network"]) == (True, miner.hotkey, "local")
    assert miner.page("health/ready") == (200, b'{"ready":true,"reasons":[]}')
    assert miner.page("health/live")[0] == 200
    assert miner.metric("svm_engine_ready") == 1
    assert miner.metric("svm_uid") == told["uid"]
    assert miner.metric("svm_chain_state", state="ok") == 1
    answered = miner.metric("svm_challenges_total", outcome="answered", caller=VALIDATOR.ss58_address)
    assert answered == told["counts"]["outcomes"]["answered"]


def test_only_the_child_holds_a_model(miner: Miner):
    """PIL is no sign: the SDK itself imports it, to draw QR codes."""

    def mapped(pid: int) -> str:
        return Path(f"/proc/{pid}/maps").read_text()

    front, child = mapped(miner.pid), mapped(miner.serving_child())
    for library in ("/libtorch", "/numpy/", "/safetensors/"):
        assert library not in front
        assert library in child


def test_a_second_miner_on_the_same_folder_is_turned_away(miner: Miner):
    port = miner.flags | {"axon.port": free_port()}
    second = [f"--{name}={value}" for name, value in port.items()]
    done = subprocess.run([sys.executable, str(SCRIPT), *second], capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert f"another miner (process {miner.pid}) works on {miner.data}" in last
    assert "Traceback" not in done.stderr
    assert miner.ready()


async def test_what_the_epochs_pay_is_told_everywhere(miner: Miner, common: Common):
    def paid():
        return [row for row in miner.status()["payouts"] if row["alpha"] > 0]

    await common.stage.vote()
    newest = (await soon(paid, "a payout"))[-1]
    status = miner.status()
    assert status["reward"]["alpha_per_day"] > 0
    assert miner.metric("svm_alpha_per_day") > 0
    assert f"reward: epoch at block {newest['block']}: {newest['alpha']:.6f} alpha" in miner.said
    rows = await soon(
        lambda: [row for row in miner.command("rewards") if row["block"] == newest["block"]], "its row"
    )
    assert rows[0]["alpha"] == pytest.approx(newest["alpha"])
    assert rows[0]["hotkey"] == miner.hotkey


# Bad days of the chain


@contextlib.contextmanager
def switched_off(stage: Stage) -> Iterator[None]:
    stage.chain.set_down(True)
    try:
        yield
    finally:
        stage.chain.set_down(False)


@contextlib.contextmanager
def file_gone(stage: Stage) -> Iterator[None]:
    path = stage.chain.path
    aside = path.rename(path.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(path)


@contextlib.contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """A writer that never ends: every call that must write first hangs, as on a frozen websocket."""
    with contextlib.closing(sqlite3.connect(stage.chain.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("trouble", [switched_off, file_gone, locked])
async def test_it_goes_on_serving_without_a_chain(miner: Miner, common: Common, trouble):
    with trouble(common.stage):
        await soon(lambda: miner.status()["chain"]["state"] == "stale", "it notices")
        for number in range(3):
            assert (await miner.ask(jpeg(100 + number))).status == 200
        assert miner.page("health/ready")[0] == 200
        assert miner.status()["chain"]["reason"]
        assert miner.metric("svm_chain_failures") >= 1
    await soon(lambda: miner.status()["chain"]["state"] == "ok", "it finds back")
    assert "serving from block" in miner.said


async def test_deregistered_it_answers_nobody_and_lives_until_it_is_back(miner: Miner, common: Common):
    chain, wallet = common.stage.chain, common.stage.wallet
    chain.deregister(wallet.hotkey)
    await soon(lambda: miner.status()["chain"]["state"] == "deregistered", "it notices")
    assert (await miner.ask(jpeg(200))).status == 503
    status, text = miner.page("health/ready")
    assert status == 503
    assert f"hotkey {wallet.hotkey} is not registered" in text.decode()
    told = miner.status()
    assert (told["registered"], told["uid"], told["reward"]) == (False, None, None)
    uid = chain.register(wallet.hotkey, wallet.coldkey)
    await soon(miner.ready, "it is back")
    assert miner.status()["uid"] == uid
    assert (await miner.ask(jpeg(201))).status == 200
    states = [event["data"]["state"] for event in events(miner.data / LEDGER_NAME, kind="chain_state")]
    assert "deregistered" in states
    assert miner.said.count("answering nobody until it is registered again") == 1


def test_deregistered_it_ends_with_a_status_of_its_own_when_told_so(stage: Stage):
    stage.chain.deregister(stage.wallet.hotkey)
    miner = stage.start(subtensor__deregistered="exit")
    assert miner.await_end() == 3, miner.said
    assert "subtensor.deregistered is exit" in miner.said
    assert "Traceback" not in miner.said


async def test_a_burning_subnet_is_said_loudly_and_served(miner: Miner, common: Common):
    stage = common.stage

    async def level(wanted: str) -> None:
        async def voting() -> None:
            while True:
                await stage.vote()
                await asyncio.sleep(2)

        votes = asyncio.create_task(voting())
        try:
            await soon(
                lambda: miner.status()["subnet"]["level"] == wanted, wanted, lambda: miner.said[-3000:]
            )
        finally:
            votes.cancel()

    await level("ok")
    stage.chain.set_burning(1.0)
    try:
        await level("fail")
        sentence = miner.status()["subnet"]["sentence"]
        assert "100% of the incentive goes to the owner and is burned" in sentence
        assert re.search(rf"ERROR .*{re.escape(sentence)}", miner.said)
        assert miner.metric("svm_subnet_level", state="fail") == 1
        assert miner.metric("svm_subnet_burn_share") == pytest.approx(1.0)
        assert (await miner.ask(jpeg(300))).status == 200
        assert miner.page("health/ready")[0] == 200
    finally:
        stage.chain.set_burning(0.0)
    await level("ok")
    health = await soon(lambda: last_subnet_health(miner.data / LEDGER_NAME), "its row")
    assert "level" in health


# Bad days of the machine


@contextlib.contextmanager
def full_disk(miner: Miner) -> Iterator[None]:
    """The kernel lets the front write to no file."""
    before = resource.prlimit(miner.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(miner.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(miner.pid, resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_stops_no_answer_and_is_said_once(miner: Miner):
    images = [jpeg(400 + number) for number in range(20)]
    said = len(miner.said)

    def failures() -> float:
        return miner.metric("svm_sink_errors_total", sink="Ledger") or 0

    with full_disk(miner):
        for image in images[:10]:
            assert (await miner.ask(image)).status == 200
        await soon(lambda: failures() >= 1, "it notices")
        for image in images[10:]:
            assert (await miner.ask(image)).status == 200
        await soon(lambda: failures() >= 3, "it tries again")
        assert miner.metric("svm_ledger_waiting_rows") >= 1
    complaints = [line for line in miner.said[said:].splitlines() if "CRITICAL" in line]
    assert sum("Ledger fails" in line for line in complaints) == 1, complaints
    assert len(complaints) == 2, "one for each file: ledger and JSON lines"
    wanted = {hashlib.sha256(image).hexdigest() for image in images}
    await soon(lambda: wanted <= {row["sha256"] for row in miner.rows()}, "the rows that waited")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"NOT TESTED, no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_it_starts_and_answers_on_a_full_disk(stage: Stage):
    image = jpeg(500)
    with small_disk(stage.folder / "disk") as disk, contextlib.ExitStack() as first:
        first.callback(stage.close)
        (disk / "data").mkdir()
        with (
            pytest.raises(OSError, match="No space left"),
            (disk / "filler").open("wb", buffering=0) as filler,
        ):
            while True:
                filler.write(bytes(4096))
        miner = stage.start("disk/data").await_ready()
        assert (await miner.ask(image)).status == 200
        assert "disk is full" in miner.said
        (disk / "filler").unlink()
        await soon(
            lambda: miner.status()["recorder"]["errors"] and has_row(miner, image), "the row that waited"
        )


def has_row(miner: Miner, image: bytes) -> bool:
    digest = hashlib.sha256(image).hexdigest()
    with contextlib.suppress(sqlite3.OperationalError):
        return any(row["sha256"] == digest for row in miner.rows())
    return False


async def test_killing_the_serving_child_under_load_loses_nothing(miner: Miner):
    def whole() -> bool:
        engine = miner.status()["engine"]
        return engine["state"] == "ready" and not engine["detail"]

    await soon(whole, "both children are up")
    restarts = miner.status()["engine"]["restarts"]
    async with load(miner, 16) as sent:
        await soon(lambda: len(sent) > 100, "a load")
        victim = miner.serving_child()
        os.kill(victim, signal.SIGKILL)
        after = time.monotonic()
        await soon(lambda: sum(one.asked_s > after for one in sent) > 100, "the load goes on")
    assert {one.reply.outcome for one in sent} == {"answered"}
    assert miner.serving_child() != victim
    await soon(whole, "the child is replaced")
    assert miner.status()["engine"]["restarts"] == restarts + 1


async def test_sigterm_under_load_answers_whatever_was_admitted(stage: Stage):
    miner = stage.start().await_ready()
    family = miner.family()
    assert family
    slow = slow_pictures(40)
    async with load(miner) as sent, miner.dendrite() as dendrite:
        await soon(lambda: len(sent) > 50, "a load")
        asked = [asyncio.create_task(dendrite.challenge(image)) for image in slow]
        await soon(lambda: miner.status()["engine"]["in_flight"] > 5, "a queue")
        os.kill(miner.pid, signal.SIGTERM)
        await soon(lambda: miner.child.code is not None, "the end", lambda: miner.said[-3000:])
        replies = await asyncio.gather(*asked)
    assert miner.child.code == 0, miner.said[-3000:]
    rows = miner.rows()
    assert {row["outcome"] for row in rows} == {"answered"}
    answered = [reply for reply in [*replies, *(one.reply for one in sent)] if reply.outcome == "answered"]
    assert len(rows) == len(answered)
    assert not [process.pid for process in family if runs(process.pid)]
    assert not (miner.data / SOCKET_NAME).exists()
    assert "Traceback" not in miner.said


async def test_after_kill_9_in_the_middle_of_load_the_books_are_whole_and_nothing_is_replayed(stage: Stage):
    miner = stage.start(wire__max_age_s=300).await_ready()
    family = miner.family()
    earlier = signed(miner, 6)
    assert [await miner.send(request) for request in earlier[:4]] == [200] * 4
    async with load(miner) as sent:
        started = time.monotonic()
        await soon(lambda: time.monotonic() - started > LOADED_S and len(sent) > 100, "a load")
        assert await miner.send(earlier[4]) == 200
        os.kill(miner.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        await soon(lambda: miner.child.code is not None, "the end")
    await soon(lambda: not any(runs(process.pid) for process in family), "its children end with it")
    with contextlib.closing(sqlite3.connect(miner.data / LEDGER_NAME)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = {row["sha256"] for row in miner.rows()}
    due = {one.sha256 for one in sent if one.reply.outcome == "answered" and one.done_s < killed_s - 1.0}
    assert due
    assert due <= rows
    again = stage.start(wire__max_age_s=300).await_ready()
    await soon(lambda: again.status()["recent"], "the rows of before")
    assert [await again.send(request) for request in earlier] == [401] * 6
    assert again.status()["counts"]["refused"]["401 restart"] == 6
    assert (await fresh(again)) == 200


def slow_pictures(count: int, side: int = 1500) -> list[Body]:
    """Different files of one picture that takes tens of milliseconds to decode."""
    noise = Image.frombytes("L", (side, side), os.urandom(side * side)).point(lambda value: value & 3)
    buffer = io.BytesIO()
    Image.merge("RGB", [noise, noise, noise]).save(buffer, "PNG", compress_level=1)
    return [prebuild(buffer.getvalue() + str(number).encode()) for number in range(count)]


def signed(miner: Miner, count: int) -> list[tuple[bytes, bytes, bytes]]:
    """So many signed requests, as bytes."""
    dendrite = miner.dendrite()
    return [dendrite.request(prebuild(jpeg(900 + number)), str(uuid.uuid1())) for number in range(count)]


async def fresh(miner: Miner) -> int:
    """The status of a challenge, once the start lies further back than clocks may differ."""
    while (status := (await miner.ask(jpeg(999))).status) == 401:
        await asyncio.sleep(0.1)
    return status
