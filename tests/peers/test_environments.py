"""The environments of the old SDKs: made once, by one process, and made again when a build was cut off."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import environments
import pytest
from availability import python_of
from environments import MARKER, PEERS, Peer, PeerUnavailable, interpreter, setup_seconds


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of builds, which do nothing but leave an interpreter behind, slowly."""
    steps: list[str] = []

    def step(name: str, command: list[str], home: Path | None = None) -> None:
        steps.append(name)
        if name == "venv":
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
            time.sleep(0.05)

    monkeypatch.setattr(environments, "_step", step)
    return steps


def peer(folder: Path, pins: str = "bittensor==0.0.0\n") -> Peer:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"# a comment\n{pins}")
    return Peer("0.0.0", requirements)


def test_an_environment_is_made_once(tmp_path: Path, builds: list[str]) -> None:
    one = peer(tmp_path)
    assert interpreter(one, tmp_path) == interpreter(one, tmp_path)
    assert builds == ["venv", "pip install", "import"]
    assert setup_seconds(one, tmp_path) >= 0


def test_callers_at_the_same_time_share_one_build(tmp_path: Path, builds: list[str]) -> None:
    callers = [threading.Thread(target=interpreter, args=(peer(tmp_path), tmp_path)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert builds.count("venv") == 1


def test_a_half_made_environment_is_made_again(tmp_path: Path, builds: list[str]) -> None:
    one = peer(tmp_path)
    python = interpreter(one, tmp_path)
    (one.folder(tmp_path) / MARKER).unlink()
    (one.folder(tmp_path) / "leftover").touch()
    assert interpreter(one, tmp_path) == python
    assert builds.count("venv") == 2
    assert not (one.folder(tmp_path) / "leftover").exists()


def test_other_pins_are_another_environment(tmp_path: Path) -> None:
    before = peer(tmp_path).folder(tmp_path)
    assert peer(tmp_path, "bittensor==0.0.1\n").folder(tmp_path) != before
    assert peer(tmp_path).folder(tmp_path) == before


def test_what_cannot_be_installed_is_said_with_its_reason(tmp_path: Path) -> None:
    missing = peer(tmp_path, f"{tmp_path}/missing-1.0-py3-none-any.whl\n")
    with pytest.raises(PeerUnavailable, match=r"pip install failed.*missing-1\.0"):
        interpreter(missing, tmp_path)
    assert not (missing.folder(tmp_path) / MARKER).exists()


@pytest.mark.parametrize("version", PEERS)
def test_the_committed_requirements_pin_everything(version: str) -> None:
    pins = PEERS[version].pins()
    assert f"bittensor=={version}" in pins
    assert all(pin.count("==") == 1 for pin in pins)


@pytest.mark.parametrize("version", list(PEERS))
def test_an_environment_holds_the_sdk_that_it_is_named_for(version: str) -> None:
    """The first to ask makes it: here other tests run beside it, and those that need it do not wait."""
    code = "from importlib.metadata import version; print(version('bittensor'))"
    asked = subprocess.run([python_of(version), "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == version
