"""How the miner starts, and how it says that it cannot: status 2 and a sentence, never a traceback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from neurons_kit import PATIENCE_S, REPOSITORY, SCRIPT, Stage

from miner.ledger import LEDGER_NAME
from miner.rehearsal.scenery import free_port
from miner.rehearsal.stage import clean_environment

TITLE = "answers the validators of Bittensor subnet 72"
HEAVY = {"torch", "transformers", "bittensor", "PIL", "numpy", "uvicorn", "starlette"}


def run(*argv: object, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python ARGV`, to its end: also to that of whatever it started, since the pipes must close."""
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=cwd,
        env=clean_environment(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence of a miner that would not start."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("streetvision-miner: ")
    return last


# Help, from anywhere


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code in another place, and recognisable, so that the installed one cannot stand in for it."""
    root = tmp_path_factory.mktemp("elsewhere") / "a checkout"
    for package in ("miner", "models", "neurons"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(REPOSITORY / package, root / package, ignore=ignored)
    page = root / "miner" / "settings" / "text.py"
    page.write_text(page.read_text().replace(TITLE, "is the copy that"))
    return root


@pytest.mark.parametrize("script", ["miner.py", "validator.py"])
@pytest.mark.parametrize("place", ["root", "neurons", "elsewhere"])
def test_help_needs_no_installation_and_no_certain_folder(copy, tmp_path, script, place):
    cwd = {"root": copy, "neurons": copy / "neurons", "elsewhere": tmp_path}[place]
    path = os.path.relpath(copy / "neurons" / script, cwd)
    # -S: without the .pth file of an editable install
    bare = run("-S", path, "--help", cwd=cwd, PYTHONPATH=sysconfig.get_path("purelib"))
    assert bare.returncode == 0, bare.stderr
    assert bare.stdout.startswith("streetvision-miner: is the copy" if script == "miner.py" else "usage:")


@pytest.mark.parametrize("flags", [(), ("-P",), ("-I",)], ids=["plain", "safe path", "isolated"])
def test_a_checkout_comes_before_the_installed_package(copy, tmp_path, flags):
    done = run(*flags, copy / "neurons" / "miner.py", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("streetvision-miner: is the copy")


def test_help_is_for_people_and_loads_nothing_heavy():
    done = run("-X", "importtime", SCRIPT, "--help")
    assert done.returncode == 0
    assert TITLE in done.stdout
    for flag in ("--wallet.name", "--axon.port", "--subtensor.network", "--model.path", "--data.path"):
        assert flag in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "pydantic" in loaded
    assert not loaded & HEAVY


def test_the_console_script_is_as_light():
    done = run("-X", "importtime", "-m", "miner", "--help")
    assert done.returncode == 0
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "bittensor", "numpy"}


# What cannot be honoured


@pytest.mark.parametrize(
    ("flag", "nearest"), [("--axon.prot=1", "--axon.port"), ("--wallet.nam=x", "--wallet.name")]
)
def test_an_unknown_flag_is_refused_with_the_nearest_name(flag, nearest):
    done = run(SCRIPT, flag)
    assert nearest in refusal(done)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.fixture
def flags(stage: Stage):
    """The flags of a miner that could start, some of them replaced (`__` for the dot)."""

    def made(**changed: object) -> list[str]:
        given = stage.flags(stage.folder / "data", free_port())
        given |= {name.replace("__", "."): value for name, value in changed.items()}
        return [f"--{name}={value}" for name, value in given.items()]

    return made


def test_a_missing_wallet_is_told_with_the_command_that_makes_one(flags, stage):
    sentence = refusal(run(SCRIPT, *flags(wallet__hotkey="nobody")))
    assert str(stage.folder / "wallets" / "miner" / "hotkeys" / "nobody") in sentence
    assert "btcli" in sentence
    assert not (stage.folder / "data").exists()


@contextlib.contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_setting(flags):
    with taken() as port:
        wire = refusal(run(SCRIPT, *flags(axon__port=port)))
        page = refusal(run(SCRIPT, *flags(page__port=port)))
    assert re.search(rf"port {port} is taken .*axon\.port", wire)
    assert re.search(rf"status page cannot listen on 127\.0\.0\.1 port {port} .*page\.port", page)


def test_a_data_folder_that_cannot_be_is_named(flags, stage):
    (stage.folder / "file").touch()
    under_a_file = stage.folder / "file" / "data"
    sentence = refusal(run(SCRIPT, *flags(data__path=under_a_file)))
    assert f"data.path {under_a_file} cannot be used: Not a directory" in sentence
    (stage.folder / "data").mkdir()
    (stage.folder / "data" / "control.sock").write_text("somebody's notes")
    assert "control.sock is in the way" in refusal(run(SCRIPT, *flags()))
    assert (stage.folder / "data" / "control.sock").read_text() == "somebody's notes"


def test_a_ray_cluster_that_is_not_there_is_named(flags):
    sentence = refusal(run(SCRIPT, *flags(engine__mode="ray://127.0.0.1:1")))
    assert re.search(
        r"engine\.mode is ray://127\.0\.0\.1:1, but (no Ray cluster|Ray is not installed)", sentence
    )


def test_a_ledger_of_a_newer_version_is_left_alone(flags, stage):
    (stage.folder / "data").mkdir()
    with contextlib.closing(sqlite3.connect(stage.folder / "data" / LEDGER_NAME)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "newer version" in refusal(run(SCRIPT, *flags()))


def test_a_chain_that_is_down_at_the_start_is_waited_for(stage):
    path = stage.chain.path
    aside = path.rename(path.with_suffix(".aside"))
    miner = stage.start()
    told = miner.eventually(lambda told: told["chain"]["state"] == "down")
    assert (told["registered"], told["ready"]) == (None, False)
    assert any("no snapshot of the subnet yet" in reason for reason in told["reasons"])
    assert miner.page("health/ready")[0] == 503
    aside.rename(path)
    told = miner.eventually(lambda told: told["chain"]["state"] == "ok")
    assert told["registered"]
    assert not any("chain" in reason for reason in told["reasons"])
