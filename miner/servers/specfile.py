"""The servers file: TOML or JSON, a list `servers` of objects with the fields of `ServerSpec`."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from miner.servers.spec import ServerSpec
from miner.settings import SettingsError
from models.vlm.secret import Secret


def read_specs(path: Path) -> tuple[ServerSpec, ...]:
    """The servers of a file. Raises SettingsError with a sentence that names file, server and field."""
    try:
        text = path.read_text()
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"servers.file {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise SettingsError(f"servers.file {path} is no {kind}: {error}") from error
    try:
        return parse(data)
    except ValueError as error:
        raise SettingsError(f"servers.file {path}: {error}") from error


def read_keys(specs: Sequence[ServerSpec], environ: Mapping[str, str] | None = None) -> dict[str, Secret]:
    """Name -> key of the servers that have one. Raises SettingsError when it is not in the environment."""
    keys = {}
    for spec in specs:
        try:
            if (key := Secret.from_env(spec.key_env, environ)) is not None:
                keys[spec.name] = key
        except ValueError as error:
            raise SettingsError(f"server {spec.name}: {error}") from error
    return keys


def parse(data: Any) -> tuple[ServerSpec, ...]:
    """The same from what the file held. Raises ValueError."""
    listed = data.get("servers") if isinstance(data, Mapping) else data
    if not isinstance(listed, list):
        raise ValueError("it must hold a list called servers")
    specs = tuple(_spec(number, one) for number, one in enumerate(listed, 1))
    _distinct(specs)
    return specs


@cache
def _adapter() -> TypeAdapter[ServerSpec]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(ServerSpec))


def _spec(number: int, given: Any) -> ServerSpec:
    named = f"server {given.get('name', number) if isinstance(given, Mapping) else number}"
    try:
        return _adapter().validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(f"{named}: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "unexpected_keyword_argument":
        return f"no field is called {field}; there are {', '.join(one.name for one in fields(ServerSpec))}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{field} must be given"
    said = first["msg"].removeprefix("Value error, ")
    return f"{field}: {said[0].lower()}{said[1:]}" if field else said


def _distinct(specs: Sequence[ServerSpec]) -> None:
    names = Counter(spec.name for spec in specs)
    ports = Counter(port for spec in specs if spec.here for port in (spec.port, spec.gate))
    for what, counts in (("name", names), ("port", ports)):
        if twice := [str(one) for one, count in counts.items() if count > 1]:
            raise ValueError(f"two servers have the {what} {', '.join(twice)}")
