"""Frozen dataclasses of numbers to plain JSON types and back, by their annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import numpy as np

Model = TypeVar("Model")


def pack(value: Any) -> Any:
    """Dataclasses become objects, arrays and tuples lists."""
    if is_dataclass(value):
        return {field.name: pack(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: pack(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def unpack(cls: type[Model], data: Any) -> Model:
    """The inverse of `pack`. Raises ValueError for what does not fit the annotations."""
    hints = get_type_hints(cls)
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(data, dict) or set(data) != names:
        raise ValueError(f"{cls.__name__} has the fields {', '.join(sorted(names))}")
    return cls(**{name: _field(hints[name], data[name], name) for name in names})


def _field(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint):
        return unpack(hint, value)  # type: ignore[arg-type]
    if hint is float and _is_number(value):
        return float(value)
    if hint is int and _is_number(value) and value == int(value):
        return int(value)
    if hint == tuple[str, ...] and _is_names(value):
        return tuple(value)
    if (
        hint == Mapping[str, tuple[str, ...]]
        and isinstance(value, dict)
        and all(map(_is_names, value.values()))
    ):
        return {key: tuple(each) for key, each in value.items()}
    if isinstance(value, list):
        return _array(value, name)
    raise ValueError(f"{name} is {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _array(value: list[Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        found = np.array(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if found.size and found.dtype.kind not in "if":
        raise ValueError(f"{name} is not made of numbers")
    return found.astype(np.float64)
