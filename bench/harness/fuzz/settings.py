"""Settings as operators mistype them: flags, environment and env files of every setting, with odd values.

Either the settings load, can be shown and given to another process as flags that load to the same, or a
SettingsError says what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from harness.fuzz.mutate import mutate
from harness.fuzz.target import Finding
from miner.settings import SettingsError, as_flags, describe, load
from miner.settings.fields import options
from miner.settings.reference import ENVIRONMENT, FLAGS

ODD = (
    "",
    " ",
    "none",
    "None",
    "true",
    "yes",
    "0",
    "1",
    "-1",
    "1e999",
    "nan",
    "inf",
    "1_000",
    "٣",
    "0x10",
    "9" * 400,
    "a,b,,c",
    ",",
    "~",
    "~nobody/x",
    "/",
    "../..",
    "\x00",
    "\ud800",
    "ü",
    "${HOME}",
    "$(id)",
    "'\"",
    "#",
    "a=b",
    "--axon.port",
    "[::]",
    "ws://",
    "wss://x",
    "http://x",
    "cuda:0",
    "cuda:999",
    "local",
    "test",
    "[]",
    "{}",
    "\n",
    "\r\n",
    "5 4 * * *",
    "* *",
)
SECRET = "correct-horse-battery-staple"


class SettingsTexts:
    """Outcomes: "loaded", "refused", "printed" for --help and --version."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "settings.env"
        self._names = list(options())

    def case(self, rng: Random, number: int) -> bytes:
        flags: list[str] = []
        env: dict[str, str] = {}
        lines: list[str] = []
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            name, value = self._name(rng), self._value(rng)
            where = rng.random()
            if where < 0.4:
                flags += [f"--{name}={value}"] if rng.random() < 0.5 else [f"--{name}", value]
            elif where < 0.7:
                env[self._env(name, rng)] = value
            else:
                lines.append(f"{self._env(name, rng)}={value}")
        text = "\n".join(lines).encode("utf-8", "surrogatepass")
        if lines and rng.random() < 0.3:
            text = mutate(text, rng)
        return json.dumps({"flags": flags, "env": env, "file": text.decode("latin-1")}).encode()

    def _name(self, rng: Random) -> str:
        known = rng.random()
        if known < 0.8:
            return rng.choice(self._names)
        if known < 0.9:
            return rng.choice([*FLAGS, "help", "version", "no-page.enabled", "h"])
        return mutate(rng.choice(self._names).encode(), rng).decode("latin-1")

    def _env(self, name: str, rng: Random) -> str:
        if rng.random() < 0.15:
            return rng.choice(list(ENVIRONMENT))
        return options()[name].env if name in options() else "SVM_" + name.upper().replace(".", "__")

    def _value(self, rng: Random) -> str:
        if rng.random() < 0.6:
            return rng.choice(ODD)
        return str(
            rng.choice(
                (SECRET, rng.randrange(-10, 100_000), rng.random(), rng.randbytes(6).decode("latin-1"))
            )
        )

    def judge(self, case: bytes) -> str:
        given: dict[str, Any] = json.loads(case)
        self._file.write_bytes(given["file"].encode("latin-1"))
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                found = load(given["flags"], given["env"], self._file)
        except SettingsError as error:
            _no_secret(str(error), given)
            return "refused"
        except SystemExit as leaving:
            if leaving.code or not said.getvalue():
                raise Finding(f"left with {leaving.code}") from None
            return "printed"
        _no_secret(describe(found, everything=True), given)
        again = load(as_flags(found), {}, None) if not Path(".env").exists() else found
        if again.model_dump() != found.model_dump():
            raise Finding("given on as flags, the settings are others")
        return "loaded"


def _no_secret(text: str, given: dict[str, Any]) -> None:
    """Whoever puts a secret where one belongs does not find it in what is shown."""
    words = [*given["flags"], *map("=".join, given["env"].items()), given["file"]]
    holding = [word for word in words if SECRET in word]
    if holding == [f"--page.token={SECRET}"] and SECRET in text:
        raise Finding("the page's token is shown")
