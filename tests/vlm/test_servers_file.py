"""What a servers file may say, and the sentence for what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from miner.servers import create_servers, read_specs
from miner.servers.specfile import parse
from miner.settings import SettingsError

EXAMPLE = Path(__file__).parents[2] / "deploy" / "sglang" / "servers.example.toml"
HERE = {"name": "a", "model": "m", "model_path": "org/m"}
TOML = """
[[servers]]
name = "qwen"
model = "qwen3-vl-8b"
model_path = "org/model-fp8"
gpus = [0, 1]
weights = "fp8"
kv = "fp8"
flags = { prefill-decode-interval = 0, trust-remote-code = true }
env = { SGLANG_VLM_CACHE_SIZE_MB = "256" }

[[servers]]
name = "router"
model = "big"
url = "http://10.0.0.5:8000"
"""


def test_the_example_can_be_read():
    assert [spec.name for spec in read_specs(EXAMPLE)] == ["qwen", "far"]


def test_toml_and_json_say_the_same(tmp_path):
    toml, as_json = tmp_path / "s.toml", tmp_path / "s.json"
    toml.write_text(TOML)
    specs = read_specs(toml)
    rows = [
        {"name": "qwen", "model": "qwen3-vl-8b", "model_path": "org/model-fp8", "gpus": [0, 1],
         "weights": "fp8", "kv": "fp8", "flags": {"prefill-decode-interval": 0, "trust-remote-code": True},
         "env": {"SGLANG_VLM_CACHE_SIZE_MB": "256"}},
        {"name": "router", "model": "big", "url": "http://10.0.0.5:8000"},
    ]  # fmt: skip
    as_json.write_text(json.dumps({"servers": rows}))
    assert read_specs(as_json) == specs
    assert [spec.here for spec in specs] == [True, False]
    assert specs[0].address == "http://127.0.0.1:30000" and specs[0].gate == 31000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prot": 1}, "server a: no field is called prot"),
        ({"model": None}, "server a: model:"),
        ({"port": "80"}, "server a: port: input should be a valid integer"),
        ({"url": "http://x"}, "give either url"),
        ({"kv": "fp4_e2m1"}, "kv must be one of auto, bf16, fp8, nvfp4"),
        ({"gpus": []}, "gpus lists each index once"),
        ({"gpus": [0, 0]}, "gpus lists each index once"),
        ({"mem_fraction": 1.5}, "mem_fraction must lie between 0 and 1"),
        ({"model": "a:b"}, "LoRA"),
        ({"gate_port": 30000}, "must differ"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"env": {"A": 1}}, "env.A: input should be a valid string"),
        ({"dialect": "openai", "protocol": "decisions"}, "only SGLang itself serves decisions"),
    ],
)
def test_what_is_wrong_is_said(change, sentence):
    with pytest.raises(ValueError, match="server a") as caught:
        parse([{**HERE, **change}])
    assert sentence in str(caught.value)


def test_names_and_ports_are_given_once():
    with pytest.raises(ValueError, match="two servers have the name a"):
        parse([HERE, {**HERE, "port": 1234}])
    with pytest.raises(ValueError, match="two servers have the port 30000"):
        parse([HERE, {**HERE, "name": "b", "gate_port": 4}])
    with pytest.raises(ValueError, match="two servers have the port 31000"):
        parse([HERE, {**HERE, "name": "b", "port": 31000}])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[[servers", "is no TOML"), ("x = 1", "a list called servers"), (None, "cannot be read: No such file")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, sentence):
    file = tmp_path / "s.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=sentence) as caught:
        read_specs(file)
    assert str(file) in str(caught.value)


def test_a_python_or_a_key_that_is_missing_is_said_before_anything_starts(tmp_path, monkeypatch):
    file = tmp_path / "s.json"
    file.write_text(json.dumps([HERE]))
    with pytest.raises(SettingsError, match="no Python at nowhere/python"):
        create_servers(file, "nowhere/python", tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    file.write_text(json.dumps([{**HERE, "key_env": "NO_SUCH_KEY"}]))
    with pytest.raises(SettingsError, match="NO_SUCH_KEY"):
        create_servers(file, "nowhere/python", tmp_path)


def test_no_file_means_no_servers(tmp_path):
    assert create_servers(None, "nowhere/python", tmp_path).health() == []
