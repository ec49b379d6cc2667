"""A challenge over the wire through a VLM with a packed and thinned cache, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image
from rehearsal_kit import MINER, VALIDATOR, jpeg, running_miner

from miner.engine import chosen, compressing
from miner.engine.config import EngineConfig
from miner.engine.thread import ThreadEngine
from miner.ledger.rows import from_row, to_row
from miner.rehearsal.dendrite import Dendrite
from miner.settings import Model, SettingsError, load
from models.calibration import probability
from models.description import Description, DescriptionError
from models.vlm.small import load_small_vlm
from models.vlm.small.words import PROMPT

STEPS = ["nvfp4", "purekv 0.2"]
PATIENCE = 20
SINGLE = Description("given", ({"kind": "small_vlm"},))


async def told(*steps: str):
    """The reply to a challenge and its exchange, the small VLM alone answering with these steps."""
    engine = ThreadEngine(EngineConfig(compressing(SINGLE, steps), device="cpu", threads=1, hang_s=60.0))
    await engine.start()
    try:
        while not engine.health().ready:
            await asyncio.sleep(0.05)
        async with (
            running_miner(engine=engine) as running,
            Dendrite(VALIDATOR, "127.0.0.1", running.port, MINER.ss58_address) as validator,
        ):
            for _ in range(PATIENCE):  # a busy machine's forecast may shed the first ones
                reply = await validator.challenge(jpeg())
                if running.exchanges[-1].outcome == "answered":
                    break
            return reply, running.exchanges[-1]
    finally:
        await engine.stop()


@pytest.mark.timeout(300)
async def test_a_challenge_goes_through_a_packed_and_thinned_cache_and_gets_the_same_answer():
    reply, exchange = await told(*STEPS)
    plain = load_small_vlm(device="cpu")
    (dense,) = plain.evidence([(plain.prepare(Image.open(io.BytesIO(jpeg())).convert("RGB")),)])
    assert exchange.outcome == "answered" and exchange.path == ("small_vlm",)
    # one token: a cache is written and never read
    assert reply.prediction == pytest.approx(probability(dense.log_odds), abs=1e-5)
    assert exchange.versions != {"small_vlm": plain.version}
    assert exchange.kept_tokens == 16
    shape = plain.network.shape
    prompt = len(PROMPT) + shape.view_tokens + 1
    whole = 2 * 4 * shape.layers * shape.width * prompt  # float32 keys and values
    assert exchange.kv_bytes is not None and exchange.kv_bytes < whole / 7
    assert f"kv_bytes:small_vlm:{exchange.kv_bytes}" in exchange.notes
    assert from_row(to_row(exchange)) == exchange


def test_the_settings_steps_go_to_vlm_members_that_run_here():
    settings = load(["--cascade.compress", "divprune 0.5,nvfp4"], {})
    embedded = compressing(chosen(None, Model()), settings.cascade.compress)
    by_kind = {tier["kind"]: tier.get("steps") for tier in embedded.tiers}
    assert by_kind["small_vlm"] == ["divprune 0.5", "nvfp4"] and by_kind["classifier"] is None
    own = Description("own", ({"kind": "small_vlm", "steps": ["uniform 0.5"]},))
    assert compressing(own, ["nvfp4"]).tiers[0]["steps"] == ["uniform 0.5"]
    assert compressing(own, []) is own


def test_steps_that_cannot_be_are_refused_before_anything_starts():
    with pytest.raises(SettingsError, match="no method is called 'sharpen'"):
        load(["--cascade.compress", "sharpen 2"], {})
    with pytest.raises(DescriptionError, match="has no member of kind small_vlm or vlm_inprocess"):
        compressing(Description("single", ({"kind": "classifier"},)), ["nvfp4"])
