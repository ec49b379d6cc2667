"""The operator's guide, word for word: its commands are such that their programs take, its settings load."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from deploy_kit import ROOT, run

from miner.cli import app
from miner.settings import Settings, load
from miner.settings.passed import split

GUIDE = ROOT / "docs" / "operations.md"
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)
SHELL = [line.strip() for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
SETTINGS = [[line.strip() for line in block.splitlines()] for language, block in BLOCKS if language == "ini"]
HOSTS = {
    "git",
    "install",
    "shred",
    "cp",
    "cd",
    "systemctl",
    "journalctl",
    "pm2",
    "docker",
    "kubectl",
    "promtool",
}
"""Programs of the host: only the files and services that they are given are looked at."""


def words(line: str) -> list[str]:
    found = shlex.split(line)
    return found[1:] if found[0] == "sudo" else found


COMMANDS = [words(line) for line in dict.fromkeys(SHELL)]


def of(program: str) -> list[list[str]]:
    return [command for command in COMMANDS if Path(command[0]).name == program]


def shown(command: list[str]) -> str:
    return shlex.join(command)


@functools.cache
def help_of(*command: str) -> str:
    done = run(*command, "--help", cwd=ROOT, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_every_command_is_looked_at_by_a_test_here():
    ours = {"streetvision-miner", "streetvision-miner-second", "btcli", "make", "install", "python"}
    assert {Path(command[0]).name for command in COMMANDS} <= HOSTS | ours


@pytest.mark.parametrize("lines", SETTINGS, ids=lambda lines: lines[0].partition("=")[0])
def test_settings_are_understood(lines, tmp_path):
    path = tmp_path / "miner.env"
    path.write_text("\n".join(lines))
    assert load([], {}, path).notices == ()


@pytest.mark.parametrize("command", of("btcli"), ids=shown)
def test_btcli_takes_its_commands_and_flags(command):
    program = shutil.which("btcli", path=str(Path(sys.executable).parent)) or pytest.skip("no btcli here")
    bare = [word for word in command[1:] if re.fullmatch(r"[a-z][a-z-]+", word) and word not in ("test",)]
    text = help_of(program, *bare[:2])
    for flag in (word for word in command if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){flag}\b", text), f"{flag} is not a flag of btcli {' '.join(bare)}"


def flags_of(names: list[str]) -> set[str]:
    """What a command of ours takes; the assertion says which word is no command."""
    command: Any = typer.main.get_command(app)
    for name in names:
        found = command.get_command(typer.Context(command), name)
        assert found is not None, f"{name} is no command of {command.name}"
        command = found
    if not command.params:  # it hands all its words on, to a parser of its own
        return set(re.findall(r"--[\w-]+", help_of(sys.executable, "-m", "miner", *names)))
    return {flag for parameter in command.params for flag in parameter.opts}


def names_in(rest: list[str]) -> list[str]:
    """The commands at the beginning."""
    return list(itertools.takewhile(re.compile(r"[a-z]+").fullmatch, rest))


@pytest.mark.parametrize(
    "command", [*of("streetvision-miner"), *of("streetvision-miner-second"), *of("python")], ids=shown
)
def test_the_command_line_takes_its_commands_and_flags(command):
    rest = command[3:] if Path(command[0]).name == "python" else command[1:]
    flags = flags_of(names_in(rest))
    assert {word for word in split(rest)[1] if word.startswith("--")} <= flags


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`streetvision-miner ([a-z ]+)", RUNBOOKS + TEXT)))
)
def test_commands_in_the_text_exist(command):
    flags_of(command.split())


def test_settings_in_the_runbooks_exist():
    known = set(_dotted(Settings().model_dump()))
    named = set(re.findall(r"`([a-z_]+\.(?!json|yaml|env)[a-z_]+)`", RUNBOOKS + TEXT))
    assert named and named <= known


def _dotted(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{before}{name}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{name}.")


def test_the_plans_command_writes_what_the_service_reads(tmp_path):
    (command,) = (each for each in of("python") if "--env-dir" in each)
    done = run(sys.executable, *command[1:-1], tmp_path, cwd=ROOT)
    (service,) = (each[-1] for each in of("systemctl") if each[-1].startswith("sglang@"))
    assert done.returncode == 0, done.stderr
    assert [path.stem for path in tmp_path.iterdir()] == [service.removeprefix("sglang@")]


@pytest.mark.parametrize(
    "command", [command for command in of("install") if command[0] == "systemd/install"], ids=shown
)
def test_the_installer_takes_its_flags(command, tmp_path):
    done = run(ROOT / command[0], "--dry-run", *command[1:], env={**os.environ, "DESTDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", of("make"), ids=shown)
def test_make_knows_its_targets(command):
    targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command[1] in targets


def test_services_are_those_that_the_installer_makes():
    made = {"streetvision-miner", "streetvision-miner-second", "sglang@qwen3-vl-8b"}
    for command in [*of("systemctl"), *of("journalctl")]:
        assert made & set(command), shown(command)


def test_pm2_starts_the_miner_with_settings_it_takes():
    (command,) = of("pm2")
    ours = command[command.index("--") + 1 :]
    assert (ROOT / command[2]).is_file()
    assert load(ours, {}).wallet.hotkey == "HOTKEY"


def test_files_that_are_named_exist():
    named = re.findall(r"\b((?:deploy|bench|docs|systemd)/[\w./-]+\w)", TEXT)
    assert named and all((ROOT / name).exists() for name in named)
    for link, anchor in re.findall(r"\]\(([\w.-]*)(?:#([\w-]+))?\)", TEXT):
        target = ROOT / "docs" / link if link else GUIDE
        headings = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        }
        assert not anchor or anchor in headings


def test_the_keys_go_where_the_service_looks_for_them():
    keys = [command[-1] for command in of("install") if command[0] == "install"]
    unit = (ROOT / "systemd" / "streetvision-miner.service").read_text()
    folder = re.search(r"SVM_WALLET__PATH=(\S+)", unit)[1]
    assert keys == [f"{folder}/NAME/hotkeys", f"{folder}/NAME/hotkeys/HOTKEY"]
