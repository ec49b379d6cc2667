"""Between an exchange and its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from miner.records import Exchange

Row = tuple[Any, ...]

COLUMNS = tuple(field.name for field in fields(Exchange))
"""The columns of `challenges` are the fields of an exchange, in order."""

to_text: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
"""Compact JSON; ASCII, so that no lone surrogate from a header can make a row unwritable."""


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
        to_text(exchange.path),
        to_text(dict(exchange.versions)),
        to_text(dict(exchange.ms)),
        exchange.margin_s,
        to_text(exchange.notes),
    )


def from_row(row: Row) -> Exchange:
    """The inverse of `to_row`."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("path", "notes"):
        values[name] = tuple(json.loads(values[name]))
    for name in ("versions", "ms"):
        values[name] = json.loads(values[name])
    return Exchange(**{**values, "certified": bool(values["certified"])})
