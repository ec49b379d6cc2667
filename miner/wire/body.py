"""A request's body: bytes under a cap and a time limit -> JSON -> base64 -> views that claim sane sizes."""

from __future__ import annotations

import asyncio
import binascii
import json
from typing import Any

import orjson
import pybase64

from miner.settings import Wire
from miner.wire.auth import Headers
from miner.wire.call import Arriving
from miner.wire.synapse import Rejected
from models.core import MAX_VIEWS
from models.imaging.header import ImageError, Limits, inspect


def declared(headers: Headers, limit: int) -> int:
    """How many bytes a body may have: what it says, else the limit. Raises Rejected: "length" or
    "body_size"."""
    said = headers.get(b"content-length")
    if said is None:
        return limit
    if not said.isdigit():
        raise Rejected("length")
    if len(said) > 18 or int(said) > limit:
        raise Rejected("body_size")
    return int(said)


async def read_body(asked: Arriving, wire: Wire) -> bytes:
    """The whole body. Raises Rejected: "length", "body_size", "body_time" or "gone".

    A declared length over the cap is refused before a byte is read.
    """
    declared(asked.incoming.headers, wire.body_bytes)
    if asked.whole:  # no clock needs to run
        return _capped(asked.take(), wire.body_bytes)
    try:
        async with asyncio.timeout(wire.body_timeout_s):
            return await _collect(asked, wire.body_bytes)
    except TimeoutError:
        raise Rejected("body_time") from None


async def _collect(asked: Arriving, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        part = await asked.receive()
        if part is None:
            raise Rejected("gone")
        size += len(part)
        if size > limit:
            raise Rejected("body_size")
        parts.append(part)
        more = asked.more_body
    return b"".join(parts)


def _capped(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise Rejected("body_size")
    return body


def parse(body: bytes) -> dict[str, Any]:
    """The body's JSON object. Raises Rejected("body")."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = _leniently(body)
    if not isinstance(fields, dict):
        raise Rejected("body")
    return fields


def _leniently(body: bytes) -> Any:
    """What Python's own parser takes beyond the standard, as the stock Axon does: NaN, lone surrogates, other
    encodings of Unicode."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Rejected("body") from None


def views(fields: dict[str, Any], limits: Limits) -> tuple[bytes, ...]:
    """The encoded images of a challenge, one to six: `images` where the caller sends several, else `image`.

    Raises Rejected: "body", "base64", "image" or "image_size".
    """
    texts = fields.get("images")
    if texts is None:
        texts = [fields.get("image")]
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_VIEWS:
        raise Rejected("body")
    return tuple([_view(text, limits) for text in texts])


def _view(text: Any, limits: Limits) -> bytes:
    if not isinstance(text, str):
        raise Rejected("body")
    data = decoded(text)
    try:
        inspect(data, limits)
    except ImageError as error:
        raise Rejected("image_size" if error.reason in ("bytes", "pixels") else "image") from None
    return data


def decoded(text: str) -> bytes:
    """The bytes of a base64 text, strictly but for whitespace: the reference miner accepts that, and some
    encoders break lines. Raises Rejected("base64")."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:  # or too much padding, which Python's own strict decoder takes
        pass
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise Rejected("base64") from None
