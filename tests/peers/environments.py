"""One virtual environment per peer, made once and kept under `.cache/peers/`.

The old SDKs and ours are one package at different versions, so each old one needs an interpreter of its own;
so do the servers that `bench/serve.py` measures ours against, whose packages are no dependencies of ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.process import START_S, Talk

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "sdk"
CACHE = HERE.parents[1] / ".cache" / "peers"
MARKER = "ready.json"
BUILD_TIMEOUT_S = 900.0


class PeerUnavailable(Exception):
    """No environment could be made; the text says which step failed and what it said."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An old SDK, or whatever `module` is. `requirements` is a complete freeze, so the same wheels are
    installed everywhere; what it lacks is imported from the folder `borrowed`, if there is one."""

    version: str
    requirements: Path
    module: str = "bittensor"
    borrowed: Path | None = None

    def folder(self, cache: Path = CACHE) -> Path:
        """Where its environment lives: named by what is installed and by the interpreter it was made with."""
        pins = "\n".join(self.pins())
        interpreter = f"{sys.implementation.cache_tag} {sys.base_prefix}"
        lent = f"\n{self.borrowed}" if self.borrowed else ""
        return cache / hashlib.sha256(f"{interpreter}\n{pins}{lent}".encode()).hexdigest()[:16]

    def pins(self) -> list[str]:
        lines = (line.strip() for line in self.requirements.read_text().splitlines())
        return sorted(line for line in lines if line and not line.startswith("#"))


PEERS = {v: Peer(v, HERE / f"requirements-{v}.txt") for v in ("9.12.2", "10.5.0")}


def interpreter(peer: Peer, cache: Path = CACHE) -> Path:
    """The Python that can import the peer's module at that version; makes its environment on first use.

    Safe to call from several processes at once. Raises PeerUnavailable.
    """
    folder = peer.folder(cache)
    with _locked(folder.with_suffix(".lock")):
        if not _is_ready(folder):
            _build(peer, folder)
    return _python(folder)


def setup_seconds(peer: Peer, cache: Path = CACHE) -> float:
    """How long making its environment took, in seconds."""
    return float(json.loads((peer.folder(cache) / MARKER).read_text())["seconds"])


def start(
    python: Path,
    script: str | Path,
    home: Path,
    first: dict[str, Any] | None = None,
    *,
    patience_s: float = START_S,
    **environ: str,
) -> Talk:
    """A script (of `sdk/`, unless its path is whole) in a peer's interpreter, with `home` as its home and for
    its log, and `environ` beside what little it is given."""
    path = SCRIPTS / script
    log = home / f"{path.name}-{os.urandom(4).hex()}.log"
    env = {**peer_environ(home), **environ}
    return Talk([str(python), str(path)], log, first=first, env=env, cwd=home, patience_s=patience_s)


def peer_environ(home: Path) -> dict[str, str]:
    """Environment of a process of an old SDK: a home of its own, and nothing of ours for it to read."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TZ"}}
    return {**kept, "HOME": str(home), "BT_NO_PARSE_CLI_ARGS": "true", "READ_ONLY": "1", "NO_PROXY": "*"}


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _is_ready(folder: Path) -> bool:
    """A build that was cut off has no marker: it is written last. A vanished base Python breaks the link."""
    return (folder / MARKER).is_file() and _python(folder).exists()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(peer: Peer, folder: Path) -> None:
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    _step("venv", [sys.executable, "-m", "venv", str(folder)])
    python = str(_python(folder))
    _step("pip install", [python, "-m", "pip", "install", "-q", "--no-input", "-r", str(peer.requirements)])
    if peer.borrowed:
        site = subprocess.check_output(
            [python, "-c", "import site; print(site.getsitepackages()[0])"], text=True
        )
        (Path(site.strip()) / "borrowed.pth").write_text(f"{peer.borrowed}\n")
    module = peer.module
    check = f"import {module}; assert {module}.__version__ == {peer.version!r}"
    _step("import", [python, "-c", check], home=folder)
    seconds = round(time.monotonic() - started, 1)
    (folder / MARKER).write_text(json.dumps({"version": peer.version, "seconds": seconds}))


def _step(name: str, command: list[str], home: Path | None = None) -> None:
    environ = peer_environ(home) if home else None
    try:
        done = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{name}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise PeerUnavailable(f"{name} failed ({done.returncode}): {' | '.join(said)}")
