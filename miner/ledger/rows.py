"""Between an exchange and its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import orjson

from miner.records import Exchange

Row = tuple[Any, ...]

COLUMNS = tuple(field.name for field in fields(Exchange))
"""The columns of `challenges` are the fields of an exchange, in order."""

to_text: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
"""Compact JSON; ASCII, so that no lone surrogate from a header can make a row unwritable."""


def exchange_text(value: Any) -> str:
    """`to_text` of an exchange or a part of one, whose numbers are finite: a tenth of its time for what is
    ASCII, which is all that we say ourselves."""
    try:
        text = orjson.dumps(value, default=dict)
    except TypeError:  # a lone surrogate
        text = b"\xff"
    return text.decode() if text.isascii() else to_text(_plain(value))


def _plain(value: Any) -> Any:
    if not isinstance(value, Exchange):
        return value
    values = {name: getattr(value, name) for name in COLUMNS}
    return values | {"versions": dict(value.versions), "ms": dict(value.ms)}


def to_row(exchange: Exchange) -> Row:
    """The columns of `challenges`, in order."""
    return (
        exchange.id,
        exchange.at_ns,
        exchange.hotkey,
        exchange.caller,
        exchange.address,
        exchange.client_version,
        exchange.status,
        exchange.outcome,
        exchange.size,
        exchange.sha256,
        exchange.prediction,
        exchange.log_odds,
        exchange.certified,
        exchange_text(exchange.path),
        exchange_text(exchange.versions),
        exchange_text(exchange.ms),
        exchange.margin_s,
        exchange_text(exchange.notes),
        exchange.kept_tokens,
        exchange.kv_bytes,
    )


def from_row(row: Row) -> Exchange:
    """The inverse of `to_row`."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("path", "notes"):
        values[name] = tuple(json.loads(values[name]))
    for name in ("versions", "ms"):
        values[name] = json.loads(values[name])
    return Exchange(**{**values, "certified": bool(values["certified"])})
