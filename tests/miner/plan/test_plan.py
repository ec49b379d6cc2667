"""`python -m miner plan` as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from miner.plan import main


def run(capsys, *words):
    code = main(words)
    return code, capsys.readouterr()


def test_two_h100_get_a_plan_with_commands_that_can_be_copied(capsys):
    code, said = run(capsys, "--gpus", "2xH100-80")
    assert code == 0
    for words in ("GPU 0, H100-80", "KV cache", "used", "never used", "on demand, internvl3-78b"):
        assert words in said.out
    commands = [line for line in said.out.splitlines() if line.startswith("CUDA_VISIBLE_DEVICES=")]
    assert len(commands) == 3 and all("--limit-mm-data-per-request" in line for line in commands)


def test_the_original_plan_is_refused_and_what_fits_is_named(capsys):
    code, said = run(capsys, "--gpus", "2xH100-80", "--preset", "original")
    assert code == 1
    assert "original-gpu0" in said.out and "refused" in said.out and "--preset 2xH100-80" in said.out


def test_json_has_the_same_sums(capsys):
    code, said = run(capsys, "--gpus", "1x24", "--json")
    plan = json.loads(said.out)
    assert code == 0 and plan["fits"] and plan["gpus"] == ["RTX4090-24"]
    for member in plan["members"]:
        assert sum(part["bytes"] for part in member["parts"].values()) == member["bytes"]
    assert plan["launches"][0]["command"].startswith("CUDA_VISIBLE_DEVICES=0 sglang serve")


def test_members_of_ones_own_choice_fit_or_are_refused(capsys):
    assert run(capsys, "--gpus", "1xH200", "--members", "qwen3-vl-32b:fp8:fp8", "+qwen3-vl-8b")[0] == 0
    code, said = run(capsys, "--gpus", "1x80", "--members", "qwen3-vl-235b-a22b:fp8")
    assert code == 1 and "refused" in said.out and "What fits here" in said.out


def test_env_files_hold_what_the_command_says(capsys, tmp_path):
    run(capsys, "--gpus", "1x80", "--env-dir", str(tmp_path))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["qwen3-vl-32b.env", "qwen3-vl-8b.env"]
    lines = dict(line.split("=", 1) for line in (tmp_path / files[1]).read_text().splitlines())
    assert lines["CUDA_VISIBLE_DEVICES"] == "0" and f"--port {lines['SGLANG_PORT']}" in lines["SGLANG_ARGS"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gpus", "2xH900"), "known: L4-24"),
        (("--preset", "dream"), "there are: original, 1x24"),
        (("--members", "qwen3-vl-9b"), "near it: qwen3-vl"),
        (("--members", "qwen3-vl-8b:fp7"), "NAME[:PRECISION"),
        (("--members", "qwen3-vl-8b:fp8:int4"), "no server here keeps a KV cache in int4"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(capsys, words, said):
    code, output = run(capsys, *words)
    assert code == 2 and said in output.err


def test_it_answers_without_loading_anything_heavy():
    code = (
        "import sys; from miner.plan import main; main(['--gpus', '1x24', '--json']); "
        "print([m for m in ('torch', 'bittensor', 'transformers') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
