"""From the sources to one checked tree: precedence, sentences for what is wrong, notices for what is odd."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from miner.settings.fields import Option, allowed, nest, options, value_at
from miner.settings.reference import NONE_MEANS_UNSET
from miner.settings.sources import (
    ENV_FILE_NAME,
    Asked,
    Given,
    Notice,
    SettingsError,
    from_env_file,
    from_environment,
    from_flags,
)
from miner.settings.text import help_page, version_line
from miner.settings.tree import BASELINE_REPO, Model, Settings, expanded
from models.description import EMBEDDED, SINGLE, DescriptionError, read

DEFAULT_ENV_FILES = ("miner.env", ".env")
"""Read when no file is named, as far as they are in the working folder; the later one wins."""


def load(
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    env_file: str | Path | None = None,
) -> Settings:
    """The settings: defaults < env file < environment < flags; an empty text leaves the default.

    `argv`      flags without the program's name (None: sys.argv[1:]); `--help` and `--version` print and
                raise SystemExit(0).
    `env`       the environment (None: os.environ).
    `env_file`  a dotenv file that must exist (None: `--env-file`, else SVM_ENV_FILE, else `miner.env` and
                `.env` of the working folder, as far as they are there).
    Raises SettingsError with one sentence.
    """
    env = os.environ if env is None else env
    flags = list(from_flags(sys.argv[1:] if argv is None else argv))
    _answer([item for item in flags if isinstance(item, Asked)])
    files = _env_files(flags, env, env_file)
    sources = [*map(from_env_file, files), from_environment(env), flags]
    items = [item for source in sources for item in source]
    return _build(
        [item for item in items if isinstance(item, Given)],
        tuple(item.text for item in items if isinstance(item, Notice)),
    )


def as_flags(settings: Settings) -> list[str]:
    """The flags that make `load` return these settings: to start another process with them."""
    flags, plain = [], Settings()
    for name, option in options().items():
        value = value_at(settings, name)
        if value != value_at(plain, name):
            flags += [f"--{name}={_text(option, value)}"]
    return flags


def _answer(asked: Iterable[Asked]) -> None:
    pages = {"help": help_page, "h": help_page, "version": version_line}
    for one in asked:
        if one.what in pages:
            sys.stdout.write(pages[one.what]() + "\n")
            raise SystemExit(0)


def _env_files(flags: Iterable[Any], env: Mapping[str, str], named: str | Path | None) -> list[Path]:
    asked = [item.text for item in flags if isinstance(item, Asked) and item.what == "env_file"]
    chosen = asked[-1] if asked else named or env.get(ENV_FILE_NAME)
    if not chosen:
        return [Path(name) for name in DEFAULT_ENV_FILES if Path(name).is_file()]
    if not Path(chosen).is_file():
        raise SettingsError(f"the env file {chosen} does not exist")
    return [Path(chosen)]


def _build(given: Sequence[Given], notices: tuple[str, ...]) -> Settings:
    flat: dict[str, Any] = {}
    origins: dict[str, Given] = {}
    for one in given:
        if not one.text.strip() or (one.name in NONE_MEANS_UNSET and one.text.lower() == "none"):
            continue
        flat[one.name] = _value(options()[one.name], one.text.strip())
        origins[one.name] = one
    try:
        settings = Settings(**nest(flat))
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors()[0], origins)) from error
    _check(settings)
    settings._origins = {name: one.origin for name, one in origins.items()}
    settings._notices = (*notices, *_remarks(settings))
    return settings


def _value(option: Option, text: str) -> Any:
    """Text as pydantic takes it: lists split at commas, none as None where it is allowed."""
    if option.is_list:
        return [part.strip() for part in text.split(",") if part.strip() and text.lower() != "none"]
    return None if option.optional and text.lower() == "none" else text


def _text(option: Option, value: Any) -> str:
    return (",".join(value) or "none") if option.is_list else str(value)


def _sentence(error: ErrorDetails, origins: Mapping[str, Given]) -> str:
    name = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    one = origins[name]
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] != "value_error":
        reason = f"it must be {allowed(options()[name])}"
    text = "not accepted" if options()[name].secret else repr(one.text)
    return f"{one.origin} is {text}: {reason}"


def _check(settings: Settings) -> None:
    """What no single setting can see."""
    wire, page, model, engine = settings.wire, settings.page, settings.model, settings.engine
    if 4 * wire.image_bytes > 3 * wire.body_bytes:  # base64
        raise SettingsError(
            f"wire.body_bytes is {wire.body_bytes}, but an image of wire.image_bytes ({wire.image_bytes}) "
            f"is {wire.image_bytes * 4 // 3} bytes once encoded in base64"
        )
    ports = range(settings.axon.port, settings.axon.port + len(settings.wallet.names))
    if page.enabled and page.port in ports:
        whose = "axon.port" if len(ports) == 1 else "a port of wallet.hotkeys (from axon.port on)"
        raise SettingsError(f"{whose} and page.port are both {page.port}; give one of them another port")
    if max(ports[-1], (settings.axon.external_port or 0) + len(ports) - 1) > 65535:
        raise SettingsError(f"{len(ports)} hotkeys need as many ports: there are none above 65535")
    if engine.hang_s <= 2 * engine.heartbeat_s:
        raise SettingsError(
            f"engine.hang_s is {engine.hang_s:g}: a child that beats every {engine.heartbeat_s:g} s "
            "(engine.heartbeat_s) would be killed in good health; allow it more than two beats"
        )
    if model.path and not model.revision and not _there(model.path):
        raise SettingsError(
            f"model.path is {model.path!r}, which is no folder here; for a hub id also give "
            "--model.revision COMMIT, since what a name points to can change under a running miner"
        )
    _check_cascade(settings)


def _there(path: str) -> bool:
    """Whether it is a file or folder here; no more so for a text that cannot be one."""
    try:
        return expanded(Path(path)).exists()
    except (OSError, ValueError):
        return False


def _check_cascade(settings: Settings) -> None:
    path = settings.cascade.path
    if path in (None, EMBEDDED, SINGLE):
        return
    try:
        described = read(expanded(Path(path)))
    except (DescriptionError, ValueError) as error:
        raise SettingsError(f"cascade.path: {error}") from error
    if settings.model != Model():
        raise SettingsError(
            f"both cascade.path and model.* are set: in a cascade of your own the classifier is a tier of "
            f"{described.name!r}, so give path, label, threshold and the like there"
        )


def _remarks(settings: Settings) -> Iterable[str]:
    """Things that are allowed and that an operator may not mean."""
    chain = settings.subtensor
    if settings.neuron.image_detector_config and not settings.model.path:
        yield (
            f"neuron.image_detector_config names {BASELINE_REPO}, which is no longer "
            " public; the embedded model answers instead. "
            "Your own checkpoint: --model.path and --model.revision"
        )
    if chain.network == "local" and not chain.chain_endpoint:
        yield (
            "subtensor.network local is the rehearsal's own chain; for a node of yours give "
            "--subtensor.chain_endpoint ws://127.0.0.1:9944"
        )
    if not settings.blacklist.force_validator_permit:
        yield "blacklist.force_validator_permit is off: hotkeys without a validator permit are answered too"
