"""Python's garbage collector, kept from holding the event loop while many wait.

A full collection walks over every object that may be part of a cycle: with hundreds of connections open, tens
of thousands, for tens of milliseconds. Nearly everything here is freed without it, when its last reference
goes, so it can wait for a moment in which there is little to walk over.
"""

from __future__ import annotations

import asyncio
import gc
import time

EVERY_S = 30.0
MOST = 5_000
"""Objects of the oldest generation that may be walked over: about a microsecond each, with cold caches."""
LATEST_S = 1800.0
"""So long without such a moment, cycles are collected anyway, whatever it takes."""
NEVER = 2**30


async def tidy(every_s: float = EVERY_S, most: int = MOST, latest_s: float = LATEST_S) -> None:
    """Until cancelled. What is there when it begins stays, and is not walked over again; the younger
    generations are collected as ever, which takes a millisecond or two."""
    gc.freeze()
    usual = gc.get_threshold()
    gc.set_threshold(*usual[:2], NEVER)
    last = time.monotonic()
    try:
        while True:
            await asyncio.sleep(every_s)
            if len(gc.get_objects(generation=2)) <= most or time.monotonic() - last >= latest_s:
                gc.collect()
                last = time.monotonic()
    finally:
        gc.set_threshold(*usual)
