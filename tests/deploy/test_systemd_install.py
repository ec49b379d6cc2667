"""The installer: a staged system has what the units name; settings survive; nothing odd gets into a unit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from deploy_kit import SYSTEMD, run, tool

INSTALL = SYSTEMD / "install"
UNIT = "etc/systemd/system/streetvision-miner.service"
SETTINGS = "etc/streetvision-miner/miner.env"


@pytest.fixture
def prefix(tmp_path) -> Path:
    """A checkout as the installer wants it, with an interpreter in its environments."""
    folder = tmp_path / "checkout"
    for environment in (".venv", ".venv-sglang"):
        (folder / environment / "bin").mkdir(parents=True)
        (folder / environment / "bin" / "python").symlink_to("/bin/true")
    shutil.copy(SYSTEMD.parent / "env.example", folder)
    return folder


def install(root: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DESTDIR"}
    return run(INSTALL, *words, env=environment | ({"DESTDIR": str(root)} if root else {}))


def test_a_staged_install_has_unit_settings_and_a_place_for_keys(tmp_path, prefix):
    root = tmp_path / "root"
    done = install(root, "--prefix", str(prefix), "--sglang")
    assert done.returncode == 0, done.stderr
    unit = (root / UNIT).read_text()
    assert f"WorkingDirectory={prefix}\n" in unit and "/opt/streetvision-miner" not in unit
    assert (root / SETTINGS).read_text() == (prefix / "env.example").read_text()
    assert (root / SETTINGS).stat().st_mode & 0o777 == 0o640
    assert (root / "etc/streetvision-miner/wallets").stat().st_mode & 0o007 == 0
    assert f"{prefix}/.venv-sglang" in (root / "etc/systemd/system/sglang@.service").read_text()
    assert "left out under DESTDIR: useradd --system" in done.stdout


def test_again_it_keeps_edited_settings_and_renews_the_unit(tmp_path, prefix):
    root = tmp_path / "root"
    install(root, "--prefix", str(prefix))
    (root / SETTINGS).write_text("SVM_AXON__PORT=9000\n")
    (root / UNIT).write_text("old")
    done = install(root, "--prefix", str(prefix))
    assert done.returncode == 0 and "kept as it is" in done.stdout
    assert (root / SETTINGS).read_text() == "SVM_AXON__PORT=9000\n"
    assert (root / UNIT).read_text().startswith("# Installed by systemd/install")


def test_a_dry_run_touches_nothing(tmp_path, prefix):
    root = tmp_path / "root"
    root.mkdir()
    done = install(root, "--dry-run", "--prefix", str(prefix), "--sglang")
    assert done.returncode == 0 and "would: write" in done.stdout
    assert not list(root.iterdir())
    on_the_host = install(None, "--dry-run", "--user", "nobody-like-this")
    if str(SYSTEMD).startswith(("/home", "/root", "/tmp")):
        assert on_the_host.returncode == 2 and "move the checkout" in on_the_host.stderr
    else:
        assert "would: useradd --system" in on_the_host.stdout
        assert "would: systemctl daemon-reload" in on_the_host.stdout


def test_a_second_instance_shares_nothing_but_the_code(tmp_path, prefix):
    root = tmp_path / "root"
    install(root, "--prefix", str(prefix))
    install(root, "--prefix", str(prefix), "--instance", "second")
    first, second = (
        dict(line.partition("=")[::2] for line in (root / path).read_text().splitlines() if "=" in line)
        for path in (UNIT, UNIT.replace("miner.service", "miner-second.service"))
    )
    for key in ("EnvironmentFile", "StateDirectory"):
        assert first[key] != second[key] and "second" in second[key]
    assert (
        "SVM_DATA__PATH=%S/streetvision-miner-second"
        in (root / UNIT.replace("miner.service", "miner-second.service")).read_text()
    )
    assert (root / "etc/streetvision-miner/second.env").is_file()


def test_uninstalling_leaves_settings_and_keys(tmp_path, prefix):
    root = tmp_path / "root"
    install(root, "--prefix", str(prefix))
    done = install(root, "--uninstall", "--prefix", str(prefix))
    assert done.returncode == 0 and "systemctl disable --now" in done.stdout
    assert not (root / UNIT).exists() and (root / SETTINGS).is_file()
    assert "not installed" in install(root, "--uninstall", "--prefix", str(prefix)).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--user", "root"),
        ("--user", "a b"),
        ("--instance", "x#y"),
        ("--instance", "../etc"),
        ("--instance", "miner"),
        ("--instance",),
        ("--prefix", "/opt/a b"),
        ("--prefix", "relative"),
        ("--sideways",),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(tmp_path, words):
    root = tmp_path / "root"
    done = install(root, *words)
    assert done.returncode == 2 and done.stderr and not root.exists()


def test_a_checkout_without_its_environment_is_refused(tmp_path):
    done = install(tmp_path / "root", "--prefix", str(tmp_path))
    assert done.returncode == 2 and "make venv" in done.stderr


def test_the_command_runs_as_the_user_with_the_settings_that_systemd_would_read(tmp_path, prefix):
    """In its place, but for the paths, a `python` that shows what it got, and a `runuser` that only notes."""
    root, tools = tmp_path / "root", tmp_path / "tools"
    tools.mkdir()
    install(root, "--prefix", str(prefix), "--instance", "second", "--user", "somebody")
    settings = root / "etc/streetvision-miner/second.env"
    settings.write_text(
        "# SVM_NETUID=1\nSVM_PAGE__TOKEN=\"a b $HOME\"\nSVM_NETUID=323\nSVM_MODEL__PATH='x y'"
    )
    (prefix / ".venv/bin/python").unlink()
    executable(
        prefix / ".venv/bin/python", 'echo "$PWD|$*|$SVM_PAGE__TOKEN|$SVM_NETUID|$SVM_MODEL__PATH|$HOME"'
    )
    executable(tools / "runuser", 'echo "runuser $1 $2"; shift 3; exec "$@"')
    executable(tools / "id", "case $1 in -u) echo 0 ;; *) echo root ;; esac")
    command = root / "usr/local/bin/streetvision-miner-second"
    text = command.read_text()
    command.write_text(text.replace("settings=/etc", f"settings={root}/etc"))
    done = run(command, "status", "a b", env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.stdout.splitlines() == [
        "runuser -u somebody",
        f"{prefix}|-m miner status a b|a b $HOME|323|x y|/var/lib/streetvision-miner-second",
    ], done.stderr


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["install", "command.sh"])
def test_the_scripts_are_plain_sh(name):
    shell = tool("dash", "dash")
    assert run(shell, "-n", SYSTEMD / name).returncode == 0
