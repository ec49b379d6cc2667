"""From a server's HTTP answer to its JSON, or the reason why there is none."""

from __future__ import annotations

import json
from typing import Any

import httpx

from models.vlm.member import Absent

ANSWER_BYTES = 4 * 2**20
"""Largest answer that is read."""
AGAIN = (429, 502, 503, 504)


async def read_limited(response: httpx.Response) -> bytes:
    """The body, up to `ANSWER_BYTES`. Raises Absent("shape") past them."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > ANSWER_BYTES:
            raise Absent("shape")
        parts.append(part)
    return b"".join(parts)


def parse(status: int, data: bytes) -> Any:
    """The JSON of a 200. Raises Absent, with `again` where the server may only be busy."""
    if status >= 500 or status in AGAIN:
        raise Absent(f"server:{status}", again=status in AGAIN)
    if status != 200:
        raise Absent(f"refused:{status}")
    try:
        return json.loads(data) if data else None
    except ValueError as error:
        raise Absent("shape") from error
