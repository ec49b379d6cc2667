"""Work that must not be in the way of anybody who answers: loading a model beside the one that serves."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from loguru import logger

T = TypeVar("T")
NICE = 10
"""Against a thread of ordinary priority that wants the same core, a tenth of it. At 19, a seventieth, a busy
host takes minutes to load a small model."""


def gently(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in a thread of its own at low priority.

    On Linux priority belongs to a thread, and cannot be raised again without privileges; threads inherit it
    from whoever starts them. So what `work` starts stays slow, and the caller's own threads do not."""
    done: Future[T] = Future()
    threading.Thread(target=_run, args=(work, done), name="loader", daemon=True).start()
    return done.result()


def _run(work: Callable[[], T], done: Future[T]) -> None:
    _step_back()
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        done.set_exception(error)


def _step_back() -> None:
    if sys.platform != "linux":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except OSError as error:
        logger.warning("the loader runs at full priority: {}", error)
