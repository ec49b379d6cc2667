"""The tree laid flat: one `Option` per setting, with its dotted name, environment name and what it allows."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from miner.settings.tree import Settings

ENV_PREFIX = "SVM_"
"""Environment name of a.b_c: SVM_A__B_C."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `kind` is its Python type without None; `optional` says whether none is allowed."""

    name: str
    kind: Any
    optional: bool
    info: FieldInfo

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.upper().replace(".", "__")

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.name.endswith(("token", "webhook"))

    @property
    def default(self) -> Any:
        return self.info.get_default(call_default_factory=True)

    @property
    def is_bool(self) -> bool:
        return self.kind is bool

    @property
    def is_list(self) -> bool:
        return typing.get_origin(self.kind) is list

    @property
    def choices(self) -> tuple[str, ...]:
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else ()


@cache
def options() -> Mapping[str, Option]:
    """Every setting by dotted name, in the tree's order."""
    return types.MappingProxyType({option.name: option for option in _walk(Settings, "")})


def sections() -> Iterator[tuple[str, str, list[Option]]]:
    """(name, title, options) of each section in order; the top level is named ""."""
    yield "", "The subnet", [option for name, option in options().items() if "." not in name]
    for name, info in Settings.model_fields.items():
        if _is_section(info.annotation):
            members = [option for dotted, option in options().items() if dotted.startswith(f"{name}.")]
            yield name, (info.annotation.__doc__ or name).strip(), members


def allowed(option: Option) -> str:
    """What a value may be, in words: "a whole number from 1 to 65535"."""
    if option.choices:
        return " or ".join(option.choices)
    words = {bool: "true or false", str: "text", Path: "a path", int: "a whole number", float: "a number"}
    base = "a comma-separated list" if option.is_list else words[option.kind]
    words_of_value = " ".join(filter(None, (base, _bounds(option))))
    return f"{words_of_value}, or none" if option.optional else words_of_value


def value_at(tree: BaseModel, name: str) -> Any:
    """The value of a dotted name in a tree."""
    value: Any = tree
    for part in name.split("."):
        value = getattr(value, part)
    return value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"axon.port": 1} -> {"axon": {"port": 1}}."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, leaf = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = value
    return tree


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Option]:
    for name, info in model.model_fields.items():
        if _is_section(info.annotation):
            yield from _walk(typing.cast(type[BaseModel], info.annotation), f"{prefix}{name}.")
        else:
            kind, optional = _without_none(info.annotation)
            yield Option(prefix + name, kind, optional, info)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return _plain(kinds[0]), True
    return _plain(annotation), False


def _plain(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _bounds(option: Option) -> str:
    limits = {
        word: getattr(item, word)
        for item in option.info.metadata
        for word in ("ge", "gt", "le", "lt")
        if hasattr(item, word)
    }
    if "ge" in limits and "le" in limits:
        return f"from {limits['ge']} to {limits['le']}"
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    return " and ".join(f"{words[word]} {limit:g}" for word, limit in limits.items())
