"""The whole subnet by the one command that a newcomer types, with the model that comes with the code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest
from neurons_kit import REPOSITORY, free_port

from miner.ledger import LEDGER_NAME, payouts, recent, summary
from miner.rehearsal.challenges import rendered_scenes
from miner.rehearsal.stage import clean_environment
from models.weights import DEFAULT

COUNT = 40


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_rehearsal_answers_all_earns_and_leaves_nothing_behind(tmp_path, checkpoint):
    trained = (DEFAULT / "model.safetensors").is_file()
    page, told = free_port(), tmp_path / "summary.json"
    flags = {
        "data": tmp_path / "rehearsal",
        "images": rendered_scenes(tmp_path / "scenes", COUNT),
        "json": told,
        "count": COUNT,
        "seed": 1,
        "rate": 4,
        "tempo": 10,
        "block-s": 0.5,
        "port": page,
    } | ({"cascade.compress": "nvfp4,purekv 0.2"} if trained else {"model.path": checkpoint})
    words = [f"--{name}={value}" for name, value in flags.items()]
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "miner", "rehearse", *words],
            cwd=REPOSITORY,
            env=clean_environment(os.environ),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(timeout=500)
        left = mentioning(str(tmp_path / "rehearsal"))
    finally:
        for pid in mentioning(str(tmp_path)):
            psutil.Process(pid).kill()
        process.kill()
        process.wait()
    said = output.read_text(errors="replace")
    assert code == 0, said
    assert f"http://127.0.0.1:{page}/" in said
    assert not left
    found = json.loads(told.read_text())
    assert (found["challenges"], found["lost"], found["refused"]) == (COUNT, 0, 0), found
    assert found["answered"] >= 0.8 * COUNT, "a busy machine may shed some while it warms up, not many"
    (row,) = found["miners"]
    assert row["alpha_paid"] > 0
    ledger = tmp_path / "rehearsal" / "miner" / LEDGER_NAME
    assert summary(ledger).outcomes["answered"] == found["answered"]
    assert sum(epoch["alpha"] for epoch in payouts(ledger)) > 0
    if trained:
        assert row["mcc"] > 0.2, found
        assert row["score"] > 0
        assert "answers left the cascade by:" in said and "% classifier" in said, said
        assert any(exchange.kv_bytes for exchange in recent(ledger)), "the compressing member was never asked"


def mentioning(text: str) -> list[int]:
    """Processes with that in their command line, except our own."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if text in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid()
    ]
