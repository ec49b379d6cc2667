"""What front and child say to each other: a JSON header and raw bytes behind it, both with their length in
front.

No pickle: the child looks at hostile images, and whoever takes it over must not gain the front by it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from miner.engine.forecast import Forecast
from miner.engine.interface import BadImage, Refused, Shed, Unavailable
from models.core import Box, Request, Verdict

LENGTHS = struct.Struct("!II")
_PREFIX = LENGTHS.size
MOST_HEADER = 1 << 20
MOST_PAYLOAD = 1 << 26

Header = dict[str, Any]
REFUSALS: dict[str, type[Refused]] = {kind.__name__: kind for kind in (BadImage, Shed, Unavailable)}

_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ProtocolError(Exception):
    """The other side speaks something else: it is of no use any more."""


def pack(header: Header, *payload: bytes) -> bytes:
    """One frame."""
    return _framed(_dumps(header).encode(), payload)


def _framed(text: bytes, payload: Sequence[bytes]) -> bytes:
    return b"".join((LENGTHS.pack(len(text), sum(map(len, payload))), text, *payload))


class Reader:
    """Turns a stream of bytes, in whatever pieces, into frames. Raises ProtocolError on lengths out of
    bounds."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Header, bytes]]:
        """The frames that are complete now."""
        buffer = self._buffer
        source: bytes | bytearray = data  # usually whole frames: nothing is copied then
        if buffer:
            buffer += data
            source = buffer
        frames: list[tuple[Header, bytes]] = []
        start, size = 0, len(source)
        while (body := start + _PREFIX) <= size:
            header, payload = LENGTHS.unpack_from(source, start)
            if header > MOST_HEADER or payload > MOST_PAYLOAD:
                raise ProtocolError(f"a frame of {header} + {payload} bytes")
            middle = body + header
            end = middle + payload
            if size < end:
                break
            frames.append((_loads(source[body:middle]), bytes(source[middle:end])))
            start = end
        if source is buffer:
            del buffer[:start]
        elif start < size:
            buffer += source[start:]
        return frames


def _loads(text: bytes | bytearray) -> Header:
    try:
        header = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not an object")
    return header


def ask(number: int, request: Request, solo: bool) -> bytes:
    """The frame that asks the child: `number` is the front's name for the request."""
    header: Header = {
        "kind": "ask",
        "number": number,
        "id": request.id,
        "hotkey": request.hotkey,
        "caller": request.caller,
        "deadline": request.deadline,
        "priority": request.priority,
        "sizes": [len(view) for view in request.views],
    }
    if solo:
        header["solo"] = True
    return _framed(orjson.dumps(header), request.views)


def asked(header: Header, payload: bytes) -> Request:
    """The inverse of `ask`."""
    views, at = [], 0
    for size in header["sizes"]:
        views.append(payload[at : at + size])
        at += size
    return Request(
        header["id"], header["hotkey"], header["caller"], tuple(views), header["deadline"], header["priority"]
    )


def outcome(number: int, result: Verdict | Refused) -> Header:
    """The header that answers request `number`."""
    if isinstance(result, Refused):
        return {"kind": "refused", "number": number, "class": type(result).__name__, "reason": result.reason}
    return {
        "kind": "verdict",
        "number": number,
        "verdict": {
            "id": result.id,
            "prediction": result.prediction,
            "log_odds": result.log_odds,
            "path": result.path,
            "certified": result.certified,
            "versions": dict(result.versions),
            "ms": {stage: round(value, 3) for stage, value in result.ms.items()},
            "notes": result.notes,
            "evidence": dict(result.evidence),
            "boxes": [asdict(box) for box in result.boxes],
        },
    }


def result(header: Header) -> Verdict | Refused:
    """The inverse of `outcome`."""
    if header["kind"] == "refused":
        return REFUSALS[header["class"]](header["reason"])
    said = header["verdict"]
    return Verdict(  # what `Verdict.from_json` does, in half of its time
        id=said["id"],
        prediction=said["prediction"],
        log_odds=said["log_odds"],
        path=tuple(said["path"]),
        certified=said["certified"],
        versions=said["versions"],
        ms=said["ms"],
        notes=tuple(said["notes"]),
        evidence=said["evidence"],
        boxes=tuple([Box(**box) for box in said["boxes"]]),
    )


def forecast_json(forecast: Forecast) -> list[float]:
    return [forecast.a, forecast.b, forecast.high, forecast.decode, forecast.decoders, forecast.batch]


def forecast_from(values: list[float]) -> Forecast:
    a, b, high, decode, decoders, batch = values
    return Forecast(a, b, high, decode, int(decoders), int(batch))
