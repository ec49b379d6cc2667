"""The catalogue against its configs, recounted on the meta device, and against published figures."""

from __future__ import annotations

import logging

import pytest

from models.catalog import CATALOGUE, UnknownModel, find
from models.catalog.entry import Model

VERIFIED = [row.name for row in CATALOGUE.values() if row.verified]
PARTLY = [row.name for row in CATALOGUE.values() if not row.verified and row.text is not None]


@pytest.fixture(scope="module")
def counting():
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from models.catalog import count

    return count


@pytest.mark.parametrize("name", VERIFIED)
def test_parameters_are_those_of_the_config(counting, name):
    row, found = CATALOGUE[name], counting.count(name)
    assert found.whole
    assert found.total == pytest.approx(row.parameters, rel=0.01)
    assert found.active == pytest.approx(row.active, rel=0.01)
    if row.text is not None:
        assert found.kept == pytest.approx(row.kept, rel=0.01)
        assert found.vision == pytest.approx(row.vision, rel=0.01)


@pytest.mark.parametrize("name", PARTLY)
def test_an_unverified_row_is_near_the_towers_that_can_be_counted(counting, name):
    row, found = CATALOGUE[name], counting.count(name)
    assert not found.whole
    assert 0.8 * row.parameters <= found.total <= row.parameters


@pytest.mark.parametrize("name", [*VERIFIED, *PARTLY])
def test_the_row_has_the_shape_and_revision_of_its_config(counting, name):
    row, excerpt = CATALOGUE[name], counting.excerpt(name)
    assert excerpt["revision"] == row.revision and excerpt["source"] and excerpt["revision_source"]
    if row.text is not None:
        text = _text(excerpt["towers"][0]["config"])
        cross = len(text.get("cross_attention_layers", ()))
        assert row.text.layers + row.text.cross_layers == text["num_hidden_layers"]
        assert row.text.cross_layers == cross
        assert row.text.heads == text["num_attention_heads"]
        assert row.text.kv_heads == text["num_key_value_heads"]
        head_dim = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
        assert row.text.head_dim == (128 if row.text.latent else head_dim)
        assert row.text.latent == text.get("kv_lora_rank", 0) + text.get("qk_rope_head_dim", 0)


def _text(config):
    return config.get("text_config", config)


def test_every_system_of_group_a_has_a_row():
    assert {row.system for row in CATALOGUE.values()} == {f"A{number}" for number in range(1, 9)}


def test_rows_that_cannot_be_counted_say_so():
    unverified = {row.name for row in CATALOGUE.values() if not row.verified}
    assert {"deepseek-vl2", "yolov12-x", "yolo-world-v2.1-l", "molmo-7b-d", "frontier-api"} <= unverified
    assert all(row.sources and row.licence and row.servers for row in CATALOGUE.values())


@pytest.mark.parametrize(
    ("name", "kv"),
    [
        ("qwen3-vl-8b", 147_456),
        ("molmo-7b-d", 57_344),
        ("deepseek-vl2", 34_560),
        ("llama-4-maverick", 196_608),
    ],
)
def test_kv_bytes_per_token(name, kv):
    assert find(name).kv_bytes() == kv
    assert find(name).kv_bytes("fp8") == kv / 2
    assert find(name).kv_bytes("nvfp4") == pytest.approx(kv / 3.5556, rel=1e-3)


def test_kv_is_split_among_gpus_only_while_there_are_heads():
    row = find("qwen3-vl-235b-a22b")
    assert row.kv_bytes(tensor_parallel=4) == row.kv_bytes() / 4
    assert row.kv_bytes(tensor_parallel=8) == row.kv_bytes() / 4, "four heads cannot be split in eight"
    assert find("deepseek-vl2").kv_bytes(tensor_parallel=2) == find("deepseek-vl2").kv_bytes()


def test_weights_are_the_published_sizes_of_checkpoints():
    assert find("qwen3-vl-235b-a22b").weight_bytes("bf16") / 2**30 == pytest.approx(438.97, rel=0.001)
    assert find("qwen3-vl-30b-a3b").weight_bytes("bf16") / 2**30 == pytest.approx(57.87, rel=0.001)
    assert 130e9 < find("qwen3-vl-235b-a22b").weight_bytes("nvfp4") < 140e9
    assert find("llama-4-maverick").weight_bytes("fp8") > 400e9, "resident although 17 B are active"


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=lambda row: row.name)
def test_fewer_bits_never_weigh_more(row):
    sizes = [row.weight_bytes(precision) for precision in ("bf16", "fp8", "nvfp4", "int4")]
    assert sizes == sorted(sizes, reverse=True)


def test_a_row_whose_parts_exceed_the_whole_is_refused():
    with pytest.raises(ValueError, match="parts of all"):
        Model("x", "A1", "x/y", "MIT", "light", 10, ("vllm",), False, ("me",), kept=11)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownModel, match="internvl3-78b"):
        find("internvl3.5-78b")
