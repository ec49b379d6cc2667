"""The whole subnet on one machine: miner, local chain, validator and status page, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from miner.exits import exit_line
from miner.rehearsal.challenges import NoImages, default_images, pictures_in
from miner.rehearsal.options import EXIT_REFUSED, NETUID, VALIDATOR, positive, shared, whole
from miner.rehearsal.processes import POLL_S, Child, Interrupts
from miner.rehearsal.scenery import MINER, Scenery, SceneryError, claim, free_port, is_free, prepare
from miner.rehearsal.wallets import HOTKEY

NEURONS = Path(__file__).resolve().parents[2] / "neurons"
PAGE_PORT = 8092
REFRESH_S = 2.0
SAY_EVERY_S = 5.0
VALIDATOR_PATIENCE_S, MINER_PATIENCE_S = 15.0, 20.0


class StageError(Exception):
    """A part could not start or died; the message says which, with the end of its log."""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="streetvision-miner rehearse",
        description="Run the whole subnet on this machine: a miner, a chain in one file, a validator that "
        "challenges and pays it, and the miner's status page. Nothing leaves the machine and no wallet of "
        "yours is touched. Ctrl-C stops all of it.",
        epilog="Dotted flags go to the miner as they are: streetvision-miner rehearse --model.path FOLDER",
        parents=[shared()],
        allow_abbrev=False,
    )
    add = result.add_argument
    add("--port", type=whole(1, 65535), help=f"of the status page (default: {PAGE_PORT}, or a free one)")
    add(
        "--block-s",
        type=positive,
        default=1.0,
        help="seconds per block of a new chain (default: %(default)s)",
    )
    add("--tempo", type=whole(1), default=20, help="blocks per epoch of a new chain (default: %(default)s)")
    add(
        "--wait",
        type=positive,
        default=180.0,
        help="most seconds until the miner is ready (default: %(default)s)",
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Set up, run, tear down. 0 at the end or after a signal, 1 when a part failed, 2 when refused."""
    options, extra = _parse(argv)
    with Interrupts() as interrupts:
        stage = Stage(options, extra, interrupts)
        try:
            return stage.run()
        except KeyboardInterrupt:
            return 0
        except (SceneryError, NoImages) as error:
            _say(str(error))
            return EXIT_REFUSED
        except StageError as error:
            _say(str(error))
            return 1
        finally:
            interrupts.ignore()
            stage.close()


class Stage:
    """The processes of one rehearsal. `extra` are flags for the miner."""

    def __init__(self, options: argparse.Namespace, extra: Sequence[str], interrupts: Interrupts) -> None:
        self._options, self._extra, self._interrupts = options, extra, interrupts
        self._children: list[Child] = []
        self._page: int | None = None
        self._lock: IO[str] | None = None

    def run(self) -> int:
        """Start everything and wait for the validator's end. Raises StageError, SceneryError, NoImages."""
        options = self._options
        self._lock = claim(options.data)
        _say(f"rehearsal in {options.data}")
        images = options.images or default_images(options.data, _say)
        pictures_in(images)
        page = _page_port(options.port)
        scenery = prepare(options.data, block_s=options.block_s, tempo=options.tempo)
        flags = _miner_flags(scenery, page, options.rate, self._extra)
        miner = self._start("miner", flags, scenery.miner_log)
        self._await_ready(miner, page)
        self._page = page
        _say(f"status page: http://127.0.0.1:{page}/    Ctrl-C stops everything")
        return self._watch(miner, self._start("validator", _validator_flags(options, images)))

    def close(self) -> None:
        """Stop what runs, last started first. A second Ctrl-C makes it quick."""
        patience = {"validator": VALIDATOR_PATIENCE_S, "miner": MINER_PATIENCE_S}
        for child in reversed(self._children):
            if child.name == "miner" and child.code is None:
                self._say_exits()
            child.stop(patience[child.name], lambda: self._interrupts.count > 1)
        if self._children:
            _say("stopped")
        self._children.clear()
        if self._lock is not None:
            self._lock.close()

    def _say_exits(self) -> None:
        """By which members the run was answered, and how fast."""
        if self._page is not None and (lines := exits(self._page)):
            _say("\n  ".join(["answers left the cascade by:", *lines]))

    def _start(self, name: str, flags: Sequence[str], log: Path | None = None) -> Child:
        argv = [sys.executable, str(NEURONS / f"{name}.py"), *flags]
        with self._interrupts.held():
            child = Child(name, argv, cwd=self._options.data, env=clean_environment(os.environ), log=log)
            self._children.append(child)
        return child

    def _await_ready(self, miner: Child, port: int) -> None:
        start = said = time.monotonic()
        _say("starting the miner")
        while (missing := not_ready(port)) is not None:
            now = time.monotonic()
            if miner.code is not None:
                _died(miner)
            if now - start > self._options.wait:
                raise StageError(f"the miner is not ready after {now - start:.0f} s: {missing}{_log(miner)}")
            if now - said > SAY_EVERY_S:
                said = now
                _say(f"  not ready after {now - start:.0f} s: {missing}")
            time.sleep(POLL_S)
        _say(f"miner ready after {time.monotonic() - start:.0f} s")

    def _watch(self, miner: Child, validator: Child) -> int:
        while (code := validator.code) is None:
            if miner.code is not None:
                _died(miner)
            time.sleep(POLL_S)
        return 0 if code == 0 else 1


def exits(port: int) -> list[str]:
    """How the miner's answers left the cascade, a line each; empty when its page does not say."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=2) as reply:
            return [exit_line(row) for row in json.load(reply)["exits"]]
    except (OSError, ValueError, KeyError):
        return []


def not_ready(port: int) -> str | None:
    """What the page's readiness check objects to; None when the miner is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as reply:
            return None if reply.status == 200 else f"HTTP {reply.status}"
    except urllib.error.HTTPError as error:
        return " ".join(error.read(300).decode(errors="replace").split()) or f"HTTP {error.code}"
    except OSError:
        return "no status page yet"


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without miner settings: a rehearsal must not inherit those of a real miner."""
    from miner.settings.fields import ENV_PREFIX
    from miner.settings.reference import ENVIRONMENT

    return {k: v for k, v in env.items() if not k.startswith(ENV_PREFIX) and k not in ENVIRONMENT}


def _miner_flags(scenery: Scenery, page: int, rate: float, extra: Sequence[str]) -> list[str]:
    # the wire's rate limit is for strangers; a load run must reach the engine
    caller_rate = max(50, round(4 * rate)) if rate else 1_000_000
    flags = {
        "netuid": NETUID,
        "wallet.name": MINER,
        "wallet.hotkey": HOTKEY,
        "wallet.path": scenery.wallets,
        "subtensor.network": "local",
        "subtensor.local_file": scenery.chain,
        "subtensor.refresh_s": REFRESH_S,
        "axon.ip": "127.0.0.1",
        "axon.port": free_port(),
        "axon.external_ip": "127.0.0.1",
        "axon.announce": "force",
        "wire.caller_rate": caller_rate,
        "wire.caller_burst": 4 * caller_rate,
        "page.host": "127.0.0.1",
        "page.port": page,
        "data.path": scenery.miner_data,
    }
    return [f"--{name}={value}" for name, value in flags.items()] + list(extra)


def _validator_flags(options: argparse.Namespace, images: Path) -> list[str]:
    flags = {
        "data": options.data,
        "wallet.name": VALIDATOR,
        "images": images,
        "regime": options.regime,
        "rate": options.rate,
        "concurrency": options.concurrency,
        "count": options.count,
        "distinct": options.distinct,
        "seed": options.seed,
        "json": options.json,
    }
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    return [*given, "--settle"] if options.count else given


def _page_port(asked: int | None) -> int:
    port = asked or PAGE_PORT
    if is_free(port):
        return port
    if asked:
        raise SceneryError(f"port {asked} is taken; give --port another one")
    return free_port()


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our options, and the miner's flags among the words. Exits with 2 for a flag that neither knows."""
    from miner.settings import SettingsError
    from miner.settings.sources import from_flags

    ours = parser()
    options, extra = ours.parse_known_args(argv)
    extra = [word for word in extra if word != "--"]
    if any(word.startswith("--") and "." not in word.partition("=")[0] for word in extra):
        ours.error(f"unrecognized arguments: {' '.join(extra)}")
    try:
        list(from_flags(extra))
    except SettingsError as error:
        ours.error(str(error))
    return options, extra


def _died(child: Child) -> NoReturn:
    raise StageError(f"the {child.name} ended by itself with exit code {child.code}{_log(child)}")


def _log(child: Child) -> str:
    return f"; the end of {child.log}:\n{child.last_lines()}" if child.log else ""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
