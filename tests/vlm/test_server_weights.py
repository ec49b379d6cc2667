"""Weights, adapters and memory of a running server; and that nothing is asked of it that would end it."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from contextlib import asynccontextmanager

import httpx
import pytest

from miner.servers import ServerSpec
from miner.servers.outline import Unlike, check_alike
from miner.servers.weights import WeightControl, WeightsRefused

ALL = {"enable-memory-saver": True, "enable-weights-cpu-backup": True, "enable-lora": True}


def checkpoint(folder, shape=(2, 2), name="w", config=None, tokenizer="{}"):
    folder.mkdir()
    size = 4 * math.prod(shape)
    header = json.dumps({name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    (folder / "config.json").write_text(json.dumps(config or {"hidden_size": 2}))
    (folder / "tokenizer.json").write_text(tokenizer)
    return folder


@asynccontextmanager
async def controlled(fake, serving, **flags):
    """As of a process here: its flags are known."""
    port = fake.server_address[1]
    spec = ServerSpec(name="qwen", model=fake.model, model_path="org/m", port=port, flags=flags)
    control = WeightControl(spec, serving)
    try:
        yield control
    finally:
        await control.close()


async def test_weights_of_the_same_network_are_taken(fake, tmp_path):
    old, new = checkpoint(tmp_path / "old"), checkpoint(tmp_path / "new")
    async with controlled(fake, old) as control:
        await control.update(new, "v2")
        assert control.serving == new
    assert (fake.model, fake.weights) == (str(new), "v2")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"shape": (2, 3)}, "the tensor w is F32 .2, 3., and F32 .2, 2. is served"),
        ({"name": "v"}, "the tensor v is in one of the two only"),
        ({"config": {"hidden_size": 4}}, "describes another network"),
        ({"tokenizer": "{ }"}, "tokenizer.json differs"),
    ],
)
async def test_weights_that_would_end_the_server_are_never_sent(fake, tmp_path, other, why):
    old, new = checkpoint(tmp_path / "old"), checkpoint(tmp_path / "new", **other)
    async with controlled(fake, old) as control:
        with pytest.raises(WeightsRefused, match=why):
            await control.update(new, "v2")
    assert fake.calls == []


async def test_what_the_server_does_not_confirm_is_put_back(fake, tmp_path):
    old, new = checkpoint(tmp_path / "old"), checkpoint(tmp_path / "new")
    fake.set(deaf_to_weights=True)
    async with controlled(fake, old) as control:
        with pytest.raises(WeightsRefused, match="put back"):
            await control.update(new, "v2")
        assert control.serving == old
    assert fake.calls == [str(new), str(old)]


def test_a_damaged_or_missing_checkpoint_is_unlike(tmp_path):
    old = checkpoint(tmp_path / "old")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unlike, match=r"no config\.json"):
        check_alike(old, tmp_path / "empty")
    bad = checkpoint(tmp_path / "bad")
    (bad / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(Unlike, match="damaged"):
        check_alike(old, bad)


async def test_adapters_come_and_go_and_only_those_held_may_be_asked_for(fake, tmp_path):
    async with controlled(fake, tmp_path, **ALL) as control:
        await control.load_adapter("night", tmp_path)
        assert fake.adapters == ["night"] and set(control.adapters) == {"night"}
        await control.unload_adapter("night")
        assert fake.adapters == [] and control.adapters == {}
        with pytest.raises(WeightsRefused, match="holds no adapter"):
            await control.unload_adapter("night")
        fake.set(lora=False)
        with pytest.raises(WeightsRefused, match="LoRA is not enabled"):
            await control.load_adapter("day", tmp_path)
        assert control.adapters == {}


async def test_memory_goes_and_comes_back_once(fake, tmp_path):
    async with controlled(fake, tmp_path, **ALL) as control:
        await control.resume()
        await control.release()
        await control.release()
        assert fake.paused and control.released
        with pytest.raises(WeightsRefused, match="released its memory"):
            await control.update(checkpoint(tmp_path / "x"), "v2")
        await control.resume()
        await control.resume()
    assert not fake.paused
    assert fake.calls == ["release", "resume"]


async def test_memory_is_never_released_while_a_request_runs(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("miner.servers.weights.DRAIN_S", 0.2)
    fake.set(hang=True)
    async with httpx.AsyncClient(base_url=fake.url) as client, controlled(fake, tmp_path, **ALL) as control:
        body = {"model": "m", "messages": [{"role": "user", "content": "hm"}], "max_tokens": 1}
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body, timeout=10))
        while not fake._running:
            await asyncio.sleep(0.01)
        await control.release()
        assert (await asking).json()["choices"][0]["finish_reason"] == "abort"
    assert fake.calls == ["release"]


async def test_without_the_flags_nothing_is_released(fake, tmp_path):
    async with controlled(fake, tmp_path) as control:
        with pytest.raises(WeightsRefused, match="needs the flag enable-memory-saver"):
            await control.release()
    assert fake.calls == []


async def test_a_server_that_is_gone_is_said_so(fake, tmp_path):
    old, new = checkpoint(tmp_path / "old"), checkpoint(tmp_path / "new")
    async with controlled(fake, old) as control:
        fake.stop()
        with pytest.raises(WeightsRefused, match="does not answer /update_weights_from_disk"):
            await control.update(new, "v2")
