"""The command that looks at a servers file."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.servers import ServerSpec
from miner.servers.check import look
from miner.servers.gpus import parse

GPUS = parse("0, NVIDIA H100 80GB HBM3, 81559, 9.0")
HERE = {"model": "m", "model_path": "org/m"}


async def test_what_can_be_started_and_what_answers(fake):
    far = {"model": fake.model, "url": fake.url}
    specs = [
        ServerSpec(name="good", **HERE),
        ServerSpec(name="four", kv="nvfp4", port=4000, **HERE),
        ServerSpec(name="half", weights="nvfp4", port=5000, mem_fraction=0.2, **HERE),
        ServerSpec(name="far", **far),
        ServerSpec(name="other", **{**far, "model": "another"}),
    ]
    found = {one.name: one for one in await look(specs, {}, GPUS)}
    assert [one.fine for one in found.values()] == [True, False, True, True, False]
    assert found["four"].sentence.endswith("use fp8") and "weight-only" in found["half"].sentence
    assert found["far"].sentence.startswith("answers: a picture took")
    assert found["other"].sentence == f"no answer to a picture: wrong_model:{fake.model}"


@pytest.mark.parametrize(("url", "status"), [(None, 0), ("http://127.0.0.1:9", 1)])
def test_the_exit_status_says_it(fake, tmp_path, url, status):
    file = tmp_path / "servers.json"
    file.write_text(json.dumps([{"name": "far", "model": fake.model, "url": url or fake.url}]))
    ran = CliRunner().invoke(app, ["servers", str(file)])
    assert ran.exit_code == status, ran.output
    assert ran.output.startswith("ok  far" if status == 0 else "NO  far")


def test_a_bad_file_is_a_sentence(tmp_path):
    file = tmp_path / "servers.json"
    file.write_text(json.dumps([{"name": "a"}]))
    ran = CliRunner().invoke(app, ["servers", str(file)])
    assert ran.exit_code == 2 and "server a: model must be given" in ran.output
