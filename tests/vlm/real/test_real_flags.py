"""What we write on a command line, and what we say of flags, against SGLang's own parser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from real_sglang import in_its_environment, real_spec

from miner.servers import flags, read_specs
from miner.servers.command import command
from models.catalog import find
from models.residency import Member, parse, place
from models.residency.launch import launches

EXAMPLE = Path(__file__).parents[3] / "deploy" / "sglang" / "servers.example.toml"


def refusals(lines: list[list[str]]) -> list[str]:
    return json.loads(in_its_environment("parse_flags.py", given=json.dumps(lines)))


def ours(spec) -> list[str]:
    """The flags of a spec's command line."""
    line = command(spec, "python", None, ["ENTRY"])
    return line[line.index("ENTRY") + 1 :]


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    example, _ = read_specs(EXAMPLE)
    kinds = [replace(example, kv=kv, revision="abc") for kv in ("auto", "bf16", "fp8", "nvfp4")]
    return [example, *kinds, real_spec(tmp_path_factory.mktemp("model"))]


def test_every_command_line_of_ours_is_taken(specs):
    assert refusals([ours(spec) for spec in specs]) == [""] * len(specs)


def test_every_command_line_of_a_plan_is_taken():
    members = [
        Member(find("qwen3-vl-8b"), precision="fp8", kv="fp8"),
        Member(find("qwen3-vl-32b"), precision="fp8", kv="fp8", tensor_parallel=2),
    ]
    plan = place(members, parse("2xH100-80"))
    lines = [list(launch.argv[2:]) for launch in launches(plan)]
    assert len(lines) == 2 and refusals(lines) == ["", ""]


def test_flags_that_we_call_gone_are_gone_and_those_that_we_set_or_refuse_are_there():
    gone = [name for name in flags.GONE if name not in ("enable-dp-attention", "is-embedding")]
    there = [*(name for name in flags.OURS if name not in ("model", "tp", "config")), *flags.OFFLOAD]
    said = refusals([[f"--{name}", "1"] for name in gone] + [[f"--{name}"] for name in there])
    assert all("unrecognized arguments" in one or "required" in one for one in said[: len(gone)])
    assert not [one for one in said[len(gone) :] if "unrecognized arguments" in one]


def test_kv_cache_types_of_older_versions_are_no_more(specs):
    line = ours(specs[2])
    line[line.index("--kv-cache-dtype") + 1] = "fp4_e2m1"
    assert "invalid choice" in refusals([line])[0]
